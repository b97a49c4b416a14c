/*-------------------------------------------------------------------------
 *
 * worker_run.c
 *	  The end of a run, for the option stop_at.
 *
 * A worker that has reached the end in all its partitions waits for the others, and
 * the last one ends the run.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "catalog/event.h"
#include "catalog/session.h"
#include "catalog/transaction.h"
#include "process/worker_internal.h"

/* Has the run ended in all our partitions?  What was read may not count yet. */
static bool
has_arrived(const SiWorker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!si_progress_stopped(&worker->partitions[i].progress))
			return false;
	}
	return worker->options->nstops > 0;
}

/*
 * The run has ended in our partitions.  No offset can be published after the process
 * is gone, so that is done now; what is published must be durable before.
 */
static void
arrive(SiWorker *worker)
{
	worker->run.arrived = true;
	worker->run.arrived_at = si_clock_now();
	si_publisher_hurry(&worker->publisher);
	si_worker_publish_offsets(worker);
}

/* Is the run over in all partitions of the subscription? */
static bool
run_is_over(SiWorker *worker)
{
	SiProgress *rows;
	int			nrows;

	rows = si_progress_load(worker->subscription->id, worker->subscription->topic, &nrows);
	for (int i = 0; i < nrows; i++)
	{
		if (si_options_takes(worker->options, rows[i].partition) &&
			!si_progress_stopped(&rows[i]))
			return false;
	}
	return true;
}

/*
 * End the run if it is over everywhere, and leave.  The workers do that one
 * after the other, each after its last batch: the last one sees that all are
 * there, and no later one finds the subscription as it was.
 */
static void
end_run(SiWorker *worker)
{
	static const char *const reason =
		"stop_at reached in all partitions; enable the subscription for the next run";
	MemoryContext caller = si_transaction_begin();
	bool		ours,
				over,
				ended = false;

	ours = si_catalog_hold(worker->subscription->id, worker->key.epoch) != NULL;
	over = ours && run_is_over(worker);
	if (over)
		ended = si_catalog_stop(worker->subscription->id, worker->key.epoch,
								si_slots_state_name(SI_STATE_FINISHED), reason, NULL);
	if (ended)
	{
		si_event_announce(worker->subscription->id, SI_STATE_FINISHED);

		/* a crash must not take back what others build on */
		si_session_commit_durably(worker->options->synchronous_commit);
	}
	si_transaction_commit(caller);

	if (ended)
		si_worker_leave_stopped(worker, SI_STATE_FINISHED, reason);
	if (!ours || over)
		si_worker_leave(SI_SUCCESSOR_AT_ONCE);
	worker->run.checked = true;
	if (worker->npartitions > 0)
		si_worker_set_state(worker, SI_STATE_STREAMING,
							"the run has ended in the partitions of this worker, and continues in others");
}

void
si_worker_check_run(SiWorker *worker, long *wait_ms)
{
	Assert(CurrentMemoryContext == worker->scratch);
	*wait_ms = -1;
	if (worker->run.checked || !has_arrived(worker))
		return;
	if (!worker->run.arrived)
		arrive(worker);
	if (si_publisher_is_busy(&worker->publisher))
	{
		*wait_ms = SI_LAST_PUBLICATION_MS -
			TimestampDifferenceMilliseconds(worker->run.arrived_at, si_clock_now());
		if (*wait_ms > 0)
			return;
		*wait_ms = -1;
	}
	end_run(worker);
}
