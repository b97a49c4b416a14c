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
si_worker_allowed_messages(SiRate *rate, int rate_limit, int team)
{
	double		share = (double) rate_limit / team;
	TimestampTz now = si_clock_now();

	if (rate_limit == 0)
		return INT_MAX;
	rate->tokens += share * (now - rate->tokens_at) / USECS_PER_SEC;
	rate->tokens = Min(rate->tokens, Max(share, 1));
	rate->tokens_at = now;
	return Max((int) rate->tokens, 0);
}

void
si_worker_update_rate(SiRate *rate, int64 messages)
{
	TimestampTz now = si_clock_now();
	long		ms = TimestampDifferenceMilliseconds(rate->since, now);

	rate->messages += messages;
	if (ms < 1000)
		return;
	rate->per_second = rate->messages * 1000.0 / ms;
	rate->messages = 0;
	rate->since = now;
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->messages_per_second = rate->per_second;
	si_slots_worker(si_worker_my_slot)->rate_at = now;
	si_slots_unlock();
}
