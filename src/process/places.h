/*-------------------------------------------------------------------------
 *
 * places.h
 *	  How many workers each subscription may have.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PLACES_H
#define SI_PLACES_H

/*
 * Set "granted" of all subscriptions, from what they want and what runs (lock
 * held, exclusive).  Called by the launcher in each of its turns; the same
 * demand gives the same answer again.
 */
extern void si_places_allot(void);

#endif							/* SI_PLACES_H */
