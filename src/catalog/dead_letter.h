/*-------------------------------------------------------------------------
 *
 * dead_letter.h
 *	  Messages that could not be applied, kept whole with the reason.
 *
 * The only door to the table dead_letter.  A dead letter is unique by
 * subscription, topic, partition, offset and log: meeting its message again
 * raises its attempts, applying it takes it away.  When the subscription
 * leaves a log (another topic, server or cluster, or the topic was recreated),
 * its dead letters stay, but offsets do not mean them any more.  Payloads go in
 * by an ephemeral relation and never as a statement's parameter, which logging
 * would show.
 *
 * Called by apply and by the functions that retry and discard.
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
#include "nodes/pg_list.h"
#include "utils/array.h"

/* A dead letter's place within its topic. */
typedef struct SiPlace
{
	int32		partition;
	int64		offset;
	int64		former_log;		/* 0: of the log that is being read; else a
								 * number of its own */
} SiPlace;

/* What is to be stored of one message. */
typedef struct SiDeadLetter
{
	const SiMessage *message;
	const SiFailure *failure;
	int64		former_log;		/* as in SiPlace */
	TimestampTz retry_at;		/* 0: it is not retried automatically */
} SiDeadLetter;

/* Store, or store again with the new reason and one attempt more. */
extern void si_dead_letter_store(int32 subscription, const char *topic,
								 const SiDeadLetter *letters, int n);

/*
 * Which offsets of a partition, from the given one to that, are dead letters of
 * the log that is being read: sorted, palloc'd, *n of them.  They are locked,
 * since what a transaction that is still open is about to take away decides
 * how the message is counted.  But this does not wait: *others is the first that
 * another session has locked, or -1.
 */
extern int64 *si_dead_letter_known(int32 subscription, const char *topic, int32 partition,
								   int64 from, int64 to, int *n, int64 *others);

/* Wait until no other session has this one locked, then lock it, if it is there. */
extern void si_dead_letter_await(int32 subscription, const char *topic, const SiPlace *place);

/*
 * The headers that are stored as these arrays of bytea, in the current memory
 * context; *n of them.  Values point into the array.
 */
extern SiHeader *si_dead_letter_headers(ArrayType *names, ArrayType *values, int *n);

/* How many of these there are. */
extern uint64 si_dead_letter_count(int32 subscription, const char *topic,
								   const SiPlace *places, int n);

/* Take dead letters away; returns how many there were. */
extern uint64 si_dead_letter_remove(int32 subscription, const char *topic,
									const SiPlace *places, int n);

/*
 * Which dead letters.  topic NULL: of all; partition < 0: of all; offsets are
 * from inclusive, to exclusive; due: only those that are to be tried again by
 * now; those that another session has locked are not read then.
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

/* What was read of them, n of each. */
typedef struct SiLetters
{
	int			n;
	SiMessage  *messages;
	int64	   *former_logs;
	int		   *attempts;
} SiLetters;

/*
 * Lock and read dead letters of one topic behind a place, in the order of
 * partitions and offsets: at most max of them, and fewer if they are large.
 * Those that the stream is still to meet again, after a backward seek, are left
 * to it.  In the current memory context.
 */
extern void si_dead_letter_read(const SiDeadLetterFilter *filter, const SiPlace *after,
								int max, SiLetters *letters);

/* The topics of which a subscription has dead letters: a List of char *. */
extern List *si_dead_letter_topics(int32 subscription);

/* Delete those that the filter tells; returns how many. */
extern uint64 si_dead_letter_discard(const SiDeadLetterFilter *filter);

/* Delete all of a subscription; returns how many. */
extern uint64 si_dead_letter_delete_all(int32 subscription);

/*
 * The subscription leaves the log of a partition (< 0: of all): its dead
 * letters are no longer what is met at their offsets.
 */
extern void si_dead_letter_leave_log(int32 subscription, const char *topic, int32 partition);

/*
 * When the next one is due to be tried again by itself, of those that
 * si_dead_letter_read reads; 0 if none is.
 */
extern TimestampTz si_dead_letter_next_retry(int32 subscription);

#endif							/* SI_DEAD_LETTER_H */
