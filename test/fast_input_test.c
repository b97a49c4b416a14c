/*-------------------------------------------------------------------------
 *
 * fast_input_test.c
 *	  Compares the routines of apply/fast_input.c with the types' own input
 *	  functions, over random texts.
 *
 * A library for the server, loaded by sql/fast_input.sql: it holds fast_input.c
 * itself, and two functions.
 *
 *	fast_input(type regtype, typmod int, input text) returns text
 *		"same", "left" (to the input function) or "different"
 *	fast_input_random(type regtype, typmod int, n int, seed bigint)
 *		returns int: how many of n random texts were taken.  Error if one gave
 *		something else than the input function, which also throws if it refuses
 *		a text that was taken.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/fast_input.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fast_input);
PG_FUNCTION_INFO_V1(fast_input_random);

typedef enum Outcome
{
	LEFT,
	SAME,
	DIFFERENT
} Outcome;

/* A type with its routine and its input function. */
typedef struct Subject
{
	Oid			type;
	int32		typmod;
	const SiFastInput *fast;
	FmgrInfo	input;
	Oid			typioparam;
	int16		typlen;
	bool		typbyval;
} Subject;

static void
init_subject(Subject *subject, Oid type, int32 typmod)
{
	Oid			input;

	subject->type = type;
	subject->typmod = typmod;
	subject->fast = si_fast_input_find(type, typmod);
	if (subject->fast == NULL)
		elog(ERROR, "type %s has no routine", format_type_be(type));
	getTypeInputInfo(type, &input, &subject->typioparam);
	fmgr_info(input, &subject->input);
	get_typlenbyval(type, &subject->typlen, &subject->typbyval);
}

/* The routine gets a copy without a NUL behind it. */
static Outcome
compare(Subject *subject, char *text)
{
	size_t		len = strlen(text);
	char	   *exact = palloc(Max(len, 1));
	Datum		fast;
	Datum		own;

	memcpy(exact, text, len);
	if (!si_fast_input_read(subject->fast, exact, len, subject->typmod, &fast))
		return LEFT;
	own = InputFunctionCall(&subject->input, text, subject->typioparam, subject->typmod);
	return datumIsEqual(fast, own, subject->typbyval, subject->typlen) ? SAME : DIFFERENT;
}

Datum
fast_input(PG_FUNCTION_ARGS)
{
	static const char *const words[] = {"left", "same", "different"};
	Subject		subject;

	init_subject(&subject, PG_GETARG_OID(0), PG_GETARG_INT32(1));
	PG_RETURN_TEXT_P(cstring_to_text(words[compare(&subject, text_to_cstring(PG_GETARG_TEXT_PP(2)))]));
}

/* ---- random texts ---- */

static uint64
below(pg_prng_state *random, uint64 n)
{
	return pg_prng_uint64_range(random, 0, n - 1);
}

static void
append_digits(StringInfo text, pg_prng_state *random, int n)
{
	for (; n > 0; n--)
		appendStringInfoChar(text, '0' + below(random, 10));
}

static void
append_number(StringInfo text, pg_prng_state *random)
{
	if (below(random, 3) == 0)
		appendStringInfoChar(text, '-');
	if (below(random, 2) == 0)
		appendStringInfoChar(text, '0');
	else
		append_digits(text, random, 1 + below(random, 12));
	if (below(random, 2) == 0)
	{
		appendStringInfoChar(text, '.');
		append_digits(text, random, 1 + below(random, 8));
	}
}

static void
append_integer(StringInfo text, pg_prng_state *random, int digits)
{
	if (below(random, 3) == 0)
		appendStringInfoChar(text, '-');
	append_digits(text, random, 1 + below(random, digits));
}

static void
append_hex(StringInfo text, pg_prng_state *random, int n)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";

	for (; n > 0; n--)
		appendStringInfoChar(text, digits[below(random, sizeof(digits) - 1)]);
}

static void
append_date(StringInfo text, pg_prng_state *random)
{
	appendStringInfo(text, "%04d-%02d-%02d", (int) below(random, 10000),
					 (int) below(random, 14), (int) below(random, 33));
}

static void
append_time(StringInfo text, pg_prng_state *random)
{
	appendStringInfo(text, "%02d:%02d:%02d", (int) below(random, 25),
					 (int) below(random, 61), (int) below(random, 61));
	if (below(random, 2) == 0)
	{
		appendStringInfoChar(text, '.');
		append_digits(text, random, 1 + below(random, 7));
	}
}

static void
append_zone(StringInfo text, pg_prng_state *random)
{
	static const char *const zones[] = {
		"Z", "+00", "-00", "+00:00", "+02:00", "-0330", "+05:30", "+14", "-14:59", "+15:59", "+1", "+123", ""
	};

	appendStringInfoString(text, zones[below(random, lengthof(zones))]);
}

static void
append_usual(StringInfo text, pg_prng_state *random, Oid type)
{
	switch (type)
	{
		case INT2OID:
			append_integer(text, random, 6);
			break;
		case INT4OID:
			append_integer(text, random, 11);
			break;
		case INT8OID:
			append_integer(text, random, 20);
			break;
		case UUIDOID:
			for (int i = 0; i < 5; i++)
			{
				if (i > 0)
					appendStringInfoChar(text, '-');
				append_hex(text, random, i == 0 ? 8 : i == 4 ? 12 : 4);
			}
			break;
		case MACADDROID:
			for (int i = 0; i < 6; i++)
			{
				if (i > 0)
					appendStringInfoChar(text, ':');
				append_hex(text, random, 2);
			}
			break;
		case INETOID:
			for (int i = 0; i < 4; i++)
				appendStringInfo(text, "%s%d", i > 0 ? "." : "", (int) below(random, 258));
			break;
		case DATEOID:
			append_date(text, random);
			break;
		case TIMEOID:
			append_time(text, random);
			break;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			append_date(text, random);
			appendStringInfoChar(text, "T T t"[below(random, 5)]);
			append_time(text, random);
			append_zone(text, random);
			break;
		case VARCHAROID:
			for (int n = below(random, 12); n > 0; n--)
				appendStringInfoString(text, below(random, 4) == 0 ? "\303\244" : &" x"[below(random, 2)]);
			break;
		default:
			append_number(text, random);
			break;
	}
}

/* One text in four has one byte changed, taken out or put in. */
static void
spoil(StringInfo text, pg_prng_state *random, Oid type)
{
	static const char bytes[] = "0123456789-+.:/TZ eEaFxX_,\t";
	int			at;

	if (type == VARCHAROID || text->len == 0 || below(random, 4) != 0)
		return;
	at = below(random, text->len);
	switch (below(random, 3))
	{
		case 0:
			text	  ->data[at] = bytes[below(random, sizeof(bytes) - 1)];

			break;
		case 1:
			memmove(text->data + at, text->data + at + 1, text->len - at);
			text	  ->len--;

			break;
		default:
			appendStringInfoChar(text, ' ');
			memmove(text->data + at + 1, text->data + at, text->len - 1 - at);
			text	  ->data[at] = bytes[below(random, sizeof(bytes) - 1)];

			break;
	}
}

Datum
fast_input_random(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(2);
	int			taken = 0;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fast_input_random",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	pg_prng_state random;
	Subject		subject;
	StringInfoData text;

	init_subject(&subject, PG_GETARG_OID(0), PG_GETARG_INT32(1));
	pg_prng_seed(&random, PG_GETARG_INT64(3));
	initStringInfo(&text);
	for (int i = 0; i < n; i++)
	{
		Outcome		outcome;

		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&text);
		append_usual(&text, &random, subject.type);
		spoil(&text, &random, subject.type);
		MemoryContextSwitchTo(context);
		outcome = compare(&subject, text.data);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		if (outcome == DIFFERENT)
			elog(ERROR, "type %s reads \"%s\" differently", format_type_be(subject.type), text.data);
		taken += outcome == SAME;
	}
	PG_RETURN_INT32(taken);
}
