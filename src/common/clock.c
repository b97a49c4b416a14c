/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  The time by which processes wait for each other and for themselves.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "utils/timestamp.h"

#include "common/clock.h"

/* What the clock adds to the monotonic one, which all processes share. */
static TimestampTz origin = 0;

static int64
monotonic_usecs(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

void
si_clock_init(void)
{
	origin = GetCurrentTimestamp() - monotonic_usecs();
}

TimestampTz
si_clock_now(void)
{
	return origin + monotonic_usecs();
}

TimestampTz
si_clock_to_wall(TimestampTz at)
{
	return at == 0 ? 0 : GetCurrentTimestamp() + (at - si_clock_now());
}

TimestampTz
si_clock_from_wall(TimestampTz at)
{
	return at == 0 ? 0 : si_clock_now() + (at - GetCurrentTimestamp());
}
