/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  The rows of a batch, and the relation "batch" that a statement reads
 *	  them from.
 *
 * Rows go into a tuplestore; any run of them can be offered as an ephemeral
 * named relation, so that a failing batch can be halved without converting
 * anything twice.  Called by ingest, inside a transaction.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BATCH_H
#define SI_BATCH_H

#include "mapping.h"
#include "utils/tuplestore.h"

#define SI_BATCH_NAME "batch"

typedef struct SiBatch
{
	TupleDesc	desc;
	Tuplestorestate *rows;
	int			nrows;
	Tuplestorestate *slice;		/* copy of a part, while one is offered */
} SiBatch;

/*
 * Row type of the batch relation: the mapping's columns under the names of the
 * target's, then the words with the absent bits.
 */
extern TupleDesc si_batch_desc(const SiMapping *mapping);

/* Name of the i-th word of absent bits; in the current context. */
extern char *si_batch_absent_name(int i);

/* An empty batch in the current memory context and transaction. */
extern SiBatch *si_batch_create(TupleDesc desc, int max_kilobytes);
extern void si_batch_put(SiBatch *batch, Datum *values, bool *nulls);
extern void si_batch_destroy(SiBatch *batch);

/*
 * Offer n rows from the given one on as "batch" to the statements of the
 * current SPI connection, until si_batch_withdraw or the connection's end.
 */
extern void si_batch_offer(SiBatch *batch, int from, int n);
extern void si_batch_withdraw(SiBatch *batch);

/*
 * The row, from 0 within those offered, that the statement read last; -1 if it
 * has read none or does not tell (it does by calling stream_ingest.batch_row()
 * for each row).
 */
extern int	si_batch_current_row(void);

#endif							/* SI_BATCH_H */
