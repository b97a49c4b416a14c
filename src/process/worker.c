/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The process that applies batches.
 *
 * A worker connects as its subscription's owner and goes through three phases:
 *
 *	PREPARE		read the subscription, check the plan, open the consumer
 *	CONTACT		ask the brokers about the topic; make or move the rows of
 *				progress; assign its own partitions
 *	STREAM		fetch, apply, wait
 *
 * With the option stop_at there is an end: who has come to it in all its
 * partitions waits for the others, and the last one ends the run.
 *
 * As in core's apply worker, an error ends the process: it is shown in status,
 * and the launcher starts another.  The one exception is what a batch throws,
 * whose transaction takes back all that it did; see worker_apply.c.  Whatever
 * changes the ground (the subscription, the server's options, partitions, an
 * offset that is gone) ends the process, too: there is no half-changed state.
 * What must survive: SIGTERM anywhere (die), SIGSTOP anywhere (the fence in
 * progress), brokers gone for any time.
 *
 * No transaction is open while waiting, and the only waits are on the latch
 * and the consumer's descriptor.
 *
 * Here are the process, PREPARE, the loop and its waits.  The rest is in
 * worker_contact.c, worker_fetch.c, worker_apply.c, worker_limits.c,
 * worker_run.c and worker_status.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "apply/apply.h"
#include "apply/writer.h"
#include "catalog/session.h"
#include "catalog/transaction.h"
#include "common/compat.h"
#include "common/words.h"
#include "options/server_options.h"
#include "process/publisher.h"
#include "process/worker.h"
#include "process/worker_internal.h"

#define TROUBLE_CHECK_MS	2000	/* looking at the topic, if something is
									 * wrong */

/*
 * Until a worker streams it waits no longer for a lock, and tries again: what
 * it waits for may have changed.  A batch waits for as long as it takes.
 */
#define START_LOCK_TIMEOUT_MS	5000
#define LOCK_RETRY_MS		1000
#define REPORT_MS			1000	/* as often as the server's backends
									 * report statistics */
#define CLOSE_MS			5000	/* most that the end of a worker may take */

static const char *const wait_names[SI_NWAITS] = {
	[SI_WAIT_IDLE] = "StreamIngestIdle",
	[SI_WAIT_FETCH] = "StreamIngestFetch",
	[SI_WAIT_RETRY] = "StreamIngestRetry",
};

static uint32 wait_events[SI_NWAITS];

/* The worker of this process; reached by exit callbacks only. */
static SiWorker *my_worker = NULL;

/* The server's options or the user mapping may have changed. */
static volatile sig_atomic_t server_changed = false;

/* The owner could not connect. */
static bool not_permitted = false;

/* ---- the slot ---- */

/* Last thing of all: the process is gone, its locks and transaction too. */
static void
detach_slot(int code, Datum arg)
{
	SiWorkerSlot *slot;
	Oid			database;
	int			launcher;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(si_worker_my_slot);
	slot->pid = 0;
	database = slot->database;
	launcher = si_shared->launcher_pid;
	si_slots_free_partitions(si_worker_my_slot);
	si_slots_unlock();
	if (not_permitted)
		si_slots_request_scan(database);
	si_slots_wake(launcher);
	ereport(LOG,
			(errmsg("worker %d of subscription \"%s\" has stopped", my_worker->number,
					NameStr(my_worker->stub->name))));
}

/*
 * Close the consumer before shared memory goes: its helper thread writes
 * there.  Bounded, so that a broker that is gone cannot hold up a shutdown.
 */
static void
close_consumer(int code, Datum arg)
{
	SiConsumer *consumer = my_worker->consumer;

	if (consumer == NULL)
		return;
	my_worker->consumer = NULL;
	if (!si_consumer_close(consumer, CLOSE_MS))
		ereport(LOG,
				(errmsg("the Kafka consumer of subscription \"%s\" did not stop in time",
						NameStr(my_worker->subscription->name))));
}

/* ---- retrying ---- */

/* Wait before trying again, a little longer each time. */
void
si_worker_back_off(SiWorker *worker, int max_ms)
{
	TimestampTz until;
	SiWorkerWait wait = worker->wait;

	worker->retry_ms = (worker->retry_ms == 0) ? SI_RETRY_MIN_MS
		: Min(worker->retry_ms * 2, max_ms);
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), worker->retry_ms);
	si_worker_set_retry_at(until);
	worker->wait = SI_WAIT_RETRY;
	for (;;)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		if (left <= 0)
			break;
		si_worker_wait_for_something(worker, left);
	}
	worker->wait = wait;
	si_worker_set_retry_at(0);
}

/* ---- PREPARE ---- */

/* The scanner will find out why we cannot work, and say so. */
static void
leave_for_scan(void)
{
	si_slots_request_scan(MyDatabaseId);
	si_worker_leave(false);
}

static void
open_consumer(SiWorker *worker)
{
	SiSubscription *s = worker->subscription;
	SiServerProperties *server = si_server_properties(s->server, s->owner);
	int			n = server->nproperties + worker->options->nproperties;
	SiProperty *properties = palloc(sizeof(SiProperty) * Max(n, 1));
	char	   *client_id = psprintf("stream_ingest/%s/%s", get_database_name(MyDatabaseId),
									 NameStr(s->name));
	char	   *group;

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
	worker->consumer = si_consumer_open(properties, n, s->topic, group, client_id,
										worker->plan->mapping->wants_headers);
	worker->events = create_wait_event_set_compat(worker->context, 3);
	AddWaitEventToSet(worker->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker->events, WL_SOCKET_READABLE, si_consumer_fd(worker->consumer),
					  NULL, NULL);
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
		si_worker_leave(true);
	si_progress_check_table();
	worker->subscription = s;
	worker->key.subscription = s->id;
	worker->key.topic = s->topic;
	worker->key.epoch = s->epoch;

	/*
	 * before anything can fail: a change of what failed starts another at
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
		value = si_writer_is_remote(worker->subscription->target) ? "on" : "off";
	SetConfigOption("synchronous_commit", value, PGC_USERSET, PGC_S_OVERRIDE);
}

static void
prepare(SiWorker *worker)
{
	MemoryContext caller = si_transaction_begin();
	MemoryContext old;

	read_subscription(worker);
	set_synchronous_commit(worker);
	old = MemoryContextSwitchTo(worker->plan_context);
	worker->plan = si_plan_create(worker->subscription, worker->options);
	MemoryContextSwitchTo(old);
	si_plan_check(worker->plan);
	open_consumer(worker);
	si_transaction_commit(caller);

	worker->entries = MemoryContextAllocHuge(worker->context,
											 sizeof(SiEntry) * worker->options->batch_size);
	worker->chunk = MemoryContextAlloc(worker->context, sizeof(SiFetched) * SI_FETCH_CHUNK);
	worker->limit = worker->options->batch_size;
	worker->phase = SI_PHASE_CONTACT;
	worker->retry_ms = 0;
}

/* ---- STREAM: publishing progress ---- */

/*
 * Tell Kafka how far we are, under the group, for its own tools to see.  That
 * it does not want to know is said once, and nothing else suffers.
 */
void
si_worker_publish_offsets(SiWorker *worker)
{
	int			n = worker->npartitions;
	int32	   *partitions;
	int64	   *offsets;
	char	   *failure = si_publisher_failure(&worker->publisher);

	if (failure != NULL)
	{
		si_worker_set_error(ERRCODE_CONNECTION_FAILURE, failure);
		ereport(LOG,
				(errmsg("subscription \"%s\": %s", NameStr(worker->subscription->name), failure)));
	}
	if (worker->troubled)
		return;
	if (si_publisher_due(&worker->publisher))
	{
		partitions = palloc(sizeof(int32) * n);
		offsets = palloc(sizeof(int64) * n);
		n = 0;
		for (int i = 0; i < worker->npartitions; i++)
		{
			if (worker->partitions[i].missing)
				continue;
			partitions[n] = worker->partitions[i].progress.partition;
			offsets[n++] = worker->partitions[i].progress.next_offset;
		}
		si_publisher_hand_in(&worker->publisher, partitions, offsets, n);
	}
	si_publisher_send(&worker->publisher);
}

/* ---- STREAM: looking around ---- */

/*
 * Take what the brokers said of the topic.  Partitions that were added, and a
 * topic that was away, want a new contact: by a new process.
 */
static void
take_topic_info(SiWorker *worker)
{
	SiTopicInfo info;

	if (!si_consumer_topic_answer(worker->consumer, &info))
		return;
	worker->topic_asked = false;
	worker->next_topic_check =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									info.valid ? SI_TOPIC_CHECK_MS : TROUBLE_CHECK_MS);
	if (!info.valid)
	{
		/* one that holds back its answers because of a quota is not away */
		if (info.trouble.kind != SI_TROUBLE_SILENCE || !si_consumer_throttled(worker->consumer))
			si_worker_report_trouble(worker, &info.trouble);
		return;
	}
	if (info.partitions != worker->topic_partitions)
		si_worker_leave(true);
	if (worker->troubled)
	{
		/* whether it is still the log that we know is asked at contact */
		si_worker_leave(true);
	}
}

static void
look_around(SiWorker *worker)
{
	SiTrouble	trouble;
	TimestampTz now = GetCurrentTimestamp();

	if (si_consumer_trouble(worker->consumer, &trouble) && !worker->troubled)
	{
		/* is it one broker, or all? */
		worker->next_topic_check = now;
		if (trouble.kind == SI_TROUBLE_FATAL)
		{
			si_worker_report_trouble(worker, &trouble);
			si_worker_leave(false);
		}
		si_worker_set_error(ERRCODE_CONNECTION_FAILURE, trouble.words);
	}
	take_topic_info(worker);
	if (!worker->topic_asked && now >= worker->next_topic_check)
	{
		si_consumer_ask_topic(worker->consumer);
		worker->topic_asked = true;
	}
}

/* How long there is nothing to do unless something happens. */
static long
idle_ms(SiWorker *worker, long batch_ms)
{
	long		ms = worker->topic_asked ? SI_TOPIC_CHECK_MS
		: TimestampDifferenceMilliseconds(GetCurrentTimestamp(), worker->next_topic_check);

	if (worker->rate > 0)
		ms = Min(ms, 1000);
	if (batch_ms >= 0)
		ms = Min(ms, batch_ms);
	if (!worker->troubled)
		ms = Min(ms, si_publisher_wait_ms(&worker->publisher));
	if (worker->next_orphans != 0)
		ms = Min(ms, TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													 worker->next_orphans));
	return ms;
}

/* ---- STREAM: the end of a run ---- */

/*
 * A partition cannot go on from where it is.  What is in hand is given up: it
 * is all still at the broker, and a new process begins at the stored offset.
 */
static void
abandon(SiWorker *worker)
{
	si_worker_set_error(ERRCODE_DATA_CORRUPTED, worker->broken);
	si_worker_set_state(worker, SI_STATE_RETRYING, worker->broken);
	si_worker_leave(false);
}

static void
stream(SiWorker *worker)
{
	bool		drained;
	long		batch_ms,
				run_ms;

	look_around(worker);
	si_worker_retry_orphans(worker);
	si_worker_publish_offsets(worker);
	drained = si_worker_fetch(worker);
	si_worker_leave_partitions(worker);
	if (worker->broken != NULL && worker->first == worker->nentries)
		abandon(worker);
	if (si_worker_batch_due(worker, drained, &batch_ms))
	{
		si_worker_apply(worker);
		return;
	}
	if (!drained && batch_ms < 0)
		return;
	si_worker_tend_run(worker, &run_ms);
	if (!worker->troubled && !worker->arrived && si_worker_all_at_end(worker) && worker->npartitions > 0)
		si_worker_set_state(worker, SI_STATE_STREAMING, NULL);
	si_worker_update_rate(worker, 0);
	pgstat_report_activity(STATE_IDLE, NULL);
	si_worker_wait_for_something(worker, idle_ms(worker, run_ms >= 0 ? run_ms : batch_ms));
}

/* ---- waiting ---- */

/*
 * Is it the last word about a run that is being published?  Another worker may
 * have ended the run meanwhile, which must not cut it off.
 */
static bool
is_publishing_last(SiWorker *worker)
{
	return worker->arrived && si_publisher_is_busy(&worker->publisher) &&
		!TimestampDifferenceExceeds(worker->arrived_at, GetCurrentTimestamp(),
									SI_LAST_PUBLICATION_MS);
}

static void
take_requests(SiWorker *worker)
{
	SiWorkerSlot *slot;
	bool		stop,
				refresh;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(si_worker_my_slot);
	stop = slot->stop;
	refresh = slot->refresh_watermarks;
	slot->refresh_watermarks = false;
	si_slots_unlock();

	if (server_changed || (stop && !is_publishing_last(worker)))
		si_worker_leave(true);
	if (refresh && worker->phase == SI_PHASE_STREAM)
		si_worker_watch_watermarks(worker);
}

void
si_worker_check_interrupts(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

/*
 * Report what was held back of the statistics of tables: the server does that
 * with the next transaction, and there may be none for days.  How long until
 * it is time, or -1.
 */
static long
report_statistics(SiWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		force = (worker->report_due != 0 && now >= worker->report_due);

	if (pgstat_report_stat(force) == 0)
	{
		worker->report_due = 0;
		return -1;
	}
	if (worker->report_due == 0 || force)
		worker->report_due = TimestampTzPlusMilliseconds(now, REPORT_MS);
	return TimestampDifferenceMilliseconds(now, worker->report_due);
}

/*
 * Wait for the latch, the consumer or the time.  Everything that may come from
 * outside is looked at here.
 */
void
si_worker_wait_for_something(SiWorker *worker, long timeout_ms)
{
	WaitEvent	occurred[3];
	long		report_ms;
	int			n;

	Assert(!IsTransactionState());
	si_worker_announce_state(worker);
	report_ms = report_statistics(worker);
	if (report_ms >= 0 && (timeout_ms < 0 || report_ms < timeout_ms))
		timeout_ms = report_ms;
	n = WaitEventSetWait(worker->events, timeout_ms, occurred, lengthof(occurred),
						 wait_events[worker->wait]);
	if (n > 0)
		ResetLatch(MyLatch);
	si_consumer_drain_fd(worker->consumer);

	si_worker_check_interrupts();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	AcceptInvalidationMessages();
	take_requests(worker);
}

/* ---- errors ---- */

static void
run_phase(SiWorker *worker)
{
	switch (worker->phase)
	{
		case SI_PHASE_PREPARE:
			prepare(worker);
			break;
		case SI_PHASE_CONTACT:
			si_worker_contact(worker);
			break;
		case SI_PHASE_STREAM:
			stream(worker);
			break;
	}
}

/* Run phases without end; an error in one ends this. */
static void
run(SiWorker *worker)
{
	for (;;)
	{
		MemoryContextReset(worker->scratch);
		MemoryContextSwitchTo(worker->scratch);
		run_phase(worker);
		Assert(CurrentMemoryContext == worker->scratch);
		si_worker_check_interrupts();

		/* who has much to do does not wait */
		take_requests(worker);
	}
}

/*
 * A lock that is needed to start could not be had.  That is no failure: another
 * process tries again soon, whatever the back-off would be.
 */
static void
leave_for_lock(SiWorker *worker)
{
	const char *reason = si_reason_fixed(SI_REASON_LOCK_TIMEOUT);

	si_worker_set_error(ERRCODE_LOCK_NOT_AVAILABLE, reason);
	si_worker_set_state(worker, SI_STATE_RETRYING, reason);
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->start_after =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCK_RETRY_MS);
	si_slots_unlock();
	si_worker_leave(true);
}

/*
 * An error that was not a batch's: nobody knows what it has interrupted, and
 * what had been taken from the consumer may be in no batch any more.  So the
 * process ends, and its successor begins at the stored offsets.  Called while
 * the error is being handled.
 */
static void
leave_after_error(SiWorker *worker)
{
	SiFailure  *failure;
	char	   *words;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(worker->scratch);
	EmitErrorReport();
	failure = si_failure_from_error(CopyErrorData());
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(worker->scratch);
	RESUME_INTERRUPTS();

	/* no payload takes part in anything but batches */
	failure->safe = true;
	if (failure->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && worker->phase != SI_PHASE_STREAM)
		leave_for_lock(worker);
	words = si_failure_words(failure);
	si_worker_set_error(failure->sqlerrcode, words);
	if (!si_worker_show_own_failure(worker, failure))
	{
		if (worker->phase != SI_PHASE_STREAM)
			si_worker_show_failure(worker, failure, words);
		else
			si_worker_set_state(worker, SI_STATE_RETRYING, si_reason(SI_REASON_PASSING, words));
	}
	si_worker_announce_state(worker);
	si_worker_leave(false);
}

/* ---- the process ---- */

static void
server_options_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	server_changed = true;
}

/* Make the slot ours, or go: it may have been given to somebody else. */
static void
attach_slot(int index, SiWorker *worker, Oid *database, Oid *owner)
{
	SiWorkerArgs args;
	SiWorkerSlot *slot;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(index);
	if (!slot->in_use || slot->generation != args.generation || slot->pid != 0)
	{
		si_slots_unlock();
		proc_exit(0);
	}
	slot->pid = MyProcPid;
	slot->launching = false;
	slot->left = false;
	worker->stub->id = slot->subscription;
	worker->stub->name = slot->name;
	worker->number = slot->number;
	worker->team = slot->team;
	*database = slot->database;
	*owner = slot->owner;
	si_slots_unlock();

	si_worker_my_slot = index;
	my_worker = worker;
	before_shmem_exit(detach_slot, (Datum) 0);
}

/*
 * The allocator gives memory back to the system after each batch, and takes it
 * again for the next one; measured, that costs a tenth of the throughput and
 * more.
 */
static void
keep_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
	(void) mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
	(void) mallopt(M_TOP_PAD, 4 * 1024 * 1024);
#endif
}

/*
 * An error while connecting leaves its reason in the slot.  What the scanner
 * would have refused has changed since it looked: it shall look again.
 */
static emit_log_hook_type prev_emit_log_hook = NULL;

static void
note_fatal(ErrorData *edata)
{
	if (edata->elevel >= ERROR && edata->sqlerrcode != ERRCODE_ADMIN_SHUTDOWN &&
		!LWLockHeldByMe(si_shared->lock))
	{
		bool		lock = edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		const char *reason = lock ? si_reason_fixed(SI_REASON_LOCK_TIMEOUT)
			: si_reason(SI_REASON_PASSING, edata->message);

		si_worker_set_error(edata->sqlerrcode, lock ? reason : edata->message);
		si_slots_lock(LW_EXCLUSIVE);
		si_reason_put(si_slots_worker(si_worker_my_slot)->reason, reason);
		si_slots_unlock();
		not_permitted = edata->sqlerrcode == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION ||
			edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

static void
connect_database(Oid database, Oid owner)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = note_fatal;
	BackgroundWorkerInitializeConnectionByOid(database, owner, worker_connect_flags_compat());
	emit_log_hook = prev_emit_log_hook;
}

void
si_worker_main(Datum arg)
{
	SiWorker   *worker;
	SiSubscription *stub;
	Oid			database,
				owner;
	char		name[NAMEDATALEN];

	worker = MemoryContextAllocZero(TopMemoryContext, sizeof(SiWorker));
	stub = MemoryContextAllocZero(TopMemoryContext, sizeof(SiSubscription));
	worker->stub = worker->subscription = stub;
	attach_slot(DatumGetInt32(arg), worker, &database, &owner);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/*
	 * Before connecting, so that at exit the transaction ends first: closing
	 * may take its time, and must not do so while locks are held.
	 */
	before_shmem_exit(close_consumer, (Datum) 0);
	si_session_limit_lock_waits(START_LOCK_TIMEOUT_MS);
	connect_database(database, owner);

	/* sessions of all databases see it */
	si_words_copy_ascii(name, sizeof(name), NameStr(stub->name));
	pgstat_report_appname(psprintf("stream_ingest %s", name));
	si_session_init_worker();
	si_session_limit_lock_waits(START_LOCK_TIMEOUT_MS);
	keep_memory();
	for (int i = 0; i < SI_NWAITS; i++)
		wait_events[i] = new_wait_event_compat(wait_names[i]);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_options_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, server_options_changed, (Datum) 0);

	worker->context = AllocSetContextCreate(TopMemoryContext, "stream_ingest worker",
											ALLOCSET_DEFAULT_SIZES);
	worker->plan_context = AllocSetContextCreate(worker->context, "stream_ingest worker plan",
												 ALLOCSET_DEFAULT_SIZES);
	worker->refusal_context = AllocSetContextCreate(worker->context, "stream_ingest worker refusal",
													ALLOCSET_SMALL_SIZES);
	worker->scratch = AllocSetContextCreate(worker->context, "stream_ingest worker scratch",
											ALLOCSET_DEFAULT_SIZES);
	worker->rate_since = worker->tokens_at = GetCurrentTimestamp();
	ereport(LOG,
			(errmsg("worker %d of subscription \"%s\" has started", worker->number,
					NameStr(stub->name))));

	/* the worker's end has to show the error in the slot */
	PG_TRY();
	{
		run(worker);
	}
	PG_CATCH();
	{
		leave_after_error(worker);
	}
	PG_END_TRY();
}
