/*-------------------------------------------------------------------------
 *
 * schema_cache.h
 *	  What was made of schemas, by their ids.
 *
 * A decoder compiles a schema once and keeps the program here.  The cache holds
 * a bounded number of values; a new one replaces the one that was used least
 * recently.
 *
 * Pure C, no server.  Called by the formats that have schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_CACHE_H
#define SI_SCHEMA_CACHE_H

#include "common/schema_name.h"

/* A topic has a handful of schemas; one with more than this was made to. */
#define SI_SCHEMA_CACHE_MOST	1000

typedef struct SiSchemaCache SiSchemaCache;

/*
 * An empty cache for that many values, each of which is given to free_value at
 * last.  NULL when out of memory.
 */
extern SiSchemaCache *si_schema_cache_create(int most, void (*free_value) (void *));

/* The value of an id, or NULL. */
extern void *si_schema_cache_find(SiSchemaCache *cache, const SiSchemaId *id);

/*
 * Set the value of an id; the cache owns it then.  What
 * si_schema_cache_find gave before may be gone.  False when out of memory: the
 * value is freed.
 */
extern bool si_schema_cache_add(SiSchemaCache *cache, const SiSchemaId *id, void *value);

extern void si_schema_cache_free(SiSchemaCache *cache);

#endif							/* SI_SCHEMA_CACHE_H */
