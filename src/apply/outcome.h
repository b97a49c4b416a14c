/*-------------------------------------------------------------------------
 *
 * outcome.h
 *	  What follows from an applied batch: dead letters, counts, progress.
 *
 * Called by apply, in this order.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OUTCOME_H
#define SI_OUTCOME_H

#include "apply/batch.h"
#include "apply/plan.h"

/*
 * Before the batch is applied: mark the entries that are dead letters already,
 * which a seek has led back to.  False if another session is just discarding one
 * or trying it again, which is batch->awaited then: what that session did is to
 * count.
 */
extern bool si_outcome_mark_already_dead(const SiPlan *plan, SiBatch *batch);

/*
 * Store what was refused as on_error says, remove the dead letters that are now
 * settled, and count both.
 */
extern void si_outcome_store(const SiPlan *plan, SiBatch *batch, SiOnError on_error);

/*
 * Where the entries dealt with lead each row of progress, and the batch's
 * counts; by partition, in the current memory context.
 */
extern SiAdvance *si_outcome_advances(const SiBatch *batch);

/* After the commit: bring batch->progress up to date with what was written. */
extern void si_outcome_update_progress(SiBatch *batch, const SiAdvance *advances);

#endif							/* SI_OUTCOME_H */
