/*-------------------------------------------------------------------------
 *
 * base64.h
 *	  Digits of base64, and digits of a text to bytes.
 *
 * How strict a text is read, with its padding, blanks and left-over bits, is the
 * caller's to say: they differ.  Pure; used by format, kafka and apply.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BASE64_H
#define SI_BASE64_H

#include <stdbool.h>
#include <stdint.h>

/* Which alphabets of RFC 4648, as bits. */
#define SI_BASE64_STANDARD	0x01	/* '+' and '/' */
#define SI_BASE64_URL		0x02	/* '-' and '_' */

/* The value of a digit in one of these alphabets, -1 if it is none. */
static inline int
si_base64_digit(char c, int alphabets)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if ((alphabets & SI_BASE64_STANDARD) != 0 && (c == '+' || c == '/'))
		return c == '+' ? 62 : 63;
	if ((alphabets & SI_BASE64_URL) != 0 && (c == '-' || c == '_'))
		return c == '-' ? 62 : 63;
	return -1;
}

/* Digits that become bytes; begins with out set and the rest zero. */
typedef struct SiDigits
{
	char	   *out;			/* where the next byte goes */
	uint32_t	bits;			/* left over: no whole byte yet */
	int			nbits;
} SiDigits;

/* Add a digit of so many bits, at most 8; false if it is negative. */
static inline bool
si_digits_add(SiDigits *digits, int width, int digit)
{
	if (digit < 0)
		return false;
	digits->bits = digits->bits << width | (uint32_t) digit;
	digits->nbits += width;
	if (digits->nbits >= 8)
	{
		digits->nbits -= 8;
		*digits->out++ = (char) (digits->bits >> digits->nbits);
		digits->bits &= (1u << digits->nbits) - 1;
	}
	return true;
}

#endif							/* SI_BASE64_H */
