/*-------------------------------------------------------------------------
 *
 * dead_letter.h
 *	  Messages that could not be applied, kept whole with the reason.
 *
 * The only door to the tables dead_letter and count_changes.  A dead letter is
 * unique by subscription, topic, partition and offset: meeting its message
 * again raises its attempts, applying it takes it away.  Payloads go in by an
 * ephemeral relation and never as a statement's parameter, which logging would
 * show.
 *
 * Called by ingest and by the functions that retry and discard.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DEAD_LETTER_H
#define SI_DEAD_LETTER_H

#include "datatype/timestamp.h"
#include "common/failure.h"
#include "common/message.h"

/* A message's place. */
typedef struct SiPlace
{
	int32		partition;
	int64		offset;
} SiPlace;

/* What is to be stored of one message. */
typedef struct SiDeadLetter
{
	const SiMessage *message;
	const SiFailure *failure;
	TimestampTz retry_at;		/* 0: nobody tries it again by itself */
} SiDeadLetter;

/* Store, or store again with the new reason and one attempt more. */
extern void si_dead_letter_store(int32 subscription, const char *topic,
								 const SiDeadLetter *letters, int n);

/*
 * Which offsets of a partition, from the given one to that, are dead letters:
 * sorted, palloc'd, *n of them.
 */
extern int64 *si_dead_letter_known(int32 subscription, const char *topic, int32 partition,
								   int64 from, int64 to, int *n);

/* Take dead letters away; returns how many there were. */
extern uint64 si_dead_letter_remove(int32 subscription, const char *topic,
									const SiPlace *places, int n);

/*
 * Lock and read dead letters behind a place, in the order of partitions and
 * offsets: at most max of them, and fewer if they are large.  partition < 0: of all; offsets are from
 * inclusive, to exclusive; due: only those that are to be tried again by now.
 * In the current memory context; *n tells how many.  attempts may be NULL.
 */
typedef struct SiDeadLetterFilter
{
	int32		subscription;
	const char *topic;
	int32		partition;
	int64		from;
	int64		to;
	bool		due;
} SiDeadLetterFilter;

extern SiMessage *si_dead_letter_read(const SiDeadLetterFilter *filter, const SiPlace *after,
									  int max, int *n, int **attempts);

/* Delete those that the filter tells; returns how many. */
extern uint64 si_dead_letter_discard(const SiDeadLetterFilter *filter);

/* Delete all of a subscription; returns how many. */
extern uint64 si_dead_letter_delete_all(int32 subscription);

/* When the next one is due to be tried again by itself; 0 if none is. */
extern TimestampTz si_dead_letter_next_retry(int32 subscription);

/*
 * Changes of a subscription's counts by somebody who must not write progress,
 * because a worker may be running.  The views add them; the worker folds them
 * into progress (si_progress_fold).
 */
typedef struct SiCountChange
{
	int64		applied;
	int64		inserted;
	int64		updated;
	int64		deleted;
	int64		superseded;
	int64		ignored;
	int64		dead_letters;
} SiCountChange;

extern void si_dead_letter_change_counts(int32 subscription, const SiCountChange *change);

/*
 * The change that makes all counts zero but the dead letters that lie there
 * (and the messages that they are).
 */
extern void si_dead_letter_reset_counts(int32 subscription);

#endif							/* SI_DEAD_LETTER_H */
