/*-------------------------------------------------------------------------
 *
 * binary_text.c
 *	  Bytes that a document holds as a text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "common/base64.h"
#include "format/binary_text.h"

/* The value of a digit, -1 if it is none. */
static int
digit_value(char c, SiBinaryText notation)
{
	if (notation == SI_BINARY_HEX)
		return c >= '0' && c <= '9' ? c - '0' :
			c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
	return si_base64_digit(c, notation == SI_BINARY_BASE64URL ? SI_BASE64_URL : SI_BASE64_STANDARD);
}

char *
si_binary_text_decode(SiBinaryText notation, const char *text, size_t len, char *out)
{
	int			width = notation == SI_BINARY_HEX ? 4 : 6;
	SiDigits	digits = {out, 0, 0};
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
		if (!si_digits_add(&digits, width, digit_value(text[i], notation)))
			return NULL;
	}

	/* what is left over must be zero, and less than a digit */
	return digits.nbits < width && digits.bits == 0 ? digits.out : NULL;
}
