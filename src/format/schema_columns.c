/*-------------------------------------------------------------------------
 *
 * schema_columns.c
 *	  The columns of a table that takes the messages of a schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/schema_columns.h"

static bool
is_number(SiColumnKind kind)
{
	return kind >= SI_COLUMN_INTEGER && kind <= SI_COLUMN_NUMERIC;
}

/* The numeric that has room for the digits of both, on either side of the point. */
static void
merge_numeric(SiColumnType *type, const SiColumnType *other)
{
	int			whole = type->precision - type->scale;
	int			other_whole = other->precision - other->scale;

	if (type->precision == 0 || other->precision == 0)
	{
		type->precision = type->scale = 0;
		return;
	}
	if (type->scale < other->scale)
		type->scale = other->scale;
	type->precision = type->scale + (whole > other_whole ? whole : other_whole);
}

/* The least kind that holds two different ones; numbers are never rounded. */
static SiColumnKind
common_kind(SiColumnKind a, SiColumnKind b)
{
	SiColumnKind low = a < b ? a : b;
	SiColumnKind high = a < b ? b : a;

	if (low == SI_COLUMN_INTEGER && high == SI_COLUMN_BIGINT)
		return SI_COLUMN_BIGINT;
	if (low == SI_COLUMN_REAL && high == SI_COLUMN_DOUBLE)
		return SI_COLUMN_DOUBLE;
	if (is_number(low) && is_number(high))
		return SI_COLUMN_NUMERIC;
	return low == SI_COLUMN_UUID && high == SI_COLUMN_TEXT ? SI_COLUMN_TEXT : SI_COLUMN_JSONB;
}

/* Make a type the one that holds the values of both, neither of which is nothing. */
static void
merge_kinds(SiColumnType *type, const SiColumnType *other)
{
	if (type->array != other->array)
	{
		type->kind = SI_COLUMN_JSONB;
		type->array = false;
	}
	else if (type->kind == other->kind)
		merge_numeric(type, other);
	else
	{
		type->kind = common_kind(type->kind, other->kind);
		type->array = type->array && type->kind != SI_COLUMN_JSONB;
		type->precision = type->scale = 0;
	}
}

void
si_column_merge(SiColumnType *type, const SiColumnType *other)
{
	bool		nullable = type->nullable || other->nullable;

	if (type->kind == SI_COLUMN_NOTHING)
		*type = *other;
	else if (other->kind != SI_COLUMN_NOTHING)
		merge_kinds(type, other);
	type->nullable = nullable;
}

void
si_column_make_list(SiColumnType *type)
{
	/* a list of lists may have rows of different lengths */
	if (type->array || type->kind == SI_COLUMN_NOTHING)
		type->kind = SI_COLUMN_JSONB;
	type->array = type->kind != SI_COLUMN_JSONB;
	type->nullable = false;
}

bool
si_columns_begin(SiSchemaColumns *columns, size_t n, SiArena *memory, SiDecodeError *error)
{
	memset(columns, 0, sizeof(SiSchemaColumns));
	columns->found = true;
	columns->columns = si_arena_alloc(memory, n * sizeof(SiSchemaColumn));
	return columns->columns != NULL || si_decoder_fail(error, "53200", "out of memory");
}

bool
si_columns_add(SiSchemaColumns *columns, const char *name, size_t len, const SiColumnType *type,
			   SiArena *memory, SiDecodeError *error)
{
	SiSchemaColumn *column = &columns->columns[columns->n];
	char	   *copy = si_arena_alloc(memory, len);

	if (copy == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	memcpy(copy, name, len);
	column->name = copy;
	column->len = len;
	column->type = *type;
	columns->n++;
	return true;
}
