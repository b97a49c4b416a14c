/*-------------------------------------------------------------------------
 *
 * proto_known.c
 *	  Messages of Protobuf's libraries that stand for a single value.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/decimal.h"
#include "format/proto_read.h"

/* A number of the collected message, 0 where it is not there. */
static int64_t
get_number(SiProtoReader *reader, const SiProtoFields *fields, uint32_t number)
{
	const SiProtoField *field = si_proto_find_field(fields->type, number);
	SiProtoValue from;
	SiValue		value;

	if (!si_proto_get(reader, fields, field, &from))
		return 0;

	/* set_meaning() has seen to its being an integer */
	(void) si_proto_set_scalar(reader, field, &from.item, &value);
	return value.integer;
}

/* A text that was made, as a value. */
static bool
set_text(SiProtoReader *reader, const char *made, SiValue *value)
{
	char	   *text = si_arena_alloc(reader->arena, strlen(made));

	if (text == NULL)
		return si_proto_fault(reader, reader->start, SI_PROTO_NO_MEMORY) != NULL;
	memcpy(text, made, strlen(made));
	value->kind = SI_VALUE_STRING;
	value->data = text;

	value->len = strlen(made);
	return true;
}

/* Nanoseconds are cut downwards. */
static bool
set_timestamp(SiProtoReader *reader, const SiProtoFields *fields, const char *p, SiValue *value)
{
	int64_t		nanos = get_number(reader, fields, 2);
	int64_t		usecs = nanos / 1000 - (nanos % 1000 < 0);

	value->kind = SI_VALUE_INSTANT;
	if (__builtin_mul_overflow(get_number(reader, fields, 1), INT64_C(1000000), &value->integer) ||
		__builtin_add_overflow(value->integer, usecs, &value->integer))
		return si_proto_fault(reader, p, SI_PROTO_TIME_RANGE) != NULL;
	return true;
}

/* As Protobuf's JSON has it, and interval reads it: seconds with "s" behind. */
static bool
set_duration(SiProtoReader *reader, const SiProtoFields *fields, SiValue *value)
{
	__int128	nanos = (__int128) get_number(reader, fields, 1) * 1000000000 +
		get_number(reader, fields, 2);
	bool		negative = nanos < 0;
	char		made[48];
	int			len;

	if (negative)
		nanos = -nanos;
	len = snprintf(made, sizeof(made), "%s%" PRIu64 ".%09" PRIu64, negative ? "-" : "",
				   (uint64_t) (nanos / 1000000000), (uint64_t) (nanos % 1000000000));
	while (made[len - 1] == '0')
		len--;
	if (made[len - 1] == '.')
		len--;
	memcpy(made + len, "s", 2);
	return set_text(reader, made, value);
}

static int
days_of_month(int64_t year, int64_t month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01, by eras of 400 years that begin with March. */
static int64_t
count_days(int64_t year, int64_t month, int64_t day)
{
	int64_t		years = month > 2 ? year : year - 1;
	int64_t		day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return years * 365 + years / 4 - years / 100 + years / 400 + day_of_year - 719468;
}

/* A date that lacks its year, month or day is a text that no date column takes. */
static bool
set_date(SiProtoReader *reader, const SiProtoFields *fields, SiValue *value)
{
	int64_t		year = get_number(reader, fields, 1);
	int64_t		month = get_number(reader, fields, 2);
	int64_t		day = get_number(reader, fields, 3);
	char		made[48];

	if (year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days_of_month(year, month))
	{
		value->kind = SI_VALUE_DATE;
		value->integer = count_days(year, month, day);
		return true;
	}
	snprintf(made, sizeof(made), "%04" PRId64 "-%02" PRId64 "-%02" PRId64, year, month, day);
	return set_text(reader, made, value);
}

/*
 * A time that is none is a text that no time column takes.  The end of the day and leap
 * seconds are times.
 */
static bool
set_time_of_day(SiProtoReader *reader, const SiProtoFields *fields, SiValue *value)
{
	int64_t		hours = get_number(reader, fields, 1);
	int64_t		minutes = get_number(reader, fields, 2);
	int64_t		seconds = get_number(reader, fields, 3);
	int64_t		nanos = get_number(reader, fields, 4);
	int64_t		usecs = ((hours * 60 + minutes) * 60 + seconds) * 1000000 + nanos / 1000;
	char		made[80];

	if (hours >= 0 && minutes >= 0 && minutes < 60 && seconds >= 0 && seconds <= 60 &&
		nanos >= 0 && nanos < 1000000000 && usecs <= INT64_C(86400000000))
	{
		value->kind = SI_VALUE_TIME;
		value->integer = usecs;
		return true;
	}
	/* digits behind the point with a sign would be read as a time zone */
	snprintf(made, sizeof(made),
			 nanos < 0 ? "%02" PRId64 ":%02" PRId64 ":%02" PRId64 " and %" PRId64 " ns" :
			 "%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%09" PRId64,
			 hours, minutes, seconds, nanos);
	return set_text(reader, made, value);
}

/*
 * A number of the bytes in a field and a scale.  A scale below zero is an exponent,
 * which writers of confluent.type.Decimal do not have.
 */
static bool
set_decimal(SiProtoReader *reader, const SiProtoFields *fields, const char *p, SiValue *value)
{
	bool		scaled = fields->type->meaning == SI_PROTO_SCALED;
	int64_t		scale = get_number(reader, fields, scaled ? 1 : 3);
	SiProtoValue from;

	if (!si_proto_get(reader, fields, si_proto_find_field(fields->type, scaled ? 2 : 1), &from))
	{
		from.item.data = "";
		from.item.len = 0;
	}
	if (from.item.len > SI_DECIMAL_MAX_BYTES)
		return si_proto_fault(reader, p, SI_PROTO_LARGE_DECIMAL) != NULL;
	if (scale < (scaled ? -SI_DECIMAL_MAX_SCALE : 0) || scale > SI_DECIMAL_MAX_SCALE)
		return si_proto_fault(reader, p, SI_PROTO_BAD_SCALE) != NULL;
	if (!si_decimal_set(reader->arena, from.item.data, from.item.len, (int) scale, value))
		return si_proto_fault(reader, p, SI_PROTO_NO_MEMORY) != NULL;
	return true;
}

static bool
set_wrapped(SiProtoReader *reader, const SiProtoFields *fields, SiValue *value)
{
	const SiProtoField *field = si_proto_find_field(fields->type, 1);
	SiProtoValue from;

	if (si_proto_get(reader, fields, field, &from))
		return si_proto_set_scalar(reader, field, &from.item, value);
	si_proto_set_zero(field, value);
	return true;
}

bool
si_proto_set_known(SiProtoReader *reader, const SiProtoMessage *type, const SiProtoValue *from,
				   SiValue *value)
{
	SiProtoFields fields;
	bool		done = false;

	if (!si_proto_collect(reader, type, from, NULL, NULL, NULL, &fields))
		return false;
	switch (type->meaning)
	{
		case SI_PROTO_TIMESTAMP:
			done = set_timestamp(reader, &fields, from->item.data, value);
			break;
		case SI_PROTO_DURATION:
			done = set_duration(reader, &fields, value);
			break;
		case SI_PROTO_DATE:
			done = set_date(reader, &fields, value);
			break;
		case SI_PROTO_TIME_OF_DAY:
			done = set_time_of_day(reader, &fields, value);
			break;
		case SI_PROTO_DECIMAL:
		case SI_PROTO_SCALED:
			done = set_decimal(reader, &fields, from->item.data, value);
			break;
		default:
			done = set_wrapped(reader, &fields, value);
			break;
	}
	si_proto_release(reader, &fields);
	return done;
}
