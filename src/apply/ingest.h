/*-------------------------------------------------------------------------
 *
 * ingest.h
 *	  One batch, one transaction: apply its messages, dead letters, progress.
 *
 * An SiIngest holds what is the same for every batch of a subscription: what
 * applies messages (applier.h), with its plan.
 *
 * Called by the worker.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INGEST_H
#define SI_INGEST_H

#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "common/failure.h"
#include "kafka/consumer.h"

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
	SiConsumer *consumer;		/* whose messages they are, for their headers */
	int64	   *ends;			/* per row: where the partition ends, when
								 * that was seen behind the messages; else -1 */
	const SiFailure *refusal;	/* not NULL: the one message is refused for
								 * this, without being tried */
	bool		skip;			/* and goes to the dead letters, whatever
								 * on_error says: somebody wants it skipped */
} SiBatchRequest;

typedef enum SiBatchEnd
{
	SI_BATCH_DONE,				/* as many messages as `done` are dealt with;
								 * the others want another transaction */
	SI_BATCH_FENCED,			/* nothing done: the subscription has changed,
								 * or is about to */
	SI_BATCH_CHANGED_ITSELF,	/* nothing done: what the batch ran has
								 * disabled, altered, moved or dropped the
								 * batch's own subscription */
	SI_BATCH_STOPPED			/* dealt with up to the message at fault */
} SiBatchEnd;

/* What became of a batch; the pointers are valid until the next one. */
typedef struct SiBatchResult
{
	SiBatchEnd	end;
	int			done;			/* messages dealt with, from the first on */
	SiFailure **failures;		/* by message: why it was refused, or NULL */
	bool	   *met;			/* by message: was it a dead letter before? */
	int			dead_letters;	/* new ones among them */
	int64		rejected;		/* dead letters of the subscription since it
								 * was enabled, where there is a limit to them */
} SiBatchResult;

/*
 * Prepare for a subscription, in the current memory context.  Does not
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

/*
 * Was it the commit of a batch that the last error came from?  Then some
 * message is at fault, but nobody knows which.
 */
extern bool si_ingest_commit_failed(const SiIngest *ingest);

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
