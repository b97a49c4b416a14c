/*-------------------------------------------------------------------------
 *
 * registry_http.h
 *	  HTTP requests to a schema registry.
 *
 * For the client's thread: no server function, and all memory is malloc'd.  Called
 * by registry and registry_schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_HTTP_H
#define SI_REGISTRY_HTTP_H

#include "kafka/registry_answer.h"

/* Room for a path below the registry's URL, with its query and a NUL. */
#define SI_REGISTRY_PATH_ROOM	4096

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

/* Is it Apicurio's own API that is spoken? */
extern bool si_registry_http_is_apicurio(const SiRegistryHttp *http);

/* Does the registry put what a schema refers to into its text? */
extern bool si_registry_http_dereferences(const SiRegistryHttp *http, const SiSchemaId *id);

/*
 * Ask for what is at a path below the registry's URL, as si_registry_read_answer has
 * it; a URL that does not answer is followed by the next one.
 */
extern void si_registry_http_get(SiRegistryHttp *http, const char *path, SiRegistryPart part,
								 SiRegistryDocument *document, SiRegistryAnswer *answer);

/* Close connections; for the thread that has made the requests. */
extern void si_registry_http_end(SiRegistryHttp *http);

extern void si_registry_http_free(SiRegistryHttp *http);

#endif							/* SI_REGISTRY_HTTP_H */
