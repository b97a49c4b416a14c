/*-------------------------------------------------------------------------
 *
 * reduce.h
 *	  Rows that one key may have many of, put in an order in which set-based
 *	  statements give what applying them one by one would give.
 *
 * The result is a list of waves, each of deletes, writes and partial writes, in
 * which a key comes once (in upsert mode) and in the order of the key, so that
 * concurrent workers do not deadlock.  Of an upsert's records those are left
 * out that cannot matter any more:
 *
 *	- a write is superseded by the next one of its key that lacks no field that
 *	  it has (and whose version is not lower), and by any later delete;
 *	- a write with a lower version than the one before it is dropped, as the
 *	  statement would drop it.
 *
 * What is left of a key goes into consecutive waves.  In the other modes writes
 * are never left out; a wave ends for a key where deletes and writes change.
 * A record that lacks a field of the key, which may have a default, is a wave
 * of its own: its key is unknown before it is written.
 *
 * All that is so where the key alone decides whether a row is refused.  Where
 * another unique index does too, a row may be refused or not depending on what
 * rows of other keys have just become.  So nothing is left out there, and the
 * waves are runs of rows in the order of their messages.
 *
 * Called by writer and write.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REDUCE_H
#define SI_REDUCE_H

#include "apply/rows.h"
#include "apply/key.h"

typedef struct SiReducer SiReducer;

/* Rows by their numbers in the batch. */
typedef struct SiWave
{
	const int  *deletes;
	int			ndeletes;
	const int  *writes;			/* in upsert mode those that lack no field */
	int			nwrites;
	const int  *partials;		/* and those that do */
	int			npartials;
} SiWave;

typedef struct SiReduction
{
	SiWave	   *waves;
	int			nwaves;
	int			nsuperseded;
} SiReduction;

/* In the current memory context; what is given must outlive it. */
extern SiReducer *si_reduce_create(const SiMapping *mapping, const SiKey *key,
								   bool upsert, int version_column);

/*
 * Reduce n rows of a batch kept one by one, given by their numbers in the order
 * of their messages.  The result is in the current memory context.
 */
extern SiReduction *si_reduce_rows(SiReducer *reducer, const SiRows *rows,
								   const int *chosen, int n);

#endif							/* SI_REDUCE_H */
