/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  The one SQL statement that consumes a batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/ruleutils.h"

#include "compat.h"
#include "statement.h"

struct SiStatement
{
	SPIPlanPtr	plan;
};

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
		expression = build_column_default(target, column->attnum);
	if (expression == NULL)
	{
		appendStringInfo(sql, "b.%s", name);
		return;
	}
	appendStringInfo(sql,
					 "CASE WHEN (b.%s OPERATOR(pg_catalog.&) '" INT64_FORMAT "'::pg_catalog.int8) "
					 "OPERATOR(pg_catalog.<>) 0 THEN %s ELSE b.%s END",
					 si_batch_absent_name(column->absent_bit / SI_ABSENT_BITS),
					 INT64CONST(1) << (column->absent_bit % SI_ABSENT_BITS),
					 deparse_expression(expression, NIL, false, false), name);
}

static char *
insert_text(Relation target, const SiMapping *mapping)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s%s",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(target)),
												RelationGetRelationName(target)),
					 mapping->ncolumns > 0 ? " (" : "");
	for (int i = 0; i < mapping->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i ? ", " : "",
						 quote_identifier(mapping->columns[i].name));
	/* without a column list, a row without columns is all defaults */
	appendStringInfo(&sql, "%s SELECT ", mapping->ncolumns > 0 ? ")" : "");
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		if (i > 0)
			appendStringInfoString(&sql, ", ");
		append_value(&sql, target, &mapping->columns[i]);
	}
	appendStringInfoString(&sql, " FROM " SI_BATCH_NAME " AS b WHERE stream_ingest.batch_row()");
	return sql.data;
}

SiStatement *
si_statement_prepare(Relation target, const SiMapping *mapping)
{
	SiStatement *statement = palloc0(sizeof(SiStatement));

	statement->plan = SPI_prepare(insert_text(target, mapping), 0, NULL);
	if (statement->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(statement->plan);
	return statement;
}

void
si_statement_check_privileges(const SiStatement *statement)
{
	ListCell   *lc;

	foreach(lc, SPI_plan_get_plan_sources(statement->plan))
	{
		CachedPlanSource *source = (CachedPlanSource *) lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, source->query_list)
			check_query_permissions_compat(lfirst_node(Query, lc2));
	}
}

void
si_statement_run(SiStatement *statement, SiWritten *written)
{
	int			rc = SPI_execute_plan(statement->plan, NULL, NULL, false, 0);

	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
	written->inserted += SPI_processed;
}

void
si_statement_destroy(SiStatement *statement)
{
	SPI_freeplan(statement->plan);
	pfree(statement);
}
