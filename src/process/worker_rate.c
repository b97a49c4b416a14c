/*-------------------------------------------------------------------------
 *
 * worker_rate.c
 *	  How fast a worker is, and how fast it may be.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "process/worker_internal.h"

int
si_worker_allowed_messages(SiWorker *worker)
{
	double		share = (double) worker->options->rate_limit / worker->team;
	TimestampTz now = GetCurrentTimestamp();

	if (worker->options->rate_limit == 0)
		return INT_MAX;
	worker->rate.tokens += share * (now - worker->rate.tokens_at) / USECS_PER_SEC;
	worker->rate.tokens = Min(worker->rate.tokens, Max(share, 1));
	worker->rate.tokens_at = now;
	return Max((int) worker->rate.tokens, 0);
}

void
si_worker_update_rate(SiWorker *worker, int64 messages)
{
	TimestampTz now = GetCurrentTimestamp();
	long		ms = TimestampDifferenceMilliseconds(worker->rate.since, now);

	worker->rate.messages += messages;
	if (ms < 1000)
		return;
	worker->rate.per_second = worker->rate.messages * 1000.0 / ms;
	worker->rate.messages = 0;
	worker->rate.since = now;
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->messages_per_second = worker->rate.per_second;
	si_slots_worker(si_worker_my_slot)->rate_at = now;
	si_slots_unlock();
}
