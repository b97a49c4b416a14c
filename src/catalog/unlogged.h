/*-------------------------------------------------------------------------
 *
 * unlogged.h
 *	  What a crash takes from targets that are unlogged.
 *
 * A crash empties unlogged tables, while the offsets of what was in them stay.
 * The table crash_marker is unlogged, too: when the row of a subscription is
 * gone from it, all other unlogged tables have been emptied as well, and what
 * the target had is recorded in gaps.
 *
 * Called by position, and where a subscription is at home again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_UNLOGGED_H
#define SI_UNLOGGED_H

#include "catalog/subscriptions.h"

/*
 * Has the server crashed since the subscription was last at work?  If so and
 * its target is unlogged, record what it had in gaps.  Its row must be locked
 * (si_catalog_hold); to be called before its progress is loaded.
 */
extern void si_unlogged_check(const SiSubscription *subscription);

/* Whatever was before, the target has the rows that it should have. */
extern void si_unlogged_mark(int32 subscription);

#endif							/* SI_UNLOGGED_H */
