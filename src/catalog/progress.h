/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  The next offset of each partition, exact counts, and the fence.
 *
 * A batch first locks the rows of its partitions, with epoch and next offset
 * as expected, and at its end advances them by compare-and-set.  A miss means
 * that another session owns or moved the partition, or is about to: the caller
 * rolls back and reads again.  A session that changes a subscription raises the
 * epoch in all of its rows, and so waits for the running batch and fences the
 * next one.
 *
 * Rows are found by ctid: under an old snapshot an update by key would walk
 * all the dead versions of the row.  Their key is compared all the same.
 *
 * Called by apply and worker, the fence by catalog.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROGRESS_H
#define SI_PROGRESS_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "catalog/counts.h"

/* Whose rows. */
typedef struct SiProgressKey
{
	int32		subscription;
	const char *topic;
	int64		epoch;
} SiProgressKey;

/* A row, as it was when last read or written. */
typedef struct SiProgress
{
	int32		partition;
	ItemPointerData row;
	int64		next_offset;
	int32		leader_epoch;	/* of the last message applied, -1 unknown */
	int64		last_dead_letter;	/* offset; -1 if there is none */
	char	   *cluster_id;		/* the log that the offset belongs to; empty
								 * if */
	char	   *topic_id;		/* it is not known */
	int64		stop_offset;	/* where this run ends, -1 if that is not
								 * known or it does not end */
	char	   *seek_position;	/* a seek to be carried out, or NULL */
	int64	   *skips;			/* offsets to be skipped, ascending, none
								 * below */
	int			nskips;			/* the next offset as it was when read */
} SiProgress;

/* What a batch adds to a row. */
typedef struct SiAdvance
{
	int64		next_offset;
	int32		leader_epoch;
	SiCounts	counts;
	int64		rejected;		/* dead letters, whatever becomes of them
								 * later */
	TimestampTz last_message_at;	/* 0: as it is */
	ItemPointerData row;		/* out: where the row is after the commit */
} SiAdvance;

/* Is the table such that a crash keeps it?  Error 55000 if not. */
extern void si_progress_check_table(void);

/* All rows of a subscription's topic by partition; palloc'd, *n of them. */
extern SiProgress *si_progress_load(int32 subscription, const char *topic, int *n);

/*
 * Lock rows (in partition order, as the array must be) and compare.  False if
 * one is not as expected.  A batch, which holds a lock on its target already,
 * must not wait here: a session that changes the subscription may want the target
 * next.  Then it also returns false when another session has a row locked.
 */
extern bool si_progress_lock(const SiProgressKey *key, SiProgress **rows, int n, bool wait);

/* Advance locked rows.  False if one was missed. */
extern bool si_progress_advance(const SiProgressKey *key, SiProgress **rows,
								SiAdvance *advances, int n);

/* One was missed, and nothing but a trigger or rule on the table can be why: throw that. */
extern void si_progress_throw_suppressed(void) __attribute__((noreturn));

/*
 * Make a row; one that is there already is left alone.  The subscription's
 * row must be locked (si_catalog_hold): nothing else keeps rows unique.
 */
extern void si_progress_insert(const SiProgressKey *key, int32 partition,
							   int64 next_offset, const char *cluster_id,
							   const char *topic_id);

/*
 * Move a locked row: another offset, the log that it belongs to, and no seek
 * pending; gap_messages is added to the count.  False if it was missed.
 */
extern bool si_progress_move(const SiProgressKey *key, const SiProgress *row,
							 int64 next_offset, int64 gap_messages,
							 const char *cluster_id, const char *topic_id);

/*
 * Store the ids of cluster and topic of a row that resumes, where it does not know
 * them and they are known (not empty) now.
 */
extern void si_progress_identify(const SiProgressKey *key, const SiProgress *row,
								 const char *cluster_id, const char *topic_id);

/*
 * Where the subscription's run ends in a partition.  As for si_progress_insert
 * the subscription's row must be locked.
 */
extern void si_progress_set_stop(const SiProgressKey *key, int32 partition,
								 int64 stop_offset);

/* A new run begins: where it ends must be asked again. */
extern void si_progress_forget_stops(int32 subscription);

/*
 * The target has no rows of this subscription: what a crash may take of it
 * begins at the next offset.  As for si_progress_fold ctids change.
 */
extern void si_progress_forget_first(int32 subscription);

/* Has the row come to where the run ends? */
extern bool si_progress_stopped(const SiProgress *row);

/* Record a seek; partition < 0 for all.  Returns the number of rows. */
extern uint64 si_progress_set_seek(int32 subscription, const char *topic,
								   int32 partition, const char *position);

/* Dead letters since they were last forgotten. */
extern int64 si_progress_rejected(int32 subscription);
extern void si_progress_forget_rejected(int32 subscription);

/*
 * Fold changes of counts made elsewhere into a row (any); its ctid changes, so
 * this comes before the rows are loaded.
 */
extern void si_progress_fold(int32 subscription);

/*
 * Record that a message is to be skipped.  False if its offset is behind the
 * partition already, or there is no such partition.
 */
extern bool si_progress_add_skip(int32 subscription, const char *topic, int32 partition,
								 int64 offset);

/* Is a seek or a skip still to be carried out? */
extern bool si_progress_pending(const SiProgress *row);

/* Raise the epoch in all rows: waits for the running batch. */
extern void si_progress_fence(int32 subscription, int64 epoch);
extern void si_progress_delete(int32 subscription);

#endif							/* SI_PROGRESS_H */
