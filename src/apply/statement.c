/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  The SQL statements that consume a batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "optimizer/optimizer.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "apply/column_default.h"
#include "apply/row_notes.h"
#include "apply/statement.h"
#include "apply/user_sql.h"
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
	struct SiStatement *next;	/* to run after this one */
};

/*
 * Calls of our functions, with arguments of exactly their types: an overload
 * that anybody else could make is never the better match.
 */
#define ROW_LACKS	"stream_ingest.row_lacks(%d::pg_catalog.int4)"
#define NOTE_ROW	"stream_ingest.note_row(%d::pg_catalog.int4, %s::pg_catalog.int8)"

/* ---- text ---- */

/* Does the row of the batch lack this column's field? */
static void
append_absent_test(StringInfo sql, const SiColumn *column)
{
	if (column->absent_bit < 0)
		appendStringInfoString(sql, "false");
	else
		appendStringInfo(sql,
						 "((b.%s OPERATOR(pg_catalog.&) '" INT64_FORMAT "'::pg_catalog.int8) "
						 "OPERATOR(pg_catalog.<>) 0)",
						 si_rows_absent_name(column->absent_bit / SI_ABSENT_BITS),
						 INT64CONST(1) << (column->absent_bit % SI_ABSENT_BITS));
}

/*
 * An expression of the table as text.  Every name in it that is not the
 * server's own is qualified: a role that can make objects in a schema of the
 * session's search_path could otherwise have another meant when the text is
 * read.
 */
static char *
expression_text(Node *expression)
{
	int			level = NewGUCNestLevel();
	char	   *text;

	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	text = deparse_expression(expression, NIL, false, false);

	AtEOXact_GUC(true, level);
	return text;
}

/*
 * The value of a column: what the batch has, or the column's default where the
 * message lacks the field.
 */
static void
append_value(StringInfo sql, Relation target, const SiColumn *column)
{
	const char *name = quote_identifier(column->name);
	Node	   *expression = NULL;

	if (column->absent_bit >= 0)
		expression = si_column_default(target, column->attnum);
	if (expression == NULL)
	{
		appendStringInfo(sql, "b.%s", name);
		return;
	}
	appendStringInfoString(sql, "CASE WHEN ");
	append_absent_test(sql, column);
	appendStringInfo(sql, " THEN %s ELSE b.%s END",
					 expression_text(expression), name);
}

static const char *
target_name(Relation target)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(target)),
									  RelationGetRelationName(target));
}

/* INSERT INTO target AS t (...) SELECT ... FROM batch AS b */
static void
append_insert(StringInfo sql, const SiStatementSpec *spec)
{
	const SiMapping *mapping = spec->mapping;

	appendStringInfo(sql, "INSERT INTO %s AS t%s", target_name(spec->target),
					 mapping->ncolumns > 0 ? " (" : "");
	for (int i = 0; i < mapping->ncolumns; i++)
		appendStringInfo(sql, "%s%s", i ? ", " : "", quote_identifier(mapping->columns[i].name));
	/* without a column list, a row without columns is all defaults */
	appendStringInfo(sql, "%s SELECT ", mapping->ncolumns > 0 ? ")" : "");
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		if (i > 0)
			appendStringInfoString(sql, ", ");
		append_value(sql, spec->target, &mapping->columns[i]);
	}
	appendStringInfoString(sql, " FROM " SI_BATCH_NAME " AS b WHERE ");
}

/* ON CONFLICT (...): exactly the key's index, or one that is its like. */
static void
append_arbiter(StringInfo sql, const SiKey *key)
{
	appendStringInfoString(sql, " ON CONFLICT (");
	for (int i = 0; i < key->ncolumns; i++)
	{
		const SiKeyColumn *column = &key->columns[i];

		appendStringInfo(sql, "%s%s%s %s", i ? ", " : "", quote_identifier(column->name),
						 si_key_collate_text(column->collation),
						 si_key_opclass_text(column->opclass));
	}
	appendStringInfoChar(sql, ')');
}

/*
 * The value of a key's column.  A record that lacks it has the default for its
 * key, but for one that is another each time and so finds no row anyway.
 */
static char *
key_value(const SiStatementSpec *spec, const SiKeyColumn *key, bool partial)
{
	const SiColumn *column = &spec->mapping->columns[key->column];
	StringInfoData value;

	initStringInfo(&value);
	if (partial && column->absent_bit >= 0 &&
		!contain_volatile_functions(si_column_default(spec->target, column->attnum)))
		append_value(&value, spec->target, column);
	else
		appendStringInfo(&value, "b.%s", quote_identifier(key->name));
	return value.data;
}

/* t.key = b.key: what the key's index calls equal. */
static void
append_key_match(StringInfo sql, const SiStatementSpec *spec, bool partial)
{
	const SiKey *key = spec->key;

	for (int i = 0; i < key->ncolumns; i++)
	{
		const SiKeyColumn *column = &key->columns[i];
		const char *name = quote_identifier(column->name);
		const char *value = key_value(spec, column, partial);
		Oid			type = spec->mapping->columns[column->column].type;

		appendStringInfo(sql, "%s(%s %s (%s%s)", i ? " AND " : "",
						 si_key_operand_text(column->equal, true, type, psprintf("t.%s", name)),
						 si_key_operator_text(column->equal),
						 si_key_operand_text(column->equal, false, type, psprintf("(%s)", value)),
						 si_key_collate_text(column->collation));
		if (!key->nulls_distinct)
			appendStringInfo(sql, " OR (t.%s IS NULL AND (%s) IS NULL)", name, value);
		appendStringInfoChar(sql, ')');
	}
}

/* Is this column of the mapping one that an update need not set? */
static bool
is_settled_by_key(const SiKey *key, int column)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		/*
		 * Setting a key column takes a stronger lock, for which inserts into
		 * tables that refer to this one would wait.
		 */
		if (key->columns[i].column == column)
			return key->columns[i].same_image;
	}
	return false;
}

/* value >= t.column, by the operator of a version column's type. */
static void
append_version_test(StringInfo sql, const SiColumn *column, const char *value)
{
	const char *name = psprintf("t.%s", quote_identifier(column->name));
	TypeCacheEntry *type = lookup_type_cache(column->type, TYPECACHE_BTREE_OPFAMILY);
	Oid			operator = InvalidOid;

	if (OidIsValid(type->btree_opf))
		operator = get_opfamily_member(type->btree_opf, type->btree_opintype,
									   type->btree_opintype, BTGreaterEqualStrategyNumber);
	if (!OidIsValid(operator))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column \"%s\" of type %s cannot be the version_column", column->name,
						format_type_be(column->type)),
				 errdetail("The type has no order.")));
	appendStringInfo(sql, "%s %s %s", si_key_operand_text(operator, true, column->type, value),
					 si_key_operator_text(operator),
					 si_key_operand_text(operator, false, column->type, name));
}

/*
 * May the row that is there be replaced?  A NULL version is lower than any
 * other, and so is that of a message without one.
 */
static void
append_version_check(StringInfo sql, const SiColumn *column, bool partial)
{
	const char *name = quote_identifier(column->name);

	appendStringInfo(sql, "(t.%s IS NULL OR (", name);
	if (partial && column->absent_bit >= 0)
		appendStringInfo(sql, "NOT " ROW_LACKS " AND ", column->absent_bit);
	append_version_test(sql, column, psprintf("excluded.%s", name));
	appendStringInfoString(sql, ")) AND ");
}

/* DO UPDATE SET ...: a field that the message lacks leaves its column alone. */
static void
append_update(StringInfo sql, const SiStatementSpec *spec, bool partial)
{
	const SiMapping *mapping = spec->mapping;
	const char *function = "note_unchanged";

	appendStringInfoString(sql, " DO UPDATE SET ");
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];
		const char *name = quote_identifier(column->name);

		if (is_settled_by_key(spec->key, i))
			continue;
		if (strcmp(function, "note_conflict") == 0)
			appendStringInfoString(sql, ", ");
		if (!partial || column->absent_bit < 0)
			appendStringInfo(sql, "%s = excluded.%s", name, name);
		else
			appendStringInfo(sql, "%s = CASE WHEN " ROW_LACKS " THEN t.%s ELSE excluded.%s END",
							 name, column->absent_bit, name, name);
		function = "note_conflict";
	}
	if (strcmp(function, "note_unchanged") == 0)
	{
		const char *name = quote_identifier(spec->key->columns[0].name);

		appendStringInfo(sql, "%s = excluded.%s", name, name);
	}
	appendStringInfoString(sql, " WHERE ");
	if (spec->version_column >= 0)
		append_version_check(sql, &mapping->columns[spec->version_column], partial);
	appendStringInfo(sql, "stream_ingest.%s()", function);
}

/* Note the row that the executor is at, with its absent bits if it has some. */
static void
append_note_row(StringInfo sql, const SiMapping *mapping, bool partial)
{
	int			nwords = partial ? SI_MAPPING_ABSENT_WORDS(mapping) : 0;

	if (nwords == 0)
		appendStringInfo(sql, NOTE_ROW, 0, "0");
	for (int i = 0; i < nwords; i++)
		appendStringInfo(sql, "%s" NOTE_ROW, i ? " AND " : "", i,
						 psprintf("b.%s", si_rows_absent_name(i)));
}

/* ON CONFLICT (...) DO UPDATE ... */
static void
append_on_conflict(StringInfo sql, const SiStatementSpec *spec, bool partial)
{
	append_arbiter(sql, spec->key);
	append_update(sql, spec, partial);
	appendStringInfoString(sql, " RETURNING stream_ingest.note_written()");
}

/*
 * UPDATE target AS t SET ... FROM batch AS b; false if there is nothing to set.
 */
static bool
append_joined_update(StringInfo sql, const SiStatementSpec *spec)
{
	const SiMapping *mapping = spec->mapping;
	int			nset = 0;

	appendStringInfo(sql, "UPDATE %s AS t SET ", target_name(spec->target));
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];
		const char *name = quote_identifier(column->name);

		if (is_settled_by_key(spec->key, i))
			continue;
		appendStringInfo(sql, "%s%s = CASE WHEN ", nset++ ? ", " : "", name);
		append_absent_test(sql, column);
		appendStringInfo(sql, " THEN t.%s ELSE b.%s END", name, name);
	}
	appendStringInfoString(sql, " FROM " SI_BATCH_NAME " AS b WHERE ");
	append_key_match(sql, spec, true);
	if (spec->version_column >= 0)
	{
		const SiColumn *column = &mapping->columns[spec->version_column];
		const char *name = quote_identifier(column->name);

		appendStringInfo(sql, " AND (t.%s IS NULL OR (NOT ", name);
		append_absent_test(sql, column);
		appendStringInfoString(sql, " AND ");
		append_version_test(sql, column, psprintf("b.%s", name));
		appendStringInfoString(sql, "))");
	}
	return nset > 0;
}

/* ---- preparing ---- */

static SiStatement *
prepare(StatementKind kind, const char *sql)
{
	SiStatement *statement = palloc0(sizeof(SiStatement));
	MemoryContext context = CurrentMemoryContext;

	statement->kind = kind;
	statement->plan = SPI_prepare(sql, 0, NULL);
	MemoryContextSwitchTo(context); /* SPI leaves its own behind */
	if (statement->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(statement->plan);
	return statement;
}

/*
 * The same with a filter and what comes behind it.  The filter was checked to
 * be one expression by itself, so it cannot get out of these parentheses.
 */
static SiStatement *
prepare_filtered(StatementKind kind, StringInfo sql, const char *filter, const char *rest)
{
	SiUserSqlContext context;
	SiStatement *statement;

	si_user_sql_push(&context, filter, pg_mbstrlen(sql->data));
	appendStringInfo(sql, "%s\n%s", filter, rest);
	statement = prepare(kind, sql->data);
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
	SiStatement *update = NULL;
	SiStatement *insert;
	StringInfoData sql;

	initStringInfo(&sql);
	if (append_joined_update(&sql, spec))
		update = prepare(STATEMENT_UPDATE, sql.data);
	resetStringInfo(&sql);
	append_insert(&sql, spec);
	appendStringInfo(&sql, "NOT EXISTS (SELECT FROM %s AS t WHERE ",
					 target_name(spec->target));
	append_key_match(&sql, spec, true);
	appendStringInfoString(&sql, ") AND ");
	append_note_row(&sql, spec->mapping, true);
	if (spec->key->has_index)
		append_on_conflict(&sql, spec, true);
	insert = prepare(spec->key->has_index ? STATEMENT_UPSERT : STATEMENT_INSERT, sql.data);
	insert->by_index = spec->key->has_index;
	if (update == NULL)
		return insert;
	update->by_index = spec->key->has_index;
	update->next = insert;
	return update;
}

SiStatement *
si_statement_insert(const SiStatementSpec *spec)
{
	StringInfoData sql;
	StringInfoData rest;

	if (spec->mode->updates && !spec->key->has_index)
		return si_statement_partial(spec);

	initStringInfo(&sql);
	initStringInfo(&rest);
	append_insert(&sql, spec);
	if (spec->mode->updates)
	{
		append_note_row(&sql, spec->mapping, false);
		append_on_conflict(&sql, spec, false);
		return prepare(STATEMENT_UPSERT, sql.data);
	}
	if (spec->mode->id == SI_IGNORE)
	{
		if (spec->key != NULL)
			append_arbiter(&rest, spec->key);
		else
			appendStringInfoString(&rest, " ON CONFLICT");
		appendStringInfoString(&rest, " DO NOTHING");
	}
	if (spec->filter == NULL)
	{
		appendStringInfo(&sql, "stream_ingest.batch_row()%s", rest.data);
		return prepare(STATEMENT_INSERT, sql.data);
	}

	/* rows are counted before the filter looks at them */
	appendStringInfoString(&sql, "CASE WHEN stream_ingest.batch_row() THEN (");
	return prepare_filtered(STATEMENT_INSERT, &sql, spec->filter,
							psprintf(") IS TRUE END%s", rest.data));
}

SiStatement *
si_statement_delete(const SiStatementSpec *spec)
{
	StringInfoData sql;
	SiStatement *statement;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s AS t USING " SI_BATCH_NAME " AS b WHERE ",
					 target_name(spec->target));
	append_key_match(&sql, spec, false);
	statement = prepare(STATEMENT_DELETE, sql.data);
	statement->by_index = spec->key->has_index;
	return statement;
}

SiStatement *
si_statement_filter(const char *filter)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT b." SI_BATCH_ROW " FROM " SI_BATCH_NAME " AS b "
						   "WHERE CASE WHEN stream_ingest.batch_row() THEN (");
	return prepare_filtered(STATEMENT_FILTER, &sql, filter, ") IS TRUE END");
}

SiStatement *
si_statement_apply(const char *apply)
{
	return prepare(STATEMENT_APPLY, apply);
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
 * Run a plan, whose rows nobody wants to see; with a snapshot of its own, or
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
	static const char *const settings[] = {
		"enable_seqscan", "enable_hashjoin", "enable_mergejoin"
	};
	int			level = NewGUCNestLevel();
	CachedPlan *plan;

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
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
 * What is updated first and then inserted goes by one snapshot.  A row that
 * somebody commits between the two would otherwise be too late for the one and
 * there already for the other; so it is met by the insert's ON CONFLICT.
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

void
si_statement_destroy(SiStatement *statement)
{
	if (statement->next != NULL)
		si_statement_destroy(statement->next);
	SPI_freeplan(statement->plan);
	pfree(statement);
}
