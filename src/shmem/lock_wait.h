/*-------------------------------------------------------------------------
 *
 * lock_wait.h
 *	  For which lock a process waits, and which processes hold it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_LOCK_WAIT_H
#define SI_LOCK_WAIT_H

#include "storage/lockdefs.h"

/*
 * What a process of this database waits for that other sessions have to do,
 * in a sentence (palloc'd); NULL if it does not wait for such a thing.  Costs
 * next to nothing if it does not.
 */
extern char *si_lock_wait_describe(int pid);

/*
 * Which processes hold a lock on a relation that keeps another one from being granted
 * to us, as part of a sentence (palloc'd); NULL if there are none now.  In a
 * transaction.
 */
extern char *si_lock_wait_holders(Oid relation, LOCKMODE mode);

#endif							/* SI_LOCK_WAIT_H */
