/*-------------------------------------------------------------------------
 *
 * fixed_sql.c
 *	  The extension's own statements on its own tables.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/snapmgr.h"

#include "catalog/fixed_sql.h"
#include "catalog/session.h"

/* Elevations never nest: our statements call no function of anybody else. */
static SiSavedSession saved_session;

void
si_fixed_sql_begin(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	si_session_elevate(&saved_session);
}

void
si_fixed_sql_end(void)
{
	si_session_restore(&saved_session);
	SPI_finish();
}

static uint64
run(SiFixedSql *statement, Datum *values, const char *nulls, bool read_only)
{
	int			rc;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->text, statement->nargs,
											  statement->types, statement->cursor_options);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}

	rc = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

uint64
si_fixed_sql_run(SiFixedSql *statement, Datum *values, const char *nulls)
{
	return run(statement, values, nulls, false);
}

uint64
si_fixed_sql_execute(SiFixedSql *statement, Datum *values, const char *nulls)
{
	uint64		processed;

	si_fixed_sql_begin();
	processed = si_fixed_sql_run(statement, values, nulls);
	si_fixed_sql_end();
	return processed;
}

uint64
si_fixed_sql_read(SiFixedSql *statement, Datum *values, const char *nulls)
{
	uint64		processed;

	PushActiveSnapshot(GetLatestSnapshot());
	processed = run(statement, values, nulls, true);
	PopActiveSnapshot();
	return processed;
}

Datum
si_fixed_sql_datum(uint64 row, int column, bool *isnull)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Form_pg_attribute att = TupleDescAttr(desc, column - 1);
	Datum		value;

	Assert(row < SPI_tuptable->numvals && column <= desc->natts);
	value = SPI_getbinval(SPI_tuptable->vals[row], desc, column, isnull);
	return *isnull ? value : SPI_datumTransfer(value, att->attbyval, att->attlen);
}

char *
si_fixed_sql_text(uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
	char	   *copy;

	if (value == NULL)
		return NULL;
	copy = SPI_palloc(strlen(value) + 1);
	strcpy(copy, value);
	return copy;
}

int64
si_fixed_sql_int(uint64 row, int column, int64 if_null)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									  column, &isnull);

	if (isnull)
		return if_null;
	switch (SPI_gettypeid(SPI_tuptable->tupdesc, column))
	{
		case BOOLOID:
			return DatumGetBool(value);
		case INT4OID:
			return DatumGetInt32(value);
		case OIDOID:
			return DatumGetObjectId(value);
		default:
			Assert(SPI_gettypeid(SPI_tuptable->tupdesc, column) == INT8OID);
			return DatumGetInt64(value);
	}
}
