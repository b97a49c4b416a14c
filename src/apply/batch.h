/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  The rows of a batch, and the relation "batch" that a statement reads
 *	  them from.
 *
 * Rows go into a tuplestore; any run of them can be offered as an ephemeral
 * named relation, so that a failing batch can be halved without converting
 * anything twice.  Where rows are chosen by key they are kept one by one
 * instead, and any selection of them can be offered.  Called by applier and
 * writer, inside a transaction.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BATCH_H
#define SI_BATCH_H

#include "apply/mapping.h"
#include "utils/tuplestore.h"

#define SI_BATCH_NAME "batch"

typedef struct SiBatch
{
	TupleDesc	desc;
	Tuplestorestate *rows;		/* NULL: they are kept one by one */
	int			nrows;
	Tuplestorestate *slice;		/* copy of a part, while one is offered */
	int			max_kilobytes;	/* of memory for a tuplestore */

	/* rows kept one by one, in this context */
	MemoryContext context;
	MinimalTuple *tuples;
	bool	   *deletes;		/* per row: it deletes (only its key counts) */
	int			nallocated;
} SiBatch;

/*
 * Row type of the batch relation: the mapping's columns under the names of the
 * target's, then the words with the absent bits, then the number of the row if
 * numbered.
 */
extern TupleDesc si_batch_desc(const SiMapping *mapping, bool numbered);

/* Name of the i-th word of absent bits; in the current context. */
extern char *si_batch_absent_name(int i);

/* Name of the column with the row's number. */
#define SI_BATCH_ROW	"_row"

/* An empty batch in the current memory context and transaction. */
extern SiBatch *si_batch_create(TupleDesc desc, int max_kilobytes);
extern SiBatch *si_batch_create_single(TupleDesc desc, int max_kilobytes);
extern void si_batch_put(SiBatch *batch, Datum *values, bool *nulls);

/* A row that deletes; for rows kept one by one. */
extern void si_batch_put_delete(SiBatch *batch, Datum *values, bool *nulls);

/*
 * Offer n rows from the given one on as "batch" to the statements of the
 * current SPI connection, until si_batch_withdraw or the connection's end.
 */
extern void si_batch_offer(SiBatch *batch, int from, int n);

/* The same with n chosen rows, in this order; for rows kept one by one. */
extern void si_batch_offer_rows(SiBatch *batch, const int *rows, int n);

/* The same with none, estimated as n rows: to prepare a statement. */
extern void si_batch_offer_none(SiBatch *batch, int n);
extern void si_batch_withdraw(SiBatch *batch);

/*
 * The row that the statement read last: its number within the run offered, or
 * in the batch where rows were chosen; -1 if it has read none or does not tell
 * (it does by calling stream_ingest.batch_row() for each row).
 */
extern int	si_batch_current_row(void);
extern void si_batch_note_row(void);

#endif							/* SI_BATCH_H */
