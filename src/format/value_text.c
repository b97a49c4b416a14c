/*-------------------------------------------------------------------------
 *
 * value_text.c
 *	  Values as text: typed values, and JSON that a decoder writes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/value_text.h"

#define USECS_PER_SECOND	INT64_C(1000000)
#define USECS_PER_DAY		(INT64_C(86400) * USECS_PER_SECOND)

/* A buffer keeps no more than this when it is reset. */
#define KEPT_ROOM			((size_t) 1024 * 1024)

static const char hex_digits[] = "0123456789abcdef";

/* ---- typed values ---- */

static int64_t
floor_divide(int64_t value, int64_t by, int64_t *remainder)
{
	int64_t		quotient = value / by;

	*remainder = value % by;
	if (*remainder < 0)
	{
		*remainder += by;
		quotient--;
	}
	return quotient;
}

/*
 * Write the date that is so many days from 1970-01-01 in the Gregorian
 * calendar.  The count is by eras of 400 years that begin with March, so that a
 * leap day is the last one of its year.  Returns whether the year is before our
 * era, which the caller writes behind the time of day.
 */
static bool
write_date(int64_t days, char *out, size_t *len)
{
	int64_t		day_of_era;
	int64_t		era = floor_divide(days + 719468, 146097, &day_of_era);
	int64_t		year_of_era = (day_of_era - day_of_era / 1460 +
							   day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t		day = day_of_era - (365 * year_of_era + year_of_era / 4 -
									year_of_era / 100);
	int64_t		month = (5 * day + 2) / 153;	/* from March, 0 */
	int64_t		year = era * 400 + year_of_era + (month >= 10);

	*len = (size_t) sprintf(out, "%04" PRId64 "-%02d-%02d",
							year > 0 ? year : 1 - year,
							(int) (month < 10 ? month + 3 : month - 9),
							(int) (day - (153 * month + 2) / 5 + 1));
	return year <= 0;
}

/* Write a time of day, without the zeroes that end a fraction. */
static size_t
write_time(int64_t usecs, char *out)
{
	int64_t		seconds = usecs / USECS_PER_SECOND;
	int			fraction = (int) (usecs % USECS_PER_SECOND);
	int			len = sprintf(out, "%02d:%02d:%02d", (int) (seconds / 3600),
							  (int) (seconds / 60 % 60), (int) (seconds % 60));

	if (fraction == 0)
		return (size_t) len;
	len += sprintf(out + len, ".%06d", fraction);
	while (out[len - 1] == '0')
		out[--len] = '\0';
	return (size_t) len;
}

static size_t
write_timestamp(const SiValue *value, char *out)
{
	int64_t		usecs;
	int64_t		days = floor_divide(value->integer, USECS_PER_DAY, &usecs);
	size_t		len;
	bool		before_era = write_date(days, out, &len);

	out[len++] = 'T';
	len += write_time(usecs, out + len);
	if (value->kind == SI_VALUE_INSTANT)
		len += (size_t) sprintf(out + len, "+00:00");
	if (before_era)
		len += (size_t) sprintf(out + len, " BC");
	return len;
}

/* The shortest decimal that reads back as the same double, or nearly so. */
static size_t
write_real(double real, char *out)
{
	int			precision;
	int			len = 0;

	if (isnan(real))
		return (size_t) sprintf(out, "NaN");
	if (isinf(real))
		return (size_t) sprintf(out, real < 0 ? "-Infinity" : "Infinity");
	for (precision = 15; precision <= 17; precision++)
	{
		len = sprintf(out, "%.*g", precision, real);
		if (precision == 17 || strtod(out, NULL) == real)
			break;
	}
	return (size_t) len;
}

static size_t
write_integer(int64_t integer, int scale, char *out)
{
	uint64_t	rest = integer < 0 ? 0 - (uint64_t) integer : (uint64_t) integer;
	char		digits[24];		/* the last one first */
	int			ndigits = 0;
	char	   *at = out;

	/* at least one digit before the point */
	do
	{
		digits[ndigits++] = (char) ('0' + rest % 10);
		rest /= 10;
	} while (rest > 0 || (ndigits <= scale && ndigits < (int) sizeof(digits)));

	if (integer < 0)
		*at++ = '-';
	while (ndigits > 0)
	{
		if (ndigits == scale)
			*at++ = '.';
		*at++ = digits[--ndigits];
	}
	*at = '\0';
	return (size_t) (at - out);
}

size_t
si_value_text(const SiValue *value, char *out)
{
	size_t		len = 0;

	switch (value->kind)
	{
		case SI_VALUE_INTEGER:
			return write_integer(value->integer, value->scale, out);
		case SI_VALUE_REAL:
			return write_real(value->real, out);
		case SI_VALUE_DATE:
			if (write_date(value->integer, out, &len))
				len += (size_t) sprintf(out + len, " BC");
			return len;
		case SI_VALUE_TIME:
			return write_time(value->integer, out);
		case SI_VALUE_TIMESTAMP:
		case SI_VALUE_INSTANT:
			return write_timestamp(value, out);
		default:
			out[0] = '\0';
			return 0;
	}
}

bool
si_value_take_infinity(int64_t count, SiValue *value)
{
	if (count != INT64_C(9223372036825200000) && count != INT64_C(-9223372036832400000))
		return false;
	memset(value, 0, sizeof(SiValue));
	value->kind = SI_VALUE_STRING;
	value->data = count > 0 ? "infinity" : "-infinity";
	value->len = strlen(value->data);
	return true;
}

bool
si_value_is_quoted(const SiValue *value)
{
	if (value->kind == SI_VALUE_REAL)
		return !isfinite(value->real);
	return value->kind > SI_VALUE_REAL;
}

/* ---- a text that grows ---- */

/* Make room for so many bytes more; NULL, with the fault set, if there is none. */
static char *
make_room(SiTextBuffer *buffer, size_t len)
{
	size_t		room = buffer->room > 0 ? buffer->room : 1024;
	size_t		most = buffer->most > 0 ? buffer->most : SI_TEXT_MAX_LEN;
	char	   *larger;

	if (buffer->fault != SI_TEXT_NO_FAULT)
		return NULL;
	if (len <= buffer->room - buffer->len)
		return buffer->data + buffer->len;
	if (buffer->len > most || len > most - buffer->len)
	{
		buffer->fault = SI_TEXT_TOO_LONG;
		return NULL;
	}
	while (room < buffer->len + len)
		room *= 2;
	larger = realloc(buffer->data, room);
	if (larger == NULL)
	{
		buffer->fault = SI_TEXT_OUT_OF_MEMORY;
		return NULL;
	}
	buffer->data = larger;
	buffer->room = room;
	return buffer->data + buffer->len;
}

void
si_text_append(SiTextBuffer *buffer, const char *data, size_t len)
{
	char	   *at = make_room(buffer, len);

	if (at == NULL || len == 0)
		return;
	memcpy(at, data, len);
	buffer->len += len;
}

void
si_text_append_byte(SiTextBuffer *buffer, char byte)
{
	si_text_append(buffer, &byte, 1);
}

static void
append_escaped(SiTextBuffer *buffer, unsigned char byte)
{
	char		escape[8];

	switch (byte)
	{
		case '"':
			si_text_append(buffer, "\\\"", 2);
			break;
		case '\\':
			si_text_append(buffer, "\\\\", 2);
			break;
		case '\n':
			si_text_append(buffer, "\\n", 2);
			break;
		case '\t':
			si_text_append(buffer, "\\t", 2);
			break;
		default:
			snprintf(escape, sizeof(escape), "\\u%04x", byte);
			si_text_append(buffer, escape, 6);
			break;
	}
}

void
si_text_append_string(SiTextBuffer *buffer, const char *data, size_t len)
{
	size_t		done = 0;
	size_t		i;

	si_text_append_byte(buffer, '"');
	for (i = 0; i < len; i++)
	{
		unsigned char byte = (unsigned char) data[i];

		if (byte >= ' ' && byte != '"' && byte != '\\')
			continue;
		si_text_append(buffer, data + done, i - done);
		append_escaped(buffer, byte);
		done = i + 1;
	}
	if (done < len)
		si_text_append(buffer, data + done, len - done);
	si_text_append_byte(buffer, '"');
}

/* Bytes in bytea's hex form, without quotes and with a single backslash. */
static void
append_hex(SiTextBuffer *buffer, const char *data, size_t len)
{
	char	   *at;
	size_t		i;

	if (len > SI_TEXT_MAX_LEN)
	{
		buffer->fault = SI_TEXT_TOO_LONG;
		return;
	}
	at = make_room(buffer, 2 * len + 2);
	if (at == NULL)
		return;
	*at++ = '\\';
	*at++ = 'x';
	for (i = 0; i < len; i++)
	{
		*at++ = hex_digits[(unsigned char) data[i] >> 4];
		*at++ = hex_digits[(unsigned char) data[i] & 15];
	}
	buffer->len += 2 * len + 2;
}

static void
append_typed(SiTextBuffer *buffer, const SiValue *value)
{
	char text[	SI_VALUE_TEXT_ROOM];
	size_t		len = si_value_text(value, text);

	if (si_value_is_quoted(value))
		si_text_append_string(buffer, text, len);
	else
		si_text_append(buffer, text, len);
}

void
si_text_append_value(SiTextBuffer *buffer, const SiValue *value)
{
	switch (value->kind)
	{
		case SI_VALUE_ABSENT:
		case SI_VALUE_NULL:
			si_text_append(buffer, "null", 4);
			break;
		case SI_VALUE_TRUE:
			si_text_append(buffer, "true", 4);
			break;
		case SI_VALUE_FALSE:
			si_text_append(buffer, "false", 5);
			break;
		case SI_VALUE_NUMBER:
		case SI_VALUE_OBJECT:
		case SI_VALUE_ARRAY:
		case SI_VALUE_WRITTEN:
			si_text_append(buffer, value->data, value->len);
			break;
		case SI_VALUE_STRING:
		case SI_VALUE_TEXT:
			si_text_append_string(buffer, value->data, value->len);
			break;
		case SI_VALUE_BYTES:

			/* the hex form begins with a backslash, which JSON wants doubled */
			si_text_append(buffer, "\"\\", 2);
			append_hex(buffer, value->data, value->len);
			si_text_append_byte(buffer, '"');
			break;
		default:
			append_typed(buffer, value);
			break;
	}
}

void
si_text_reset(SiTextBuffer *buffer, size_t most)
{
	if (buffer->room > KEPT_ROOM)
		si_text_free(buffer);
	buffer->len = 0;
	buffer->most = most == 0 ? 1 : most < SI_TEXT_MAX_LEN ? most : SI_TEXT_MAX_LEN;
	buffer->fault = SI_TEXT_NO_FAULT;
}

void
si_text_free(SiTextBuffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(SiTextBuffer));
}

/* ---- kinds ---- */

const char *
si_value_kind_name(SiValueKind kind)
{
	switch (kind)
	{
		case SI_VALUE_NULL:
			return "null";
		case SI_VALUE_TRUE:
		case SI_VALUE_FALSE:
			return "a boolean";
		case SI_VALUE_NUMBER:
			return "a number";
		case SI_VALUE_STRING:
			return "a string";
		case SI_VALUE_ARRAY:
			return "an array";
		case SI_VALUE_OBJECT:
			return "an object";
		default:
			return "something else";
	}
}
