/*-------------------------------------------------------------------------
 *
 * registry_schema.h
 *	  A schema from a registry, with the schemas that it refers to.
 *
 * For the client's thread: no server function, and all memory is malloc'd.  What a
 * registry says of references is a stranger's: their number, depth and size are
 * limited, and their names are encoded before they go into a URL.  Called by registry.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_SCHEMA_H
#define SI_REGISTRY_SCHEMA_H

#include "kafka/registry_http.h"

/* So many schemas may one refer to, itself and through others, and so deep. */
#define SI_REGISTRY_MAX_REFERENCES	100
#define SI_REGISTRY_MAX_DEPTH		10

/*
 * Ask for a schema, and for those that it refers to, each once.  Of the schemas that
 * one refers to by equal names the first is taken, as by Confluent's clients.
 */
extern void si_registry_schema_ask(SiRegistryHttp *http, const SiSchemaId *id,
								   SiRegistryAnswer *answer);

#endif							/* SI_REGISTRY_SCHEMA_H */
