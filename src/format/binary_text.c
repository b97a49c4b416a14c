/*-------------------------------------------------------------------------
 *
 * binary_text.c
 *	  Bytes that a document holds as a text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>

#include "format/binary_text.h"

/* The value of a digit, -1 if it is none. */
static int
digit_value(char c, SiBinaryText notation)
{
	if (notation == SI_BINARY_HEX)
		return c >= '0' && c <= '9' ? c - '0' :
			c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (notation == SI_BINARY_BASE64URL ? '-' : '+'))
		return 62;
	return c == (notation == SI_BINARY_BASE64URL ? '_' : '/') ? 63 : -1;
}

char *
si_binary_text_decode(SiBinaryText notation, const char *text, size_t len, char *out)
{
	int			width = notation == SI_BINARY_HEX ? 4 : 6;
	uint32_t	bits = 0;
	int			nbits = 0;
	size_t		i;

	if (notation == SI_BINARY_BASE64 && len % 4 != 0)
		return NULL;
	if (notation != SI_BINARY_HEX && len % 4 == 0)
	{
		for (i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
			len--;
	}
	for (i = 0; i < len; i++)
	{
		int			digit = digit_value(text[i], notation);

		if (digit < 0)
			return NULL;
		bits = bits << width | (uint32_t) digit;
		nbits += width;
		if (nbits >= 8)
		{
			nbits -= 8;
			*out++ = (char) (bits >> nbits);
			bits &= (1u << nbits) - 1;
		}
	}

	/* what is left over must be zero, and less than a digit */
	return nbits < width && bits == 0 ? out : NULL;
}
