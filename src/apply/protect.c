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

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "apply/protect.h"

/* What both functions do; keep: commit the subtransaction if work succeeds. */
static SiFailure *
run_protected(SiPlan *plan, SiProtectedWork work, void *arg, bool keep)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	SiFailure  *failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old_context);

	/* to isolate a message at fault, its error is needed as a value */
	PG_TRY();
	{
		SiSavedSession saved;

		si_session_begin_batch(&saved, &plan->identity, plan->settings,
							   plan->subscription->pinned);
		work(plan, arg);
		si_session_restore(&saved);
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(plan->batch_context);
		edata = CopyErrorData();
		FlushErrorState();

		/* also before a rethrow: the next to catch ends only its own one */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(plan->batch_context);
		CurrentResourceOwner = old_owner;
		if (si_failure_kind(edata->sqlerrcode) == SI_ERROR_PASSING)
			ReThrowError(edata);
		failure = si_failure_from_error(edata);
	}
	PG_END_TRY();

	MemoryContextSwitchTo(old_context);
	CurrentResourceOwner = old_owner;
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
