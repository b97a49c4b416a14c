/*-------------------------------------------------------------------------
 *
 * change_datum.c
 *	  Values that change events, and other JSON, write in a notation of their
 *	  own: bytes as text, and dates as days.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "apply/datum.h"
#include "apply/unix_time.h"
#include "format/binary_text.h"
#include "format/value_text.h"

/* Beyond these no day is a date, not even in another calendar. */
#define MOST_DAYS	INT64CONST(4000000000)

bool
si_change_datum_bytes(SiDatumMaker *maker, const SiDatumColumn *state, const SiValue *text,
					  SiValue *bytes)
{
	static const char *const names[] = {
		[SI_BINARY_BASE64] = "base64",
		[SI_BINARY_BASE64URL] = "base64url",
		[SI_BINARY_HEX] = "hex"
	};
	SiBinaryText notation = maker->mapping->binary_text;
	char	   *out = palloc(text->len + 1);
	char	   *end = si_binary_text_decode(notation, text->data, text->len, out);

	if (end == NULL)
		return si_datum_fail(maker, state->column, ERRCODE_INVALID_TEXT_REPRESENTATION,
							 "column \"%s\" takes a text that is not valid %s",
							 state->column->name, names[notation]);
	bytes->kind = SI_VALUE_BYTES;
	bytes->data = out;
	bytes->len = end - out;
	return true;
}

/* A number in the unit of "epoch_unit" that stands for an end of time, as a string. */
static bool
take_infinity(const SiDatumMaker *maker, Oid type, const SiValue *number, SiValue *end)
{
	int64		count = number->integer;

	if (maker->mapping->epoch_unit == SI_EPOCH_NONE ||
		(type != TIMESTAMPOID && type != TIMESTAMPTZOID))
		return false;
	if (number->kind == SI_VALUE_NUMBER &&
		(number->len < strlen("9223372036825200000") ||
		 !si_unix_time_parse(number->data, number->len, SI_EPOCH_MICROSECONDS, &count)))
		return false;
	return si_value_take_infinity(count, end);
}

/* Is it a number of which only the column tells that it is a date or time? */
static bool
is_bare_number(const SiDatumMaker *maker, const SiValue *value)
{
	return value->kind == SI_VALUE_NUMBER ||
		(value->kind == SI_VALUE_INTEGER && value->scale == 0 && maker->mapping->bare_integers);
}

bool
si_change_datum_is_moment(const SiDatumMaker *maker, const SiDatumColumn *state,
						  const SiValue *value)
{
	bool		number = is_bare_number(maker, value);
	Oid			type;
	SiValue		end;

	if (!maker->mapping->change_events || (!number && value->kind != SI_VALUE_INSTANT))
		return false;
	type = getBaseType(state->column->type);
	if (number && take_infinity(maker, type, value, &end))
		return true;
	return type == (number ? DATEOID : TIMESTAMPOID);
}

bool
si_change_datum_moment(SiDatumMaker *maker, const SiDatumColumn *state, const SiValue *value,
					   SiValue *moment)
{
	bool		number = is_bare_number(maker, value);
	int64		count = value->integer;

	if (number && take_infinity(maker, getBaseType(state->column->type), value, moment))
		return true;

	/* without a unit of time it is a number that has no fraction */
	if (value->kind == SI_VALUE_NUMBER &&
		!si_unix_time_parse(value->data, value->len, SI_EPOCH_MICROSECONDS, &count))
		return si_datum_out_of_range(maker, state->column);
	if (number && (count > MOST_DAYS || count < -MOST_DAYS))
		return si_datum_out_of_range(maker, state->column);
	memset(moment, 0, sizeof(SiValue));
	moment->kind = number ? SI_VALUE_DATE : SI_VALUE_TIMESTAMP;
	moment->integer = count;
	return true;
}

char *
si_change_datum_hint(const SiColumn *column, int sqlerrcode)
{
	Oid			type = getBaseType(column->type);

	if (sqlerrcode != ERRCODE_INVALID_TEXT_REPRESENTATION ||
		(type != NUMERICOID && type != INT8OID && type != FLOAT8OID))
		return NULL;
	return pstrdup("Have the connector write decimals as text (\"decimal.handling.mode\" \"string\"), or the schema with each message (\"schemas.enable\" \"true\").");
}
