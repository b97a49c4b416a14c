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

/* Beyond these no day is a date, not even in another calendar. */
#define MOST_DAYS	INT64CONST(4000000000)

/* The value of a digit, -1 if it is none. */
static int
digit_value(char c, SiBinaryText notation)
{
	if (notation == SI_BINARY_HEX)
		return c >= '0' && c <= '9' ? c - '0' :
			c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (notation == SI_BINARY_BASE64URL ? '-' : '+'))
		return 62;
	return c == (notation == SI_BINARY_BASE64URL ? '_' : '/') ? 63 : -1;
}

/*
 * Decode digits of so many bits each.  What is left over must be zero, and less
 * than a digit.  Returns the end of the bytes, or NULL.
 */
static char *
decode_digits(const char *text, size_t len, SiBinaryText notation, char *out)
{
	int			width = notation == SI_BINARY_HEX ? 4 : 6;
	uint32		bits = 0;
	int			nbits = 0;

	for (size_t i = 0; i < len; i++)
	{
		int			digit = digit_value(text[i], notation);

		if (digit < 0)
			return NULL;
		bits = bits << width | digit;
		nbits += width;
		if (nbits >= 8)
		{
			nbits -= 8;
			*out++ = (char) (bits >> nbits);
			bits &= (1u << nbits) - 1;
		}
	}
	return nbits < width && bits == 0 ? out : NULL;
}

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
	size_t		len = text->len;
	char	   *out = palloc(len + 1);
	char	   *end;

	/* padding is complete, or left out in base64url */
	if (notation != SI_BINARY_HEX && len % 4 == 0)
	{
		for (int i = 0; i < 2 && len > 0 && text->data[len - 1] == '='; i++)
			len--;
	}
	end = notation == SI_BINARY_BASE64 && text->len % 4 != 0 ? NULL :
				decode_digits(text->data, len, notation, out);

	if (end == NULL)
		return si_datum_fail(maker, state->column, ERRCODE_INVALID_TEXT_REPRESENTATION,
							 "column \"%s\" takes a text that is not valid %s",
							 state->column->name, names[notation]);
	bytes->kind = SI_VALUE_BYTES;
	bytes->data = out;
	bytes->len = end - out;
	return true;
}

bool
si_change_datum_counts_days(const SiDatumMaker *maker, const SiDatumColumn *state)
{
	return maker->mapping->change_events && getBaseType(state->column->type) == DATEOID;
}

bool
si_change_datum_date(SiDatumMaker *maker, const SiDatumColumn *state, const SiValue *number,
					 SiValue *date)
{
	int64		days;

	/* without a unit of time it is a number that has no fraction */
	if (!si_unix_time_parse(number->data, number->len, SI_EPOCH_MICROSECONDS, &days) ||
		days > MOST_DAYS || days < -MOST_DAYS)
		return si_datum_out_of_range(maker, state->column);
	memset(date, 0, sizeof(SiValue));
	date->kind = SI_VALUE_DATE;
	date->integer = days;
	return true;
}

char *
si_change_datum_hint(const SiColumn *column, int sqlerrcode)
{
	if (sqlerrcode != ERRCODE_INVALID_TEXT_REPRESENTATION ||
		getBaseType(column->type) != NUMERICOID)
		return NULL;
	return pstrdup("Have the connector write decimals as text: \"decimal.handling.mode\" \"string\".");
}
