/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Preparing and running the SQL statements that consume a batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "parser/parse_node.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "apply/arbiter.h"
#include "apply/row_notes.h"
#include "apply/statement.h"
#include "apply/statement_text.h"
#include "apply/user_sql.h"
#include "catalog/session.h"
#include "common/compat.h"

/* What a statement's rows count as. */
typedef enum StatementKind
{
	STATEMENT_INSERT,
	STATEMENT_UPSERT,			/* counted by row notes */
	STATEMENT_UPDATE,
	STATEMENT_DELETE,
	STATEMENT_FILTER,
	STATEMENT_APPLY
} StatementKind;

struct SiStatement
{
	StatementKind kind;
	bool		by_index;		/* it joins the batch: plan it for the index */
	SPIPlanPtr	plan;
	const List *defaults;		/* what its parameters stand for */
	int			own_length;		/* behind it is a filter, which has none */
	struct SiStatement *next;	/* to run after this one */
};

/* ---- preparing ---- */

/*
 * Parse analysis, also a later one by the plan cache, has come upon a parameter.
 * NULL: there is none of that number.
 */
static Node *
default_of_parameter(ParseState *pstate, ParamRef *parameter)
{
	const SiStatement *statement = pstate->p_ref_hook_state;

	if (parameter->location >= statement->own_length || parameter->number < 1 ||
		parameter->number > list_length(statement->defaults))
		return NULL;
	return copyObject((Node *) list_nth(statement->defaults, parameter->number - 1));
}

static void
set_up_parser(ParseState *pstate, void *arg)
{
	pstate->p_paramref_hook = default_of_parameter;
	pstate->p_ref_hook_state = arg;
}

/* Its parameters stand for defaults, which must live as long as the statement. */
static SiStatement *
prepare(StatementKind kind, const char *sql, int own_length, const List *defaults)
{
	SiStatement *statement = palloc0(sizeof(SiStatement));
	MemoryContext context = CurrentMemoryContext;

	statement->kind = kind;
	statement->defaults = defaults;
	statement->own_length = own_length;
	statement->plan = SPI_prepare_params(sql, set_up_parser, statement, 0);
	MemoryContextSwitchTo(context); /* SPI leaves its own behind */
	if (statement->plan == NULL)
		elog(ERROR, "SPI_prepare_params failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(statement->plan);
	return statement;
}

/*
 * The same with a filter and what comes behind it.  The filter was checked to
 * be one expression by itself, so it cannot get out of these parentheses.
 */
static SiStatement *
prepare_filtered(StatementKind kind, StringInfo sql, const List *defaults,
				 const char *filter, const char *rest)
{
	SiUserSqlContext context;
	SiStatement *statement;
	int			own_length = sql->len;

	si_user_sql_push(&context, filter, pg_mbstrlen(sql->data));
	appendStringInfo(sql, "%s\n%s", filter, rest);
	statement = prepare(kind, sql->data, own_length, defaults);
	si_user_sql_pop(&context);
	return statement;
}

/*
 * Update what is there, then insert what is not.  Without an index there is no
 * other way.  With one, this is the way of records that lack a field: INSERT
 * ... ON CONFLICT would check NOT NULL and other constraints on the row that it
 * proposes, with a default or NULL for the field, even where the row is there
 * and only has to be updated.
 */
SiStatement *
si_statement_partial(const SiStatementSpec *spec)
{
	SiStatement *update;
	SiStatement *insert;
	StringInfoData sql;

	initStringInfo(&sql);
	si_statement_text_joined_update(&sql, spec);
	update = prepare(STATEMENT_UPDATE, sql.data, sql.len, spec->defaults);
	resetStringInfo(&sql);
	si_statement_text_insert(&sql, spec);
	appendStringInfo(&sql, "NOT EXISTS (SELECT FROM %s AS t WHERE ",
					 si_statement_text_rows(spec->target));
	si_statement_text_key_match(&sql, spec, true);
	appendStringInfoString(&sql, ") AND ");
	si_statement_text_note_row(&sql, spec->mapping, true);
	if (spec->key->has_index)
		si_statement_text_on_conflict(&sql, spec, true);
	insert = prepare(spec->key->has_index ? STATEMENT_UPSERT : STATEMENT_INSERT,
					 sql.data, sql.len, spec->defaults);
	insert->by_index = spec->key->has_index;
	update->by_index = spec->key->has_index;
	update->next = insert;
	return update;
}

static SiStatement *
prepare_insert(const SiStatementSpec *spec)
{
	StringInfoData sql;
	StringInfoData rest;

	initStringInfo(&sql);
	initStringInfo(&rest);
	si_statement_text_insert(&sql, spec);
	if (spec->mode->updates)
	{
		si_statement_text_note_row(&sql, spec->mapping, false);
		si_statement_text_on_conflict(&sql, spec, false);
		return prepare(STATEMENT_UPSERT, sql.data, sql.len, spec->defaults);
	}
	if (spec->mode->skips_conflicts)
	{
		if (spec->key != NULL)
			si_statement_text_arbiter(&rest, spec);
		else
			appendStringInfoString(&rest, " ON CONFLICT");
		appendStringInfoString(&rest, " DO NOTHING");
	}
	if (spec->filter == NULL)
	{
		appendStringInfo(&sql, "stream_ingest.batch_row()%s", rest.data);
		return prepare(STATEMENT_INSERT, sql.data, sql.len, spec->defaults);
	}

	/* rows are counted before the filter looks at them */
	appendStringInfoString(&sql, "CASE WHEN stream_ingest.batch_row() THEN (");
	return prepare_filtered(STATEMENT_INSERT, &sql, spec->defaults, spec->filter,
							psprintf(") IS TRUE END%s", rest.data));
}

SiStatement *
si_statement_insert(const SiStatementSpec *spec)
{
	SiStatement *statement;

	if (spec->mode->updates && !spec->key->has_index)
		return si_statement_partial(spec);
	statement = prepare_insert(spec);
	if (spec->mode->updates || spec->mode->skips_conflicts)
		si_arbiter_check(si_statement_planned(statement), spec->mode->name);
	return statement;
}

SiStatement *
si_statement_delete(const SiStatementSpec *spec)
{
	StringInfoData sql;
	SiStatement *statement;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s AS t USING " SI_BATCH_NAME " AS b WHERE ",
					 si_statement_text_rows(spec->target));
	si_statement_text_key_match(&sql, spec, false);
	statement = prepare(STATEMENT_DELETE, sql.data, sql.len, spec->defaults);
	statement->by_index = spec->key->has_index;
	return statement;
}

SiStatement *
si_statement_filter(const SiMapping *mapping, const char *filter)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT b.%s FROM " SI_BATCH_NAME " AS b "
					 "WHERE CASE WHEN stream_ingest.batch_row() THEN (",
					 si_rows_number_name(mapping));
	return prepare_filtered(STATEMENT_FILTER, &sql, NIL, filter, ") IS TRUE END");
}

SiStatement *
si_statement_apply(const char *apply)
{
	return prepare(STATEMENT_APPLY, apply, 0, NIL);
}

/* ---- what it may, and what it reads ---- */

void
si_statement_check_privileges(const SiStatement *statement)
{
	ListCell   *lc;

	foreach(lc, SPI_plan_get_plan_sources(statement->plan))
	{
		CachedPlanSource *source = (CachedPlanSource *) lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, source->query_list)
		{
			si_user_sql_refuse_temporary(lfirst_node(Query, lc2));
			si_user_sql_check_privileges(lfirst_node(Query, lc2));
		}
	}
	if (statement->next != NULL)
		si_statement_check_privileges(statement->next);
}

void
si_statement_used_columns(const SiStatement *statement, bool *used)
{
	ListCell   *lc;

	foreach(lc, SPI_plan_get_plan_sources(statement->plan))
	{
		CachedPlanSource *source = (CachedPlanSource *) lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, source->query_list)
			si_user_sql_used_columns(lfirst_node(Query, lc2), SI_BATCH_NAME, used);
	}
}

/* ---- running ---- */

/*
 * Run a plan, and discard its rows; with a snapshot of its own, or
 * (not NULL) with this one.
 */
static void
execute(SiStatement *statement, Snapshot snapshot)
{
	SPIExecuteOptions options = {0};
	int			rc;

	options.dest = None_Receiver;
	if (snapshot == NULL)
		rc = SPI_execute_plan_extended(statement->plan, &options);
	else
		rc = SPI_execute_snapshot(statement->plan, NULL, NULL, snapshot, InvalidSnapshot,
								  false, true, 0);
	if (rc < 0)
		elog(ERROR, "SPI could not run a statement: %s", SPI_result_code_string(rc));
	if (snapshot != NULL)
		SPI_freetuptable(SPI_tuptable);
}

/*
 * A plan that was made while the target was empty would read all of it for
 * every batch.  Only our own statement is planned like this, not what its
 * triggers run.
 */
static void
plan_by_index(SiStatement *statement)
{
	int			level = NewGUCNestLevel();
	CachedPlan *plan;

	si_session_plan_by_index();
	plan = SPI_plan_get_cached_plan(statement->plan);
	if (plan != NULL)
		ReleaseCachedPlan(plan, CurrentResourceOwner);
	AtEOXact_GUC(true, level);
}

static void
execute_upsert(SiStatement *statement, SiCounts *written, Snapshot snapshot)
{
	SiRowNotes	notes;

	si_row_notes_begin(&notes);
	PG_TRY();
	{
		execute(statement, snapshot);
	}
	PG_FINALLY();
	{
		si_row_notes_end(&notes);
	}
	PG_END_TRY();
	written->inserted += notes.inserted;
	written->updated += notes.updated;
}

static void
run(SiStatement *statement, SiCounts *written, Snapshot snapshot)
{
	if (statement->by_index)
		plan_by_index(statement);
	switch (statement->kind)
	{
		case STATEMENT_UPSERT:
			execute_upsert(statement, written, snapshot);
			break;
		case STATEMENT_UPDATE:
			execute(statement, snapshot);
			written->updated += SPI_processed;
			break;
		case STATEMENT_DELETE:
			execute(statement, snapshot);
			written->deleted += SPI_processed;
			break;
		case STATEMENT_INSERT:
			execute(statement, snapshot);
			written->inserted += SPI_processed;
			break;
		case STATEMENT_FILTER:
		case STATEMENT_APPLY:
			execute(statement, snapshot);
			break;
	}
	if (statement->next != NULL)
		run(statement->next, written, snapshot);
}

/*
 * An update and the insert behind it use one snapshot.  Otherwise neither of
 * them would write a row that another session commits between the two: too late
 * for the update, and present for the insert.  So ON CONFLICT updates it.
 */
void
si_statement_run(SiStatement *statement, SiCounts *written)
{
	Snapshot	snapshot;

	if (statement->next == NULL || statement->kind != STATEMENT_UPDATE)
	{
		run(statement, written, NULL);
		return;
	}
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	run(statement, written, snapshot);
	UnregisterSnapshot(snapshot);
}

int *
si_statement_rows(SiStatement *statement, int *nrows)
{
	int			rc = SPI_execute_plan(statement->plan, NULL, NULL, true, 0);
	int		   *rows = palloc(sizeof(int) * Max(SPI_processed, 1));
	bool		isnull;

	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
	*nrows = SPI_processed;
	for (int i = 0; i < *nrows; i++)
		rows[i] = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
											  &isnull));
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

const PlannedStmt *
si_statement_planned(const SiStatement *statement)
{
	CachedPlan *plan = SPI_plan_get_cached_plan(statement->plan);
	PlannedStmt *copy = NULL;

	if (plan == NULL)
		return NULL;
	if (list_length(plan->stmt_list) == 1)
		copy = copyObject(linitial_node(PlannedStmt, plan->stmt_list));
	ReleaseCachedPlan(plan, CurrentResourceOwner);
	return copy;
}

void
si_statement_destroy(SiStatement *statement)
{
	if (statement->next != NULL)
		si_statement_destroy(statement->next);
	SPI_freeplan(statement->plan);
	pfree(statement);
}
