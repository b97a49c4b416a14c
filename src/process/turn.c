/*-------------------------------------------------------------------------
 *
 * turn.c
 *	  When the launcher takes its next turn.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "common/clock.h"
#include "process/turn.h"

static TimestampTz next_turn;

static TimestampTz
from_now(int milliseconds)
{
	return TimestampTzPlusMilliseconds(si_clock_now(), milliseconds);
}

void
si_turn_begin(int milliseconds)
{
	next_turn = from_now(milliseconds);
}

void
si_turn_no_later(TimestampTz at)
{
	next_turn = Min(next_turn, at);
}

void
si_turn_within(int milliseconds)
{
	si_turn_no_later(from_now(milliseconds));
}

long
si_turn_wait_ms(void)
{
	return TimestampDifferenceMilliseconds(si_clock_now(), next_turn);
}
