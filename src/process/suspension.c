/*-------------------------------------------------------------------------
 *
 * suspension.c
 *	  Keeping our processes out of a database while a command needs it empty.
 *
 * A suspension is a count in the database's slot: the launcher starts no
 * scanner and no worker there while it is not zero.  It belongs to a
 * subtransaction of this session and is taken back by callbacks at its abort
 * or at the end of the transaction, so also after an error and when the
 * session is terminated; a killed session restarts the server, and shared
 * memory begins empty.  A count, since two sessions can copy one template.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/clock.h"
#include "common/compat.h"
#include "process/suspension.h"
#include "shmem/slots.h"

#define SUSPEND_MS	5000		/* as long as the server itself would wait */
#define POLL_MS		10

typedef struct Suspension
{
	slist_node	node;
	Oid			database;
	SubTransactionId subid;
	bool		drops;
} Suspension;

/* Those of the current transaction; in TopMemoryContext. */
static slist_head suspensions = SLIST_STATIC_INIT(suspensions);

/* ---- our processes in a database ---- */

/* Does this slot have a process there, or will it have one?  Lock held. */
static bool
worker_is_in(const SiWorkerSlot *worker, Oid database)
{
	return worker->in_use && worker->database == database &&
		(worker->pid != 0 || worker->launching);
}

/* End our processes there; returns how many are left.  Lock held. */
static int
signal_processes(Oid database)
{
	int			n = 0;

	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (!worker_is_in(worker, database))
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

bool
si_suspension_is_needed(Oid database)
{
	bool		result;

	si_slots_lock(LW_SHARED);
	result = si_shared->scanner_pid != 0 && si_shared->scanner_database == database;
	for (int i = 0; i < si_guc_max_workers && !result; i++)
		result = worker_is_in(si_slots_worker(i), database);
	si_slots_unlock();
	return result;
}

/* Is this a process of ours?  Lock held. */
static bool
is_ours(int pid)
{
	if (pid == si_shared->scanner_pid)
		return true;
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		if (si_slots_worker(i)->pid == pid)
			return true;
	}
	return false;
}

/*
 * Is this entry a session in the database that counts?  Entries of the past
 * keep their values until they are used again, so that the server is asked
 * whether there is such a process.  Lock held.
 */
static bool
is_other_session(const PGPROC *proc, Oid database)
{
	return proc->pid != 0 && proc->databaseId == database && proc != MyProc &&
		(proc->statusFlags & PROC_IS_AUTOVACUUM) == 0 && !is_ours(proc->pid) &&
		BackendPidGetProc(proc->pid) == proc;
}

int
si_suspension_count_others(Oid database, List **roles)
{
	Oid		   *found = palloc(sizeof(Oid) * ProcGlobal->allProcCount);
	int			n = 0;

	si_slots_lock(LW_SHARED);
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const PGPROC *proc = &ProcGlobal->allProcs[i];

		if (is_other_session(proc, database))
			found[n++] = proc->roleId;
	}
	si_slots_unlock();

	for (int i = 0; i < n && roles != NULL; i++)
		*roles = lappend_oid(*roles, found[i]);
	pfree(found);
	return n;
}

/* ---- beginning ---- */

/* Signal our processes in a database until none is left. */
static void
wait_for_end(Oid database)
{
	TimestampTz start = si_clock_now();

	for (;;)
	{
		int			left;

		CHECK_FOR_INTERRUPTS();
		si_slots_lock(LW_EXCLUSIVE);
		left = signal_processes(database);
		si_slots_unlock();
		if (left == 0 ||
			TimestampDifferenceExceeds(start, si_clock_now(), SUSPEND_MS))
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
si_suspension_begin(Oid database, bool drops)
{
	/* before shared memory is changed, since this can fail */
	Suspension *suspension = MemoryContextAlloc(TopMemoryContext, sizeof(Suspension));
	SiDatabaseSlot *slot;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(database, false);
	if (slot != NULL)
		slot->suspensions++;
	si_slots_unlock();
	if (slot == NULL)
	{
		/* no process of ours goes there */
		pfree(suspension);
		return;
	}
	suspension->database = database;
	suspension->subid = GetCurrentSubTransactionId();
	suspension->drops = drops;
	slist_push_head(&suspensions, &suspension->node);
	wait_for_end(database);
}

/* ---- end ---- */

/* Forget all about a database that is gone.  Lock held. */
static void
forget_database(SiDatabaseSlot *slot)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *subscription = si_slots_subscription(i);

		if (subscription->in_use && subscription->database == slot->database)
			si_slots_free_subscription(subscription);
	}
	slot->database = InvalidOid;
}

/* Let workers in again; dropped: the database is gone. */
static void
resume_database(Oid database, bool dropped)
{
	SiDatabaseSlot *slot;
	int			launcher;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(database, false);
	if (slot != NULL)
	{
		slot->suspensions--;
		if (dropped)
			forget_database(slot);
	}
	launcher = si_shared->launcher_pid;
	si_slots_unlock();
	si_slots_wake(launcher);
}

/* End all suspensions of the transaction, or those of one subtransaction. */
static void
end_suspensions(SubTransactionId subid, bool committed)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &suspensions)
	{
		Suspension *suspension = slist_container(Suspension, node, iter.cur);

		if (subid != InvalidSubTransactionId && suspension->subid != subid)
			continue;
		slist_delete_current(&iter);
		resume_database(suspension->database, suspension->drops && committed);
		pfree(suspension);
	}
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			end_suspensions(InvalidSubTransactionId, event == XACT_EVENT_COMMIT);
			break;
		default:
			break;
	}
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					void *arg)
{
	slist_iter	iter;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_suspensions(subid, false);
	if (event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	slist_foreach(iter, &suspensions)
	{
		Suspension *suspension = slist_container(Suspension, node, iter.cur);

		if (suspension->subid == subid)
			suspension->subid = parent;
	}
}

void
si_suspension_init(void)
{
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
}
