/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  Trying dead letters again.
 *
 * What the stream has still to read again, after a backward seek, is left to
 * it.  Called by the SQL function, and by the worker for orphans (fk_retries).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_RETRY_H
#define SI_RETRY_H

#include "catalog/dead_letter.h"
#include "catalog/subscriptions.h"

/*
 * Apply the dead letters that the filter selects in the current transaction, in
 * the order of partitions and offsets, topic by topic.  Those applied are
 * removed, the others have the new reason.  Returns how many were applied.  The caller
 * holds the subscription (si_catalog_share), or what is applied may go by what
 * another session has changed meanwhile.
 */
extern int64 si_retry_dead_letters(const SiSubscription *subscription,
								   const SiOptions *options,
								   const SiDeadLetterFilter *filter);

/*
 * Apply the orphans whose time has come, in the current transaction.  False if
 * the subscription has changed, or is about to: the caller then rolls back.
 */
extern bool si_retry_orphans(const SiSubscription *subscription, const SiOptions *options);

#endif							/* SI_RETRY_H */
