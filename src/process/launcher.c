/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The one process per cluster that starts scanners and workers.
 *
 * It is connected to no database and knows everything from shared memory; the
 * only catalog it reads is pg_database, at its start.  Each turn of its loop
 * compares what subscriptions want with what is running:
 *
 *	a database was asked about	-> a scanner goes there, one at a time
 *	a worker is wanted			-> it gets a place (slot), then a process
 *	a worker is not wanted		-> it is told to stop, its place is freed
 *	a worker has ended			-> it is started again, with a growing delay
 *								   unless it had reason to end
 *
 * Workers are never restarted by the postmaster: after a crash it would do so
 * at once, for ever.  On a standby the launcher does not run.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/session.h"
#include "catalog/settings.h"
#include "catalog/transaction.h"
#include "common/compat.h"
#include "common/guc.h"
#include "common/words.h"
#include "process/launcher.h"
#include "process/places.h"
#include "process/worker.h"
#include "shmem/slots.h"

#define TURN_MS				60000	/* the launcher looks around at least so
									 * often */
#define BACK_OFF_MIN_MS		1000
#define BACK_OFF_MAX_MS		60000
#define HEALTHY_MS			60000	/* who ran that long starts afresh */
#define STOP_GRACE_MS		1000	/* from the polite request to SIGTERM */
#define NO_SLOT_RETRY_MS	1000
#define FORMER_TEAM_MS		3000	/* who shared the partitions otherwise has
									 * so long to end */
#define CATALOG_RETRY_MS	1000
#define LOCK_TIMEOUT_MS		5000	/* of the launcher, while it starts */
#define CRASH_WAIT_MS		2000	/* after a crash of the server */
#define SCANNER_GIVE_UP_MS	5000	/* then a worker makes room for the
									 * scanner */

/* Handles of the processes that we registered; the server's are opaque. */
static BackgroundWorkerHandle **worker_handles;
static BackgroundWorkerHandle *scanner_handle = NULL;

/* Which requests the scanner that was started last should have answered. */
static uint64 scanner_request = 0;

/* When the scanner first found no place to start in; 0: it has no trouble. */
static TimestampTz scanner_waits_since = 0;

static TimestampTz next_turn;

/* ---- waking up ---- */

/* See to it that the next turn comes no later. */
static void
turn_again_at(TimestampTz at)
{
	if (at < next_turn)
		next_turn = at;
}

static void
turn_again_in(int milliseconds)
{
	turn_again_at(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds));
}

/* ---- databases and scanners ---- */

/*
 * Ask for a scan of every database that one can connect to.  If the catalog is
 * locked, that is for the next turn: nobody here waits for a lock.
 */
static void
request_all_scans(void)
{
	MemoryContext caller = si_transaction_begin();
	Relation	catalog;
	TableScanDesc scan;
	HeapTuple	tuple;

	if (!ConditionalLockRelationOid(DatabaseRelationId, AccessShareLock))
	{
		si_transaction_commit(caller);
		si_slots_lock(LW_EXCLUSIVE);
		si_shared->scan_all = true;
		si_slots_unlock();
		turn_again_in(CATALOG_RETRY_MS);
		return;
	}
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		SiDatabaseSlot *slot;

		if (!database->datallowconn)
			continue;
		si_slots_lock(LW_EXCLUSIVE);
		slot = si_slots_find_database(database->oid, true);
		if (slot != NULL)
			slot->requested++;
		si_slots_unlock();
		if (slot == NULL)
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("stream_ingest looks into %d databases at most", SI_MAX_DATABASES)));
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	si_transaction_commit(caller);
}

/*
 * Ask again about databases that have subscriptions without a slot, if one was
 * freed.  Lock held.
 */
static void
request_lacking(void)
{
	for (int i = 0; i < SI_MAX_DATABASES; i++)
	{
		SiDatabaseSlot *slot = &si_shared->databases[i];

		if (OidIsValid(slot->database) && slot->lacking > 0 &&
			slot->freed_seen != si_shared->freed && slot->requested == slot->scanned)
			slot->requested++;
	}
}

/* Ask again about databases where something may have healed. */
static void
request_rechecks(void)
{
	TimestampTz now = GetCurrentTimestamp();

	si_slots_lock(LW_EXCLUSIVE);
	request_lacking();
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *subscription = si_slots_subscription(i);
		SiDatabaseSlot *database;

		if (!subscription->in_use || subscription->recheck_at == 0)
			continue;
		if (subscription->recheck_at > now)
		{
			turn_again_at(subscription->recheck_at);
			continue;
		}
		database = si_slots_find_database(subscription->database, false);
		if (database != NULL && database->requested == database->scanned)
			database->requested++;
	}
	si_slots_unlock();
}

/*
 * The next database to be scanned: of those that are due, the one where fewest
 * scans have failed, so that none waits for others that are locked; of these
 * the next one in turn, so that none waits for one that asks all the time.
 * Entries that tell nothing are freed on the way.  Lock not held.
 */
static Oid
next_database(void)
{
	static int	last = 0;
	int			chosen = -1;
	int			failures = 0;
	Oid			result;

	si_slots_lock(LW_EXCLUSIVE);
	for (int n = 1; n <= SI_MAX_DATABASES; n++)
	{
		int			i = (last + n) % SI_MAX_DATABASES;
		SiDatabaseSlot *slot = &si_shared->databases[i];

		if (!OidIsValid(slot->database) || slot->suspensions > 0)
			continue;
		if (slot->requested > slot->scanned)
		{
			if (slot->scan_after > GetCurrentTimestamp())
				turn_again_at(slot->scan_after);
			else if (chosen < 0 || slot->scan_failures < failures)
			{
				chosen = i;
				failures = slot->scan_failures;
			}
		}
		else if (!slot->has_extension)
			slot->database = InvalidOid;
	}
	result = chosen >= 0 ? si_shared->databases[chosen].database : InvalidOid;
	last = chosen >= 0 ? chosen : last;
	si_slots_unlock();
	return result;
}

/* Politely first: a worker that waits for a lock looks at nothing else. */
static void
stop_worker(SiWorkerSlot *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!worker->stop)
	{
		worker->stop = true;
		worker->stop_since = now;
		si_slots_wake(worker->pid);
	}
	else if (TimestampDifferenceExceeds(worker->stop_since, now, STOP_GRACE_MS))
		(void) kill(worker->pid, SIGTERM);
	turn_again_in(STOP_GRACE_MS);
}

/* The youngest worker makes room for the scanner that has waited too long. */
static void
make_room_for_scanner(void)
{
	SiWorkerSlot *youngest = NULL;

	si_slots_lock(LW_EXCLUSIVE);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *slot = si_slots_worker(i);

		if (slot->in_use && slot->pid != 0 &&
			(youngest == NULL || slot->started_at > youngest->started_at))
			youngest = slot;
	}
	if (youngest != NULL)
	{
		stop_worker(youngest);
		youngest->start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
															BACK_OFF_MIN_MS);
	}
	si_slots_unlock();
	scanner_waits_since = 0;
}

/*
 * A scanner has ended.  One that could not do its work (nobody may connect to
 * the database, say) is not started again at once, and not before the other
 * databases had theirs.
 */
static void
note_scanner_end(void)
{
	SiDatabaseSlot *slot;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(si_shared->scanner_database, false);
	if (slot != NULL && slot->scanned < scanner_request)
	{
		int64		delay = (int64) BACK_OFF_MIN_MS << Min(slot->scan_failures, 16);

		slot->scan_failures++;
		slot->scan_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   Min(delay, BACK_OFF_MAX_MS));
	}
	si_slots_unlock();
}

/* Tell the views whether scanners find a place to start in. */
static void
set_no_worker_slot(bool value)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_shared->no_worker_slot = value;
	si_slots_unlock();
}

/* Is the scanner that was started last still at work? */
static bool
scanner_is_running(void)
{
	pid_t		pid;

	if (scanner_handle == NULL)
		return false;
	if (GetBackgroundWorkerPid(scanner_handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(scanner_handle);
	scanner_handle = NULL;
	note_scanner_end();
	return false;
}

static void
fill_scanner(BackgroundWorker *scanner, Oid database)
{
	memset(scanner, 0, sizeof(BackgroundWorker));
	scanner->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	scanner->bgw_start_time = BgWorkerStart_RecoveryFinished;
	scanner->bgw_restart_time = BGW_NEVER_RESTART;
	scanner->bgw_notify_pid = MyProcPid;
	scanner->bgw_main_arg = ObjectIdGetDatum(database);
	strlcpy(scanner->bgw_library_name, "stream_ingest", BGW_MAXLEN);
	strlcpy(scanner->bgw_function_name, "si_scanner_main", BGW_MAXLEN);
	strlcpy(scanner->bgw_type, "stream_ingest scanner", BGW_MAXLEN);
	snprintf(scanner->bgw_name, BGW_MAXLEN, "stream_ingest scanner for database %u", database);
}

static void
start_scanner(void)
{
	BackgroundWorker scanner;
	SiDatabaseSlot *slot;
	Oid			database;

	if (scanner_is_running())
		return;
	database = next_database();
	if (!OidIsValid(database))
		return;
	fill_scanner(&scanner, database);

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(database, false);
	scanner_request = slot ? slot->requested : 0;
	si_shared->scanner_database = database;
	si_slots_unlock();
	if (RegisterDynamicBackgroundWorker(&scanner, &scanner_handle))
	{
		scanner_waits_since = 0;
		set_no_worker_slot(false);
		return;
	}
	set_no_worker_slot(true);
	if (scanner_waits_since == 0)
		scanner_waits_since = GetCurrentTimestamp();
	else if (TimestampDifferenceExceeds(scanner_waits_since, GetCurrentTimestamp(),
										SCANNER_GIVE_UP_MS))
		make_room_for_scanner();
	turn_again_in(NO_SLOT_RETRY_MS);
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
 * A worker's process is gone: when may the next one start?  Who left because
 * somebody wanted it, or ran well for a while, starts at once.
 */
static void
note_end(SiWorkerSlot *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		delay;

	if (worker->left || worker->stop ||
		TimestampDifferenceExceeds(worker->started_at, now, HEALTHY_MS))
		worker->failures = 0;
	if (worker->left || worker->stop)
	{
		worker->start_after = Max(worker->start_after, now);
		worker->started_at = 0;
		worker->stop = false;
		return;
	}
	delay = Min((int64) BACK_OFF_MIN_MS << Min(worker->failures, 16), BACK_OFF_MAX_MS);
	worker->failures++;
	worker->start_after = TimestampTzPlusMilliseconds(now, delay);
	worker->retry_at = worker->start_after;
	worker->started_at = 0;

	/*
	 * an error that its reason tells of leaves it stopped until it is tried
	 * again
	 */
	if (worker->state != SI_STATE_STOPPED || worker->reason[0] == '\0')
		worker->state = SI_STATE_RETRYING;
	if (worker->reason[0] == '\0')
		si_reason_put(worker->reason, si_reason_fixed(SI_REASON_ENDED));
}

static void
tend_worker(int index)
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
		stop_worker(worker);
}

static void
tend_workers(void)
{
	si_slots_lock(LW_EXCLUSIVE);
	for (int i = 0; i < si_guc_max_workers; i++)
		tend_worker(i);
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

/* For workers that were not granted, status says what they wait for. */
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

/* Decide who may have how many places. */
static void
allot_places(void)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_places_allot();
	note_no_places();
	si_slots_unlock();
}

/*
 * Hand out the places that are free.  Others may be held by workers that have
 * to end first.
 */
static void
assign_slots(void)
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
	}
	si_slots_unlock();
}

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
 * that read the same partition do no harm, but only one of them gets on.  One
 * that works by older settings, and so can apply nothing, or that does not end
 * in time is not waited for.
 */
static bool
former_team_runs(const SiWorkerSlot *worker, int team)
{
	TimestampTz now = GetCurrentTimestamp();

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

/* What its predecessor did is over, unless it failed.  Lock held. */
static void
begin_starting(SiWorkerSlot *worker, int team)
{
	worker->team = team;
	worker->launching = true;
	worker->stop = false;
	worker->epoch = 0;
	worker->started_at = GetCurrentTimestamp();
	if (worker->failures > 0)
		return;
	if (worker->state != SI_STATE_STARTING)
		worker->since = worker->started_at;
	worker->state = SI_STATE_STARTING;
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
	bool		registered;
	int			team;

	si_slots_lock(LW_EXCLUSIVE);
	worker = si_slots_worker(index);
	if (!worker->in_use || worker->pid != 0 || worker->launching || !is_wanted(worker))
	{
		si_slots_unlock();
		return true;
	}
	team = si_slots_find_subscription(worker->database, worker->subscription)->granted;
	if (former_team_runs(worker, team))
	{
		/* the last of them wakes us, or time passes */
		turn_again_in(FORMER_TEAM_MS);
		si_slots_unlock();
		return true;
	}

	/* what failed was an older state of the subscription */
	if (has_older_epoch(worker))
	{
		worker->failures = 0;
		worker->start_after = 0;
	}
	if (worker->start_after > GetCurrentTimestamp())
	{
		turn_again_at(worker->start_after);
		si_slots_unlock();
		return true;
	}
	if (!room)
	{
		note_no_process(worker);
		si_slots_unlock();
		return false;
	}
	begin_starting(worker, team);
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

static void
launch_workers(void)
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
	turn_again_in(NO_SLOT_RETRY_MS);
}

/* ---- the process ---- */

/*
 * What subscriptions pin when neither role nor database says otherwise: the
 * cluster's own values, which only a process like this one has.
 */
static void
publish_pinned_settings(void)
{
	static const char *const names[SI_NPINNED] = {
		[SI_PINNED_TIMEZONE] = "TimeZone",
		[SI_PINNED_DATESTYLE] = "DateStyle",
		[SI_PINNED_INTERVALSTYLE] = "IntervalStyle",
		[SI_PINNED_SEARCH_PATH] = "search_path",
	};
	char	   *settings = palloc0(SI_CLUSTER_SETTINGS_LEN);

	si_settings_write_cluster(settings);
	si_slots_lock(LW_EXCLUSIVE);
	for (int i = 0; i < SI_NPINNED; i++)
		strlcpy(si_shared->pinned[i], GetConfigOption(names[i], false, false), SI_PINNED_LEN);
	memcpy(si_shared->cluster_settings, settings, SI_CLUSTER_SETTINGS_LEN);
	si_slots_unlock();
	pfree(settings);
}

static void
detach_launcher(int code, Datum arg)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_shared->launcher_pid = 0;
	si_slots_unlock();
}

static void
wait_for_next_turn(void)
{
	long		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_turn);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		publish_pinned_settings();
	}
}

static bool
take_scan_all(void)
{
	bool		scan_all;

	si_slots_lock(LW_EXCLUSIVE);
	scan_all = si_shared->scan_all;
	si_shared->scan_all = false;
	si_slots_unlock();
	return scan_all;
}

/*
 * A worker that crashes the server must not do so again before somebody can
 * log in: measured without this, it did every 0.17 s.
 */
static void
wait_after_crash(void)
{
	TimestampTz until;

	if (si_shared->crashes == 0)
		return;
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CRASH_WAIT_MS);
	while (GetCurrentTimestamp() < until)
	{
		next_turn = until;
		wait_for_next_turn();
	}
}

void
si_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);

	/* it runs no statement that could be cancelled */
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	si_session_limit_lock_waits(LOCK_TIMEOUT_MS);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("stream_ingest launcher");

	worker_handles = MemoryContextAllocZero(TopMemoryContext,
											sizeof(BackgroundWorkerHandle *) * si_guc_max_workers);
	publish_pinned_settings();
	si_slots_lock(LW_EXCLUSIVE);
	si_shared->launcher_pid = MyProcPid;
	si_shared->scan_all = true;
	si_slots_unlock();
	before_shmem_exit(detach_launcher, (Datum) 0);
	MemoryContextSwitchTo(TopMemoryContext);
	wait_after_crash();

	for (;;)
	{
		next_turn = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TURN_MS);
		if (take_scan_all())
			request_all_scans();
		request_rechecks();
		start_scanner();
		allot_places();
		tend_workers();
		assign_slots();
		launch_workers();
		wait_for_next_turn();
	}
}

void
si_launcher_init(void)
{
	BackgroundWorker launcher = {0};

	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = 1;
	strlcpy(launcher.bgw_library_name, "stream_ingest", BGW_MAXLEN);
	strlcpy(launcher.bgw_function_name, "si_launcher_main", BGW_MAXLEN);
	strlcpy(launcher.bgw_name, "stream_ingest launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "stream_ingest launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&launcher);
}
