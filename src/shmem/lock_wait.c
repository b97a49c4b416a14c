/*-------------------------------------------------------------------------
 *
 * lock_wait.c
 *	  For which lock a process waits, and which processes hold it.
 *
 * The same data that pg_locks and pg_blocking_pids() show, which all roles may
 * see; so nothing more is told of the holder than its process.  They are asked
 * for only when the process says that it waits for a lock: collecting them
 * takes all of the lock manager's own locks for a moment.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/wait_event.h"

#include "common/reason.h"
#include "shmem/lock_wait.h"

#define WAIT_CLASS_MASK	0xFF000000U

static const LockInstanceData *awaited_lock(const BlockedProcsData *data);
static void append_lock(StringInfo buf, const LockInstanceData *awaited, int pid);
static void append_relation(StringInfo buf, Oid database, Oid relation);
static bool find_tuple_lock(int pid, LOCKTAG *tag);
static void append_holder(StringInfo buf, int pid, bool is_first);
static void append_blockers(StringInfo buf, const BlockedProcsData *data,
							const LockInstanceData *awaited);

char *
si_lock_wait_describe(int pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);
	uint32		wait_event = proc ? *(volatile uint32 *) &proc->wait_event_info : 0;
	BlockedProcsData *data;
	const LockInstanceData *awaited;
	StringInfoData buf;

	if (wait_event == WAIT_EVENT_SYNC_REP)
		return pstrdup(si_reason_fixed(SI_REASON_STANDBY_CONFIRMS));
	if ((wait_event & WAIT_CLASS_MASK) != PG_WAIT_LOCK)
		return NULL;
	data = GetBlockerStatusData(pid);
	awaited = awaited_lock(data);
	if (awaited == NULL)
		return NULL;			/* it has just got it */
	initStringInfo(&buf);
	append_lock(&buf, awaited, pid);
	append_blockers(&buf, data, awaited);
	return si_reason(SI_REASON_LOCK, buf.data);
}

char *
si_lock_wait_holders(Oid relation, LOCKMODE mode)
{
	LockData   *all = GetLockStatusData();
	LOCKTAG		tag;
	LOCKMASK	conflicts;
	StringInfoData buf;
	int			holders = 0;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
	conflicts = GetLockTagsMethodTable(&tag)->conflictTab[mode];
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s on ", GetLockmodeName(DEFAULT_LOCKMETHOD, mode));
	append_relation(&buf, MyDatabaseId, relation);
	for (int i = 0; i < all->nelements; i++)
	{
		const LockInstanceData *lock = &all->locks[i];

		if (lock->pid != MyProcPid && (lock->holdMask & conflicts) != 0 &&
			memcmp(&lock->locktag, &tag, sizeof(LOCKTAG)) == 0)
			append_holder(&buf, lock->pid, holders++ == 0);
	}
	return holders > 0 ? buf.data : NULL;
}

/* The entry of the waiting process itself. */
static const LockInstanceData *
awaited_lock(const BlockedProcsData *data)
{
	const BlockedProcData *proc = data->procs;

	if (data->nprocs == 0)
		return NULL;
	for (int i = proc->first_lock; i < proc->first_lock + proc->num_locks; i++)
	{
		if (data->locks[i].pid == proc->pid && data->locks[i].waitLockMode != NoLock)
			return &data->locks[i];
	}
	return NULL;
}

/*
 * What the lock is on.  A process that waits for a row waits for the transaction
 * that has changed it, often while it holds a lock on the row, which says where it
 * is.  (One that waits to insert a key which that transaction has inserted holds
 * none.)
 */
static void
append_lock(StringInfo buf, const LockInstanceData *awaited, int pid)
{
	const LOCKTAG *tag = &awaited->locktag;
	LOCKTAG		row;

	appendStringInfo(buf, "%s on ",
					 GetLockmodeName(tag->locktag_lockmethodid, awaited->waitLockMode));
	switch ((LockTagType) tag->locktag_type)
	{
		case LOCKTAG_RELATION:
			append_relation(buf, tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_RELATION_EXTEND:
			appendStringInfoString(buf, "the end of ");
			append_relation(buf, tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_TUPLE:
			appendStringInfoString(buf, "a row of ");
			append_relation(buf, tag->locktag_field1, tag->locktag_field2);
			break;
		case LOCKTAG_TRANSACTION:
			appendStringInfo(buf, "transaction %u, which has changed a row",
							 tag->locktag_field1);
			if (find_tuple_lock(pid, &row))
			{
				appendStringInfoString(buf, " of ");
				append_relation(buf, row.locktag_field1, row.locktag_field2);
			}
			break;
		default:
			DescribeLockTag(buf, tag);
	}
}

/* By its name, if it is one that this database knows. */
static void
append_relation(StringInfo buf, Oid database, Oid relation)
{
	char	   *name = NULL;
	char	   *schema = NULL;

	if (database == MyDatabaseId || database == InvalidOid)
	{
		name = get_rel_name(relation);
		schema = name ? get_namespace_name(get_rel_namespace(relation)) : NULL;
	}
	if (schema == NULL)
	{
		appendStringInfo(buf, "relation %u", relation);
		return;
	}
	switch (get_rel_relkind(relation))
	{
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			appendStringInfoString(buf, "index ");
			break;
		case RELKIND_SEQUENCE:
			appendStringInfoString(buf, "sequence ");
			break;
		default:
			appendStringInfoString(buf, "table ");
	}
	appendStringInfoString(buf, quote_qualified_identifier(schema, name));
}

/* The row lock that a process holds, if it holds one. */
static bool
find_tuple_lock(int pid, LOCKTAG *tag)
{
	LockData   *all = GetLockStatusData();

	for (int i = 0; i < all->nelements; i++)
	{
		const LockInstanceData *lock = &all->locks[i];

		if (lock->pid != pid || lock->holdMask == 0 ||
			lock->locktag.locktag_type != LOCKTAG_TUPLE)
			continue;
		*tag = lock->locktag;
		return true;
	}
	return false;
}

static void
append_holder(StringInfo buf, int pid, bool is_first)
{
	appendStringInfoString(buf, is_first ? ", held by " : ", ");
	if (pid != 0)
		appendStringInfo(buf, "process %d", pid);
	else
		appendStringInfoString(buf, "a prepared transaction");
}

/*
 * The processes in the way: those that hold the lock in a conflicting mode; only
 * if there are none, those that wait for one and came before.
 */
static void
append_blockers(StringInfo buf, const BlockedProcsData *data, const LockInstanceData *awaited)
{
	const BlockedProcData *proc = data->procs;
	LOCKMASK	conflicts =
		GetLockTagsMethodTable(&awaited->locktag)->conflictTab[awaited->waitLockMode];
	int			holders = 0;

	for (int i = proc->first_lock; i < proc->first_lock + proc->num_locks; i++)
	{
		const LockInstanceData *lock = &data->locks[i];

		if (lock == awaited || (lock->holdMask & conflicts) == 0)
			continue;
		append_holder(buf, lock->pid, holders++ == 0);
	}
	if (holders > 0 || proc->num_waiters == 0)
		return;
	appendStringInfo(buf, ", behind process %d, which waits for it too",
					 data->waiter_pids[proc->first_waiter + proc->num_waiters - 1]);
}
