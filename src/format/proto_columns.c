/*-------------------------------------------------------------------------
 *
 * proto_columns.c
 *	  The columns of a table that takes Protobuf messages of a type.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/envelope_shape.h"
#include "format/proto_columns.h"

/* No table has so many columns. */
#define MAX_COLUMNS		2000

/* A search through messages, each of which is looked at once. */
#define SEEN_ROOM		65536	/* well beyond SI_PROTO_MAX_TYPES */

/* All searches look at so many fields, and then no further: about a second's work. */
#define MOST_SEARCHED	UINT64_C(100000000)

typedef struct Search
{
	const SiProtoMessage **seen;	/* a hash table */
	const SiProtoMessage **todo;
	int			ntodo;
	uint64_t	searched;		/* fields, and the places of the table */
} Search;

/* What values are; an unsigned number of 64 bits may be beyond bigint. */
static const SiColumnKind kinds[SI_PROTO_NKINDS] = {
	[SI_PROTO_UNRESOLVED] = SI_COLUMN_NOTHING,
	[SI_PROTO_DOUBLE] = SI_COLUMN_DOUBLE,
	[SI_PROTO_FLOAT] = SI_COLUMN_REAL,
	[SI_PROTO_INT64] = SI_COLUMN_BIGINT,
	[SI_PROTO_UINT64] = SI_COLUMN_NUMERIC,
	[SI_PROTO_INT32] = SI_COLUMN_INTEGER,
	[SI_PROTO_FIXED64] = SI_COLUMN_NUMERIC,
	[SI_PROTO_FIXED32] = SI_COLUMN_BIGINT,
	[SI_PROTO_BOOL] = SI_COLUMN_BOOLEAN,
	[SI_PROTO_STRING] = SI_COLUMN_TEXT,
	[SI_PROTO_GROUP] = SI_COLUMN_JSONB,
	[SI_PROTO_MESSAGE] = SI_COLUMN_JSONB,
	[SI_PROTO_BYTES] = SI_COLUMN_BYTEA,
	[SI_PROTO_UINT32] = SI_COLUMN_BIGINT,
	[SI_PROTO_ENUM] = SI_COLUMN_TEXT,
	[SI_PROTO_SFIXED32] = SI_COLUMN_INTEGER,
	[SI_PROTO_SFIXED64] = SI_COLUMN_BIGINT,
	[SI_PROTO_SINT32] = SI_COLUMN_INTEGER,
	[SI_PROTO_SINT64] = SI_COLUMN_BIGINT
};

/* What messages are that stand for a single value. */
static const SiColumnKind known_kinds[] = {
	[SI_PROTO_PLAIN] = SI_COLUMN_JSONB,
	[SI_PROTO_TIMESTAMP] = SI_COLUMN_TIMESTAMPTZ,
	[SI_PROTO_DURATION] = SI_COLUMN_INTERVAL,
	[SI_PROTO_WRAPPER] = SI_COLUMN_JSONB,
	[SI_PROTO_DATE] = SI_COLUMN_DATE,
	[SI_PROTO_TIME_OF_DAY] = SI_COLUMN_TIME,
	[SI_PROTO_DECIMAL] = SI_COLUMN_NUMERIC,
	[SI_PROTO_SCALED] = SI_COLUMN_NUMERIC
};

static SiColumnKind
field_kind(const SiProtoField *field)
{
	if (field->map)
		return SI_COLUMN_JSONB;
	if (field->message == NULL)
		return kinds[field->kind];
	if (field->message->meaning == SI_PROTO_WRAPPER)
		return kinds[si_proto_find_field(field->message, 1)->kind];
	return known_kinds[field->message->meaning];
}

/* ---- messages that the schema does not have all of ---- */

static bool
begin_search(Search *search, SiArena *memory)
{
	search->seen = si_arena_alloc(memory, SEEN_ROOM * sizeof(SiProtoMessage *));
	search->todo = si_arena_alloc(memory, SEEN_ROOM * sizeof(SiProtoMessage *));
	search->searched = 0;
	return search->seen != NULL && search->todo != NULL;
}

/* Have a message looked at, unless it was. */
static void
look_at(Search *search, const SiProtoMessage *message)
{
	size_t		slot = (size_t) (((uintptr_t) message >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 48);

	while (search->seen[slot] != NULL && search->seen[slot] != message)
		slot = (slot + 1) % SEEN_ROOM;
	if (search->seen[slot] == message)
		return;
	search->seen[slot] = message;
	search->todo[search->ntodo++] = message;
}

/*
 * Does a message, or one in it, have a field whose type is not known?  To take it as a
 * whole would be an error.  One that there is no time to look through counts as such.
 */
static bool
lacks_type(Search *search, const SiProtoMessage *message)
{
	const SiProtoField *field;

	if (search->searched > MOST_SEARCHED)
		return true;
	memset(search->seen, 0, SEEN_ROOM * sizeof(SiProtoMessage *));
	search->searched += SEEN_ROOM / 2;
	search->ntodo = 0;
	look_at(search, message);
	while (search->ntodo > 0)
	{
		message = search->todo[--search->ntodo];
		search->searched += (uint64_t) message->nfields;
		for (field = message->first; field != NULL; field = field->next)
		{
			if (field->kind == SI_PROTO_UNRESOLVED)
				return true;
			if (field->message != NULL)
				look_at(search, field->message);
		}
	}
	return false;
}

/* ---- columns ---- */

static bool
is_usable(Search *search, const SiProtoField *field)
{
	if (field->kind == SI_PROTO_UNRESOLVED)
		return false;
	return field->message == NULL || field->message->meaning != SI_PROTO_PLAIN ||
		!lacks_type(search, field->message);
}

/* The message of the new row that an event has, or NULL. */
static const SiProtoMessage *
find_row(const SiProtoMessage *event, const char *name)
{
	const SiProtoField *field = event->first;

	while (field != NULL && strcmp(field->name.data, name) != 0)
		field = field->next;
	return field != NULL && !field->repeated && field->message != NULL &&
		field->message->meaning == SI_PROTO_PLAIN ? field->message : NULL;
}

bool
si_proto_describe(const SiProtoMessage *message, SiEnvelopeKind envelope, SiArena *memory,
				  SiSchemaColumns *columns, SiDecodeError *error)
{
	const SiProtoField *field;
	Search		search;

	if (si_envelope_is_event(envelope))
	{
		message = find_row(message, si_envelope_shapes[envelope].row);
		if (message == NULL)
			return si_decoder_fail(error, "22023", "the schema is not that of a change event");
	}
	if (!si_columns_begin(columns, MAX_COLUMNS, memory, error))
		return false;
	if (!begin_search(&search, memory))
		return si_decoder_fail(error, "53200", "out of memory");
	for (field = message->meaning == SI_PROTO_PLAIN ? message->first : NULL;
		 field != NULL && columns->n < MAX_COLUMNS; field = field->next)
	{
		SiColumnType type = {.kind = field_kind(field)};

		if (!is_usable(&search, field))
		{
			columns->nleft_out++;
			continue;
		}
		if (field->repeated && !field->map)
			si_column_make_list(&type);
		type.nullable = field->presence && !field->repeated;
		if (!si_columns_add(columns, field->name.data, field->name.len, &type, memory, error))
			return false;
	}
	return true;
}
