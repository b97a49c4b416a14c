/*-------------------------------------------------------------------------
 *
 * registry_http.h
 *	  HTTP requests to a schema registry.
 *
 * For the client's thread: no server function, and all memory is malloc'd.  Called
 * by registry.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_HTTP_H
#define SI_REGISTRY_HTTP_H

#include "kafka/registry_values.h"

typedef struct SiRegistryHttp SiRegistryHttp;

/* si_http_init() for registries.  Error: 0A000 in a build without libcurl. */
extern void si_registry_http_init(void);

/*
 * What requests need; options and type are copied.  cancelled is called about once a
 * second, and ends a request.  NULL when out of memory.
 */
extern SiRegistryHttp *si_registry_http_create(const SiRegistryOptions *options,
											   const char *type,
											   bool (*cancelled) (void *arg), void *arg);

/* Ask for one schema; a URL that does not answer is followed by the next one. */
extern void si_registry_http_ask(SiRegistryHttp *http, const SiSchemaId *id,
								 SiRegistryAnswer *answer);

/* Close connections; for the thread that has made the requests. */
extern void si_registry_http_end(SiRegistryHttp *http);

extern void si_registry_http_free(SiRegistryHttp *http);

#endif							/* SI_REGISTRY_HTTP_H */
