/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  What other people's transactions mean to us.
 *
 * A change of a subscription is noted and told to the launcher at commit.
 * DROP DATABASE wants nobody connected, so our workers are stopped first and
 * held off until the transaction ends; the server calls the hook after its own
 * checks, so that a role that may not drop a database cannot stop its streams.  DROP
 * EXTENSION, by whatever way it comes, makes a scan at commit find nothing.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "process/ddl.h"
#include "shmem/slots.h"

#define SUSPEND_MS	5000		/* as long as the server itself would wait */

static object_access_hook_type prev_object_access_hook = NULL;
static bool scan_at_commit = false;
static Oid	suspended_database = InvalidOid;

void
si_ddl_scan_at_commit(void)
{
	scan_at_commit = true;
}

/* ---- holding off the workers of a database ---- */

/* End our processes there; returns how many are left.  Lock held. */
static int
signal_processes(Oid database)
{
	int			n = 0;

	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (!worker->in_use || worker->database != database ||
			(worker->pid == 0 && !worker->launching))
			continue;
		worker->stop = true;
		if (worker->pid != 0)
			(void) kill(worker->pid, SIGTERM);
		n++;
	}
	if (si_shared->scanner_pid != 0 && si_shared->scanner_database == database)
	{
		(void) kill(si_shared->scanner_pid, SIGTERM);
		n++;
	}
	return n;
}

/* Keep workers out of a database until this transaction ends. */
static void
suspend_database(Oid database)
{
	TimestampTz start = GetCurrentTimestamp();
	SiDatabaseSlot *slot;
	int			left;

	suspended_database = database;
	do
	{
		CHECK_FOR_INTERRUPTS();
		si_slots_lock(LW_EXCLUSIVE);
		slot = si_slots_find_database(database, true);
		if (slot != NULL)
			slot->suspended_by = MyProcPid;
		left = signal_processes(database);
		si_slots_unlock();
		if (left > 0)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
		}
	} while (left > 0 &&
			 !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), SUSPEND_MS));
}

/* Forget all about a database that is gone.  Lock held. */
static void
forget_database(Oid database)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *subscription = si_slots_subscription(i);

		if (subscription->in_use && subscription->database == database)
			si_slots_free_subscription(subscription);
	}
}

static void
resume_database(bool dropped)
{
	SiDatabaseSlot *slot;
	int			launcher;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(suspended_database, false);
	if (slot != NULL)
	{
		slot->suspended_by = 0;
		slot->requested++;
		if (dropped)
			slot->database = InvalidOid;
	}
	if (dropped)
		forget_database(suspended_database);
	launcher = si_shared->launcher_pid;
	si_slots_unlock();
	suspended_database = InvalidOid;
	si_slots_wake(launcher);
}

/* ---- hooks ---- */

static void
object_accessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);

	if (access != OAT_DROP || si_shared == NULL)
		return;
	if (class_id == DatabaseRelationId)
		suspend_database(object_id);
	else if (class_id == ExtensionRelationId &&
			 object_id == get_extension_oid("stream_ingest", true))
		scan_at_commit = true;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (scan_at_commit)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has changed a stream_ingest subscription")));
			break;
		case XACT_EVENT_COMMIT:
			if (scan_at_commit)
				si_slots_request_scan(MyDatabaseId);
			if (OidIsValid(suspended_database))
				resume_database(true);
			scan_at_commit = false;
			break;
		case XACT_EVENT_ABORT:
			if (OidIsValid(suspended_database))
				resume_database(false);
			scan_at_commit = false;
			break;
		default:
			break;
	}
}

void
si_ddl_init(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_accessed;
	RegisterXactCallback(transaction_ends, NULL);
}
