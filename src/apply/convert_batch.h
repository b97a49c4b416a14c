/*-------------------------------------------------------------------------
 *
 * convert_batch.h
 *	  Converting a batch: messages become rows.
 *
 * Called by apply.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONVERT_BATCH_H
#define SI_CONVERT_BATCH_H

#include "apply/batch.h"
#include "apply/plan.h"

/*
 * Convert batch->reach messages into batch->rows; those that cannot be
 * converted have their failure set.  Where what comes behind a message is left
 * to another batch, batch->reach is lowered.  Throws temporary errors.
 */
extern void si_convert_batch(SiPlan *plan, SiBatch *batch);

/* Would a thread decode n messages ahead? */
extern bool si_convert_is_ahead(const SiPlan *plan, int n);

/*
 * The batch's messages may be released after this: the thread is at most at those
 * behind them.
 */
extern void si_convert_let_release(SiPlan *plan, const SiBatch *batch);

#endif							/* SI_CONVERT_BATCH_H */
