/*-------------------------------------------------------------------------
 *
 * unix_time.c
 *	  Numbers that count from 1970, as "epoch_unit" reads them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/int.h"

#include "apply/unix_time.h"
#include "format/json_scan.h"

bool
si_unix_time_is_number(const char *number, size_t len)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p = si_json_begin(&scan, number, len);

	if (p != number || len == 0 || (*p != '-' && !isdigit((unsigned char) *p)))
		return false;
	return si_json_read_value(&scan, p, &token) == number + len &&
		token.kind == SI_VALUE_NUMBER;
}

/* An exponent too large for us decides by its sign alone. */
static int
read_exponent(const char *at, const char *end)
{
	bool		negative = *at == '-';
	int			exponent = 0;

	if (*at == '-' || *at == '+')
		at++;
	for (; at < end && exponent < 1000000; at++)
		exponent = exponent * 10 + (*at - '0');

	return negative ? -exponent : exponent;
}

bool
si_unix_time_parse(const char *number, size_t len, SiEpochUnit unit, int64 *usecs)
{
	const char *end = number + len;
	bool		negative = *number == '-';
	bool		fraction = false;
	int			scale = unit == SI_EPOCH_SECONDS ? 6 :
		unit == SI_EPOCH_MILLISECONDS ? 3 : 0;
	int64		value = 0;
	const char *at;

	for (at = negative ? number + 1 : number;
		 at < end && *at != 'e' && *at != 'E'; at++)
	{
		if (*at == '.')
		{
			fraction = true;
			continue;
		}

		/* digits beyond the 18th are far below a microsecond, or too many */
		if (value < INT64CONST(100000000000000000))
		{
			value = value * 10 + (*at - '0');
			scale -= fraction;
		}
		else
			scale += !fraction;
	}

	if (at < end)
		scale += read_exponent(at + 1, end);

	for (; scale > 0 && value != 0; scale--)
	{
		if (pg_mul_s64_overflow(value, 10, &value))
			return false;
	}
	for (; scale < -1 && value != 0; scale++)
		value /= 10;
	if (scale == -1)
		value = (value + 5) / 10;

	*usecs = negative ? -value : value;

	return true;
}
