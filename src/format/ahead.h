/*-------------------------------------------------------------------------
 *
 * ahead.h
 *	  A thread that decodes messages while the main thread is at others.
 *
 * A job is a run of messages: those of the next batch, while the main thread
 * writes this one, or those of this batch.  The main thread takes them from the
 * first one on, the thread from the last one on, some at a time.  What the thread
 * has not finished when the main thread comes to it, the main thread decodes
 * itself: so it never waits, except in si_ahead_end for at most one message, and a
 * thread that gets no processor costs nothing.  Decoding has no effect but its
 * result; so it makes no difference which of the two has decoded a message.
 *
 * The thread lives as long as the SiAhead and sleeps between jobs.  It calls no
 * function of the server, and all signals are blocked in it.
 *
 * Called by the main thread: plan and convert_batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AHEAD_H
#define SI_AHEAD_H

#include "format/decoder.h"

typedef struct SiAhead SiAhead;

/*
 * Convert what can be converted of a decoded record, in the thread: no function
 * of the server; memory comes from the arena.
 */
typedef void (*SiAheadConvert) (const void *arg, SiRecord *record, SiArena *arena);

/*
 * What a job is given.  The messages are copied, but what they point to must outlive
 * the job, as must the rest.
 */
typedef struct SiAheadJob
{
	const SiMessage *first;
	size_t		stride;			/* from one message to the next, in bytes */
	int			n;
	size_t		most;			/* larger messages are left to the main thread */
	size_t		most_decoded;	/* the job ends where all that was decoded is
								 * larger */
	SiDecoder  *decoder;		/* the thread's alone */
	SiAheadConvert convert;		/* or NULL */
	const void *arg;			/* of convert */
} SiAheadJob;

/* Fewer messages are decoded before a thread has woken up. */
#define SI_AHEAD_WORTH	512

/* NULL when out of memory.  The thread starts with the first job. */
extern SiAhead *si_ahead_create(void);

/*
 * Begin a job; the one before has ended.  False, and nothing has begun, if there
 * is no thread or no memory.
 */
extern bool si_ahead_begin(SiAhead *ahead, const SiAheadJob *job);

/* How many messages the job has if this is its first one; 0 also if there is no job. */
extern int	si_ahead_begins_with(const SiAhead *ahead, const SiMessage *message);

/*
 * The record of a message, the i-th from the job's first one on, valid until the
 * job ends.  NULL: the main thread has to decode it, as it has to where the
 * message is bad, a tombstone or too large.  Also while there is no job.
 */
extern const SiRecord *si_ahead_take(SiAhead *ahead, int i, const SiMessage *message);

/* End the job, if there is one: the thread reads and writes nothing of it any more. */
extern void si_ahead_end(SiAhead *ahead);

/* End the job and the thread.  NULL is no error. */
extern void si_ahead_destroy(SiAhead *ahead);

#endif							/* SI_AHEAD_H */
