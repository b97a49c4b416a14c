/*-------------------------------------------------------------------------
 *
 * decimal.c
 *	  Decimals of binary formats: bytes in two's complement, highest first.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/decimal.h"

/* A decimal's limbs hold so many digits each. */
#define LIMB_DIGITS		9
#define LIMB_BASE		UINT64_C(1000000000)

/* Words of a magnitude, the highest first, become limbs, the lowest first. */
static size_t
make_limbs(uint32_t *words, size_t nwords, uint32_t *limbs)
{
	size_t		nlimbs = 0;
	size_t		first = 0;
	size_t		i;

	for (;;)
	{
		uint64_t	rest = 0;

		while (first < nwords && words[first] == 0)
			first++;
		if (first == nwords)
			return nlimbs;
		for (i = first; i < nwords; i++)
		{
			rest = rest << 32 | words[i];
			words[i] = (uint32_t) (rest / LIMB_BASE);
			rest %= LIMB_BASE;
		}
		limbs[nlimbs++] = (uint32_t) rest;
	}
}

/* The magnitude of a number in two's complement, highest byte first. */
static void
make_words(const unsigned char *data, size_t len, uint32_t *words, size_t nwords)
{
	bool		negative = (data[0] & 0x80) != 0;
	unsigned int carry = negative;
	size_t		i;

	memset(words, 0, nwords * sizeof(uint32_t));
	for (i = 0; i < len; i++)
	{
		unsigned int byte = data[len - 1 - i];

		if (negative)
		{
			byte = (byte ^ 0xFF) + carry;
			carry = byte >> 8;
			byte &= 0xFF;
		}
		words[nwords - 1 - i / 4] |= (uint32_t) byte << (i % 4 * 8);
	}
}

/* Write digits, the highest limb first, with a point before the last scale. */
static size_t
write_digits(const uint32_t *limbs, size_t nlimbs, size_t scale, char *out)
{
	size_t		ndigits = nlimbs * LIMB_DIGITS;
	size_t		digit = ndigits > scale + 1 ? ndigits : scale + 1;
	bool		begun = false;
	char	   *at = out;

	/* digit counts down to the one before the point, and to the last */
	while (digit-- > 0)
	{
		uint32_t	limb = digit < ndigits ? limbs[digit / LIMB_DIGITS] : 0;
		size_t		i;

		for (i = digit % LIMB_DIGITS; i > 0; i--)
			limb /= 10;
		begun = begun || limb % 10 != 0 || digit <= scale;
		if (!begun)
			continue;
		*at++ = (char) ('0' + limb % 10);
		if (digit == scale && scale > 0)
			*at++ = '.';
	}
	return (size_t) (at - out);
}

/* A decimal beyond 64 bits, or with a negative scale, as a NUMBER. */
static bool
set_large(SiArena *arena, const char *data, size_t len, int scale, SiValue *value)
{
	const unsigned char *bytes = (const unsigned char *) data;
	size_t		nwords = (len + 3) / 4 + 1;
	size_t		nlimbs = nwords * 32 / 29 + 1;
	uint32_t   *words;
	char	   *made;
	size_t		sign = (bytes[0] & 0x80) != 0;
	size_t		zeroes = scale < 0 ? (size_t) -scale : 0;

	/* its digits are divided from all words that are left, and then written */
	if (!si_arena_work(arena, nwords * nlimbs / 2 + nlimbs * LIMB_DIGITS + (size_t) abs(scale)))
		return false;
	words = si_arena_alloc(arena, (nwords + nlimbs) * sizeof(uint32_t));
	made = si_arena_alloc(arena, nlimbs * LIMB_DIGITS + (size_t) abs(scale) + 4);

	if (words == NULL || made == NULL)
		return false;
	make_words(bytes, len, words, nwords);
	nlimbs = make_limbs(words, nwords, words + nwords);
	*made = '-';
	value->kind = SI_VALUE_NUMBER;
	value->data = made;

	value->len = sign + write_digits(words + nwords, nlimbs, zeroes > 0 ? 0 : (size_t) scale, made + sign);
	memset(made + value->len, '0', zeroes);
	value->len += zeroes;
	return true;
}

bool
si_decimal_set(SiArena *arena, const char *data, size_t len, int scale, SiValue *value)
{
	int64_t		integer;
	size_t		i;

	/* bytes that only repeat the sign */
	while (len > 1 && ((data[0] == 0 && (data[1] & 0x80) == 0) ||
					   ((unsigned char) data[0] == 0xFF && (data[1] & 0x80) != 0)))
	{
		data++;
		len--;
	}
	if (scale < 0 && (len == 0 || (len == 1 && data[0] == 0)))
		scale = 0;
	if (len > 8 || scale < 0 || (scale > SI_VALUE_MAX_SCALE && len > 0))
		return set_large(arena, data, len, scale, value);
	if (len == 0)
	{
		/* no bytes are a zero, as one zero byte is */
		if (scale > SI_VALUE_MAX_SCALE)
			return set_large(arena, "", 1, scale, value);
		integer = 0;
	}
	else
		integer = (data[0] & 0x80) != 0 ? -1 : 0;
	for (i = 0; i < len; i++)
		integer = (int64_t) ((uint64_t) integer << 8 | (unsigned char) data[i]);
	value->kind = SI_VALUE_INTEGER;
	value->scale = scale;
	value->integer = integer;
	return true;
}
