/*-------------------------------------------------------------------------
 *
 * schemas.c
 *	  From a server's schema registry into a store of schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/acl.h"

#include "apply/schemas.h"
#include "common/compat.h"
#include "format/schema_cache.h"
#include "format/schema_store.h"
#include "kafka/client.h"
#include "kafka/side_thread.h"
#include "options/server_options.h"

/* The longest wait between two checks for interrupts. */
#define SLICE_MS			100

/* How long closing may take: normally, and after an error. */
#define CLOSE_MS			1000
#define CLOSE_AFTER_ERROR_MS	100

/* A question to a registry, in a backend. */
typedef struct Waiting
{
	SiRegistry *registry;		/* NULL: not open */
	const char *server;
} Waiting;

static bool
has_schemas(const char *format)
{
	return (si_decoder_find(format)->options & SI_FORMAT_SCHEMAS) != 0;
}

SiSchemaStore *
si_schemas_create_store(const char *format, const char *server, Oid role)
{
	SiSchemaStore *store;

	if (!has_schemas(format) || si_server_properties(server, role)->registry.url == NULL)
		return NULL;
	store = si_schema_store_create();
	if (store == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return store;
}

SiRegistry *
si_schemas_open(const char *format, const char *server, Oid role)
{
	SiServerProperties *properties = si_server_properties(server, role);

	if (!has_server_usage_compat(properties->server, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, server);
	return si_registry_open(&properties->registry, si_decoder_find(format)->registry_type);
}

void
si_schemas_take(SiSchemaStore *store, const SiRegistryAnswer *answer)
{
	bool		done;

	if (answer->outcome == SI_REGISTRY_FOUND)
		done = si_schema_store_add(store, &answer->id, answer->texts);
	else
		done = si_schema_store_refuse(store, &answer->id, &answer->error,
									  si_client_now_ms() + SI_SCHEMAS_FORGET_MS);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

int
si_schemas_sqlstate(SiRegistryOutcome outcome)
{
	switch (outcome)
	{
		case SI_REGISTRY_REFUSED:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case SI_REGISTRY_NONE:
			return ERRCODE_PROTOCOL_VIOLATION;
		default:
			return ERRCODE_CONNECTION_FAILURE;
	}
}

char *
si_schemas_reason(const SiRegistryAnswer *answer, const char *server)
{
	switch (answer->outcome)
	{
		case SI_REGISTRY_UNTRUSTED:
			return si_reason(SI_REASON_REGISTRY_UNTRUSTED, answer->words, server);
		case SI_REGISTRY_REFUSED:
			return si_reason(SI_REASON_REGISTRY_REFUSED, answer->words, server);
		case SI_REGISTRY_NONE:
			return si_reason(SI_REASON_REGISTRY_NONE, server, answer->words);
		case SI_REGISTRY_UNKNOWN:
			return si_reason(SI_REASON_REGISTRY_UNKNOWN, answer->error.message);
		default:
			return si_reason(SI_REASON_REGISTRY_AWAY, answer->words);
	}
}

/* ---- waiting in a backend ---- */

static void
close_registry(Waiting *waiting, int timeout_ms)
{
	SiRegistry *registry = waiting->registry;

	waiting->registry = NULL;
	if (registry != NULL)
		(void) si_registry_close(registry, timeout_ms);
}

static void
close_after_error(int code, Datum arg)
{
	close_registry((Waiting *) DatumGetPointer(arg), CLOSE_AFTER_ERROR_MS);
}

/* Ask, and take the answers into the store. */
static void
ask(Waiting *waiting, SiSchemaStore *store, const SiSchemaId *ids, int nids)
{
	SiRegistryAnswer answers[SI_SCHEMA_MOST_LACKING];
	int			n;

	si_registry_ask(waiting->registry, ids, nids);
	while ((n = si_registry_answers(waiting->registry, answers)) == 0)
	{
		(void) WaitLatchOrSocket(MyLatch,
								 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
								 si_registry_fd(waiting->registry), SLICE_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		si_client_drain_fd(si_registry_fd(waiting->registry));
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < n; i++)
	{
		if (answers[i].outcome <= SI_REGISTRY_UNUSABLE)
			si_schemas_take(store, &answers[i]);
		else
			ereport(ERROR,
					(errcode(si_schemas_sqlstate(answers[i].outcome)),
					 errmsg("could not get a schema from the schema registry of server \"%s\"",
							waiting->server),
					 errdetail_internal("%s", si_schemas_reason(&answers[i], waiting->server))));
	}
}

void
si_schemas_await(const SiFormatOptions *options, const SiEntry *entries, int n,
				 const char *format, const char *server, Oid role)
{
	Waiting		waiting = {NULL, server};
	SiSchemaId	ids[SI_SCHEMA_MOST_LACKING];
	int64		now_ms = si_client_now_ms();
	int			nasked = 0;
	int			nids;

	/* by the clock of the begin, so that nothing is asked for twice */
	(void) si_schema_lacking(options, entries, n, now_ms, ids, &nids);
	if (nids == 0)
		return;
	si_side_thread_await_at_exit();
	waiting.registry = si_schemas_open(format, server, role);
	PG_ENSURE_ERROR_CLEANUP(close_after_error, PointerGetDatum(&waiting));
	{
		while (nids > 0)
		{
			/* the store would forget the first ones for the last ones */
			nasked += nids;
			if (nasked > SI_SCHEMA_CACHE_MOST)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("the messages name more than %d schemas", SI_SCHEMA_CACHE_MOST),
						 errhint("Take fewer messages at a time, and see the option \"wire_format\".")));
			ask(&waiting, options->store, ids, nids);
			(void) si_schema_lacking(options, entries, n, now_ms, ids, &nids);
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(close_after_error, PointerGetDatum(&waiting));
	close_registry(&waiting, CLOSE_MS);
}

void
si_schemas_await_messages(const SiFormatOptions *options, const SiMessage *messages, int n,
						  const char *format, const char *server, Oid role)
{
	SiEntry    *entries;

	if (n == 0)
		return;
	entries = palloc_extended(sizeof(SiEntry) * (Size) n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < n; i++)
	{
		entries[i].message = messages[i];
		if (si_message_is_reduced(&messages[i]))
			entries[i].message.value = NULL;
	}
	si_schemas_await(options, entries, n, format, server, role);
	pfree(entries);
}
