/*-------------------------------------------------------------------------
 *
 * avro_columns.c
 *	  The columns of a table that takes the messages of an Avro schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/avro_columns.h"
#include "format/envelope_shape.h"

/* What values are by their kind, where they mean nothing else. */
static const SiColumnKind plain_kinds[] = {
	[SI_AVRO_NULL] = SI_COLUMN_NOTHING,
	[SI_AVRO_BOOLEAN] = SI_COLUMN_BOOLEAN,
	[SI_AVRO_INT] = SI_COLUMN_INTEGER,
	[SI_AVRO_LONG] = SI_COLUMN_BIGINT,
	[SI_AVRO_FLOAT] = SI_COLUMN_REAL,
	[SI_AVRO_DOUBLE] = SI_COLUMN_DOUBLE,
	[SI_AVRO_BYTES] = SI_COLUMN_BYTEA,
	[SI_AVRO_STRING] = SI_COLUMN_TEXT,
	[SI_AVRO_FIXED] = SI_COLUMN_BYTEA,
	[SI_AVRO_ENUM] = SI_COLUMN_TEXT,
	[SI_AVRO_SCALED] = SI_COLUMN_NUMERIC,
	[SI_AVRO_ARRAY] = SI_COLUMN_JSONB,
	[SI_AVRO_MAP] = SI_COLUMN_JSONB,
	[SI_AVRO_UNION] = SI_COLUMN_JSONB,
	[SI_AVRO_RECORD] = SI_COLUMN_JSONB
};

/* What they are by their meaning: numbers and bytes, and texts of it. */
static const struct
{
	SiColumnKind kind;
	SiColumnKind of_string;
}			meant_kinds[] = {
	[SI_AVRO_DATE] = {SI_COLUMN_DATE, SI_COLUMN_TEXT},
	[SI_AVRO_TIME] = {SI_COLUMN_TIME, SI_COLUMN_TIMETZ},
	[SI_AVRO_INSTANT] = {SI_COLUMN_TIMESTAMPTZ, SI_COLUMN_TIMESTAMPTZ},
	[SI_AVRO_TIMESTAMP] = {SI_COLUMN_TIMESTAMP, SI_COLUMN_TEXT},
	[SI_AVRO_DECIMAL] = {SI_COLUMN_NUMERIC, SI_COLUMN_TEXT},
	[SI_AVRO_UUID] = {SI_COLUMN_UUID, SI_COLUMN_UUID},
	[SI_AVRO_DURATION] = {SI_COLUMN_INTERVAL, SI_COLUMN_INTERVAL},
	[SI_AVRO_JSON] = {SI_COLUMN_JSONB, SI_COLUMN_JSONB}
};

static void
describe_scalar(const SiAvroType *type, SiColumnType *result)
{
	result->nullable = type->kind == SI_AVRO_NULL;
	result->kind = plain_kinds[type->kind];
	if (type->meaning != SI_AVRO_PLAIN)
		result->kind = type->kind == SI_AVRO_STRING ? meant_kinds[type->meaning].of_string :
			meant_kinds[type->meaning].kind;
	if (type->meaning == SI_AVRO_DECIMAL)
	{
		result->precision = type->precision;
		result->scale = type->scale;
	}
}

/*
 * What a value becomes.  Recurses no deeper than a union, in an array, in a union:
 * no union is a branch of another, and what is nested further is JSON.
 */
static void
describe_type(const SiAvroType *type, bool in_array, SiColumnType *result)
{
	int			i;

	memset(result, 0, sizeof(SiColumnType));
	if (type->kind == SI_AVRO_UNION)
	{
		/* one without branches has no values */
		for (i = 0; i < type->n; i++)
		{
			SiColumnType branch;

			describe_type(type->branches[i], in_array, &branch);
			si_column_merge(result, &branch);
		}
	}
	else if (type->kind == SI_AVRO_ARRAY && !in_array)
	{
		describe_type(type->items, true, result);
		si_column_make_list(result);
	}
	else
		describe_scalar(type, result);
}

/* The only branch of a union that is not null, and what is no union itself; or NULL. */
static const SiAvroType *
only_branch(const SiAvroType *type, bool may_be_null)
{
	const SiAvroType *only = NULL;
	int			i;

	if (type->kind != SI_AVRO_UNION)
		return type;
	for (i = 0; i < type->n; i++)
	{
		if (may_be_null && type->branches[i]->kind == SI_AVRO_NULL)
			continue;
		if (only != NULL)
			return NULL;
		only = type->branches[i];
	}
	return only;
}

/* The type of the new row that an event has, or NULL. */
static const SiAvroType *
find_row(const SiAvroType *event, const char *name)
{
	const SiAvroType *row;
	int			i;

	if (event == NULL || event->kind != SI_AVRO_RECORD)
		return NULL;
	for (i = 0; i < event->n; i++)
	{
		if (strcmp(event->fields[i].name.data, name) != 0)
			continue;
		row = only_branch(event->fields[i].type, true);
		return row != NULL && row->kind == SI_AVRO_RECORD ? row : NULL;
	}
	return NULL;
}

bool
si_avro_describe(const SiAvroType *root, SiEnvelopeKind envelope, SiArena *memory,
				 SiSchemaColumns *columns, SiDecodeError *error)
{
	const SiAvroType *row = only_branch(root, false);
	int			n;
	int			i;

	if (si_envelope_is_event(envelope))
	{
		row = find_row(row, si_envelope_shapes[envelope].row);
		if (row == NULL)
			return si_decoder_fail(error, "22023", "the schema is not that of a change event");
	}
	n = row != NULL && row->kind == SI_AVRO_RECORD ? row->n : 0;
	if (!si_columns_begin(columns, (size_t) n, memory, error))
		return false;
	for (i = 0; i < n; i++)
	{
		const SiAvroField *field = &row->fields[i];
		SiColumnType type;

		describe_type(field->type, false, &type);
		if (!si_columns_add(columns, field->name.data, field->name.len, &type, memory, error))
			return false;
	}
	return true;
}
