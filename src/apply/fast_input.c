/*-------------------------------------------------------------------------
 *
 * fast_input.c
 *	  Values of common types in their usual form, read without the type's
 *	  input function.
 *
 * Input functions take a third of a worker's time: they look for white space,
 * settings, a dozen of notations, and some (macaddr) call sscanf().  Messages
 * of a topic come from one program, which writes a type in one form.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <sys/socket.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/inet.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "apply/fast_input.h"
#include "apply/fast_numeric.h"

/* Digits of which any number fits into an int64. */
#define INT64_DIGITS	SI_FAST_NUMERIC_SCALE

/* A decimal number: digits, the last of them scale places behind the point. */
typedef struct Decimal
{
	bool		negative;
	int64		digits;
	int			ndigits;		/* without leading zeroes */
	int			scale;
} Decimal;

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- numbers ---- */

/* -?[0-9]+ that fits; the input functions take leading zeroes, too. */
static bool
read_integer(const char *text, size_t len, int64 *result)
{
	const char *end = text +len;
	bool		negative = len > 0 && *text == '-';
	int64		value = 0;

	if (negative)
		text	  ++;

	if (text == end || end - text >INT64_DIGITS)
		return false;
	for (; text <end; text ++)
	{
		if (!is_digit(*text))
			return false;
		value = value * 10 + (*text -'0');
	}
	*result = negative ? -value : value;
	return true;
}

static bool
fast_int2(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	int64		value;

	if (!read_integer(text, len, &value) || value < PG_INT16_MIN || value > PG_INT16_MAX)
		return false;
	*result = Int16GetDatum((int16) value);
	return true;
}

static bool
fast_int4(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	int64		value;

	if (!read_integer(text, len, &value) || value < PG_INT32_MIN || value > PG_INT32_MAX)
		return false;
	*result = Int32GetDatum((int32) value);
	return true;
}

static bool
fast_int8(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	int64		value;

	if (!read_integer(text, len, &value))
		return false;
	*result = Int64GetDatum(value);
	return true;
}

/* -?[0-9]+(\.[0-9]+)? of at most 18 digits, and as many behind the point */
static bool
read_decimal(const char *text, size_t len, Decimal *number)
{
	const char *end = text +len;
	const char *point = NULL;

	number->negative = len > 0 && *text == '-';
	if (number->negative)
		text	  ++;

	number->digits = 0;
	number->ndigits = 0;
	if (text == end || !is_digit(*text) || !is_digit(end[-1]))
		return false;
	for (; text <end; text ++)
	{
		if (*text == '.' && point == NULL)
		{
			point = text;

			continue;
		}
		if (!is_digit(*text))
			return false;
		if ((number->digits != 0 || *text !='0') &&++number->ndigits > INT64_DIGITS)
			return false;
		number->digits = number->digits * 10 + (*text -'0');
	}
	number->scale = point ? (int) Min(end - point - 1, INT64_DIGITS + 1) : 0;
	return number->scale <= INT64_DIGITS;
}

/*
 * A mantissa and a power of ten that the type holds exactly: then one division
 * is rounded once, as strtod() and strtof() round.  (Clinger, How to Read
 * Floating Point Numbers Accurately, 1990.)  It takes arithmetic in the type
 * itself, which FLT_EVAL_METHOD guarantees.
 */
static bool
fast_float8(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	static const double powers[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13,
		1e14, 1e15, 1e16, 1e17, 1e18
	};
	Decimal		number;
	double		value;

	if (FLT_EVAL_METHOD != 0 || !read_decimal(text, len, &number) ||
		number.digits > (INT64CONST(1) << DBL_MANT_DIG))
		return false;
	value = (double) number.digits / powers[number.scale];
	*result = Float8GetDatum(number.negative ? -value : value);
	return true;
}

static bool
fast_float4(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	static const float powers[] = {
		1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f, 1e9f, 1e10f
	};
	Decimal		number;
	float		value;

	if (FLT_EVAL_METHOD != 0 || !read_decimal(text, len, &number) ||
		number.digits > (INT64CONST(1) << FLT_MANT_DIG) || number.scale >= lengthof(powers))
		return false;
	value = (float) number.digits / powers[number.scale];
	*result = Float4GetDatum(number.negative ? -value : value);
	return true;
}

/*
 * Without a typmod the number keeps its scale.  With one it gets that scale,
 * and is left to the input function where digits would have to be rounded away
 * or there may be too many.
 */
static bool
fast_numeric(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	Decimal		number;

	if (!read_decimal(text, len, &number))
		return false;
	if (typmod >= 0)
	{
		int			precision = ((typmod - VARHDRSZ) >> 16) & 0xffff;
		int			scale = (typmod - VARHDRSZ) & 0x7ff;
		int			missing = scale - number.scale;

		if (missing < 0 || scale > INT64_DIGITS ||
			number.ndigits + missing > Min(precision, INT64_DIGITS))
			return false;
		for (; missing > 0; missing--)
			number.digits *= 10;
		number.scale = scale;
	}
	*result = si_fast_numeric_store(number.negative, number.digits, number.scale, room);
	return true;
}

/* ---- bytes in hexadecimal ---- */

/* Of each ASCII character; a table, since random digits make any branch a guess. */
static const int8 hex_values[128] = {
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -1, -1, -1, -1, -1,
	-1, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
};

/* Two digits to a byte; negative if they are none. */
static inline int
read_byte(const char *text)
{
	unsigned char high = text[0];
	unsigned char low = text[1];
	int			byte = hex_values[high & 0x7f] * 16 | hex_values[low & 0x7f];

	return byte | -((high | low) >> 7);
}

/* 8-4-4-4-12 digits */
static bool
fast_uuid(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	static const uint8 starts[UUID_LEN] = {
		0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34
	};
	pg_uuid_t	bytes;
	int			all = 0;

	if (len != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
		return false;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			byte = read_byte(text +starts[i]);

		bytes.data[i] = (unsigned char) byte;
		all |= byte;
	}
	if (all < 0)
		return false;
	*result = UUIDPGetDatum(memcpy(room, &bytes, sizeof(pg_uuid_t)));
	return true;
}

/* six bytes with colons between them */
static bool
fast_macaddr(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	unsigned char bytes[6];
	int			all = 0;

	if (len != 17)
		return false;
	for (int i = 0; i < 6; i++)
	{
		int			byte = read_byte(text +3 * i);

		if (i < 5 && text[3 * i + 2] != ':')
			return false;
		bytes[i] = (unsigned char) byte;
		all |= byte;
	}
	if (all < 0)
		return false;
	*result = MacaddrPGetDatum(memcpy(room, bytes, sizeof(bytes)));
	return true;
}

/* An IPv4 address without a netmask; its numbers have no leading zeroes. */
static bool
fast_inet(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	const char *end = text +len;
	unsigned char bytes[4];
	inet	   *address = memset(room, 0, sizeof(inet));

	for (int i = 0; i < 4; i++)
	{
		const char *start = text;
		int			value = 0;

		for (; text <end && is_digit(*text) && text -start < 3; text ++)
			value = value * 10 + (*text -'0');
		if (text == start || value > 255 || (*start == '0' && text -start > 1))
			return false;
		bytes[i] = (unsigned char) value;
		if (i < 3 && (text == end || *text ++!= '.'))
			return false;
	}
	if (text !=end)
		return false;
	ip_family(address) = PGSQL_AF_INET;
	ip_bits(address) = 32;
	memcpy(ip_addr(address), bytes, sizeof(bytes));
	SET_INET_VARSIZE(address);
	*result = InetPGetDatum(address);
	return true;
}

/* ---- dates and times, in ISO 8601 form ---- */

static inline bool
read_two(const char *text, int *value)
{
	*value = (text[0] - '0') *10 + (text[1] - '0');
	return is_digit(text[0]) && is_digit(text[1]);
}

static const uint8 month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

/* A year from 1 on; it begins in March here, so that its leap day is its last. */
static int
days_since_2000(int year, int month, int day)
{
	month -= 3;
	if (month < 0)
	{
		month += 12;
		year--;
	}
	return year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 730426;
}

/* YYYY-MM-DD, to days since 2000 */
static bool
read_date(const char *text, int *days)
{
	int			century,
				year,
				month,
				day;

	if (!read_two(text, &century) || !read_two(text +2, &year) || text[4] != '-' ||
		!read_two(text +5, &month) || text[7] != '-' || !read_two(text +8, &day))
		return false;
	year += century * 100;
	if (year == 0 || month < 1 || month > 12 || day < 1 ||
		day > month_days[month - 1] + (month == 2 && isleap(year)))
		return false;
	*days = days_since_2000(year, month, day);
	return true;
}

/*
 * HH:MM:SS with up to six digits of a fraction, to microseconds.  Leaves *text
 * behind it.
 */
static bool
read_time(const char **text, const char *end, int64 *usecs)
{
	const char *at = *text;
	int			hour,
				minute,
				second,
				fraction = 0,
				ndigits = 0;

	if (end - at < 8 || !read_two(at, &hour) || at[2] != ':' || !read_two(at + 3, &minute) ||
		at[5] != ':' || !read_two(at + 6, &second) || hour > 23 || minute > 59 || second > 59)
		return false;
	at += 8;
	if (at < end && *at == '.')
	{
		for (at++; at < end && is_digit(*at); at++)
		{
			if (++ndigits > 6)
				return false;
			fraction = fraction * 10 + (*at - '0');
		}
		if (ndigits == 0)
			return false;
		for (; ndigits < 6; ndigits++)
			fraction *= 10;
	}
	*text = at;
	*usecs = ((hour * INT64CONST(60) + minute) * 60 + second) * USECS_PER_SEC + fraction;
	return true;
}

/* Z, +HH, +HHMM or +HH:MM up to the end, to microseconds east of Greenwich */
static bool
read_zone(const char *text, const char *end, int64 *usecs)
{
	int			hours,
				minutes = 0;
	bool		west = *text == '-';

	*usecs = 0;
	if (*text == 'Z')
		return text +1 == end;

	if (*text !='+' && !west)
		return false;
	text	  ++;

	if (end - text <2 || !read_two(text, &hours) || hours > 14)
		return false;
	text	  +=2;

	if (text <end && *text == ':')
		text	  ++;

	else if (text <end && end - text !=2)
		return false;
	if (text <end && (end - text !=2 || !read_two(text, &minutes) || minutes > 59))
		return false;
	if (text == end && text[-1] == ':')
		return false;
	*usecs = (hours * INT64CONST(60) + minutes) * SECS_PER_MINUTE * USECS_PER_SEC;
	if (west)
		*usecs = -*usecs;
	return true;
}

static bool
fast_date(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	int			days;

	if (len != 10 || !read_date(text, &days))
		return false;
	*result = DateADTGetDatum(days);
	return true;
}

static bool
fast_time(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	const char *end = text +len;
	int64		usecs;

	if (!read_time(&text, end, &usecs) || text !=end)
		return false;
	*result = TimeADTGetDatum(usecs);
	return true;
}

/* A date and a time of day; leaves *text behind them. */
static bool
read_timestamp(const char **text, const char *end, Timestamp *timestamp)
{
	int			days;
	int64		usecs;

	if (end - *text <19 || ((*text)[10] != 'T' && (*text)[10] != ' ') ||
		!read_date(*text, &days))
		return false;
	*text +=11;
	if (!read_time(text, end, &usecs))
		return false;
	*timestamp = days * USECS_PER_DAY + usecs;
	return true;
}

/* As the input function does, a zone is read and counts for nothing. */
static bool
fast_timestamp(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	const char *end = text +len;
	Timestamp	timestamp;
	int64		east;

	if (!read_timestamp(&text, end, &timestamp) ||
		(text <end && !read_zone(text, end, &east)))
		return false;
	*result = TimestampGetDatum(timestamp);
	return true;
}

/* Without a zone the session's counts, which the input function knows. */
static bool
fast_timestamptz(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	const char *end = text +len;
	Timestamp	timestamp;
	int64		east;

	if (!read_timestamp(&text, end, &timestamp) || text == end ||
		!read_zone(text, end, &east))
		return false;
	*result = TimestampTzGetDatum(timestamp - east);
	return true;
}

/* ---- texts ---- */

/* A text that is not longer in bytes than it may be in characters. */
static bool
fast_varchar(const char *text, size_t len, int32 typmod, void *room, Datum *result)
{
	if (len > typmod - VARHDRSZ)
		return false;
	*result = PointerGetDatum(cstring_to_text_with_len(text, len));
	return true;
}

/* ---- which type ---- */

/* Where an int64 does not fit into a Datum, making one allocates. */
#ifdef USE_FLOAT8_BYVAL
#define BY_VALUE	true
#else
#define BY_VALUE	false
#endif

static const SiFastInput inputs[] = {
	{INT2OID, false, true, 0, fast_int2},
	{INT4OID, false, true, 0, fast_int4},
	{INT8OID, false, BY_VALUE, 0, fast_int8},
	{FLOAT4OID, false, true, 0, fast_float4},
	{FLOAT8OID, false, BY_VALUE, 0, fast_float8},
	{NUMERICOID, true, true, SI_FAST_NUMERIC_ROOM, fast_numeric},
	{UUIDOID, false, true, sizeof(pg_uuid_t), fast_uuid},
	{MACADDROID, false, true, sizeof(macaddr), fast_macaddr},
	{INETOID, false, true, sizeof(inet), fast_inet},
	{DATEOID, false, true, 0, fast_date},
	{TIMEOID, false, BY_VALUE, 0, fast_time},
	{TIMESTAMPOID, false, BY_VALUE, 0, fast_timestamp},
	{TIMESTAMPTZOID, false, BY_VALUE, 0, fast_timestamptz},
};

static const SiFastInput varchar_input = {VARCHAROID, true, false, 0, fast_varchar};

/* Numeric's scale may be negative or above its precision; those are rare. */
static bool
is_usual_numeric(int32 typmod)
{
	int			precision = ((typmod - VARHDRSZ) >> 16) & 0xffff;
	int			scale = (typmod - VARHDRSZ) & 0x7ff;

	return typmod < 0 || scale <= precision;
}

const SiFastInput *
si_fast_input_find(Oid type, int32 typmod)
{
	if (type == VARCHAROID && typmod >= VARHDRSZ)
		return &varchar_input;
	if (type == NUMERICOID && !is_usual_numeric(typmod))
		return NULL;
	for (int i = 0; i < lengthof(inputs); i++)
	{
		if (inputs[i].type == type && (typmod < 0 || inputs[i].with_typmod))
			return &inputs[i];
	}
	return NULL;
}
