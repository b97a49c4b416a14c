/*-------------------------------------------------------------------------
 *
 * worker_prepare.c
 *	  The worker's phase PREPARE.
 *
 * Reads the subscription, checks the plan and opens the consumer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"

#include "apply/remote.h"
#include "catalog/transaction.h"
#include "common/compat.h"
#include "options/server_options.h"
#include "kafka/registry.h"
#include "process/worker_internal.h"
#include "shmem/crash_count.h"

/* Leave; the scanner finds out why we cannot work, and shows the reason. */
static void
leave_for_scan(void)
{
	si_slots_request_scan(MyDatabaseId);
	si_worker_leave(SI_SUCCESSOR_DELAYED);
}

/* Remember the files of certificates and keys, which the library reads only now. */
static void
note_tls_files(SiWorker *worker, const SiProperty *properties, int n)
{
	MemoryContext old = MemoryContextSwitchTo(worker->context);

	worker->tls_files = si_tls_files_note(properties, n);
	MemoryContextSwitchTo(old);
}

/* Open the consumer, and make what the worker waits for of its descriptor. */
static void
open_consumer(SiWorker *worker)
{
	SiSubscription *s = worker->subscription;
	SiServerProperties *server;
	int			n;
	SiProperty *properties;
	char	   *client_id = psprintf("stream_ingest/%s/%s", get_database_name(MyDatabaseId),
									 NameStr(s->name));
	char	   *group;

	/* before they are read: a change from now on is noticed */
	si_worker_watch_server(s->server_oid, s->owner);
	server = si_server_properties(s->server, s->owner);
	n = server->nproperties + worker->options->nproperties;
	properties = palloc(sizeof(SiProperty) * Max(n, 1));

	/* the launcher asks when it starts us, but may have asked long ago */
	if (!has_server_usage_compat(server->server, s->owner))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, s->server);
	if (server->server != s->server_oid)
		leave_for_scan();

	if (server->nproperties > 0)
		memcpy(properties, server->properties, sizeof(SiProperty) * server->nproperties);
	if (worker->options->nproperties > 0)
		memcpy(properties + server->nproperties, worker->options->properties,
			   sizeof(SiProperty) * worker->options->nproperties);

	group = si_server_group_name(server, worker->options->group_id,
								 get_database_name(MyDatabaseId), NameStr(s->name));
	note_tls_files(worker, properties, n);
	worker->consumer = si_consumer_open(properties, n, s->topic, group, client_id,
										worker->plan->wants_headers);
	worker->events = create_wait_event_set_compat(worker->context, 4);
	AddWaitEventToSet(worker->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker->events, WL_SOCKET_READABLE, worker->consumer->fd,
					  NULL, NULL);
	si_worker_open_registry(worker);
	if (worker->schemas.registry != NULL)
		AddWaitEventToSet(worker->events, WL_SOCKET_READABLE,
						  si_registry_fd(worker->schemas.registry), NULL, NULL);
}

/*
 * Leave a subscription that is gone, or not to run.  Where something else than our
 * functions has changed its row, with the epoch as it was, the launcher does not know:
 * it has to be told, and not to start others meanwhile.
 */
static void
leave_unwanted(const SiSubscription *s)
{
	bool		is_known;

	si_slots_lock(LW_SHARED);
	is_known = (s != NULL && s->epoch != si_slots_worker(si_worker_my_slot)->epoch_at_start);
	si_slots_unlock();
	if (!is_known)
		si_slots_request_scan(MyDatabaseId);
	si_worker_leave(is_known || s == NULL ? SI_SUCCESSOR_AT_ONCE : SI_SUCCESSOR_DELAYED);
}

/* Read the subscription, or leave if there is nothing to do for it. */
static void
read_subscription(SiWorker *worker)
{
	MemoryContext old = MemoryContextSwitchTo(worker->plan_context);
	SiSubscription *s = NULL;

	if (OidIsValid(si_catalog_lock_extension()))
		s = si_catalog_get(worker->subscription->id);
	if (s == NULL || !s->enabled || s->stop_state != NULL)
		leave_unwanted(s);
	si_progress_check_table();
	worker->subscription = s;
	worker->key.subscription = s->id;
	worker->key.topic = s->topic;
	worker->key.epoch = s->epoch;

	/*
	 * first of all, since a change of what fails starts another worker at
	 * once
	 */
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->epoch = s->epoch;
	si_slots_unlock();
	worker->options = si_options_parse(s->options_text);
	MemoryContextSwitchTo(old);
}

/* Batches wait for their commit as the options or the target want it. */
static void
set_synchronous_commit(SiWorker *worker)
{
	const char *value = worker->options->synchronous_commit;

	if (value == NULL)
		value = si_target_is_remote(worker->subscription->target) ? "on" : "off";
	SetConfigOption("synchronous_commit", value, PGC_USERSET, PGC_S_OVERRIDE);
}

/*
 * After a crash batches begin small and grow, so that the log of the next one tells
 * more closely which message it was.
 */
static int
first_limit(const SiWorker *worker)
{
	return si_crash_count(MyDatabaseId, worker->key.subscription, worker->key.epoch) > 0 ? 1
		: worker->options->batch_size;
}

void
si_worker_prepare(SiWorker *worker)
{
	MemoryContext caller = si_transaction_begin();
	MemoryContext old;

	Assert(caller == worker->scratch);
	read_subscription(worker);
	set_synchronous_commit(worker);
	old = MemoryContextSwitchTo(worker->plan_context);
	worker->plan = si_plan_create(worker->subscription, worker->options, true);
	MemoryContextSwitchTo(old);
	si_plan_check(worker->plan);
	si_worker_show_write_path(worker);
	open_consumer(worker);
	si_transaction_commit(caller);

	worker->intake.entries = MemoryContextAllocHuge(worker->context,
													2 * sizeof(SiEntry) * worker->options->batch_size);
	worker->intake.chunk = MemoryContextAlloc(worker->context, sizeof(SiFetched) * SI_FETCH_CHUNK);
	worker->intake.limit = first_limit(worker);
	worker->phase = SI_PHASE_CONTACT;
	worker->retry_ms = 0;
}
