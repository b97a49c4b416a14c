/*-------------------------------------------------------------------------
 *
 * convert_ahead.c
 *	  Converting, in the thread that decodes ahead, what needs no function of the
 *	  server.
 *
 * The rules are those of datum.c for the same kinds of values.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"	/* brings varatt.h, where there is one */
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "apply/convert_ahead.h"
#include "apply/fast_input.h"

#define KIND(kind)		(1 << (kind))
#define WRITTEN_KINDS	(KIND(SI_VALUE_NUMBER) | KIND(SI_VALUE_STRING) | KIND(SI_VALUE_TEXT))
#define TRUTH_KINDS		(KIND(SI_VALUE_TRUE) | KIND(SI_VALUE_FALSE))

typedef struct AheadColumn
{
	int			field;
	int			kinds;			/* bits: which kinds of values are converted */
	const SiFastInput *input;	/* NULL: a text, or true and false */
	int32		typmod;			/* of the input, or */
	size_t		most_text;		/* the longest text */
} AheadColumn;

struct SiAheadColumns
{
	int			n;
	AheadColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

/* ---- which columns ---- */

/* Do other columns take the same field? */
static bool
is_shared(const SiMapping *mapping, const SiColumn *column)
{
	int			takers = 0;

	for (int i = 0; i < mapping->ncolumns; i++)
		takers += mapping->columns[i].source == SI_SOURCE_FIELD &&
			mapping->columns[i].field == column->field;
	return takers > 1;
}

/* Texts keep what they get; a varchar what has no more bytes than it may have characters. */
static bool
choose_text(AheadColumn *ahead, const SiColumn *column)
{
	bool		with_length = column->typmod >= VARHDRSZ;

	if (column->type != VARCHAROID &&
		(with_length || (column->type != TEXTOID && column->type != BPCHAROID)))
		return false;
	ahead->kinds = WRITTEN_KINDS;
	ahead->most_text = with_length ? column->typmod - VARHDRSZ : MaxAllocSize / 2;
	return true;
}

/*
 * Types with a routine that runs in a thread.  A number is no date or time, and
 * with "epoch_unit" the text of CSV may be one.
 */
static bool
choose_input(AheadColumn *ahead, const SiColumn *column, SiEpochUnit epoch_unit)
{
	ahead->input = si_fast_input_find(column->type, column->typmod);
	if (ahead->input == NULL || !ahead->input->pure)
		return false;
	ahead->kinds = WRITTEN_KINDS;
	switch (column->type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			ahead->kinds &= ~KIND(SI_VALUE_NUMBER);
			if (epoch_unit != SI_EPOCH_NONE)
				ahead->kinds &= ~KIND(SI_VALUE_TEXT);
			break;
		default:
			break;
	}
	return true;
}

/* Can values of a column be converted?  Then how. */
static bool
choose(AheadColumn *ahead, const SiMapping *mapping, const SiColumn *column)
{
	memset(ahead, 0, sizeof(AheadColumn));
	ahead->field = column->field;
	ahead->typmod = column->typmod;
	if (column->source != SI_SOURCE_FIELD || is_shared(mapping, column))
		return false;
	if (column->type == BOOLOID)
	{
		ahead->kinds = TRUTH_KINDS;
		return true;
	}
	return choose_text(ahead, column) || choose_input(ahead, column, mapping->epoch_unit);
}

SiAheadColumns *
si_convert_ahead_create(const SiMapping *mapping)
{
	SiAheadColumns *ahead = palloc(offsetof(SiAheadColumns, columns) +
								   sizeof(AheadColumn) * Max(mapping->ncolumns, 1));
	int			encoding = GetDatabaseEncoding();

	ahead->n = 0;
	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
		return ahead;
	for (int i = 0; i < mapping->ncolumns; i++)
		ahead->n += choose(&ahead->columns[ahead->n], mapping, &mapping->columns[i]);
	return ahead;
}

/* ---- in the thread: no function of the server from here on ---- */

static bool
convert_text(const SiValue *value, size_t most, SiArena *arena, Datum *result)
{
	struct varlena *text;

	if (value->len > most ||
		(value->kind == SI_VALUE_STRING && memchr(value->data, '\0', value->len) != NULL))
		return false;
	text = si_arena_alloc(arena, VARHDRSZ + value->len);

	if (text == NULL)
		return false;
	SET_VARSIZE(text, VARHDRSZ + value->len);
	memcpy(VARDATA(text), value->data, value->len);
	*result = PointerGetDatum(text);
	return true;
}

static bool
convert_input(const AheadColumn *column, const SiValue *value, SiArena *arena, Datum *result)
{
	const SiFastInput *input = column->input;
	void	   *room = NULL;

	if (input->room > 0)
	{
		room = si_arena_alloc(arena, input->room);
		if (room == NULL)
			return false;
	}
	return input->routine(value->data, value->len, column->typmod, room, result);
}

static bool
convert_value(const AheadColumn *column, const SiValue *value, SiArena *arena, Datum *result)
{
	if (column->input != NULL)
		return convert_input(column, value, arena, result);
	if ((KIND(value->kind) & TRUTH_KINDS) == 0)
		return convert_text(value, column->most_text, arena, result);
	*result = BoolGetDatum(value->kind == SI_VALUE_TRUE);
	return true;
}

void
si_convert_ahead(const void *columns, SiRecord *record, SiArena *arena)
{
	const SiAheadColumns *ahead = columns;

	for (int i = 0; i < ahead->n; i++)
	{
		const AheadColumn *column = &ahead->columns[i];
		SiValue    *value = &record->fields[column->field];
		Datum		result;

		if ((KIND(value->kind) & column->kinds) == 0 ||
			!convert_value(column, value, arena, &result))
			continue;
		value->kind = SI_VALUE_STORED;
		value->integer = (int64) result;
	}
}
