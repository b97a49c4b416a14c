/*-------------------------------------------------------------------------
 *
 * schemas.h
 *	  From a server's schema registry into a store of schemas.
 *
 * A worker asks and waits by itself (process/worker_schemas); si_schemas_await does
 * both in a backend, which has a transaction open anyway.
 *
 * Called by plan, apply, the worker, and the SQL functions that decode.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMAS_H
#define SI_SCHEMAS_H

#include "common/reason.h"
#include "format/decoder.h"
#include "kafka/registry.h"

/* So long is an id that the registry does not have not asked for again. */
#define SI_SCHEMAS_FORGET_MS	60000

/*
 * A store for a format and a server, to be freed by si_schema_store_free; NULL where
 * the format has no schemas or the server no registry.
 */
extern SiSchemaStore *si_schemas_create_store(const char *format, const char *server, Oid role);

/*
 * A client of the server's registry, with the privileges and the user mapping of that
 * role; si_registry_close ends it.  Errors: 42501, and as si_registry_open has them.
 */
extern SiRegistry *si_schemas_open(const char *format, const char *server, Oid role);

/* Take an answer with a schema, or with what is wrong with it, into the store. */
extern void si_schemas_take(SiSchemaStore *store, const SiRegistryAnswer *answer);

/* Of another answer: its SQLSTATE, and the reason that tells it. */
extern int	si_schemas_sqlstate(SiRegistryOutcome outcome);
extern char *si_schemas_reason(const SiRegistryAnswer *answer, const char *server);

/*
 * Wait until the store has what it takes to decode these messages.  Errors: what keeps the
 * registry from answering.
 */
extern void si_schemas_await(const SiFormatOptions *options, const SiEntry *entries, int n,
							 const char *format, const char *server, Oid role);

/* The same for messages as they came, of which large ones may have lost their values. */
extern void si_schemas_await_messages(const SiFormatOptions *options, const SiMessage *messages,
									  int n, const char *format, const char *server, Oid role);

#endif							/* SI_SCHEMAS_H */
