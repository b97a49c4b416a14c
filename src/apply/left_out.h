/*-------------------------------------------------------------------------
 *
 * left_out.h
 *	  Rows that a write by the direct path leaves out, since they fail a NOT NULL
 *	  or CHECK constraint.
 *
 * Such a row fails alone as among others, so the rest of the write need not be
 * undone for it, where no one can see the difference: that is, where no trigger
 * runs for the rows of a write together, and where what was evaluated for the row
 * has no effect that would have to be undone.
 *
 * Called by direct.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_LEFT_OUT_H
#define SI_LEFT_OUT_H

#include "nodes/execnodes.h"

typedef struct SiLeftOut
{
	MemoryContext context;		/* of the batch */
	ErrorData **errors;			/* by row of the batch: why the last write
								 * that had the row left it out, or NULL */
	int			most;			/* rows in a row that this write may leave out */
	Oid			relation;		/* the last one whose constraints were looked
								 * at */
	bool		harmless;		/* they have no effect, and depend on the row
								 * alone */
} SiLeftOut;

/* No row of a batch is left out yet; in the current memory context. */
extern void si_left_out_begin(SiLeftOut *left_out, int capacity);

/* A write of n rows begins. */
extern void si_left_out_begin_write(SiLeftOut *left_out, int from, int n, int most);

/* Could rows of this table be left out without a difference, as to its triggers? */
extern bool si_left_out_possible(const ResultRelInfo *relation);

/*
 * Check the constraints of a row, as ExecConstraints does; true if it fails them and
 * is left out.
 */
extern bool si_left_out_check(SiLeftOut *left_out, ResultRelInfo *relation,
							  TupleTableSlot *slot, EState *estate, int row);

/*
 * A write of n rows was done: throw the error of the first row that is one too
 * many, with *at set to it.
 */
extern void si_left_out_end_write(const SiLeftOut *left_out, int from, int n, int *at);

#endif							/* SI_LEFT_OUT_H */
