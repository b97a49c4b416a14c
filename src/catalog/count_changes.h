/*-------------------------------------------------------------------------
 *
 * count_changes.h
 *	  Changes of a subscription's counts beside its progress.
 *
 * The only door to the table count_changes.  A session that must not write
 * progress, because a worker may be running, adds its changes here.  The views
 * add them up; the worker folds them into progress (si_progress_fold).
 *
 * Called by apply (retry) and by the functions that change subscriptions and
 * discard dead letters.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_COUNT_CHANGES_H
#define SI_COUNT_CHANGES_H

#include "catalog/counts.h"

extern void si_count_changes_add(int32 subscription, const SiCounts *change);

/*
 * Add the change that makes all counts zero except those of the dead letters
 * that are stored, and of the messages that they are.
 */
extern void si_count_changes_reset(int32 subscription);

/* The same where progress, with its counts, is deleted. */
extern void si_count_changes_begin(int32 subscription);

/* Delete all of a subscription. */
extern void si_count_changes_delete(int32 subscription);

#endif							/* SI_COUNT_CHANGES_H */
