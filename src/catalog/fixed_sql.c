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

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "catalog/fixed_sql.h"
#include "catalog/session.h"

/*
 * Our statements call no function of others, but a superuser may have put a
 * trigger on our tables, and it may call functions of ours.
 */
#define MAX_NESTED	8

/* What runs between begin and end, the outermost first. */
typedef struct Section
{
	SiSavedSession session;
	SubTransactionId subid;
	bool		has_payload;	/* its last statement handles payloads */
} Section;

static Section sections[MAX_NESTED];
static int	nsections = 0;
static SiFixedSqlFailure last_failure = SI_FIXED_SQL_DID_NOT_FAIL;

/* ---- errors ---- */

/* An error that ended a transaction: was it one of our own statements'? */
static void
transaction_ended(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT)
		return;
	last_failure = SI_FIXED_SQL_DID_NOT_FAIL;
	if (event == XACT_EVENT_ABORT && nsections > 0)
		last_failure = sections[nsections - 1].has_payload ? SI_FIXED_SQL_FAILED_WITH_PAYLOAD
			: SI_FIXED_SQL_FAILED;
	nsections = 0;
}

/* An error that a subtransaction caught took the sections within it away. */
static void
subtransaction_ended(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					 void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (nsections > 0 && sections[nsections - 1].subid >= subid)
		nsections--;
}

SiFixedSqlFailure
si_fixed_sql_take_failure(void)
{
	SiFixedSqlFailure failure = last_failure;

	last_failure = SI_FIXED_SQL_DID_NOT_FAIL;
	return failure;
}

/* ---- running ---- */

void
si_fixed_sql_will_write(const char *table)
{
	Oid			namespace = get_namespace_oid("stream_ingest", true);
	Oid			relation = OidIsValid(namespace) ? get_relname_relid(table, namespace) : InvalidOid;

	if (OidIsValid(relation))
		LockRelationOid(relation, RowExclusiveLock);
}

void
si_fixed_sql_begin(void)
{
	static bool watching = false;
	Section    *section;

	if (!watching)
	{
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_ended, NULL);
		watching = true;
	}
	if (nsections == MAX_NESTED)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("triggers on the tables of stream_ingest are nested too deeply")));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	section = &sections[nsections++];
	section->subid = GetCurrentSubTransactionId();
	section->has_payload = false;
	si_session_elevate(&section->session);
}

void
si_fixed_sql_end(void)
{
	Assert(nsections > 0);
	si_session_restore(&sections[--nsections].session);
	SPI_finish();
}

static uint64
run(SiFixedSql *statement, Datum *values, const char *nulls, bool read_only)
{
	int			rc;

	if (statement->writes_later != NULL)
		si_fixed_sql_will_write(statement->writes_later);
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->text, statement->nargs,
											  statement->types, statement->cursor_options);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}

	sections[nsections - 1].has_payload = statement->has_payload;
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

void
si_fixed_sql_suppressed(SiFixedSql *statement, const char *table)
{
	/*
	 * Prepare it again when it is next used: the plan of a statement that a
	 * rule has replaced by nothing depends on no table, so that dropping the
	 * rule would never make it stale.  Nested, an outer call may be running
	 * it.
	 */
	if (nsections == 1)
		SPI_freeplan(statement->plan);
	statement->plan = NULL;

	/* this text quotes no message, whatever the statement handled */
	sections[nsections - 1].has_payload = false;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger or rule on stream_ingest.%s has suppressed rows", table)));
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
si_fixed_sql_execute_for(SiFixedSql *statement, int32 subscription)
{
	Datum		value = Int32GetDatum(subscription);

	return si_fixed_sql_execute(statement, &value, NULL);
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
