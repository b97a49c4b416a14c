/*-------------------------------------------------------------------------
 *
 * nearest.h
 *	  The name that a user may have meant.
 *
 * Called by options and apply, for hints.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_NEAREST_H
#define SI_NEAREST_H

/*
 * The candidate with the smallest edit distance to name, or NULL if none is
 * near.
 */
extern const char *si_nearest_name(const char *name, const char *const *candidates, int n);

#endif							/* SI_NEAREST_H */
