/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  The client of a schema registry.
 *
 * A thread of its own makes the HTTP requests, so that the main thread never
 * waits for them: it asks, and the descriptor becomes readable when there are
 * answers.  What a registry says is shown to no user, but for a schema that can
 * be parsed; words are ours.
 *
 * In a build without libcurl (make with_schema_registry=no) there is no client.
 * Called by the worker and by apply, which waits for answers in a backend.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_H
#define SI_REGISTRY_H

#include "kafka/registry_values.h"

typedef struct SiRegistry SiRegistry;

/*
 * Start a client; options are copied.  type is what the registry calls the kind of
 * schema that is expected ("AVRO").  Errors: 53200, 53000, and 0A000 in a build without
 * libcurl.
 */
extern SiRegistry *si_registry_open(const SiRegistryOptions *options, const char *type);

/* Readable when there are answers; drained by si_client_drain_fd. */
extern int	si_registry_fd(const SiRegistry *registry);

/*
 * Ask for up to SI_SCHEMA_MOST_LACKING schemas.  One question at a time: a question
 * that is not answered yet is replaced.
 */
extern void si_registry_ask(SiRegistry *registry, const SiSchemaId *ids, int n);

/*
 * Take the answers, up to SI_SCHEMA_MOST_LACKING; returns their number, 0 while there
 * are none.  There are fewer than questions where the last one says that asking more
 * is in vain.
 */
extern int	si_registry_answers(SiRegistry *registry, SiRegistryAnswer *answers);

/*
 * End the client.  False if its thread did not end in time: it ends by itself then.
 */
extern bool si_registry_close(SiRegistry *registry, int timeout_ms);

#endif							/* SI_REGISTRY_H */
