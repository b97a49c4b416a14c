/*-------------------------------------------------------------------------
 *
 * typed_datum.c
 *	  Typed values into columns of their own types, without a text between.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "datatype/timestamp.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "apply/typed_datum.h"

/* From 1970 to the server's epoch. */
#define EPOCH_DAYS		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

static bool
is_whole(const SiValue *value)
{
	return value->kind == SI_VALUE_INTEGER && value->scale == 0;
}

static bool
typed_int2(const SiValue *value, Datum *result)
{
	*result = Int16GetDatum((int16) value->integer);
	return is_whole(value) && value->integer == (int16) value->integer;
}

static bool
typed_int4(const SiValue *value, Datum *result)
{
	*result = Int32GetDatum((int32) value->integer);
	return is_whole(value) && value->integer == (int32) value->integer;
}

static bool
typed_int8(const SiValue *value, Datum *result)
{
	*result = Int64GetDatum(value->integer);
	return is_whole(value);
}

/*
 * A double that is no float would be rounded twice by way of its text, so only
 * the text tells what comes of it.
 */
static bool
typed_float4(const SiValue *value, Datum *result)
{
	if (is_whole(value) && value->integer == (int32) value->integer)
	{
		*result = Float4GetDatum((float4) value->integer);
		return true;
	}
	if (value->kind != SI_VALUE_REAL)
		return false;
	if (isnan(value->real))
	{
		*result = Float4GetDatum(get_float4_nan());
		return true;
	}
	*result = Float4GetDatum((float4) value->real);
	return (float8) (float4) value->real == value->real;
}

static bool
typed_float8(const SiValue *value, Datum *result)
{
	if (is_whole(value))
	{
		*result = Float8GetDatum((float8) value->integer);
		return true;
	}
	if (value->kind != SI_VALUE_REAL)
		return false;

	/* there are many, and the input function makes one */
	*result = Float8GetDatum(isnan(value->real) ? get_float8_nan() : value->real);
	return true;
}

static bool
typed_numeric(const SiValue *value, Datum *result)
{
	if (value->kind != SI_VALUE_INTEGER)
		return false;
	*result = NumericGetDatum(value->scale == 0 ? int64_to_numeric(value->integer) :
							  int64_div_fast_to_numeric(value->integer, value->scale));
	return true;
}

static bool
typed_date(const SiValue *value, Datum *result)
{
	int64		days = value->integer - EPOCH_DAYS;

	if (value->kind != SI_VALUE_DATE ||
		days != (DateADT) days || !IS_VALID_DATE(days))
		return false;
	*result = DateADTGetDatum((DateADT) days);
	return true;
}

static bool
typed_time(const SiValue *value, Datum *result)
{
	if (value->kind != SI_VALUE_TIME ||
		value->integer < 0 || value->integer > USECS_PER_DAY)
		return false;
	*result = TimeADTGetDatum(value->integer);
	return true;
}

static bool
usecs_to_timestamp(int64 usecs, Timestamp *timestamp)
{
	return !pg_sub_s64_overflow(usecs, EPOCH_DAYS * USECS_PER_DAY, timestamp) &&
		IS_VALID_TIMESTAMP(*timestamp);
}

static bool
typed_timestamp(const SiValue *value, Datum *result)
{
	Timestamp	timestamp;

	if (value->kind != SI_VALUE_TIMESTAMP ||
		!usecs_to_timestamp(value->integer, &timestamp))
		return false;
	*result = TimestampGetDatum(timestamp);
	return true;
}

static bool
typed_timestamptz(const SiValue *value, Datum *result)
{
	TimestampTz timestamp;

	if (value->kind != SI_VALUE_INSTANT ||
		!usecs_to_timestamp(value->integer, &timestamp))
		return false;
	*result = TimestampTzGetDatum(timestamp);
	return true;
}

si_typed_routine
si_typed_find(Oid type, int32 typmod)
{
	if (typmod >= 0)
		return NULL;
	switch (type)
	{
		case INT2OID:
			return typed_int2;
		case INT4OID:
			return typed_int4;
		case INT8OID:
			return typed_int8;
		case FLOAT4OID:
			return typed_float4;
		case FLOAT8OID:
			return typed_float8;
		case NUMERICOID:
			return typed_numeric;
		case DATEOID:
			return typed_date;
		case TIMEOID:
			return typed_time;
		case TIMESTAMPOID:
			return typed_timestamp;
		case TIMESTAMPTZOID:
			return typed_timestamptz;
		default:
			return NULL;
	}
}
