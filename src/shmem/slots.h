/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  Shared memory: what launcher, scanners, workers and views know of each
 *	  other.
 *
 * Fixed arrays of values, no pointers, under one LWLock.  A slot is known by
 * its index and its generation, which is raised whenever the slot is given to
 * another worker.  Watermarks are atomics, since a worker's helper thread
 * writes them.  Nothing here is durable: it is all read again from the tables
 * after a restart.
 *
 * For every function that returns a slot the caller holds the lock, in the mode
 * that the function's comment gives; si_slots_lock() and si_slots_unlock() take it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SLOTS_H
#define SI_SLOTS_H

#include "datatype/timestamp.h"
#include "common/guc.h"
#include "common/reason.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#define SI_MAX_DATABASES 1024
#define SI_MAX_OWNERS 1024
#define SI_PROGRESS_BELLS 64

/*
 * How often a worker has the brokers asked for watermarks, and how old an
 * answer may be before it is no answer any more: it is shown as unknown then.
 */
#define SI_WATERMARK_MS		5000
#define SI_WATERMARK_AGE_MS	(3 * SI_WATERMARK_MS)

/* What a subscription, or one of its workers, is doing. */
typedef enum SiState
{
	SI_STATE_DISABLED,
	SI_STATE_STARTING,
	SI_STATE_CONNECTING,
	SI_STATE_CATCHING_UP,
	SI_STATE_STREAMING,
	SI_STATE_RETRYING,
	SI_STATE_STOPPED,
	SI_STATE_FINISHED
} SiState;

/* Session settings that a subscription pins; indexes into their values. */
typedef enum SiPinned
{
	SI_PINNED_TIMEZONE,
	SI_PINNED_DATESTYLE,
	SI_PINNED_INTERVALSTYLE,
	SI_PINNED_SEARCH_PATH,
	SI_NPINNED
} SiPinned;

#define SI_PINNED_LEN	1024

/* What is kept of a scanner's error. */
#define SI_SCAN_ERROR_LEN	160

/* A database that has the extension, or for which a scan was requested. */
typedef struct SiDatabaseSlot
{
	Oid			database;		/* InvalidOid: the slot is free */
	uint64		requested;		/* counts the scans asked for ... */
	uint64		scanned;		/* ... and how many of those are answered */
	TimestampTz scanned_at;		/* when the last one was */
	int			scan_failures;	/* scanners in a row that ended without answer */
	TimestampTz scan_after;		/* no other one before that */
	char		scan_error[SI_SCAN_ERROR_LEN];	/* why the last one did */
	int			lacking;		/* subscriptions that could run, without a
								 * slot */
	uint64		freed_seen;		/* si_shared->freed when that was found */
	bool		has_extension;
	int			suspensions;	/* sessions that want this database without
								 * our processes now: see suspension.c */
} SiDatabaseSlot;

/*
 * A subscription, as a scanner last read it: one that can run, or that cannot
 * for a reason which only a scanner finds out.
 */
typedef struct SiSubscriptionSlot
{
	bool		in_use;
	bool		seen;			/* mark of the scan that is running */
	Oid			database;
	int32		id;
	Oid			owner;
	int			peers;			/* slots of this owner, this one included */
	NameData	name;
	int64		epoch;
	int			workers;		/* wanted; 0: state and reason say why */
	int			granted;		/* of these, as many as there is room for; the
								 * launcher's */
	SiState		state;
	char		reason[SI_REASON_LEN];
	TimestampTz since;
	TimestampTz recheck_at;		/* scan again then, it may be repaired; 0: no */
} SiSubscriptionSlot;

/* A worker: the process, or the place kept for the one to be started. */
typedef struct SiWorkerSlot
{
	bool		in_use;
	uint32		generation;
	Oid			database;
	int32		subscription;
	int			number;			/* which of the subscription's workers, from 0 */
	int			team;			/* among how many the partitions are dealt out */
	Oid			owner;
	NameData	name;			/* the subscription's */

	/* process; written by the launcher until the worker has attached itself */
	int			pid;			/* 0: there is none */
	bool		launching;		/* registered, not yet attached */
	bool		stop;			/* the worker should leave */
	bool		left;			/* it left because it was told to, or because
								 * its subscription changed */
	bool		told_to_quit;	/* by the postmaster, since another process
								 * has crashed */
	TimestampTz stop_since;
	int64		epoch;			/* of the subscription that it works with */
	int64		epoch_at_start; /* that it had when the process was started */
	int			failures;		/* exits in a row that were not requested */
	TimestampTz started_at;
	TimestampTz start_after;

	/* what the views show; written by the worker */
	SiState		state;
	char		reason[SI_REASON_LEN];
	TimestampTz since;
	char		last_error[SI_REASON_LEN];
	int			last_error_sqlstate;
	TimestampTz last_error_at;	/* 0: there was none */
	int64		retries;
	TimestampTz retry_at;		/* 0: it does not wait to retry */
	int			partitions;
	double		messages_per_second;
	TimestampTz rate_at;		/* when that was found out */
	int64		batch_messages; /* size of the last batch */
	double		batch_ms;		/* and what it took */
	bool		direct;			/* was it written by the direct path? */
	bool		refresh_watermarks; /* a session waits for fresh ones */
} SiWorkerSlot;

/*
 * A partition's watermarks; -1001 (SI_OFFSET_UNKNOWN) while unknown.  A
 * view that shows them asks si_slots_watermarks_fresh first.
 */
typedef struct SiPartitionSlot
{
	bool		in_use;
	Oid			database;
	int32		subscription;
	int32		partition;
	int			worker;			/* index of the slot of the worker that reads
								 * it */
	pg_atomic_uint64 low;
	pg_atomic_uint64 high;
	pg_atomic_uint64 asked_at;	/* TimestampTz; 0: never; infinity: there is
								 * no broker to ask, and the values are final */
	pg_atomic_uint64 next_offset;	/* as last committed; only to be shown */
	pg_atomic_uint64 stop_offset;	/* where the run ends; PG_INT64_MAX: it
									 * does not */
} SiPartitionSlot;

/* How many subscriptions a role owns in a database: see owners.h. */
typedef struct SiOwner
{
	Oid			database;		/* InvalidOid: the entry is free */
	Oid			owner;
	int			subscriptions;
} SiOwner;

/* What all settings of a cluster may take in shared memory. */
#define SI_CLUSTER_SETTINGS_LEN		16384

typedef struct SiShared
{
	LWLock	   *lock;
	int			launcher_pid;
	int			crashes;		/* of the server since its start */
	bool		scan_all;		/* look for databases, too */
	bool		no_worker_slot; /* a scanner finds none free at the server */
	uint64		freed;			/* counts the subscription slots that were
								 * freed */
	int			scanner_pid;	/* 0: none is running */
	Oid			scanner_database;

	/*
	 * The cluster's own values of the settings that subscriptions pin, kept
	 * up to date by the launcher, which has no role and no database that
	 * could override them.
	 */
	char		pinned[SI_NPINNED][SI_PINNED_LEN];

	/* the others that any user may set, if not built-in: "name=value", ... */
	char		cluster_settings[SI_CLUSTER_SETTINGS_LEN];

	/* rung when progress is committed: see si_slots_bell */
	ConditionVariable bells[SI_PROGRESS_BELLS];

	SiDatabaseSlot databases[SI_MAX_DATABASES];
	SiOwner		owners[SI_MAX_OWNERS];
} SiShared;

/* The shared memory, NULL where the library was not preloaded. */
extern SiShared *si_shared;

/* Ask for shared memory; called by _PG_init while preloading. */
extern void si_slots_init(void);

/*
 * Error 55000 with a hint if the library was not preloaded, since nothing
 * would ever happen then.
 */
extern void si_slots_require(void);

extern void si_slots_lock(LWLockMode mode);
extern void si_slots_unlock(void);

/* Arrays, by index; any lock mode. */
extern SiSubscriptionSlot *si_slots_subscription(int i);
extern SiWorkerSlot *si_slots_worker(int i);
extern SiPartitionSlot *si_slots_partition(int i);

/* The slot of a subscription, or NULL; any lock mode. */
extern SiSubscriptionSlot *si_slots_find_subscription(Oid database, int32 id);

/*
 * The same, taking a free slot if need be (exclusive).  If all are taken and
 * the subscription can run, one that cannot gives its slot up, or one of the
 * role that has most, unless that is as few as the owner has.  NULL if there is
 * none to be had.
 */
extern SiSubscriptionSlot *si_slots_make_subscription(Oid database, int32 id, Oid owner,
													  bool runs);

/* How many subscriptions of a role may have a slot. */
extern int	si_slots_role_limit(void);

extern void si_slots_free_subscription(SiSubscriptionSlot *slot);

/* The slot of a database; make: take a free one if need be (exclusive). */
extern SiDatabaseSlot *si_slots_find_database(Oid database, bool make);

/* The place of a subscription's worker, or NULL; any lock mode. */
extern SiWorkerSlot *si_slots_find_worker(Oid database, int32 subscription, int number);

/*
 * A place for the watermarks of a partition (exclusive); NULL if all are
 * taken, and the watermarks are unknown then.
 */
extern SiPartitionSlot *si_slots_make_partition(Oid database, int32 subscription,
												int32 partition, int worker);
extern SiPartitionSlot *si_slots_find_partition(Oid database, int32 subscription, int32 partition);

/* A partition's watermarks, and when they were asked for. */
typedef struct SiWatermarks
{
	TimestampTz asked_at;
	int64		low;
	int64		high;
} SiWatermarks;

/*
 * Read them, the caller holding the lock in any mode.  A thread of the worker
 * writes them without that lock (SiWatermarkSink), the time last; so the high one
 * is of that time or later, never older, and the low one not more than a period
 * older.  Nothing else may read these fields (test/lint.sh).
 */
extern SiWatermarks si_slots_watermarks(SiPartitionSlot *slot);

/*
 * Are watermarks that were asked for then still worth showing?  A number that
 * was true once looks like one that is.
 */
extern bool si_slots_watermarks_fresh(TimestampTz asked_at, TimestampTz now);

/* Free those of a worker that ends (exclusive). */
extern void si_slots_free_partitions(int worker);

/*
 * The condition variable that a subscription's workers broadcast when they have
 * committed a batch.  Subscriptions share it, so a session that wakes up has to
 * check what it waits for.  The lock need not be held.
 */
extern ConditionVariable *si_slots_bell(Oid database, int32 subscription);

/*
 * Ask for a scan of a database, or of all with InvalidOid, and wake the launcher.  Takes
 * the lock.
 */
extern void si_slots_request_scan(Oid database);

/* Wake a process by its pid; nothing happens if it is gone. */
extern void si_slots_wake(int pid);

extern const char *si_slots_state_name(SiState state);

#endif							/* SI_SLOTS_H */
