/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  Dead letters, tried again.
 *
 * Called by the SQL function, and by the worker for orphans (fk_retries).
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
 * Apply the dead letters that the filter tells in the current transaction, in
 * the order of partitions and offsets.  Those applied are gone, the others
 * have the new reason.  Returns how many were applied.
 */
extern int64 si_retry_dead_letters(const SiSubscription *subscription,
								   const SiOptions *options,
								   const SiDeadLetterFilter *filter);

#endif							/* SI_RETRY_H */
