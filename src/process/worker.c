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
 * With the option stop_at there is an end: a worker that has reached it in all its
 * partitions waits for the others, and the last one ends the run.
 *
 * As in core's apply worker, an error ends the process: it is shown in status,
 * and the launcher starts another.  The one exception is what a batch throws,
 * whose transaction takes back all that it did; see worker_apply.c.  A change
 * of what the worker is based on (the subscription, the server's options, the
 * partitions, an offset that is gone) ends the process, too: there is no
 * half-changed state.
 * What must survive: SIGTERM anywhere (die), SIGSTOP anywhere (the fence in
 * progress), brokers gone for any time.
 *
 * No transaction is open while waiting, and the only waits are on the latch
 * and the consumer's descriptor.
 *
 * This file has the process and its loop, which calls the phases: worker_prepare.c,
 * worker_contact.c, and worker_stream.c with worker_fetch.c, worker_apply.c,
 * worker_limits.c and worker_run.c.  Two of them use worker_schemas.c, and all of
 * them worker_wait.c, worker_partitions.c, worker_rate.c, worker_status.c and
 * worker_token.c.
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
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply/apply.h"
#include "catalog/session.h"
#include "common/clock.h"
#include "common/compat.h"
#include "common/words.h"
#include "kafka/registry.h"
#include "process/worker.h"
#include "process/worker_internal.h"

/*
 * Until a worker streams it waits no longer for a lock, and tries again: what
 * it waits for may have changed.  A batch waits for as long as it takes.
 */
#define START_LOCK_TIMEOUT_MS	5000
#define LOCK_RETRY_MS		1000
#define CLOSE_MS			5000	/* most that the end of a worker may take */
#define CLOSE_REGISTRY_MS	2000	/* the same for a schema registry that
									 * hangs */

/* The worker of this process; reached by exit callbacks only. */
static SiWorker *my_worker = NULL;

/* The owner could not connect. */
static bool not_permitted = false;

/* Our slot, for a signal handler, which cannot take the lock. */
static SiWorkerSlot *volatile my_slot = NULL;

/* ---- the slot ---- */

/*
 * Give the slot back, as the last of the exit callbacks: the transaction has ended
 * by then, its locks are released, and the server no longer counts this process
 * among those in the database.  Else DROP DATABASE (FORCE), which waits for our slots
 * only, would meet a process that the database's owner may not end.
 */
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

/* The same of the client of the schema registry, which may wait for an answer. */
static void
close_registry(int code, Datum arg)
{
	SiRegistry *registry = my_worker->schemas.registry;

	my_worker->schemas.registry = NULL;
	if (registry != NULL && !si_registry_close(registry, CLOSE_REGISTRY_MS))
		ereport(LOG,
				(errmsg("the client of the schema registry of subscription \"%s\" did not stop in time",
						NameStr(my_worker->subscription->name))));
}

/* ---- the loop ---- */

static void
run_phase(SiWorker *worker)
{
	switch (worker->phase)
	{
		case SI_PHASE_PREPARE:
			si_worker_prepare(worker);
			break;
		case SI_PHASE_CONTACT:
			si_worker_contact(worker);
			break;
		case SI_PHASE_STREAM:
			si_worker_stream(worker);
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

		/* a worker that has much to do does not wait */
		si_worker_take_requests(worker);
		si_worker_serve_token(worker);
	}
}

/* ---- errors ---- */

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
		TimestampTzPlusMilliseconds(si_clock_now(), LOCK_RETRY_MS);
	si_slots_unlock();
	si_worker_leave(SI_SUCCESSOR_AT_ONCE);
}

/*
 * An error that was not a batch's: what it has interrupted is not known, and
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
			si_worker_set_state(worker, SI_STATE_RETRYING, si_reason(SI_REASON_TEMPORARY, words));
	}
	si_worker_announce_state(worker);
	si_worker_leave(SI_SUCCESSOR_DELAYED);
}

/* ---- the process ---- */

/*
 * SIGQUIT: another process has crashed.  The slot says so, or the postmaster would
 * count this as a crash of ours (shmem/crash_count.h).
 */
static void
quit(SIGNAL_ARGS)
{
	if (my_slot != NULL)
		my_slot->told_to_quit = true;
	SignalHandlerForCrashExit(postgres_signal_arg);
}

/* Make the slot ours, or exit: it may have been given to another worker. */
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
	slot->told_to_quit = false;
	my_slot = slot;
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
	on_shmem_exit(detach_slot, (Datum) 0);
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

static emit_log_hook_type prev_emit_log_hook = NULL;

/*
 * Show an error while connecting in the slot.  If the owner may not connect, that
 * has changed since the scanner looked, so it is asked to look again.
 */
static void
note_fatal(ErrorData *edata)
{
	if (edata->elevel >= ERROR && edata->sqlerrcode != ERRCODE_ADMIN_SHUTDOWN &&
		!LWLockHeldByMe(si_shared->lock))
	{
		bool		lock = edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		const char *reason = lock ? si_reason_fixed(SI_REASON_LOCK_TIMEOUT)
			: si_reason(SI_REASON_TEMPORARY, edata->message);

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

/* Connect as the owner of the subscription. */
static void
connect_database(Oid database, Oid owner)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = note_fatal;
	BackgroundWorkerInitializeConnectionByOid(database, owner, worker_connect_flags_compat());
	emit_log_hook = prev_emit_log_hook;
}

/* Create the worker's memory contexts, which live as long as the process. */
static void
create_contexts(SiWorker *worker)
{
	worker->context = AllocSetContextCreate(TopMemoryContext, "stream_ingest worker",
											ALLOCSET_DEFAULT_SIZES);
	worker->plan_context = AllocSetContextCreate(worker->context, "stream_ingest worker plan",
												 ALLOCSET_DEFAULT_SIZES);
	worker->intake.refusal_context = AllocSetContextCreate(worker->context, "stream_ingest worker refusal",
														   ALLOCSET_SMALL_SIZES);
	worker->scratch = AllocSetContextCreate(worker->context, "stream_ingest worker scratch",
											ALLOCSET_DEFAULT_SIZES);
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
	pqsignal(SIGQUIT, quit);
	attach_slot(DatumGetInt32(arg), worker, &database, &owner);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/*
	 * Before connecting, so that at exit the transaction ends first: closing
	 * may take its time, and must not do so while locks are held.
	 */
	before_shmem_exit(close_consumer, (Datum) 0);
	before_shmem_exit(close_registry, (Datum) 0);
	si_session_limit_lock_waits(START_LOCK_TIMEOUT_MS);
	connect_database(database, owner);

	/* sessions of all databases see it */
	si_words_copy_ascii(name, sizeof(name), NameStr(stub->name));
	pgstat_report_appname(psprintf("stream_ingest %s", name));
	si_session_init_worker();
	si_session_limit_lock_waits(START_LOCK_TIMEOUT_MS);
	keep_memory();
	si_worker_init_waits();
	create_contexts(worker);
	worker->rate.since = worker->rate.tokens_at = si_clock_now();
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
