/*-------------------------------------------------------------------------
 *
 * worker_schemas.c
 *	  Schemas that messages name: asking the server's schema registry.
 *
 * A batch ends before the first message whose schema is not there.  When that message
 * is the next one, the worker asks the registry's client, which has a thread of its
 * own, and waits as it does for everything else, with no transaction open.  A registry
 * that does not answer, or refuses to, is no message's fault: the worker shows why and
 * asks again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "apply/schemas.h"
#include "format/schema_store.h"
#include "kafka/client.h"
#include "process/worker_internal.h"

#define REGISTRY_RETRY_MAX_MS	60000

/*
 * So long is a schema asked for again that the registry does not have: one of several
 * registries may lag behind the one that the producer uses.
 */
#define UNKNOWN_MS		10000

void
si_worker_open_registry(SiWorker *worker)
{
	const SiSubscription *s = worker->subscription;

	if (worker->plan->store != NULL)
		worker->schemas.registry = si_schemas_open(s->format, s->server, s->owner);
}

/* Has an unknown schema been asked for long enough?  That takes its time once a minute at most. */
static bool
give_up(SiWorker *worker)
{
	int64		now_ms = si_client_now_ms();

	if (worker->schemas.unknown_until_ms == 0 ||
		now_ms > worker->schemas.unknown_until_ms + SI_SCHEMAS_FORGET_MS)
		worker->schemas.unknown_until_ms = now_ms + UNKNOWN_MS;
	return now_ms >= worker->schemas.unknown_until_ms;
}

/* Take an answer into the store; false if it is none that the store can keep. */
static bool
take_answer(SiWorker *worker, const SiRegistryAnswer *answer)
{
	char		id[SI_SCHEMA_ID_ROOM];

	if (answer->outcome > SI_REGISTRY_UNUSABLE ||
		(answer->outcome == SI_REGISTRY_UNKNOWN && !give_up(worker)))
		return false;
	si_schema_id_text(&answer->id, id);
	if (answer->outcome == SI_REGISTRY_FOUND)
		ereport(LOG,
				(errmsg("subscription \"%s\" reads messages of schema %s",
						NameStr(worker->subscription->name), id)));
	si_schemas_take(worker->plan->store, answer);
	return true;
}

/* Show why there is no schema, and wait before the registry is asked again. */
static void
report_answer(SiWorker *worker, const SiRegistryAnswer *answer)
{
	char	   *reason = si_schemas_reason(answer, worker->subscription->server);
	bool		unknown = (answer->outcome == SI_REGISTRY_UNKNOWN);

	si_worker_set_error(unknown ? ERRCODE_UNDEFINED_OBJECT : si_schemas_sqlstate(answer->outcome),
						unknown ? answer->error.message : answer->words);
	si_worker_set_state(worker, SI_STATE_RETRYING, reason);

	/* the delay is twice the last one */
	if (unknown)
		worker->retry_ms = 0;
	else if (answer->retry_after_s > 0)
		worker->retry_ms = answer->retry_after_s * 1000 / 2;
	si_worker_back_off(worker, REGISTRY_RETRY_MAX_MS);
	si_worker_leave_if_changed(worker);
}

/* Ask for schemas, wait for the answers, and take them. */
static void
ask(SiWorker *worker, const SiSchemaId *ids, int nids)
{
	SiRegistry *registry = worker->schemas.registry;
	SiRegistryAnswer answers[SI_SCHEMA_MOST_LACKING];
	const SiRegistryAnswer *failed = NULL;
	SiWorkerWait wait = worker->wait;
	int			n;

	si_registry_ask(registry, ids, nids);
	worker->wait = SI_WAIT_SCHEMA;
	while ((n = si_registry_answers(registry, answers)) == 0)
		si_worker_wait(worker, -1);
	worker->wait = wait;
	for (int i = 0; i < n; i++)
	{
		if (!take_answer(worker, &answers[i]))
			failed = &answers[i];
	}
	if (failed != NULL)
		report_answer(worker, failed);
}

int
si_worker_with_schemas(SiWorker *worker, int n)
{
	SiPlan	   *plan = worker->plan;
	SiSchemaId	ids[SI_SCHEMA_MOST_LACKING];
	int			nids;
	int			decodable;

	/* where the plan must be made again, the batch does that */
	if (worker->schemas.registry == NULL || plan->writer == NULL)
		return n;
	decodable = si_schema_lacking(&plan->format, worker->intake.entries + worker->intake.first, n,
								  si_client_now_ms(), ids, &nids);
	if (nids > 0 && decodable == 0)
		ask(worker, ids, nids);
	return decodable;
}
