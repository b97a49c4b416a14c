/*-------------------------------------------------------------------------
 *
 * utility.h
 *	  The hooks by which commands of all sessions reach us.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_UTILITY_H
#define SI_UTILITY_H

/* Install the hooks; called by _PG_init while preloading. */
extern void si_utility_init(void);

#endif							/* SI_UTILITY_H */
