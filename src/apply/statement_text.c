/*-------------------------------------------------------------------------
 *
 * statement_text.c
 *	  The text of the SQL statements that write a batch to a target.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "apply/statement_text.h"
#include "common/compat.h"

/*
 * Calls of our functions, with arguments of exactly their types: an overload
 * that another user could create is never the better match.
 */
#define ROW_LACKS	"stream_ingest.row_lacks(%d::pg_catalog.int4)"
#define NOTE_ROW	"stream_ingest.note_row(%d::pg_catalog.int4, %s::pg_catalog.int8)"

/* Does the row of the batch lack this column's field? */
static void
append_absent_test(StringInfo sql, const SiMapping *mapping, const SiColumn *column)
{
	if (column->absent_bit < 0)
		appendStringInfoString(sql, "false");
	else
		appendStringInfo(sql,
						 "((b.%s OPERATOR(pg_catalog.&) '" INT64_FORMAT "'::pg_catalog.int8) "
						 "OPERATOR(pg_catalog.<>) 0)",
						 si_rows_absent_name(mapping, column->absent_bit / SI_ABSENT_BITS),
						 INT64CONST(1) << (column->absent_bit % SI_ABSENT_BITS));
}

/*
 * The value of a column of the mapping: what the batch has, or the column's default
 * where the message lacks the field.  The default comes as a parameter, for which
 * parse analysis gets the expression that the table has.  In its text, a name or an
 * operator could mean an overload that another role has made in a schema of the
 * search_path.
 */
static void
append_value(StringInfo sql, const SiStatementSpec *spec, int column)
{
	const char *name = quote_identifier(spec->mapping->columns[column].name);

	if (list_nth(spec->defaults, column) == NULL)
	{
		appendStringInfo(sql, "b.%s", name);
		return;
	}
	appendStringInfoString(sql, "CASE WHEN ");
	append_absent_test(sql, spec->mapping, &spec->mapping->columns[column]);
	appendStringInfo(sql, " THEN $%d ELSE b.%s END", column + 1, name);
}

/* The target's qualified name, quoted. */
static const char *
target_text(Relation target)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(target)),
									  RelationGetRelationName(target));
}

const char *
si_statement_text_rows(Relation target)
{
	bool		routes = target->trigdesc != NULL && target->trigdesc->trig_insert_before_row;
	bool		only = target->rd_rel->relkind == RELKIND_RELATION && !routes;

	return psprintf("%s%s", only ? "ONLY " : "", target_text(target));
}

/* INSERT INTO target AS t (...) SELECT ... FROM batch AS b */
void
si_statement_text_insert(StringInfo sql, const SiStatementSpec *spec)
{
	const SiMapping *mapping = spec->mapping;

	appendStringInfo(sql, "INSERT INTO %s AS t%s", target_text(spec->target),
					 mapping->ncolumns > 0 ? " (" : "");
	for (int i = 0; i < mapping->ncolumns; i++)
		appendStringInfo(sql, "%s%s", i ? ", " : "", quote_identifier(mapping->columns[i].name));
	/* without a column list, a row without columns is all defaults */
	appendStringInfo(sql, "%s SELECT ", mapping->ncolumns > 0 ? ")" : "");
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		if (i > 0)
			appendStringInfoString(sql, ", ");
		append_value(sql, spec, i);
	}
	appendStringInfoString(sql, " FROM " SI_BATCH_NAME " AS b WHERE ");
}

/* ON CONFLICT (...): exactly the key's index, or one that is its like. */
void
si_statement_text_arbiter(StringInfo sql, const SiStatementSpec *spec)
{
	const SiKey *key = spec->key;

	if (!key->has_index)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("insert_mode \"%s\" cannot take \"key_columns\" of \"%s\"", spec->mode->name,
						RelationGetRelationName(spec->target)),
				 errdetail("It is a foreign table, or has foreign partitions, so that its indexes are not known."),
				 errhint("Without \"key_columns\" and \"tombstones\", the other side decides which rows are there.")));
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
	StringInfoData value;

	initStringInfo(&value);
	if (partial && !contain_volatile_functions(list_nth(spec->defaults, key->column)))
		append_value(&value, spec, key->column);
	else
		appendStringInfo(&value, "b.%s", quote_identifier(key->name));
	return value.data;
}

/* t.key = b.key: what the key's index calls equal. */
void
si_statement_text_key_match(StringInfo sql, const SiStatementSpec *spec, bool partial)
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
void
si_statement_text_note_row(StringInfo sql, const SiMapping *mapping, bool partial)
{
	int			nwords = partial ? SI_MAPPING_ABSENT_WORDS(mapping) : 0;

	if (nwords == 0)
		appendStringInfo(sql, NOTE_ROW, 0, "0");
	for (int i = 0; i < nwords; i++)
		appendStringInfo(sql, "%s" NOTE_ROW, i ? " AND " : "", i,
						 psprintf("b.%s", si_rows_absent_name(mapping, i)));
}

/* ON CONFLICT (...) DO UPDATE ... */
void
si_statement_text_on_conflict(StringInfo sql, const SiStatementSpec *spec, bool partial)
{
	si_statement_text_arbiter(sql, spec);
	append_update(sql, spec, partial);
	appendStringInfoString(sql, " RETURNING stream_ingest.note_written()");
}

/* ... AND the row that is there may be replaced, by a record that may lack fields */
static void
append_joined_version_check(StringInfo sql, const SiStatementSpec *spec)
{
	const SiColumn *column = &spec->mapping->columns[spec->version_column];
	const char *name = quote_identifier(column->name);

	appendStringInfo(sql, " AND (t.%s IS NULL OR (NOT ", name);
	append_absent_test(sql, spec->mapping, column);
	appendStringInfoString(sql, " AND ");
	append_version_test(sql, column, psprintf("b.%s", name));
	appendStringInfoString(sql, "))");
}

/*
 * UPDATE target AS t SET ... FROM batch AS b; with nothing to set, a SELECT of as
 * many rows.
 */
void
si_statement_text_joined_update(StringInfo sql, const SiStatementSpec *spec)
{
	const SiMapping *mapping = spec->mapping;
	const char *rows = si_statement_text_rows(spec->target);
	int			nset = 0;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];
		const char *name = quote_identifier(column->name);

		if (is_settled_by_key(spec->key, i))
			continue;
		if (nset++ == 0)
			appendStringInfo(sql, "UPDATE %s AS t SET ", rows);
		else
			appendStringInfoString(sql, ", ");
		appendStringInfo(sql, "%s = CASE WHEN ", name);
		append_absent_test(sql, mapping, column);
		appendStringInfo(sql, " THEN t.%s ELSE b.%s END", name, name);
	}
	if (nset > 0)
		appendStringInfoString(sql, " FROM " SI_BATCH_NAME " AS b WHERE ");
	else
		appendStringInfo(sql, "SELECT FROM " SI_BATCH_NAME " AS b WHERE EXISTS (SELECT FROM %s AS t WHERE ",
						 rows);
	si_statement_text_key_match(sql, spec, true);
	if (spec->version_column >= 0)
		append_joined_version_check(sql, spec);
	if (nset == 0)
		appendStringInfoChar(sql, ')');
}
