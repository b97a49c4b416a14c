/*-------------------------------------------------------------------------
 *
 * launcher_workers.c
 *	  The launcher's part that starts, restarts and stops workers.
 *
 * A place is a worker's slot in shared memory.  A worker that is wanted first gets
 * a place, then a process.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/clock.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/words.h"
#include "process/launcher_internal.h"
#include "process/places.h"
#include "process/turn.h"
#include "process/worker.h"
#include "shmem/crash_count.h"

#define STOP_GRACE_MS		1000	/* from the flag to SIGTERM */
#define FORMER_TEAM_MS		3000	/* most that a worker waits for those that
									 * shared the partitions otherwise */

/* By place: the process that we registered. */
static BackgroundWorkerHandle **worker_handles;

void
si_launcher_init_workers(void)
{
	worker_handles = MemoryContextAllocZero(TopMemoryContext,
											sizeof(BackgroundWorkerHandle *) * si_guc_max_workers);
}

/* ---- workers that end ---- */

static bool
database_is_suspended(Oid database)
{
	SiDatabaseSlot *slot = si_slots_find_database(database, false);

	return slot != NULL && slot->suspensions > 0;
}

/* Is this worker one that its subscription wants, as it is now? */
static bool
is_wanted(const SiWorkerSlot *worker)
{
	SiSubscriptionSlot *subscription;

	if (!si_guc_enabled || database_is_suspended(worker->database))
		return false;
	subscription = si_slots_find_subscription(worker->database, worker->subscription);
	return subscription != NULL && worker->number < subscription->granted &&
		subscription->owner == worker->owner;
}

/* Does, or did, a worker work by older settings than the subscription has? */
static bool
has_older_epoch(const SiWorkerSlot *worker)
{
	SiSubscriptionSlot *subscription =
		si_slots_find_subscription(worker->database, worker->subscription);

	return subscription != NULL && worker->epoch != 0 && worker->epoch < subscription->epoch;
}

/*
 * A worker that works by older settings, or shares the partitions with more or
 * fewer than there are now.
 */
static bool
is_outdated(const SiWorkerSlot *worker)
{
	SiSubscriptionSlot *subscription =
		si_slots_find_subscription(worker->database, worker->subscription);

	return has_older_epoch(worker) ||
		(subscription != NULL && worker->team != subscription->granted);
}

void
si_launcher_stop_worker(SiWorkerSlot *worker)
{
	TimestampTz now = si_clock_now();

	if (!worker->stop)
	{
		worker->stop = true;
		worker->stop_since = now;
		si_slots_wake(worker->pid);
	}
	else if (TimestampDifferenceExceeds(worker->stop_since, now, STOP_GRACE_MS))
		(void) kill(worker->pid, SIGTERM);
	si_turn_within(STOP_GRACE_MS);
}

/* Has a worker that we registered ended before it could attach itself? */
static void
check_launching(SiWorkerSlot *worker, int index)
{
	pid_t		pid;

	if (!worker->launching)
		return;
	if (worker_handles[index] != NULL &&
		GetBackgroundWorkerPid(worker_handles[index], &pid) != BGWH_STOPPED)
		return;
	worker->launching = false;
}

/*
 * A worker's process is gone: when may the next one start?  At once if the worker
 * was told to end, or if it ran for a while; else after a growing delay.
 */
static void
note_end(SiWorkerSlot *worker)
{
	TimestampTz now = si_clock_now();
	int64		delay;

	if (worker->left || worker->stop ||
		TimestampDifferenceExceeds(worker->started_at, now, SI_HEALTHY_MS))
		worker->failures = 0;
	if (worker->left || worker->stop)
	{
		worker->start_after = Max(worker->start_after, now);
		worker->started_at = 0;
		worker->stop = false;
		return;
	}
	delay = Min((int64) SI_BACK_OFF_MIN_MS << Min(worker->failures, 16), SI_BACK_OFF_MAX_MS);
	worker->failures++;
	worker->start_after = TimestampTzPlusMilliseconds(now, delay);
	worker->retry_at = worker->start_after;
	worker->started_at = 0;

	/* an error that its reason describes leaves it stopped until the next try */
	if (worker->state != SI_STATE_STOPPED || worker->reason[0] == '\0')
		worker->state = SI_STATE_RETRYING;
	if (worker->reason[0] == '\0')
		si_reason_put(worker->reason, si_reason_fixed(SI_REASON_ENDED));
}

/*
 * Stop a worker that is not wanted or works by older settings, or free the place
 * of one that has ended.  Lock held.
 */
static void
check_worker(int index)
{
	SiWorkerSlot *worker = si_slots_worker(index);

	if (!worker->in_use)
		return;
	check_launching(worker, index);
	if (worker->launching)
		return;
	if (worker->pid == 0)
	{
		if (worker->started_at != 0)
			note_end(worker);
		if (!is_wanted(worker))
			worker->in_use = false;
		return;
	}
	if (worker->stop || !is_wanted(worker) || is_outdated(worker))
		si_launcher_stop_worker(worker);
}

void
si_launcher_stop_workers(void)
{
	si_slots_lock(LW_EXCLUSIVE);
	for (int i = 0; i < si_guc_max_workers; i++)
		check_worker(i);
	si_slots_unlock();
}

/* ---- workers that begin ---- */

/* The lowest number of a worker that a subscription lacks, or -1. */
static int
lacking_worker(const SiSubscriptionSlot *subscription)
{
	for (int number = 0; number < subscription->granted; number++)
	{
		if (si_slots_find_worker(subscription->database, subscription->id, number) == NULL)
			return number;
	}
	return -1;
}

/* A subscription that has fewer places than it was granted, or NULL. */
static SiSubscriptionSlot *
next_subscription(int *number)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *subscription = si_slots_subscription(i);

		if (!subscription->in_use)
			continue;
		*number = lacking_worker(subscription);
		if (*number >= 0)
			return subscription;
	}
	return NULL;
}

/* A place that no worker holds, or NULL. */
static SiWorkerSlot *
free_worker_slot(void)
{
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (!worker->in_use && worker->pid == 0 && !worker->launching)
			return worker;
	}
	return NULL;
}

/* Say in status what the workers wait for that were not granted a place. */
static void
note_no_places(void)
{
	static char *reason = NULL;

	if (reason == NULL)
		reason = si_reason(SI_REASON_NO_WORKER, si_guc_max_workers);
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *subscription = si_slots_subscription(i);

		if (!subscription->in_use || subscription->workers == 0)
			continue;
		if (subscription->granted < subscription->workers)
			si_reason_put(subscription->reason, reason);
		else
			subscription->reason[0] = '\0';
	}
}

void
si_launcher_allot_places(void)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_places_allot();
	note_no_places();
	si_slots_unlock();
}

/*
 * The worker has crashed the server: it starts after a delay that grows, so that
 * there is time to look and to log in.  Lock held.
 */
static void
delay_after_crash(SiWorkerSlot *worker, int64 epoch)
{
	int			crashes = si_crash_count(worker->database, worker->subscription, epoch);

	if (crashes == 0)
		return;
	worker->state = SI_STATE_RETRYING;
	si_reason_put(worker->reason, si_reason_fixed(SI_REASON_ENDED));
	worker->start_after = TimestampTzPlusMilliseconds(si_clock_now(),
													  SI_BACK_OFF_MIN_MS << Min(crashes - 1, SI_CRASH_LIMIT));
	worker->retry_at = worker->start_after;
}

/* Some places may still be held by workers that have to end first. */
void
si_launcher_assign_places(void)
{
	SiSubscriptionSlot *subscription;
	SiWorkerSlot *worker;
	int			number;

	si_slots_lock(LW_EXCLUSIVE);
	while (si_guc_enabled && (worker = free_worker_slot()) != NULL &&
		   (subscription = next_subscription(&number)) != NULL)
	{
		uint32		generation = worker->generation;

		memset(worker, 0, sizeof(SiWorkerSlot));
		worker->in_use = true;
		worker->generation = generation + 1;
		worker->database = subscription->database;
		worker->subscription = subscription->id;
		worker->number = number;
		worker->owner = subscription->owner;
		worker->name = subscription->name;
		worker->state = SI_STATE_STARTING;
		worker->since = GetCurrentTimestamp();
		delay_after_crash(worker, subscription->epoch);
	}
	si_slots_unlock();
}

/* Describe a worker's process to the postmaster.  Lock held. */
static void
fill_registration(BackgroundWorker *registration, int index, const SiWorkerSlot *worker)
{
	SiWorkerArgs args = {worker->generation};
	char		name[BGW_MAXLEN];

	memset(registration, 0, sizeof(BackgroundWorker));
	registration->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION |
		worker_flags_compat();
	registration->bgw_start_time = BgWorkerStart_RecoveryFinished;
	registration->bgw_restart_time = BGW_NEVER_RESTART;
	registration->bgw_notify_pid = MyProcPid;
	registration->bgw_main_arg = Int32GetDatum(index);
	memcpy(registration->bgw_extra, &args, sizeof(args));
	strlcpy(registration->bgw_library_name, "stream_ingest", BGW_MAXLEN);
	strlcpy(registration->bgw_function_name, "si_worker_main", BGW_MAXLEN);
	strlcpy(registration->bgw_type, SI_WORKER_TYPE, BGW_MAXLEN);
	/* other databases' encodings see it: in the log, in the process's title */
	si_words_copy_ascii(name, sizeof(name), NameStr(worker->name));
	snprintf(registration->bgw_name, BGW_MAXLEN, "stream_ingest worker %d of %s",
			 worker->number, name);
}

/* The process of a place waits for one of the server's to end.  Lock held. */
static void
note_no_process(SiWorkerSlot *worker)
{
	worker->launching = false;
	worker->started_at = 0;
	worker->retry_at = 0;
	if (worker->state != SI_STATE_STARTING)
		worker->since = GetCurrentTimestamp();
	worker->state = SI_STATE_STARTING;
	si_reason_put(worker->reason, si_reason_fixed(SI_REASON_NO_PROCESS));
}

/*
 * Does a worker of the subscription still run for a team of another size?  Two
 * workers that read the same partition do no harm, but only one of them advances.
 * A worker that has older settings, and so can apply nothing, or that does not
 * end in time is not waited for.
 */
static bool
former_team_runs(const SiWorkerSlot *worker, int team)
{
	TimestampTz now = si_clock_now();

	for (int i = 0; i < si_guc_max_workers; i++)
	{
		const SiWorkerSlot *other = si_slots_worker(i);

		if ((other->pid == 0 && !other->launching) || other->team == team ||
			other->subscription != worker->subscription ||
			other->database != worker->database || has_older_epoch(other))
			continue;
		if (!other->stop ||
			!TimestampDifferenceExceeds(other->stop_since, now, FORMER_TEAM_MS))
			return true;
	}
	return false;
}

/* Fill in the place of a process that is about to start.  Lock held. */
static void
begin_starting(SiWorkerSlot *worker, const SiSubscriptionSlot *subscription)
{
	worker->team = subscription->granted;
	worker->epoch_at_start = subscription->epoch;
	worker->launching = true;
	worker->left = false;
	worker->stop = false;
	worker->epoch = 0;
	worker->started_at = si_clock_now();
	if (worker->failures > 0)
		return;
	if (worker->state != SI_STATE_STARTING)
		worker->since = GetCurrentTimestamp();
	worker->state = SI_STATE_STARTING;
}

/*
 * May the process of a place start now, for a team of this size?  If not, the next
 * turn comes when it may.  Lock held.
 */
static bool
may_start(SiWorkerSlot *worker, int team)
{
	if (former_team_runs(worker, team))
	{
		/* the last of them wakes us, or time passes */
		si_turn_within(FORMER_TEAM_MS);
		return false;
	}

	/* what failed was an older state of the subscription */
	if (has_older_epoch(worker))
	{
		worker->failures = 0;
		worker->start_after = 0;
	}
	if (worker->start_after > si_clock_now())
	{
		si_turn_no_later(worker->start_after);
		return false;
	}
	return true;
}

/*
 * Start the process of a place that has none, if the server has room.  False
 * if the server has no background worker left.
 */
static bool
launch(int index, bool room)
{
	SiWorkerSlot *worker;
	BackgroundWorker registration;
	const SiSubscriptionSlot *subscription;
	bool		registered;

	si_slots_lock(LW_EXCLUSIVE);
	worker = si_slots_worker(index);
	if (!worker->in_use || worker->pid != 0 || worker->launching || !is_wanted(worker))
	{
		si_slots_unlock();
		return true;
	}
	subscription = si_slots_find_subscription(worker->database, worker->subscription);
	if (!may_start(worker, subscription->granted))
	{
		si_slots_unlock();
		return true;
	}
	if (!room)
	{
		note_no_process(worker);
		si_slots_unlock();
		return false;
	}
	begin_starting(worker, subscription);
	fill_registration(&registration, index, worker);
	si_slots_unlock();

	if (worker_handles[index] != NULL)
		pfree(worker_handles[index]);
	worker_handles[index] = NULL;
	registered = RegisterDynamicBackgroundWorker(&registration, &worker_handles[index]);

	si_slots_lock(LW_EXCLUSIVE);
	worker = si_slots_worker(index);
	if (!registered)
		note_no_process(worker);
	else if (worker->state == SI_STATE_STARTING)
		worker->reason[0] = '\0';
	si_slots_unlock();
	return registered;
}

void
si_launcher_start_workers(void)
{
	static bool warned = false;
	bool		room = true;

	for (int i = 0; i < si_guc_max_workers; i++)
	{
		if (!launch(i, room))
			room = false;
	}
	if (room)
	{
		warned = false;
		return;
	}
	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker slot is free for a stream_ingest worker"),
				 errhint("You might need to increase max_worker_processes.")));
	warned = true;
	si_turn_within(SI_NO_SLOT_RETRY_MS);
}
