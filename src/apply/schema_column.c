/*-------------------------------------------------------------------------
 *
 * schema_column.c
 *	  The column that takes a field of a schema: its name and its type.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/heap.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "apply/schema_column.h"
#include "common/bytes.h"
#include "format/match_names.h"

static const struct
{
	const char *name;
	Oid			id;
}			kinds[] = {
	[SI_COLUMN_NOTHING] = {"text", TEXTOID},
	[SI_COLUMN_BOOLEAN] = {"boolean", BOOLOID},
	[SI_COLUMN_INTEGER] = {"integer", INT4OID},
	[SI_COLUMN_BIGINT] = {"bigint", INT8OID},
	[SI_COLUMN_REAL] = {"real", FLOAT4OID},
	[SI_COLUMN_DOUBLE] = {"double precision", FLOAT8OID},
	[SI_COLUMN_NUMERIC] = {"numeric", NUMERICOID},
	[SI_COLUMN_UUID] = {"uuid", UUIDOID},
	[SI_COLUMN_TEXT] = {"text", TEXTOID},
	[SI_COLUMN_BYTEA] = {"bytea", BYTEAOID},
	[SI_COLUMN_DATE] = {"date", DATEOID},
	[SI_COLUMN_TIME] = {"time", TIMEOID},
	[SI_COLUMN_TIMETZ] = {"timetz", TIMETZOID},
	[SI_COLUMN_TIMESTAMP] = {"timestamp", TIMESTAMPOID},
	[SI_COLUMN_TIMESTAMPTZ] = {"timestamptz", TIMESTAMPTZOID},
	[SI_COLUMN_INTERVAL] = {"interval", INTERVALOID},
	[SI_COLUMN_JSONB] = {"jsonb", JSONBOID}
};

char *
si_schema_column_name(SiMatchNames match_names, const char *name, size_t len)
{
	char		folded[SI_MATCH_ROOM];
	char	   *text;

	if (match_names != SI_MATCH_EXACT)
	{
		len = si_match_names_fold(match_names, name, len, folded);
		name = folded;
	}
	text = si_bytes_to_text_strict(name, len);

	if (text == NULL || text[0] == '\0' || strlen(text) >= NAMEDATALEN ||
		SystemAttributeByName(text) != NULL)
		return NULL;
	return text;
}

/* A type by the name of its kind, with its digits and brackets. */
static char *
type_text(const SiColumnType *type, const char *name)
{
	const char *list = type->array ? "[]" : "";

	if (type->kind == SI_COLUMN_NUMERIC && type->precision > 0 &&
		type->precision <= NUMERIC_MAX_PRECISION && type->scale <= type->precision)
		return psprintf("%s(%d,%d)%s", name, type->precision, type->scale, list);
	return psprintf("%s%s", name, list);
}

const char *
si_schema_column_type(const SiColumnType *type)
{
	return type_text(type, kinds[type->kind].name);
}

/* What the grammar has a word for, as numeric, is never looked up in the path. */
char *
si_schema_column_type_qualified(const SiColumnType *type)
{
	return type_text(type, format_type_be_qualified(kinds[type->kind].id));
}
