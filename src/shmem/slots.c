/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  Shared memory: what launcher, scanners, workers and views know of each
 *	  other.
 *
 * See slots.h for the contract.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "common/clock.h"
#include "common/guc.h"
#include "kafka/consumer.h"
#include "shmem/crash_count.h"
#include "shmem/slots.h"

SiShared   *si_shared = NULL;

static SiSubscriptionSlot *subscription_slots;
static SiWorkerSlot *worker_slots;
static SiPartitionSlot *partition_slots;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void request_shmem(void);
static void startup_shmem(void);

void
si_slots_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

static Size
subscriptions_size(void)
{
	return MAXALIGN(mul_size(si_guc_max_subscriptions, sizeof(SiSubscriptionSlot)));
}

static Size
workers_size(void)
{
	return MAXALIGN(mul_size(si_guc_max_workers, sizeof(SiWorkerSlot)));
}

static Size
partitions_size(void)
{
	return MAXALIGN(mul_size(si_guc_max_partitions, sizeof(SiPartitionSlot)));
}

static Size
total_size(void)
{
	Size		size = MAXALIGN(sizeof(SiShared));

	size = add_size(size, subscriptions_size());
	size = add_size(size, workers_size());
	return add_size(size, partitions_size());
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(total_size());
	RequestNamedLWLockTranche("stream_ingest", 1);
}

/*
 * Does the postmaster end processes after a crash in a way that cannot be told
 * from a crash of their own?
 */
static bool
children_are_aborted(void)
{
	const char *value = GetConfigOption("send_abort_for_crash", true, false);

	return value != NULL && strcmp(value, "on") == 0;
}

/*
 * In the postmaster, before shared memory goes, at a crash or at the end.  A worker
 * that still has its slot and was not told to quit has crashed.  The memory is that
 * of a crash: read its numbers alone, and take no lock.
 */
static void
note_crashes(int code, Datum arg)
{
	TimestampTz now = si_clock_now();

	if (IsUnderPostmaster || children_are_aborted())
		return;
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		const SiWorkerSlot *worker = &worker_slots[i];
		bool		ran_well;

		if (worker->pid == 0)
			continue;
		ran_well = TimestampDifferenceExceeds(worker->started_at, now, SI_HEALTHY_MS);
		if (!worker->told_to_quit)
			si_crash_count_add(worker->database, worker->subscription, worker->epoch_at_start,
							   ran_well);
		else if (ran_well)
			si_crash_count_clear(worker->database, worker->subscription);
	}
	si_crash_count_save();
}

static void
startup_shmem(void)
{
	/*
	 * counts in the postmaster, which survives when shared memory is made
	 * again
	 */
	static int	startups = 0;
	bool		found;
	char	   *base;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	base = ShmemInitStruct("stream_ingest", total_size(), &found);

	si_shared = (SiShared *) base;
	base += MAXALIGN(sizeof(SiShared));
	subscription_slots = (SiSubscriptionSlot *) base;
	base += subscriptions_size();
	worker_slots = (SiWorkerSlot *) base;
	base += workers_size();
	partition_slots = (SiPartitionSlot *) base;

	if (!found)
	{
		memset(si_shared, 0, total_size());
		si_shared->lock = &(GetNamedLWLockTranche("stream_ingest"))->lock;
		si_shared->scan_all = true;
		if (startups == 0)
			si_crash_count_load();
		on_shmem_exit(note_crashes, (Datum) 0);
		si_shared->crashes = startups++;
		for (int i = 0; i < SI_PROGRESS_BELLS; i++)
			ConditionVariableInit(&si_shared->bells[i]);
		for (int i = 0; i < si_guc_max_partitions; i++)
		{
			pg_atomic_init_u64(&partition_slots[i].low, 0);
			pg_atomic_init_u64(&partition_slots[i].high, 0);
			pg_atomic_init_u64(&partition_slots[i].asked_at, 0);
			pg_atomic_init_u64(&partition_slots[i].next_offset, 0);
			pg_atomic_init_u64(&partition_slots[i].stop_offset, PG_INT64_MAX);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
si_slots_require(void)
{
	if (si_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream_ingest must be loaded when the server starts"),
				 errhint("Add \"stream_ingest\" to shared_preload_libraries in postgresql.conf and restart the server.")));
}

void
si_slots_lock(LWLockMode mode)
{
	LWLockAcquire(si_shared->lock, mode);
}

void
si_slots_unlock(void)
{
	LWLockRelease(si_shared->lock);
}

SiSubscriptionSlot *
si_slots_subscription(int i)
{
	Assert(LWLockHeldByMe(si_shared->lock));
	Assert(i >= 0 && i < si_guc_max_subscriptions);
	return &subscription_slots[i];
}

SiWorkerSlot *
si_slots_worker(int i)
{
	Assert(LWLockHeldByMe(si_shared->lock));
	Assert(i >= 0 && i < si_guc_max_workers);
	return &worker_slots[i];
}

SiPartitionSlot *
si_slots_partition(int i)
{
	Assert(LWLockHeldByMe(si_shared->lock));
	Assert(i >= 0 && i < si_guc_max_partitions);
	return &partition_slots[i];
}

SiSubscriptionSlot *
si_slots_find_subscription(Oid database, int32 id)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *slot = si_slots_subscription(i);

		if (slot->in_use && slot->id == id && slot->database == database)
			return slot;
	}
	return NULL;
}

int
si_slots_role_limit(void)
{
	return si_guc_max_subscriptions_per_role < 0 ? si_guc_max_subscriptions
		: si_guc_max_subscriptions_per_role;
}

/* How many slots the subscriptions of a role have.  Lock held. */
static int
count_subscriptions(Oid owner)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		if (subscription_slots[i].in_use && subscription_slots[i].owner == owner)
			return subscription_slots[i].peers;
	}
	return 0;
}

/* A role has one slot more or less.  Lock held. */
static void
change_peers(Oid owner, int change)
{
	int			peers = count_subscriptions(owner) + change;

	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		if (subscription_slots[i].owner == owner)
			subscription_slots[i].peers = peers;
	}
}

/*
 * Would this slot be the better one to give up?  Of the role that has most, the
 * last one, since a role's newest subscriptions are likely to be there; those
 * that have a worker come last.
 */
static bool
is_better_victim(const SiSubscriptionSlot *slot, const SiSubscriptionSlot *than)
{
	if (than == NULL)
		return true;
	if (slot->peers != than->peers)
		return slot->peers > than->peers;
	return slot->granted == 0 || than->granted > 0;
}

/*
 * The subscription that gives up its slot for one of a role that has so many,
 * or NULL.  Lock held.
 */
static SiSubscriptionSlot *
choose_victim(int owned)
{
	SiSubscriptionSlot *victim = NULL;

	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *slot = &subscription_slots[i];

		if (slot->workers == 0)
			return slot;
		if (slot->peers > owned + 1 && is_better_victim(slot, victim))
			victim = slot;
	}
	return victim;
}

/* Take its slot away.  Its database is scanned again when one is free. */
static void
evict_subscription(SiSubscriptionSlot *slot)
{
	SiDatabaseSlot *database = si_slots_find_database(slot->database, false);

	si_slots_free_subscription(slot);
	if (database == NULL)
		return;
	database->lacking++;
	database->freed_seen = si_shared->freed;
}

/* A free slot, or one that is given up for this role; or NULL. */
static SiSubscriptionSlot *
free_subscription_slot(int owned, bool runs)
{
	SiSubscriptionSlot *slot;

	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		if (!subscription_slots[i].in_use)
			return &subscription_slots[i];
	}
	slot = runs ? choose_victim(owned) : NULL;
	if (slot != NULL)
		evict_subscription(slot);
	return slot;
}

SiSubscriptionSlot *
si_slots_make_subscription(Oid database, int32 id, Oid owner, bool runs)
{
	SiSubscriptionSlot *slot = si_slots_find_subscription(database, id);
	int			owned;

	Assert(LWLockHeldByMeInMode(si_shared->lock, LW_EXCLUSIVE));
	if (slot != NULL && slot->owner == owner)
		return slot;
	if (slot != NULL)
		si_slots_free_subscription(slot);
	owned = count_subscriptions(owner);
	if (owned >= si_slots_role_limit())
		return NULL;
	slot = free_subscription_slot(owned, runs);
	if (slot == NULL)
		return NULL;
	/* one of its own may be what was given up */
	owned = count_subscriptions(owner);
	memset(slot, 0, sizeof(SiSubscriptionSlot));
	slot->database = database;
	slot->id = id;
	change_peers(owner, 1);
	slot->in_use = true;
	slot->owner = owner;
	slot->peers = owned + 1;
	return slot;
}

void
si_slots_free_subscription(SiSubscriptionSlot *slot)
{
	Assert(LWLockHeldByMeInMode(si_shared->lock, LW_EXCLUSIVE));
	change_peers(slot->owner, -1);
	slot->in_use = false;
	si_shared->freed++;
}

SiDatabaseSlot *
si_slots_find_database(Oid database, bool make)
{
	SiDatabaseSlot *unused = NULL;

	Assert(LWLockHeldByMe(si_shared->lock));
	for (int i = 0; i < SI_MAX_DATABASES; i++)
	{
		SiDatabaseSlot *slot = &si_shared->databases[i];

		if (slot->database == database)
			return slot;
		if (unused == NULL && !OidIsValid(slot->database))
			unused = slot;
	}
	if (make && unused != NULL)
	{
		Assert(LWLockHeldByMeInMode(si_shared->lock, LW_EXCLUSIVE));
		memset(unused, 0, sizeof(SiDatabaseSlot));
		unused->database = database;
		return unused;
	}
	return NULL;
}

SiWorkerSlot *
si_slots_find_worker(Oid database, int32 subscription, int number)
{
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *slot = si_slots_worker(i);

		if (slot->in_use && slot->subscription == subscription &&
			slot->database == database && slot->number == number)
			return slot;
	}
	return NULL;
}

SiPartitionSlot *
si_slots_find_partition(Oid database, int32 subscription, int32 partition)
{
	for (int i = 0; i < si_guc_max_partitions; i++)
	{
		SiPartitionSlot *slot = si_slots_partition(i);

		if (slot->in_use && slot->subscription == subscription &&
			slot->partition == partition && slot->database == database)
			return slot;
	}
	return NULL;
}

SiPartitionSlot *
si_slots_make_partition(Oid database, int32 subscription, int32 partition, int worker)
{
	SiPartitionSlot *slot = si_slots_find_partition(database, subscription, partition);

	Assert(LWLockHeldByMeInMode(si_shared->lock, LW_EXCLUSIVE));
	for (int i = 0; slot == NULL && i < si_guc_max_partitions; i++)
	{
		SiPartitionSlot *candidate = si_slots_partition(i);

		if (candidate->in_use)
			continue;
		slot = candidate;
		slot->in_use = true;
		slot->database = database;
		slot->subscription = subscription;
		slot->partition = partition;
		pg_atomic_write_u64(&slot->low, (uint64) SI_OFFSET_UNKNOWN);
		pg_atomic_write_u64(&slot->high, (uint64) SI_OFFSET_UNKNOWN);
		pg_atomic_write_u64(&slot->asked_at, 0);
	}
	/* what is known of it stays: asked_at tells how old it is */
	if (slot != NULL)
		slot->worker = worker;
	return slot;
}

SiWatermarks
si_slots_watermarks(SiPartitionSlot *slot)
{
	SiWatermarks watermarks;

	watermarks.asked_at = (TimestampTz) pg_atomic_read_u64(&slot->asked_at);
	pg_read_barrier();			/* pairs with the one in kafka/helper.c */
	watermarks.low = (int64) pg_atomic_read_u64(&slot->low);
	watermarks.high = (int64) pg_atomic_read_u64(&slot->high);
	return watermarks;
}

bool
si_slots_watermarks_fresh(TimestampTz asked_at, TimestampTz now)
{
	return asked_at != 0 && !TimestampDifferenceExceeds(asked_at, now, SI_WATERMARK_AGE_MS);
}

void
si_slots_free_partitions(int worker)
{
	Assert(LWLockHeldByMeInMode(si_shared->lock, LW_EXCLUSIVE));
	for (int i = 0; i < si_guc_max_partitions; i++)
	{
		SiPartitionSlot *slot = si_slots_partition(i);

		if (slot->in_use && slot->worker == worker)
			slot->in_use = false;
	}
}

ConditionVariable *
si_slots_bell(Oid database, int32 subscription)
{
	return &si_shared->bells[(database + (uint32) subscription) % SI_PROGRESS_BELLS];
}

void
si_slots_request_scan(Oid database)
{
	SiDatabaseSlot *slot = NULL;
	int			launcher;

	si_slots_lock(LW_EXCLUSIVE);
	if (OidIsValid(database))
		slot = si_slots_find_database(database, true);
	if (slot != NULL)
	{
		slot->requested++;
		slot->scan_after = 0;
	}
	else
		si_shared->scan_all = true;
	launcher = si_shared->launcher_pid;
	si_slots_unlock();

	si_slots_wake(launcher);
}

void
si_slots_wake(int pid)
{
	PGPROC	   *proc = (pid == 0) ? NULL : BackendPidGetProc(pid);

	/*
	 * The process may end between the look-up and this; then a latch is set
	 * that belongs to no process, or to another one, which finds nothing to
	 * do.
	 */
	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

const char *
si_slots_state_name(SiState state)
{
	static const char *const names[] = {
		[SI_STATE_DISABLED] = "disabled",
		[SI_STATE_STARTING] = "starting",
		[SI_STATE_CONNECTING] = "connecting",
		[SI_STATE_CATCHING_UP] = "catching_up",
		[SI_STATE_STREAMING] = "streaming",
		[SI_STATE_RETRYING] = "retrying",
		[SI_STATE_STOPPED] = "stopped",
		[SI_STATE_FINISHED] = "finished",
	};

	return names[state];
}
