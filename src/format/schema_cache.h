/*-------------------------------------------------------------------------
 *
 * schema_cache.h
 *	  What was made of schemas, by their ids.
 *
 * A decoder compiles a schema once and keeps the program here.  The cache holds
 * a bounded number of values; a new one replaces the one that was used least
 * recently.  si_schema_find is where a schema's text comes from.
 *
 * Pure C, no server.  Called by the formats that have schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_CACHE_H
#define SI_SCHEMA_CACHE_H

#include "format/decoder.h"

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
 * value is still the caller's.
 */
extern bool si_schema_cache_add(SiSchemaCache *cache, const SiSchemaId *id, void *value);

extern void si_schema_cache_free(SiSchemaCache *cache);

/* Is the schema for all messages, or that of the id, in the options? */
extern bool si_schema_is_given(const SiFormatOptions *options, const SiSchemaId *id);

/*
 * The text of the schema that a frame names: the one for all messages, or that
 * of its id.  NULL with *error filled (42704, or as si_schema_store_find has it)
 * if there is none.
 */
extern const char *si_schema_find(const SiFormatOptions *options, const SiSchemaId *id,
								  SiDecodeError *error);

#endif							/* SI_SCHEMA_CACHE_H */
