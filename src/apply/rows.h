/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  The rows of a batch, and the relation "batch" that a statement reads
 *	  them from.
 *
 * Rows go into a tuplestore; any run of them can be offered as an ephemeral
 * named relation, so that a failing batch can be halved without converting
 * anything twice.  Where a statement takes rows by key they are kept one by one
 * instead ("single"), and any selection of them can be offered.
 *
 * Called by convert_batch, write, writer, reduce, show and row_notes, inside a
 * transaction.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ROWS_H
#define SI_ROWS_H

#include "apply/mapping.h"
#include "utils/tuplestore.h"

#define SI_BATCH_NAME "batch"

typedef struct SiRows
{
	TupleDesc	desc;
	int			nrows;
	int			nput;			/* with those that were taken back */
	int			capacity;		/* of entries */
	int		   *entries;		/* by row: the index of its message */

	/*
	 * Where a message may have several rows: by message that has some, the
	 * first of them; behind the last message, the end.  NULL: each row is a
	 * message's only one.
	 */
	int		   *firsts;
	bool		of_records;		/* a message's rows are its records; else two
								 * are a row whose key has changed: one
								 * deletes by the old key */
	int			nmessages;		/* complete, that have rows */
	int			max_kilobytes;	/* of memory for a tuplestore */
	Tuplestorestate *store;		/* NULL: they are kept one by one, or
								 * elsewhere */
	Tuplestorestate *slice;		/* copy of a part, while one is on offer */

	/* rows kept one by one, in this context */
	MemoryContext context;
	MinimalTuple *tuples;		/* NULL: they are kept elsewhere */
	bool	   *deletes;		/* by row: it deletes (only its key counts) */
	int			nallocated;
	bool		numbered;		/* the last column is the row's number */
} SiRows;

/*
 * Row type of the relation: the mapping's columns under the names of the
 * target's, then the words with the absent bits, then the number of the row if
 * numbered.
 */
extern TupleDesc si_rows_desc(const SiMapping *mapping, bool numbered);

/*
 * Names of the column with the i-th word of absent bits, and of that with the
 * row's number; in the current context.  No column of the mapping is called so:
 * those of the target are the user's to name.
 */
extern char *si_rows_absent_name(const SiMapping *mapping, int i);
extern char *si_rows_number_name(const SiMapping *mapping);

/*
 * No rows yet, in the current memory context and transaction, with room for as
 * many as there are messages (capacity).  elsewhere: the direct path keeps the
 * rows, and only their messages are noted here.
 */
extern SiRows *si_rows_create(TupleDesc desc, int capacity, int max_kilobytes);
extern SiRows *si_rows_create_elsewhere(TupleDesc desc, int capacity);
extern SiRows *si_rows_create_single(TupleDesc desc, bool numbered, int capacity,
									 int max_kilobytes);

/*
 * Have messages of several rows, before the first is put: room for as many as
 * there are.  Their rows are not in a tuplestore.  of_records: see above.
 */
extern void si_rows_group(SiRows *rows, int nmessages, bool of_records);

/*
 * All rows of a message have been put; keep them, or take them back.  Returns the
 * number of rows.
 */
extern int	si_rows_end_message(SiRows *rows, bool keep);

/* So many messages have rows. */
static inline int
si_rows_messages(const SiRows *rows)
{
	return rows->firsts ? rows->nmessages : rows->nrows;
}

/* The first row of the i-th of these messages; of the one behind the last, the end. */
static inline int
si_rows_first(const SiRows *rows, int i)
{
	return rows->firsts ? rows->firsts[i] : i;
}

/* Which of these messages a row is of. */
extern int	si_rows_message(const SiRows *rows, int row);

/* Does a row delete by the key that its message's other row had? */
static inline bool
si_rows_is_old_key(const SiRows *rows, int row)
{
	return rows->firsts != NULL && !rows->of_records && rows->deletes[row] &&
		row + 1 < rows->nrows && rows->entries[row + 1] == rows->entries[row];
}

/*
 * Put the row of a message.  values and nulls have room for all columns; the
 * row's number is filled in.  is_delete: for rows kept one by one.
 */
extern void si_rows_put(SiRows *rows, Datum *values, bool *nulls, bool is_delete, int entry);

/*
 * Offer n rows from the given one on as "batch" to the statements of the
 * current SPI connection, until si_rows_withdraw or the connection's end.
 */
extern void si_rows_offer(SiRows *rows, int from, int n);

/* The same with n chosen rows, in this order; for rows kept one by one. */
extern void si_rows_offer_chosen(SiRows *rows, const int *chosen, int n);

/* The same with none, estimated as n rows: to prepare a statement. */
extern void si_rows_offer_none(SiRows *rows, int n);
extern void si_rows_withdraw(SiRows *rows);

/*
 * After an error that ended a subtransaction, while rows were on offer in it: the row
 * that the statement had read last.  Its number within the run on offer, or in the
 * batch where rows were chosen; -1 if it had read none or does not tell (it does by
 * calling stream_ingest.batch_row() for each row).
 */
extern int	si_rows_failed_at(void);

/* The statement has read the next row. */
extern void si_rows_note_current(void);

#endif							/* SI_ROWS_H */
