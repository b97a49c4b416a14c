/*-------------------------------------------------------------------------
 *
 * infer_schema.c
 *	  From the schemas of messages to the columns of a table.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/failure.h"
#include "functions/infer_schema.h"

typedef struct Reading
{
	const SiDecoderRoutine *routine;
	const SiFormatOptions *options;
	SiArena    *arena;			/* of one description */
	SiInferColumns *columns;
	SiInferSchemas *schemas;
	SiFrame    *seen;			/* of the messages whose schemas were read */
	int			nseen;
} Reading;

/* ---- values ---- */

/* Take a schema's fields: the first one's are the columns. */
static void
take_columns(Reading *reading, const SiSchemaColumns *described)
{
	int			number = ++reading->schemas->n;
	ListCell   *cell;

	reading->schemas->nleft_out += described->nleft_out;
	for (int i = 0; i < described->n; i++)
	{
		const SiSchemaColumn *field = &described->columns[i];
		SiInferColumn *column = number == 1
			? si_infer_columns_add(reading->columns, field->name, field->len)
			: si_infer_columns_find(reading->columns, field->name, field->len);

		if (column == NULL)
			continue;

		/* where two fields mean one column, messages have both */
		if (column->last_schema == 0)
			column->type = field->type;
		else
			si_column_merge(&column->type, &field->type);
		column->last_schema = number;
	}
	foreach(cell, reading->columns->list)
	{
		SiInferColumn *column = lfirst(cell);

		if (column->last_schema == number)
			continue;
		column->type.nullable = true;
		reading->schemas->differ = true;
	}
}

/* Take the schema of a message; NULL for the one of all. */
static void
take_schema(Reading *reading, const SiMessage *message)
{
	SiInferSchemas *schemas = reading->schemas;
	SiSchemaColumns described = {0};
	SiDecodeError error;

	si_arena_reset(reading->arena);
	if (reading->routine->describe(reading->options, message, false, reading->arena, &described,
								   &error))
	{
		if (described.found)
			take_columns(reading, &described);
		return;
	}
	si_failure_check_decode(&error);
	if (schemas->nbad++ == 0)
		schemas->error = error;
}

/* Do two frames name the same type of the same schema? */
static bool
same_type(const SiFrame *frame, const SiFrame *other)
{
	return memcmp(&frame->id, &other->id, sizeof(SiSchemaId)) == 0 &&
		frame->naming_len == other->naming_len &&
		(frame->naming_len == 0 || memcmp(frame->naming, other->naming, frame->naming_len) == 0);
}

/* Was the type that this message names read?  If not, it counts as read from now on. */
static bool
is_seen(Reading *reading, const SiMessage *message)
{
	SiDecodeError error;
	SiFrame		frame;

	if (reading->routine->select == NULL ||
		!si_frame_read(reading->options->wire_format, message, false, &frame, &error))
		return false;
	if (reading->routine->find_naming != NULL)
		reading->routine->find_naming(&frame);
	for (int i = 0; i < reading->nseen; i++)
	{
		if (same_type(&reading->seen[i], &frame))
			return true;
	}
	reading->seen[reading->nseen++] = frame;
	return false;
}

static void
take_schemas(Reading *reading, const SiMessage *messages, int n)
{
	reading->seen = palloc_extended(sizeof(SiFrame) * (Size) Max(n, 1), MCXT_ALLOC_HUGE);
	for (int i = n - 1; i >= 0; i--)
	{
		CHECK_FOR_INTERRUPTS();
		if (messages[i].value != NULL && !si_message_is_reduced(&messages[i]) &&
			!is_seen(reading, &messages[i]))
			take_schema(reading, &messages[i]);
	}
}

/* ---- keys ---- */

/* Describe the newest key that has a schema. */
static void
describe_key(Reading *reading, const SiMessage *messages, int n, SiSchemaColumns *described)
{
	SiDecodeError error;

	for (int i = n - 1; i >= 0 && !described->found; i--)
	{
		CHECK_FOR_INTERRUPTS();
		si_arena_reset(reading->arena);
		if (messages[i].key == NULL ||
			reading->routine->describe(reading->options, &messages[i], true, reading->arena,
									   described, &error))
			continue;
		si_failure_check_decode(&error);
		memset(described, 0, sizeof(SiSchemaColumns));
	}
}

/* Can this column be one of a primary key? */
static bool
is_key_column(const SiInferColumn *column)
{
	return column != NULL && !column->type.nullable && !column->type.array &&
		column->type.kind != SI_COLUMN_JSONB;
}

static void
take_key(Reading *reading, const SiMessage *messages, int n)
{
	SiSchemaColumns described = {0};
	List	   *key = NIL;

	describe_key(reading, messages, n, &described);

	/* what is left of a key would be that of several rows */
	if (described.nleft_out > 0)
		return;
	for (int i = 0; i < described.n; i++)
	{
		SiInferColumn *column = si_infer_columns_find(reading->columns, described.columns[i].name,
													  described.columns[i].len);

		if (!is_key_column(column))
			return;
		key = list_append_unique_ptr(key, column);
	}
	if (list_length(key) <= INDEX_MAX_KEYS)
		reading->columns->key = key;
}

/*
 * An event may lack a large value that an update left as it was, and there may be no
 * row that has it.
 */
static void
allow_missing(SiInferColumns *columns)
{
	ListCell   *cell;

	foreach(cell, columns->list)
	{
		SiInferColumn *column = lfirst(cell);
		SiColumnKind kind = column->type.kind;
		bool		large = column->type.array || kind == SI_COLUMN_TEXT ||
			kind == SI_COLUMN_BYTEA || kind == SI_COLUMN_JSONB;

		if (large && !list_member_ptr(columns->key, column))
			column->type.nullable = true;
	}
}

/* ---- all of them ---- */

void
si_infer_schemas(const SiDecoderRoutine *routine, const SiFormatOptions *options,
				 const SiMessage *messages, int n, SiInferColumns *columns, SiInferSchemas *schemas)
{
	Reading		reading = {routine, options, NULL, columns, schemas};
	SiArena    *volatile arena;

	memset(schemas, 0, sizeof(SiInferSchemas));
	if (routine->describe == NULL)
		return;

	/* arenas are malloc's */
	arena = si_arena_create();
	PG_TRY();
	{
		if (arena == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		reading.arena = arena;
		if (options->schema != NULL)
			take_schema(&reading, NULL);
		else
			take_schemas(&reading, messages, n);
		if (schemas->n > 0)
			take_key(&reading, messages, n);
		if (options->unavailable != NULL)
			allow_missing(columns);
	}
	PG_FINALLY();
	{
		si_arena_destroy(arena);
	}
	PG_END_TRY();
}
