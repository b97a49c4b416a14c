/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The one process per cluster that starts scanners and workers.
 *
 * It is connected to no database and knows everything from shared memory; the
 * only catalog it reads is pg_database, where all databases are to be scanned.
 * Each turn of its loop compares what subscriptions want with what is running:
 *
 *	a scan of a database was requested	-> a scanner goes there, one at a time
 *	a worker is wanted			-> it gets a place (slot), then a process
 *	a worker is not wanted		-> it is told to stop, its place is freed
 *	a worker has ended			-> it is started again, with a growing delay
 *								   unless it was told to end
 *
 * The first is done by launcher_scan.c, the others by launcher_workers.c.  The
 * postmaster never restarts workers: after a crash it would do so at once,
 * without end.  On a standby the launcher does not run.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "catalog/session.h"
#include "catalog/settings.h"
#include "process/launcher.h"
#include "process/launcher_internal.h"
#include "process/turn.h"

#define TURN_MS				60000	/* most from one turn to the next */
#define LOCK_TIMEOUT_MS		5000	/* while the launcher starts */
#define CRASH_WAIT_MS		2000	/* after a crash of the server */

/*
 * Publish the settings that a subscription pins when neither role nor database
 * sets them: the cluster's own values, which only a process like this one has.
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

/* Wait until the next turn is due or the latch is set, and take what came meanwhile. */
static void
wait_for_next_turn(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 si_turn_wait_ms(), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		publish_pinned_settings();
	}
}

/* Take the request to scan all databases, if there is one. */
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
 * Wait after a crash, so that an administrator can log in before a worker crashes
 * the server again: measured without this, that took 0.17 s.
 */
static void
wait_after_crash(void)
{
	if (si_shared->crashes == 0)
		return;
	si_turn_begin(CRASH_WAIT_MS);
	while (si_turn_wait_ms() > 0)
		wait_for_next_turn();
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

	si_launcher_init_workers();
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
		si_turn_begin(TURN_MS);
		if (take_scan_all())
			si_launcher_request_all_scans();
		si_launcher_request_rechecks();
		si_launcher_start_scanner();
		si_launcher_allot_places();
		si_launcher_stop_workers();
		si_launcher_assign_places();
		si_launcher_start_workers();
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
