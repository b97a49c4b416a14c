/*-------------------------------------------------------------------------
 *
 * write.h
 *	  Writing the rows of a batch, all but those at fault.
 *
 * Called by apply.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_WRITE_H
#define SI_WRITE_H

#include "apply/batch.h"
#include "apply/plan.h"

/*
 * Write batch->rows, with the failures of those refused set in their entries,
 * and add up batch->counts.  Sets batch->done: how many entries are dealt with.
 * Throws temporary errors, and what the statement throws over no rows: that is
 * the plan's fault.
 */
extern void si_write_batch(SiPlan *plan, SiBatch *batch);

/* SET CONSTRAINTS ALL, deferred or immediate. */
extern void si_write_set_constraints(bool deferred);

#endif							/* SI_WRITE_H */
