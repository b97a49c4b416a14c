/*-------------------------------------------------------------------------
 *
 * launcher_scan.c
 *	  The launcher's part that sends scanners into databases.
 *
 * Shared memory says which databases are to be scanned.  One scanner runs at a
 * time.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "catalog/transaction.h"
#include "common/clock.h"
#include "common/guc.h"
#include "process/launcher_internal.h"
#include "process/turn.h"

#define CATALOG_RETRY_MS	1000
#define SCANNER_GIVE_UP_MS	5000	/* then a worker makes room for the
									 * scanner */

/* Handle of the scanner that we registered; the server's structs are opaque. */
static BackgroundWorkerHandle *scanner_handle = NULL;

/* Which requests the scanner that was started last should have answered. */
static uint64 scanner_request = 0;

/* When the server first had no place for the scanner; 0: it has one. */
static TimestampTz scanner_waits_since = 0;

void
si_launcher_request_all_scans(void)
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
		si_turn_within(CATALOG_RETRY_MS);
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

void
si_launcher_request_rechecks(void)
{
	TimestampTz now = si_clock_now();

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
			si_turn_no_later(subscription->recheck_at);
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
 * Also frees the entries of databases without the extension.  Lock not held.
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
			if (slot->scan_after > si_clock_now())
				si_turn_no_later(slot->scan_after);
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

/* Stop the youngest worker, so that a scanner that has waited too long can start. */
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
		si_launcher_stop_worker(youngest);
		youngest->start_after = TimestampTzPlusMilliseconds(si_clock_now(),
															SI_BACK_OFF_MIN_MS);
	}
	si_slots_unlock();
	scanner_waits_since = 0;
}

/*
 * The scanner has ended.  If it failed (the database allows no connections, for
 * example), its database waits, and the other databases come first.
 */
static void
note_scanner_end(void)
{
	SiDatabaseSlot *slot;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(si_shared->scanner_database, false);
	if (slot != NULL && slot->scanned < scanner_request)
	{
		int64		delay = (int64) SI_BACK_OFF_MIN_MS << Min(slot->scan_failures, 16);

		slot->scan_failures++;
		slot->scan_after = TimestampTzPlusMilliseconds(si_clock_now(),
													   Min(delay, SI_BACK_OFF_MAX_MS));
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

/* Does the scanner that was started last still run? */
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

/* Describe a scanner's process to the postmaster. */
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

void
si_launcher_start_scanner(void)
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
		scanner_waits_since = si_clock_now();
	else if (TimestampDifferenceExceeds(scanner_waits_since, si_clock_now(),
										SCANNER_GIVE_UP_MS))
		make_room_for_scanner();
	si_turn_within(SI_NO_SLOT_RETRY_MS);
}
