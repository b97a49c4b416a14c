/*-------------------------------------------------------------------------
 *
 * worker_limits.c
 *	  The limits that keep a broken table from turning a topic into dead letters.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "process/worker_internal.h"

/* A reject limit in percent is of this many messages. */
#define REJECT_WINDOW		10000

/* A message cannot be applied, and the subscription says to stop there. */
void
si_worker_stop_at_message(SiWorker *worker, const SiFailure *failure)
{
	char	   *reason = si_failure_describe(failure, worker->subscription->topic,
											 &worker->intake.entries[worker->intake.first].message);

	si_worker_set_error(failure->sqlerrcode, reason);
	si_worker_stop_subscription(worker, SI_STATE_STOPPED, si_reason(SI_REASON_BAD_MESSAGE, reason),
								unpack_sql_state(failure->sqlerrcode));
}

/*
 * Count refusals in a row per partition.  Returns the partition whose run has
 * reached the breaker, with the failure that did it, or NULL.
 */
static SiPartition *
count_runs(SiWorker *worker, const SiBatch *batch, int *at)
{
	int			breaker = worker->options->breaker;
	SiPartition *partition = NULL;

	for (int i = 0; i < batch->done; i++)
	{
		const SiMessage *message = &batch->entries[i].message;

		if (partition == NULL || partition->progress.partition != message->partition)
			partition = si_worker_find_partition(worker, message->partition);
		partition->refused = (batch->entries[i].failure != NULL) ? partition->refused + 1 : 0;
		*at = i;
		if (breaker > 0 && partition->refused >= breaker)
			return partition;
	}
	return NULL;
}

/*
 * Count messages refused for the first time.  Returns the most that there were
 * at any time among the last REJECT_WINDOW messages or so.
 */
static int
count_window(SiRejects *rejects, const SiBatch *batch)
{
	int			total = 0,
				most = 0;

	for (int i = 0; i < SI_REJECT_WINDOW_PARTS; i++)
		total += rejects->refused[i];
	for (int i = 0; i < batch->done; i++)
	{
		if (rejects->messages++ == REJECT_WINDOW / SI_REJECT_WINDOW_PARTS)
		{
			rejects->messages = 1;
			rejects->part = (rejects->part + 1) % SI_REJECT_WINDOW_PARTS;
			total -= rejects->refused[rejects->part];
			rejects->refused[rejects->part] = 0;
		}
		if (batch->entries[i].failure == NULL || batch->entries[i].already_dead)
			continue;
		rejects->refused[rejects->part]++;
		total++;
		most = Max(most, total);
	}
	return most;
}

/* Has the reject limit been reached?  Then *why says how. */
static bool
limit_reached(SiWorker *worker, const SiBatch *batch, char **why)
{
	const SiRejectLimit *limit = &worker->options->reject_limit;
	int			recent = count_window(&worker->rejects, batch);

	if (limit->count > 0 && batch->rejected >= limit->count)
	{
		*why = psprintf(INT64_FORMAT " dead letters since the subscription was enabled",
						batch->rejected);
		return true;
	}
	if (limit->percent > 0 && recent >= limit->percent * REJECT_WINDOW / 100)
	{
		*why = psprintf("%d dead letters among the last %d messages", recent, REJECT_WINDOW);
		return true;
	}
	return false;
}

/*
 * The limits that keep a broken table from turning a topic into dead letters.
 * What is refused is stored already; here it is decided whether to continue.
 */
void
si_worker_check_limits(SiWorker *worker, const SiBatch *batch)
{
	int			at = 0;
	SiPartition *partition = count_runs(worker, batch, &at);
	char	   *why = NULL;
	const SiFailure *failure;

	if (worker->options->on_error != SI_ON_ERROR_DEAD_LETTER)
		return;
	if (partition != NULL)
	{
		failure = batch->entries[at].failure;
		why = si_reason(SI_REASON_BREAKER, partition->refused,
						si_failure_describe(failure, worker->subscription->topic,
											&batch->entries[at].message));
		si_worker_stop_subscription(worker, SI_STATE_STOPPED, why, unpack_sql_state(failure->sqlerrcode));
	}
	if (limit_reached(worker, batch, &why))
		si_worker_stop_subscription(worker, SI_STATE_STOPPED, si_reason(SI_REASON_REJECT_LIMIT, why), NULL);
	if (batch->refused > 0 && worker->options->fk_retries > 0)
		worker->next_orphans = TimestampTzPlusMilliseconds(si_clock_now(),
														   SI_RETRY_MIN_MS);
}
