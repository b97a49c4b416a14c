/*-------------------------------------------------------------------------
 *
 * subscriptions.h
 *	  Subscriptions as stored.
 *
 * The only door to the tables subscription and gap, but that unlogged.c records
 * what a crash has emptied as a gap.  Every change that a user makes raises the
 * subscription's epoch, and that of its progress rows, in the same transaction:
 * the fence (see progress.h).  Rows are locked in one order everywhere, the
 * subscription's before those of progress.
 *
 * A subscription's row is locked FOR UPDATE by a change, FOR NO KEY UPDATE by
 * a worker that makes or moves rows of progress, stops the subscription or adds
 * columns, and FOR KEY SHARE by what works with its dead letters: the last two do
 * not wait for each other, and a change waits for both.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SUBSCRIPTIONS_H
#define SI_SUBSCRIPTIONS_H

#include "catalog/subscription_data.h"
#include "nodes/pg_list.h"
#include "options/options.h"

/* OID of the extension in this database, InvalidOid if it is not there. */
extern Oid	si_catalog_extension(void);

/*
 * The same, and keep it from being dropped until the transaction ends, unless
 * another session has it locked: this never waits.
 */
extern Oid	si_catalog_lock_extension(void);

/* Throw an error if what is stored of a subscription is damaged. */
extern void si_catalog_check_damage(const SiSubscription *subscription);

/* One subscription, in the current memory context; NULL if there is none. */
extern SiSubscription *si_catalog_get(int32 id);

/*
 * The same by name.  lock: lock its row until the transaction ends, as a
 * change needs.
 */
extern SiSubscription *si_catalog_find(const char *name, bool lock);

/* All of this database, a List of SiSubscription. */
extern List *si_catalog_list(void);

/* How many of these belong to a role. */
extern int64 si_catalog_count(Oid owner);

/* Store a new one; sets its id.  Error 42710 if the name is taken. */
extern void si_catalog_insert(SiSubscription *subscription);

/*
 * Store what was changed of a locked one, raising the epoch here and in
 * progress: waits for the running batch, fences the next one.
 */
extern void si_catalog_update(SiSubscription *subscription);

/*
 * Delete one with all that belongs to it (what it has published to Kafka, once
 * that is committed); returns the number of its gaps, and of its dead letters.
 */
extern uint64 si_catalog_delete(int32 id, uint64 *dead_letters);

/*
 * Stop a subscription until it is enabled, if it still has this epoch.
 * state is "stopped" or "finished"; sqlstate may be NULL.
 */
extern bool si_catalog_stop(int32 id, int64 epoch, const char *state,
							const char *reason, const char *sqlstate);

/*
 * Lock a subscription's row against changes until the transaction ends, if it
 * still has this epoch; else NULL.  A worker needs this before it makes progress
 * rows, and goes by what is returned: what the first contact writes (see
 * si_catalog_set_first_partitions) does not raise the epoch.
 */
extern SiSubscription *si_catalog_hold(int32 id, int64 epoch);

/*
 * Lock a subscription's row against changes alone, if it still has this epoch.
 * With wait, wait for a change that is under way; without, false then too.
 */
extern bool si_catalog_share(int32 id, int64 epoch, bool wait);

/* Remember how many partitions there were at first contact. */
extern void si_catalog_set_first_partitions(int32 id, int partitions);

/* Remember when it was asked where this run ends. */
extern void si_catalog_set_run_since(int32 id, TimestampTz since);

/* Counting begins again now. */
extern void si_catalog_set_counts_since(int32 id);

/*
 * Store the names that the owners have now.  A dump is restored by them: a former name may
 * be another role's there.
 */
extern void si_catalog_follow_owner_names(void);

/*
 * Count columns that a subscription's schemas add to its target; returns how many they
 * are since it was enabled, or -1 if the subscription does not have this epoch, has
 * stopped, or is being changed: this never waits.
 */
extern int	si_catalog_add_columns(int32 id, int64 epoch, int n);

/* It was enabled: they are counted from none on. */
extern void si_catalog_forget_columns(int32 id);

/* The qualified name of a target, quoted; NULL if there is none of that OID. */
extern char *si_catalog_target_name(Oid target);

/*
 * Store the name that the target of a subscription has now: where the database is
 * restored or copied, the name counts.
 */
extern void si_catalog_follow_target_name(int32 id, Oid target, const char *name);

/* Record a range of offsets that was passed over; to < 0: not known. */
extern void si_catalog_add_gap(int32 id, const char *topic, int32 partition,
							   int64 from, int64 to, const char *reason);

#endif							/* SI_SUBSCRIPTIONS_H */
