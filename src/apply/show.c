/*-------------------------------------------------------------------------
 *
 * show.c
 *	  The rows of a batch as jsonb.
 *
 * The server's own to_jsonb makes them, over the relation "batch"; columns that
 * are no part of the row are then removed by name.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"

#include "apply/show.h"

/* Rows offered at a time. */
#define CHUNK	1000

static void
add_name(StringInfo sql, const char *name)
{
	appendStringInfo(sql, ", %s", quote_literal_cstr(name));
}

/* The columns that a row lacks, and those that are no part of it. */
static void
add_names_of_write(StringInfo sql, const SiMapping *mapping)
{
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];

		if (column->absent_bit >= 0)
			appendStringInfo(sql, ", CASE WHEN (batch.%s OPERATOR(pg_catalog.&) "
							 INT64_FORMAT "::pg_catalog.int8) OPERATOR(pg_catalog.<>) 0::pg_catalog.int8 THEN %s END",
							 si_rows_absent_name(mapping, column->absent_bit / SI_ABSENT_BITS),
							 INT64CONST(1) << (column->absent_bit % SI_ABSENT_BITS),
							 quote_literal_cstr(column->name));
	}
}

/* All columns but those of the key. */
static void
add_names_of_delete(StringInfo sql, const SiMapping *mapping, const SiKey *key)
{
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		bool		of_key = false;

		for (int k = 0; k < key->ncolumns; k++)
			of_key |= (key->columns[k].column == i);
		if (!of_key)
			add_name(sql, mapping->columns[i].name);
	}
}

/*
 * A row as jsonb.  A json column may hold \u0000, which jsonb refuses: with
 * escape_nul that stands there as a backslash and what follows it.
 */
static void
add_row(StringInfo sql, bool escape_nul)
{
	if (!escape_nul)
		appendStringInfoString(sql, "pg_catalog.to_jsonb(batch.*)");
	else
		appendStringInfo(sql, "pg_catalog.regexp_replace(pg_catalog.to_json(batch.*)::pg_catalog.text, "
						 "%s, %s, 'g')::pg_catalog.jsonb",
						 quote_literal_cstr("(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000"),
						 quote_literal_cstr("\\1\\\\\\\\u0000"));
}

/* key: of rows that delete; NULL for those that write. */
static char *
make_query(const SiMapping *mapping, const SiKey *key, bool escape_nul)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	add_row(&sql, escape_nul);
	appendStringInfo(&sql, " OPERATOR(pg_catalog.-) ARRAY[%s",
					 quote_literal_cstr(si_rows_number_name(mapping)));
	for (int i = 0; i < SI_MAPPING_ABSENT_WORDS(mapping); i++)
		add_name(&sql, si_rows_absent_name(mapping, i));
	if (key == NULL)
		add_names_of_write(&sql, mapping);
	else
		add_names_of_delete(&sql, mapping, key);
	appendStringInfoString(&sql, "]::pg_catalog.text[]");
	if (key != NULL)
		appendStringInfoString(&sql, " OPERATOR(pg_catalog.||) '{\"" SI_SHOW_DELETED
							   "\": true}'::pg_catalog.jsonb");
	appendStringInfoString(&sql, " FROM " SI_BATCH_NAME);
	return sql.data;
}

/* Run it over the rows on offer; the i-th result is of row chosen[i], or i. */
static void
run_query(const char *query, int n, MemoryContext context, const int *chosen, Datum *shown)
{
	int			rc = SPI_execute(query, true, 0);
	MemoryContext old;

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(rc));
	if (SPI_processed != n)
		elog(ERROR, "%llu of %d rows are shown", (unsigned long long) SPI_processed, n);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		shown[chosen ? chosen[i] : i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
}

/* Rows that are kept one by one: those that write, or those that delete. */
static void
show_single(SiRows *rows, const char *query, bool deletes, MemoryContext context, Datum *shown)
{
	int			chosen[CHUNK];
	int			n = 0;

	for (int i = 0; i <= rows->nrows; i++)
	{
		if (n == CHUNK || (i == rows->nrows && n > 0))
		{
			CHECK_FOR_INTERRUPTS();
			si_rows_offer_chosen(rows, chosen, n);
			run_query(query, n, context, chosen, shown);
			si_rows_withdraw(rows);
			n = 0;
		}
		if (i < rows->nrows && rows->deletes[i] == deletes)
			chosen[n++] = i;
	}
}

Datum
si_show_array(const Datum *rows, int n)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue	element;

		JsonbToJsonbValue(DatumGetJsonbP(rows[i]), &element);
		(void) pushJsonbValue(&state, WJB_ELEM, &element);
	}
	result = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(result));
}

void
si_show_rows(const SiMapping *mapping, const SiKey *key, SiRows *rows,
			 MemoryContext context, Datum *shown, bool escape_nul)
{
	const char *query;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	query = make_query(mapping, NULL, escape_nul);
	if (rows->store == NULL)
	{
		show_single(rows, query, false, context, shown);
		if (key != NULL)
			show_single(rows, make_query(mapping, key, escape_nul), true, context, shown);
	}
	for (int from = 0; rows->store != NULL && from < rows->nrows; from += CHUNK)
	{
		int			n = Min(CHUNK, rows->nrows - from);

		CHECK_FOR_INTERRUPTS();
		si_rows_offer(rows, from, n);
		run_query(query, n, context, NULL, shown + from);
		si_rows_withdraw(rows);
	}
	SPI_finish();
}
