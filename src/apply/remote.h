/*-------------------------------------------------------------------------
 *
 * remote.h
 *	  Whether rows of a target are stored elsewhere.
 *
 * Called by apply, by process for the default of synchronous_commit, and by the
 * views, which show it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REMOTE_H
#define SI_REMOTE_H

/*
 * Is a target a foreign table, or a partitioned one with a foreign partition?  Then
 * rows are committed elsewhere before our offsets are, and a crash must not lose
 * these.  False for an invalid OID.
 */
extern bool si_target_is_remote(Oid target);

#endif							/* SI_REMOTE_H */
