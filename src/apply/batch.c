/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  The rows of a batch, and the relation "batch".
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

#include "apply/batch.h"
#include "common/compat.h"

PG_FUNCTION_INFO_V1(si_sql_batch_row);

/* The rows that were chosen to be offered; 0 of them: a run is offered. */
static int *offered_rows = NULL;
static int	offered_n = 0;
static int	offered_allocated = 0;

/* Rows that the statement has read of it, and the last of them. */
static int	rows_read = 0;
static int	current_row = -1;

static void remember_rows(const int *rows, int n);
static void register_rows(SiBatch *batch, Tuplestorestate *rows, int n);

/*
 * A statement processes one row after the other, so that the last one that it
 * has read is the suspect when it fails.
 */
void
si_batch_note_row(void)
{
	current_row = offered_n == 0 ? rows_read
		: rows_read < offered_n ? offered_rows[rows_read] : -1;
	rows_read++;
}

/* Always true; notes the rows that pass. */
Datum
si_sql_batch_row(PG_FUNCTION_ARGS)
{
	si_batch_note_row();
	PG_RETURN_BOOL(true);
}

int
si_batch_current_row(void)
{
	return current_row;
}

TupleDesc
si_batch_desc(const SiMapping *mapping, bool numbered)
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
		TupleDescInitEntry(desc, mapping->ncolumns + i + 1, si_batch_absent_name(i),
						   INT8OID, -1, 0);
	if (numbered)
		TupleDescInitEntry(desc, desc->natts, SI_BATCH_ROW, INT4OID, -1, 0);
	return desc;
}

char *
si_batch_absent_name(int i)
{
	return psprintf("_absent_%d", i);
}

SiBatch *
si_batch_create(TupleDesc desc, int max_kilobytes)
{
	SiBatch    *batch = palloc0(sizeof(SiBatch));

	batch->desc = desc;
	batch->max_kilobytes = max_kilobytes;
	batch->rows = tuplestore_begin_heap(false, false, max_kilobytes);
	return batch;
}

SiBatch *
si_batch_create_single(TupleDesc desc, int max_kilobytes)
{
	SiBatch    *batch = palloc0(sizeof(SiBatch));

	batch->desc = desc;
	batch->max_kilobytes = max_kilobytes;
	batch->context = CurrentMemoryContext;
	batch->nallocated = 1024;
	batch->tuples = palloc(sizeof(MinimalTuple) * batch->nallocated);
	batch->deletes = palloc(sizeof(bool) * batch->nallocated);
	return batch;
}

static void
put_single(SiBatch *batch, Datum *values, bool *nulls, bool is_delete)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);

	if (batch->nrows == batch->nallocated)
	{
		batch->nallocated *= 2;
		batch->tuples = repalloc_huge(batch->tuples, sizeof(MinimalTuple) * batch->nallocated);
		batch->deletes = repalloc_huge(batch->deletes, sizeof(bool) * batch->nallocated);
	}
	batch->tuples[batch->nrows] = heap_form_minimal_tuple_compat(batch->desc, values, nulls);
	batch->deletes[batch->nrows] = is_delete;
	MemoryContextSwitchTo(old);
}

void
si_batch_put(SiBatch *batch, Datum *values, bool *nulls)
{
	if (batch->rows != NULL)
		tuplestore_putvalues(batch->rows, batch->desc, values, nulls);
	else
		put_single(batch, values, nulls, false);
	batch->nrows++;
}

void
si_batch_put_delete(SiBatch *batch, Datum *values, bool *nulls)
{
	Assert(batch->rows == NULL);
	put_single(batch, values, nulls, true);
	batch->nrows++;
}

/* Copy a part of the rows. */
static Tuplestorestate *
copy_slice(SiBatch *batch, int from, int n)
{
	Tuplestorestate *slice = tuplestore_begin_heap(false, false, batch->max_kilobytes);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(batch->desc, &TTSOpsMinimalTuple);

	/* the statements read by pointers of their own, the first one is ours */
	tuplestore_select_read_pointer(batch->rows, 0);
	tuplestore_rescan(batch->rows);
	if (from > 0)
		(void) tuplestore_skiptuples(batch->rows, from, true);
	for (int i = 0; i < n; i++)
	{
		if (!tuplestore_gettupleslot(batch->rows, true, false, slot))
			elog(ERROR, "batch ends before row %d", from + i);
		tuplestore_puttupleslot(slice, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	return slice;
}

void
si_batch_offer(SiBatch *batch, int from, int n)
{
	Assert(batch->rows != NULL);
	batch->slice = NULL;
	if (from != 0 || n != batch->nrows)
		batch->slice = copy_slice(batch, from, n);
	register_rows(batch, batch->slice ? batch->slice : batch->rows, n);
}

void
si_batch_offer_rows(SiBatch *batch, const int *rows, int n)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(batch->desc, &TTSOpsMinimalTuple);

	Assert(batch->rows == NULL);
	batch->slice = tuplestore_begin_heap(false, false, batch->max_kilobytes);
	for (int i = 0; i < n; i++)
	{
		ExecStoreMinimalTuple(batch->tuples[rows[i]], slot, false);
		tuplestore_puttupleslot(batch->slice, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	register_rows(batch, batch->slice, n);
	remember_rows(rows, n);
}

/*
 * Keep the numbers of the rows offered, where the functions that note rows find
 * them whenever somebody calls them.
 */
static void
remember_rows(const int *rows, int n)
{
	if (n > offered_allocated)
	{
		if (offered_rows != NULL)
			pfree(offered_rows);
		offered_rows = NULL;
		offered_allocated = 0;
		offered_rows = MemoryContextAllocHuge(TopMemoryContext, sizeof(int) * (Size) n);
		offered_allocated = n;
	}
	if (n > 0)
		memcpy(offered_rows, rows, sizeof(int) * (Size) n);
	offered_n = n;
}

void
si_batch_offer_none(SiBatch *batch, int n)
{
	batch->slice = tuplestore_begin_heap(false, false, batch->max_kilobytes);
	register_rows(batch, batch->slice, n);
}

/* Offer these; what is noted of rows begins anew. */
static void
register_rows(SiBatch *batch, Tuplestorestate *rows, int n)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	int			rc;

	rows_read = 0;
	current_row = -1;
	offered_n = 0;

	enr->md.name = SI_BATCH_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = batch->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = rows;

	rc = SPI_register_relation(enr);
	if (rc != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed: %s", SPI_result_code_string(rc));
}

void
si_batch_withdraw(SiBatch *batch)
{
	(void) SPI_unregister_relation(SI_BATCH_NAME);
	offered_n = 0;
	rows_read = 0;
	if (batch->slice != NULL)
		tuplestore_end(batch->slice);
	batch->slice = NULL;
}
