/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  The rows of a batch, and the relation "batch".
 *
 * Called by convert_batch, write, writer, reduce, show and row_notes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

#include "apply/rows.h"
#include "common/compat.h"

PG_FUNCTION_INFO_V1(si_sql_batch_row);

/*
 * Rows on offer to a statement.  What the statement runs (a trigger that calls
 * retry_dead_letters) may have offers of its own.
 */
typedef struct Offer
{
	struct Offer *outer;
	SubTransactionId subid;
	int			read;			/* by the statement so far */
	int			current;		/* the row that was read last */
	int			n;				/* rows on offer */
	bool		is_run;			/* they are a run, else chosen ones */
	int			rows[FLEXIBLE_ARRAY_MEMBER];	/* the numbers of chosen ones */
} Offer;

/* The innermost one. */
static Offer *offer = NULL;

/* The row at which the statement was that an error ended last. */
static int	failed_at = -1;

/* ---- which row a statement is at ---- */

/*
 * A statement processes one row after the other, so the last one that it has
 * read is the suspect when it fails.  A user's statement may call batch_row() as
 * often as it likes: then there is none.
 */
void
si_rows_note_current(void)
{
	if (offer == NULL)
		return;
	if (offer->read >= offer->n)
		offer->current = -1;
	else
	{
		offer->current = offer->is_run ? offer->read : offer->rows[offer->read];
		offer->read++;
	}
}

/* stream_ingest.batch_row(): always true; notes the row that passes. */
Datum
si_sql_batch_row(PG_FUNCTION_ARGS)
{
	si_rows_note_current();
	PG_RETURN_BOOL(true);
}

int
si_rows_failed_at(void)
{
	return failed_at;
}

/* ---- making rows ---- */

TupleDesc
si_rows_desc(const SiMapping *mapping, bool numbered)
{
	int			nwords = SI_MAPPING_ABSENT_WORDS(mapping);
	TupleDesc	desc = CreateTemplateTupleDesc(mapping->ncolumns + nwords + numbered);

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];

		TupleDescInitEntry(desc, i + 1, column->name, column->type, column->typmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, column->collation);
	}
	for (int i = 0; i < nwords; i++)
		TupleDescInitEntry(desc, mapping->ncolumns + i + 1, si_rows_absent_name(mapping, i),
						   INT8OID, -1, 0);
	if (numbered)
		TupleDescInitEntry(desc, desc->natts, si_rows_number_name(mapping), INT4OID, -1, 0);
	return desc;
}

static bool
is_column(const SiMapping *mapping, const char *name)
{
	for (int i = 0; i < mapping->ncolumns; i++)
		if (strcmp(mapping->columns[i].name, name) == 0)
			return true;
	return false;
}

/* The name, behind as many underscores as make it the batch's own. */
static char *
own_name(const SiMapping *mapping, char *name)
{
	while (is_column(mapping, name))
		name = psprintf("_%s", name);
	return name;
}

char *
si_rows_absent_name(const SiMapping *mapping, int i)
{
	return own_name(mapping, psprintf("_absent_%d", i));
}

char *
si_rows_number_name(const SiMapping *mapping)
{
	return own_name(mapping, pstrdup("_row"));
}

/* What all kinds of rows have in common. */
static SiRows *
create_rows(TupleDesc desc, int capacity, int max_kilobytes)
{
	SiRows	   *rows = palloc0(sizeof(SiRows));

	rows->desc = desc;
	rows->max_kilobytes = max_kilobytes;
	rows->capacity = Max(capacity, 1);
	rows->entries = palloc(sizeof(int) * rows->capacity);
	return rows;
}

SiRows *
si_rows_create(TupleDesc desc, int capacity, int max_kilobytes)
{
	SiRows	   *rows = create_rows(desc, capacity, max_kilobytes);

	rows->store = tuplestore_begin_heap(false, false, max_kilobytes);
	return rows;
}

SiRows *
si_rows_create_elsewhere(TupleDesc desc, int capacity)
{
	return create_rows(desc, capacity, 0);
}

SiRows *
si_rows_create_single(TupleDesc desc, bool numbered, int capacity, int max_kilobytes)
{
	SiRows	   *rows = create_rows(desc, capacity, max_kilobytes);

	rows->numbered = numbered;
	rows->context = CurrentMemoryContext;
	rows->nallocated = 1024;
	rows->tuples = palloc(sizeof(MinimalTuple) * rows->nallocated);
	rows->deletes = palloc(sizeof(bool) * rows->nallocated);
	return rows;
}

void
si_rows_group(SiRows *rows, int nmessages, bool of_records)
{
	Assert(rows->store == NULL && rows->nrows == 0);
	rows->firsts = palloc(sizeof(int) * ((Size) nmessages + 1));
	rows->firsts[0] = 0;
	rows->of_records = of_records;
}

int
si_rows_end_message(SiRows *rows, bool keep)
{
	if (!keep)
		rows->nrows = rows->firsts[rows->nmessages];
	else if (rows->nrows > rows->firsts[rows->nmessages])
		rows->firsts[++rows->nmessages] = rows->nrows;
	return rows->nrows;
}

int
si_rows_message(const SiRows *rows, int row)
{
	int			low = 0,
				high = rows->nmessages - 1;

	if (rows->firsts == NULL)
		return row;
	while (low < high)
	{
		int			middle = (low + high + 1) / 2;

		if (rows->firsts[middle] > row)
			high = middle - 1;
		else
			low = middle;
	}
	return low;
}

/* Keep one row by itself. */
static void
put_single(SiRows *rows, Datum *values, bool *nulls, bool is_delete)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	if (rows->numbered)
	{
		values[rows->desc->natts - 1] = Int32GetDatum(rows->nrows);
		nulls[rows->desc->natts - 1] = false;
	}
	if (rows->nrows == rows->nallocated)
	{
		rows->nallocated *= 2;
		rows->tuples = repalloc_huge(rows->tuples, sizeof(MinimalTuple) * rows->nallocated);
		rows->deletes = repalloc_huge(rows->deletes, sizeof(bool) * rows->nallocated);
	}
	rows->tuples[rows->nrows] = heap_form_minimal_tuple_compat(rows->desc, values, nulls);
	rows->deletes[rows->nrows] = is_delete;
	MemoryContextSwitchTo(old);
}

void
si_rows_put(SiRows *rows, Datum *values, bool *nulls, bool is_delete, int entry)
{
	Assert(!is_delete || rows->store == NULL);
	if (rows->nrows == rows->capacity)
	{
		rows->capacity *= 2;
		rows->entries = repalloc_huge(rows->entries, sizeof(int) * (Size) rows->capacity);
	}
	rows->entries[rows->nrows] = entry;
	if (rows->store != NULL)
		tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	else if (rows->tuples != NULL)
		put_single(rows, values, nulls, is_delete);
	rows->nrows++;
	rows->nput++;
}

/* ---- offering them ---- */

/* Copy a part of the rows. */
static Tuplestorestate *
copy_slice(SiRows *rows, int from, int n)
{
	Tuplestorestate *slice = tuplestore_begin_heap(false, false, rows->max_kilobytes);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(rows->desc, &TTSOpsMinimalTuple);

	if (rows->store == NULL)
	{
		for (int i = 0; i < n; i++)
		{
			ExecStoreMinimalTuple(rows->tuples[from + i], slot, false);
			tuplestore_puttupleslot(slice, slot);
		}
		ExecDropSingleTupleTableSlot(slot);
		return slice;
	}

	/* the statements read by pointers of their own, the first one is ours */
	tuplestore_select_read_pointer(rows->store, 0);
	tuplestore_rescan(rows->store);
	if (from > 0)
		(void) tuplestore_skiptuples(rows->store, from, true);
	for (int i = 0; i < n; i++)
	{
		if (!tuplestore_gettupleslot(rows->store, true, false, slot))
			elog(ERROR, "batch ends before row %d", from + i);
		tuplestore_puttupleslot(slice, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	return slice;
}

static void
end_offer(void)
{
	Offer	   *ended = offer;

	offer = ended->outer;
	failed_at = -1;
	pfree(ended);
}

/* An error has ended the offers that were made in this subtransaction. */
static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					 void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (offer != NULL && offer->subid >= subid)
	{
		int			at = offer->current;

		end_offer();
		failed_at = at;
	}
}

/* They are in the transaction's memory. */
static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		offer = NULL;
}

/* n rows will be read from the first one on; NULL: a run, else the chosen ones. */
static void
begin_offer(const int *chosen, int n)
{
	int			nchosen = chosen != NULL ? n : 0;
	static bool watching = false;
	Offer	   *inner;

	if (!watching)
	{
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_ended, NULL);
		watching = true;
	}
	inner = MemoryContextAllocHuge(TopTransactionContext,
								   offsetof(Offer, rows) + sizeof(int) * (Size) nchosen);
	inner->outer = offer;
	inner->subid = GetCurrentSubTransactionId();
	inner->read = 0;
	inner->current = -1;
	inner->n = n;
	inner->is_run = chosen == NULL;
	if (nchosen > 0)
		memcpy(inner->rows, chosen, sizeof(int) * (Size) nchosen);
	offer = inner;
	failed_at = -1;
}

/* Let statements of the SPI connection see these. */
static void
register_rows(SiRows *rows, Tuplestorestate *store, int n)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	int			rc;

	enr->md.name = SI_BATCH_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = rows->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = store;

	rc = SPI_register_relation(enr);
	if (rc != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed: %s", SPI_result_code_string(rc));
}

void
si_rows_offer(SiRows *rows, int from, int n)
{
	rows->slice = NULL;
	if (rows->store == NULL || from != 0 || n != rows->nrows)
		rows->slice = copy_slice(rows, from, n);
	register_rows(rows, rows->slice ? rows->slice : rows->store, n);
	begin_offer(NULL, n);
}

void
si_rows_offer_chosen(SiRows *rows, const int *chosen, int n)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(rows->desc, &TTSOpsMinimalTuple);

	Assert(rows->store == NULL);
	rows->slice = tuplestore_begin_heap(false, false, rows->max_kilobytes);
	for (int i = 0; i < n; i++)
	{
		ExecStoreMinimalTuple(rows->tuples[chosen[i]], slot, false);
		tuplestore_puttupleslot(rows->slice, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	register_rows(rows, rows->slice, n);
	begin_offer(chosen, n);
}

void
si_rows_offer_none(SiRows *rows, int n)
{
	rows->slice = tuplestore_begin_heap(false, false, rows->max_kilobytes);
	register_rows(rows, rows->slice, n);
}

void
si_rows_withdraw(SiRows *rows)
{
	(void) SPI_unregister_relation(SI_BATCH_NAME);
	end_offer();
	if (rows->slice != NULL)
		tuplestore_end(rows->slice);
	rows->slice = NULL;
}
