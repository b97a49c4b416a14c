/*-------------------------------------------------------------------------
 *
 * turn.h
 *	  When the launcher takes its next turn.
 *
 * Called by the launcher and its parts.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TURN_H
#define SI_TURN_H

#include "datatype/timestamp.h"

/* Begin a turn: the next one comes this many milliseconds from now at the latest. */
extern void si_turn_begin(int milliseconds);

/* Have the next turn come no later than that. */
extern void si_turn_no_later(TimestampTz at);
extern void si_turn_within(int milliseconds);

/* Milliseconds until the next turn. */
extern long si_turn_wait_ms(void);

#endif							/* SI_TURN_H */
