/*-------------------------------------------------------------------------
 *
 * applier.h
 *	  Messages applied within the current transaction: decode, convert, write.
 *
 * What a user wrote runs in subtransactions, as the identity that the
 * subscription gives.  A message that is at fault is refused and harms no other;
 * what concerns the whole batch (passing errors, and what makes the plan itself
 * impossible) is thrown, and the caller then aborts the transaction.
 *
 * Called by ingest, retry, preview, and what checks a subscription.  Before
 * messages are applied come si_applier_begin and si_applier_prepare; but
 * si_applier_apply_all does all by itself.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_APPLIER_H
#define SI_APPLIER_H

#include "catalog/subscriptions.h"
#include "common/failure.h"
#include "common/message.h"

typedef struct SiApplier SiApplier;

/*
 * What became of messages; the pointers are valid until the next batch.  All
 * that has an effect is a prefix of them.
 */
typedef struct SiOutcome
{
	int			done;			/* messages dealt with, from the first on */
	SiFailure **failures;		/* by message: why it was refused, or NULL */
	int			refused;		/* how many have one, among the first `done` */
	int64		applied;
	int64		inserted;
	int64		updated;
	int64		deleted;
	int64		superseded;
	int64		ignored;
} SiOutcome;

/*
 * Prepare for a subscription, in a context below the current one.  Does not
 * touch the database; the plan is made by si_applier_prepare.
 */
extern SiApplier *si_applier_create(const SiSubscription *subscription,
									const SiOptions *options);
extern void si_applier_destroy(SiApplier *applier);

/*
 * Forget the last batch, and what an error has left of it.  Returns the context
 * of the next one.
 */
extern MemoryContext si_applier_begin(SiApplier *applier);

/*
 * Lock the target until the transaction ends, and make the plan, or make it
 * anew, if need be.  So everything is checked that can be before the first
 * message comes: target, mapping, statement and privileges; throws what is
 * wrong.
 */
extern void si_applier_prepare(SiApplier *applier);

/*
 * Was it the plan (and no message) that the last error came from?  Then its
 * text quotes no payload.
 */
extern bool si_applier_plan_failed(const SiApplier *applier);

/* Does the plan need the messages' headers?  Valid once it is made. */
extern bool si_applier_wants_headers(const SiApplier *applier);

/*
 * The message that is being converted, or the first of those being written;
 * NULL where there is none.
 */
extern const SiMessage *si_applier_at(const SiApplier *applier);

/*
 * Apply messages, as many of them as a transaction of their own should;
 * stop_at_first: up to the first that is refused, which is not dealt with but
 * has its failure.  Leaves the batch's context as the current one.
 */
extern void si_applier_apply(SiApplier *applier, const SiMessage *messages, int n,
							 bool stop_at_first, SiOutcome *outcome);

/*
 * Refuse a message unseen: it was COMMIT that refused it, where nothing can be
 * isolated but by a transaction of its own, or somebody wants it skipped.
 */
extern void si_applier_refuse(SiApplier *applier, const SiMessage *message,
							  const SiFailure *refusal, SiOutcome *outcome);

/*
 * Apply messages in somebody else's transaction, each on its own merits: all of
 * them are dealt with.
 */
extern void si_applier_apply_all(SiApplier *applier, const SiMessage *messages, int n,
								 SiOutcome *outcome);

/*
 * What the messages of the last si_applier_apply_all have become, by message:
 * rows as jsonb (show.h) in the current memory context, 0 for none.  In the
 * (sub)transaction that applied them, and before anything else is done.
 */
extern void si_applier_show(SiApplier *applier, Datum *rows);

#endif							/* SI_APPLIER_H */
