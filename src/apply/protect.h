/*-------------------------------------------------------------------------
 *
 * protect.h
 *	  Running a user's code: in a subtransaction, as the batch's identity.
 *
 * Triggers, constraints, domains and input functions are a user's code.  What
 * they throw becomes a value, and what they did is rolled back.
 *
 * Called by convert_batch, write and apply.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTECT_H
#define SI_PROTECT_H

#include "apply/plan.h"
#include "common/failure.h"

typedef void (*SiProtectedWork) (SiPlan *plan, void *arg);

/*
 * Run work in a subtransaction, as the plan's identity and with its settings.
 * Returns NULL, or why it failed, in the batch context, after the
 * subtransaction was rolled back.  Temporary errors are thrown: they concern the
 * whole batch.
 */
extern SiFailure *si_protect_run(SiPlan *plan, SiProtectedWork work, void *arg);

/* The same, but what the work did is rolled back also when it succeeds. */
extern SiFailure *si_protect_probe(SiPlan *plan, SiProtectedWork work, void *arg);

#endif							/* SI_PROTECT_H */
