/*-------------------------------------------------------------------------
 *
 * ingest.h
 *	  One batch, one transaction: decode, convert, write, progress.
 *
 * A plan (SiIngest) holds what is the same for every batch of a subscription:
 * mapping, decoder, converter, statement.  It notices when its target changes
 * and is made anew then, under a lock on the target, so that an old plan never
 * meets a new table.
 *
 * Called by the worker.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INGEST_H
#define SI_INGEST_H

#include "catalog.h"
#include "failure.h"
#include "progress.h"

typedef struct SiIngest SiIngest;

/* The messages of a batch, and the rows of progress of their partitions. */
typedef struct SiBatchRequest
{
	const SiMessage *messages;	/* in the order in which they came; of each
								 * partition in offset order, none below its
								 * next offset */
	int			nmessages;
	SiProgress **rows;			/* in partition order */
	int			nrows;
	int64	   *ends;			/* per row: where the partition ends, when
								 * that was seen behind the messages; else -1 */
} SiBatchRequest;

typedef enum SiBatchEnd
{
	SI_BATCH_DONE,				/* all messages are dealt with */
	SI_BATCH_FENCED,			/* nothing done: the subscription has changed,
								 * or is about to */
	SI_BATCH_STOPPED			/* dealt with up to the message at fault */
} SiBatchEnd;

typedef struct SiBatchResult
{
	SiBatchEnd	end;
	int			done;			/* messages dealt with, from the first on */
	SiFailure  *failure;		/* STOPPED: what is wrong with the next one;
								 * valid until the next batch */
} SiBatchResult;

/*
 * Prepare for a subscription, in a context below the current one.  Does not
 * touch the database; the plan is made in the first batch.
 */
extern SiIngest *si_ingest_create(const SiSubscription *subscription,
								  const SiOptions *options);

/*
 * Everything that can be checked before the first message comes: target,
 * mapping, statement and privileges.  In the caller's transaction; throws
 * what is wrong.
 */
extern void si_ingest_check(SiIngest *ingest);

/*
 * Was it the plan (and no message) that the last error came from?  Then its
 * text quotes no payload.
 */
extern bool si_ingest_plan_failed(const SiIngest *ingest);

/* Does the plan need the messages' headers?  Valid after a check or batch. */
extern bool si_ingest_wants_headers(const SiIngest *ingest);

/*
 * Apply one batch in a transaction of its own and commit it; on success the
 * rows of progress are brought up to date.  Throws passing errors, and what
 * makes the plan itself impossible; the caller then aborts the transaction,
 * and nothing has happened.
 */
extern void si_ingest_batch(SiIngest *ingest, const SiProgressKey *key,
							SiBatchRequest *request, SiBatchResult *result);
extern void si_ingest_destroy(SiIngest *ingest);

#endif							/* SI_INGEST_H */
