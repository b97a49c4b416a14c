/*-------------------------------------------------------------------------
 *
 * arbiter.h
 *	  Whether ON CONFLICT can ask the indexes that it would ask.
 *
 * The server takes every index on the columns of a key, or without a key all that
 * can refuse a row, and finds only with a row that one of them is deferrable.
 *
 * Called by statement.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ARBITER_H
#define SI_ARBITER_H

#include "nodes/plannodes.h"

/*
 * Check the plan of a statement of this insert mode; NULL: nothing is known of it.
 * Error 42P10.
 */
extern void si_arbiter_check(const PlannedStmt *plan, const char *mode);

#endif							/* SI_ARBITER_H */
