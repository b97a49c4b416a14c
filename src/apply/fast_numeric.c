/*-------------------------------------------------------------------------
 *
 * fast_numeric.c
 *	  Making a numeric without a function of the server.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"	/* brings varatt.h, where there is one */

#include "apply/fast_numeric.h"

/* Powers of ten that an int64 holds. */
static const int64 powers_of_ten[SI_FAST_NUMERIC_SCALE + 1] = {
	INT64CONST(1), INT64CONST(10), INT64CONST(100), INT64CONST(1000), INT64CONST(10000),
	INT64CONST(100000), INT64CONST(1000000), INT64CONST(10000000), INT64CONST(100000000),
	INT64CONST(1000000000), INT64CONST(10000000000), INT64CONST(100000000000),
	INT64CONST(1000000000000), INT64CONST(10000000000000), INT64CONST(100000000000000),
	INT64CONST(1000000000000000), INT64CONST(10000000000000000),
	INT64CONST(100000000000000000), INT64CONST(1000000000000000000)
};

/*
 * A numeric as the server stores it, in its short form: a header of 16 bits with
 * sign, scale and weight, and the digits of base 10000 from the first one that is
 * not zero to the last.  See utils/adt/numeric.c, which alone defines it.
 */
typedef struct ShortNumeric
{
	int32		vl_len_;
	uint16		header;
	int16		digits[10];		/* five before the point, five behind it */
} ShortNumeric;

StaticAssertDecl(sizeof(ShortNumeric) <= SI_FAST_NUMERIC_ROOM, "room of a numeric");

#define SHORT_FORM		0x8000
#define SHORT_NEGATIVE	0x2000
#define SHORT_SCALE(s)	((s) << 7)
#define SHORT_WEIGHT(w) ((w) & 0x7f)

Datum
si_fast_numeric_store(bool negative, int64 number, int scale, void *room)
{
	ShortNumeric *stored = room;
	int64		whole = number / powers_of_ten[scale];
	int64		rest = number % powers_of_ten[scale];
	int16		digits[10] = {0};
	int			first = 5,
				end = 5;

	for (; whole > 0; whole /= 10000)
		digits[--first] = (int16) (whole % 10000);
	for (int left = scale; left > 0; left -= 4)
	{
		int64		unit = left > 4 ? powers_of_ten[left - 4] : 1;

		digits[end++] = (int16) (rest / unit * (left < 4 ? powers_of_ten[4 - left] : 1));
		rest %= unit;
	}
	while (first < end && digits[first] == 0)
		first++;
	while (end > first && digits[end - 1] == 0)
		end--;
	stored->header = SHORT_FORM | SHORT_SCALE(scale);
	if (end > first)
		stored->header |= SHORT_WEIGHT(4 - first) | (negative ? SHORT_NEGATIVE : 0);
	memcpy(stored->digits, digits + first, sizeof(int16) * (end - first));
	SET_VARSIZE(stored, offsetof(ShortNumeric, digits) + sizeof(int16) * (end - first));
	return PointerGetDatum(stored);
}
