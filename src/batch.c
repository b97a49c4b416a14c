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
#include "miscadmin.h"
#include "utils/queryenvironment.h"

#include "batch.h"

PG_FUNCTION_INFO_V1(si_sql_batch_row);

/* Rows that the statement has read of what is offered. */
static int	rows_read = 0;

/*
 * Always true; counts the rows that pass.  A statement processes one row after
 * the other, so that the count names the suspect when it fails.
 */
Datum
si_sql_batch_row(PG_FUNCTION_ARGS)
{
	rows_read++;
	PG_RETURN_BOOL(true);
}

int
si_batch_current_row(void)
{
	return rows_read - 1;
}

TupleDesc
si_batch_desc(const SiMapping *mapping)
{
	int			nwords = SI_MAPPING_ABSENT_WORDS(mapping);
	TupleDesc	desc = CreateTemplateTupleDesc(mapping->ncolumns + nwords);

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];

		TupleDescInitEntry(desc, i + 1, column->name, column->type, column->typmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, column->collation);
	}
	for (int i = 0; i < nwords; i++)
		TupleDescInitEntry(desc, mapping->ncolumns + i + 1, si_batch_absent_name(i),
						   INT8OID, -1, 0);
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
	batch->rows = tuplestore_begin_heap(false, false, max_kilobytes);
	return batch;
}

void
si_batch_put(SiBatch *batch, Datum *values, bool *nulls)
{
	tuplestore_putvalues(batch->rows, batch->desc, values, nulls);
	batch->nrows++;
}

void
si_batch_destroy(SiBatch *batch)
{
	tuplestore_end(batch->rows);
	pfree(batch);
}

/* Copy a part of the rows. */
static Tuplestorestate *
copy_slice(SiBatch *batch, int from, int n)
{
	Tuplestorestate *slice = tuplestore_begin_heap(false, false, work_mem);
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
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	int			rc;

	rows_read = 0;
	batch->slice = NULL;
	if (from != 0 || n != batch->nrows)
		batch->slice = copy_slice(batch, from, n);

	enr->md.name = SI_BATCH_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = batch->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = batch->slice ? batch->slice : batch->rows;

	rc = SPI_register_relation(enr);
	if (rc != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed: %s", SPI_result_code_string(rc));
}

void
si_batch_withdraw(SiBatch *batch)
{
	(void) SPI_unregister_relation(SI_BATCH_NAME);
	if (batch->slice != NULL)
		tuplestore_end(batch->slice);
	batch->slice = NULL;
}
