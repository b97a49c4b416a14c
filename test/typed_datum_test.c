/*-------------------------------------------------------------------------
 *
 * typed_datum_test.c
 *	  Compares the routines of apply/typed_datum.c with the types' own input
 *	  functions, and apply/jsonb_push.c with jsonb_in(), over random values.
 *
 * A library for the server, loaded by sql/typed_datum.sql: it holds the files
 * that it tests, and two functions.
 *
 *	typed_datum_random(type regtype, n int, seed bigint) returns int
 *		how many of n random typed values the routine took.  Error if one gave
 *		something else than the input function gives for the value's text, which
 *		also throws if it refuses a value that was taken.
 *	jsonb_push_random(n int, seed bigint) returns int
 *		the same for random documents.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/jsonb_push.h"
#include "apply/typed_datum.h"
#include "format/value_text.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(typed_datum_random);
PG_FUNCTION_INFO_V1(jsonb_push_random);

static uint64
below(pg_prng_state *random, uint64 n)
{
	return pg_prng_uint64_range(random, 0, n - 1);
}

/* ---- typed values ---- */

/* Of any size, and often at an edge. */
static int64
random_integer(pg_prng_state *random)
{
	static const int64 edges[] = {
		0, 1, 10, 100, PG_INT16_MAX, PG_INT32_MAX, PG_INT64_MAX, PG_INT16_MIN, PG_INT32_MIN,
		PG_INT64_MIN, INT64CONST(1) << 24, INT64CONST(1) << 53, INT64CONST(1000000000000000000),
		USECS_PER_DAY, INT64CONST(9223371331200000000), INT64CONST(-210866803200000000), 2145042541, -2440588
	};
	uint64		integer;

	if (below(random, 4) > 0)
		return (int64) pg_prng_uint64(random) >> below(random, 64);
	integer = edges[below(random, lengthof(edges))];
	return (int64) (integer + below(random, 5) - 2);
}

static double
random_real(pg_prng_state *random)
{
	uint64		bits = pg_prng_uint64(random);
	double		real;

	switch (below(random, 4))
	{
		case 0:
			memcpy(&real, &bits, sizeof(real));
			return real;
		case 1:
			return (float) (pg_prng_double(random) * 1000);
		case 2:
			return (double) random_integer(random) / 100;
		default:
			return pg_prng_double(random);
	}
}

static void
random_value(pg_prng_state *random, SiValue *value)
{
	memset(value, 0, sizeof(SiValue));
	value->kind = SI_VALUE_INTEGER + below(random, SI_VALUE_INSTANT - SI_VALUE_INTEGER + 1);
	value->integer = random_integer(random);
	if (value->kind == SI_VALUE_INTEGER && below(random, 2) == 0)
		value->scale = below(random, SI_VALUE_MAX_SCALE + 1);
	if (value->kind == SI_VALUE_REAL)
		value->real = random_real(random);
	if (value->kind == SI_VALUE_DATE)
		value->integer = (int32) value->integer;
	if (value->kind == SI_VALUE_TIME)
		value->integer = below(random, USECS_PER_DAY + 1);
}

Datum
typed_datum_random(PG_FUNCTION_ARGS)
{
	Oid			type = PG_GETARG_OID(0);
	int			n = PG_GETARG_INT32(1);
	si_typed_routine routine = si_typed_find(type, -1);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "typed_datum_random",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			taken = 0;
	pg_prng_state random;
	Oid			input;
	Oid			typioparam;
	int16		typlen;
	bool		typbyval;

	if (routine == NULL)
		elog(ERROR, "type %s has no routine", format_type_be(type));
	getTypeInputInfo(type, &input, &typioparam);
	get_typlenbyval(type, &typlen, &typbyval);
	pg_prng_seed(&random, PG_GETARG_INT64(2));
	for (int i = 0; i < n; i++)
	{
		char		written[SI_VALUE_TEXT_ROOM];
		SiValue		value;
		Datum		direct;

		CHECK_FOR_INTERRUPTS();
		random_value(&random, &value);
		if (routine(&value, &direct))
		{
			(void) si_value_text(&value, written);
			if (!datumIsEqual(direct, OidInputFunctionCall(input, written, typioparam, -1), typbyval, typlen))
				elog(ERROR, "type %s has %s differently", format_type_be(type), written);
			taken++;
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	PG_RETURN_INT32(taken);
}

/* ---- documents ---- */

static void
append_space(StringInfo text, pg_prng_state *random)
{
	if (below(random, 8) == 0)
		appendStringInfoChar(text, " \n\t\r"[below(random, 4)]);
}

static void
append_string(StringInfo text, pg_prng_state *random)
{
	static const char *const parts[] = {
		"a", "b", "key", "\303\244", "\\n", "\\\"", "\\u00e4", "\\ud83d\\ude00", "\360\237\230\200", "/", "long enough to be none of the short ones"
	};

	appendStringInfoChar(text, '"');
	for (int n = below(random, 3); n > 0; n--)
		appendStringInfoString(text, parts[below(random, lengthof(parts))]);
	appendStringInfoChar(text, '"');
}

static void
append_scalar(StringInfo text, pg_prng_state *random)
{
	static const char *const scalars[] = {
		"null", "true", "false", "0", "-0", "1.10", "-12345.6789", "123456789012345678", "0.000000000000000001"
	};
	static const char *const odd[] = {"1e5", "123456789012345678901234567890", "-1.5E-3", "\"\\u0001\""};

	if (below(random, 3) == 0)
		append_string(text, random);
	else if (below(random, 50) == 0)
		appendStringInfoString(text, odd[below(random, lengthof(odd))]);
	else
		appendStringInfoString(text, scalars[below(random, lengthof(scalars))]);
}

static void
append_document(StringInfo text, pg_prng_state *random, int depth)
{
	bool		object = below(random, 2) == 0;

	appendStringInfoChar(text, object ? '{' : '[');
	append_space(text, random);
	for (int i = 0, n = below(random, 5); i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(text, ',');
		append_space(text, random);
		if (object)
		{
			append_string(text, random);
			append_space(text, random);
			appendStringInfoChar(text, ':');
		}
		append_space(text, random);
		if (depth > 0 && below(random, 3) == 0)
			append_document(text, random, depth - 1);
		else
			append_scalar(text, random);
		append_space(text, random);
	}
	appendStringInfoChar(text, object ? '}' : ']');
}

Datum
jsonb_push_random(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(0);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "jsonb_push_random",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			taken = 0;
	pg_prng_state random;

	pg_prng_seed(&random, PG_GETARG_INT64(1));
	for (int i = 0; i < n; i++)
	{
		StringInfoData text;
		Datum		direct;
		Oid			input;
		Oid			typioparam;

		CHECK_FOR_INTERRUPTS();
		initStringInfo(&text);
		append_document(&text, &random, 4);
		if (si_jsonb_push(text.data, text.len, &direct))
		{
			getTypeInputInfo(JSONBOID, &input, &typioparam);
			if (!datumIsEqual(direct, OidInputFunctionCall(input, text.data, typioparam, -1), false, -1))
				elog(ERROR, "jsonb has %s differently", text.data);
			taken++;
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	PG_RETURN_INT32(taken);
}
