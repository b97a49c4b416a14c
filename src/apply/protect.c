/*-------------------------------------------------------------------------
 *
 * protect.c
 *	  Running a user's code: in a subtransaction, as the batch's identity.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "apply/protect.h"
#include "common/subtransaction.h"

typedef struct Protected
{
	SiPlan	   *plan;
	SiProtectedWork work;
	void	   *arg;
} Protected;

/* The work of si_subtransaction_run. */
static void
run_as_identity(void *arg)
{
	Protected  *run = arg;
	SiPlan	   *plan = run->plan;
	SiSavedSession saved;

	si_session_begin_batch(&saved, &plan->identity, plan->settings,
						   plan->subscription->pinned);
	run->work(plan, run->arg);
	si_session_restore(&saved);
}

/* What both functions do; keep: commit the subtransaction if work succeeds. */
static SiFailure *
run_protected(SiPlan *plan, SiProtectedWork work, void *arg, bool keep)
{
	Protected	run = {plan, work, arg};
	ErrorData  *edata = si_subtransaction_run(run_as_identity, &run, keep);
	MemoryContext old_context;
	SiFailure  *failure;

	if (edata == NULL)
		return NULL;
	if (si_failure_kind(edata->sqlerrcode) == SI_ERROR_TEMPORARY)
		ReThrowError(edata);
	old_context = MemoryContextSwitchTo(plan->batch_context);
	failure = si_failure_from_error(edata);
	MemoryContextSwitchTo(old_context);
	FreeErrorData(edata);
	return failure;
}

SiFailure *
si_protect_run(SiPlan *plan, SiProtectedWork work, void *arg)
{
	return run_protected(plan, work, arg, true);
}

SiFailure *
si_protect_probe(SiPlan *plan, SiProtectedWork work, void *arg)
{
	return run_protected(plan, work, arg, false);
}
