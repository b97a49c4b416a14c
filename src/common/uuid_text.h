/*-------------------------------------------------------------------------
 *
 * uuid_text.h
 *	  UUIDs as text: 8-4-4-4-12 hexadecimal digits.
 *
 * Needs no server header: the decoders use it, too.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_UUID_TEXT_H
#define SI_UUID_TEXT_H

#include <stdbool.h>

#define SI_UUID_BYTES	16
#define SI_UUID_TEXT	36

/* Does a hyphen stand at this place of the text? */
static inline bool
si_uuid_has_hyphen(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

/* Write the text of 16 bytes, in lower case and without a NUL. */
static inline void
si_uuid_write(const void *bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *byte = bytes;
	int			n = 0;

	for (int i = 0; i < SI_UUID_TEXT; i++)
	{
		if (si_uuid_has_hyphen(i))
		{
			out[i] = '-';
			continue;
		}
		out[i] = digits[byte[n / 2] >> (n % 2 == 0 ? 4 : 0) & 15];
		n++;
	}
}

/* Read the 16 bytes from their text; false if it is none. */
static inline bool
si_uuid_read(const char *in, unsigned char *bytes)
{
	int			n = 0;

	for (int i = 0; i < SI_UUID_TEXT; i++)
	{
		char		c = in[i];
		int			digit;

		if (si_uuid_has_hyphen(i))
		{
			if (c != '-')
				return false;
			continue;
		}
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			digit = (c | 0x20) - 'a' + 10;
		else
			return false;
		bytes[n / 2] = (unsigned char) (bytes[n / 2] << 4 | digit);
		n++;
	}
	return true;
}

#endif							/* SI_UUID_TEXT_H */
