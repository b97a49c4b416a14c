/*-------------------------------------------------------------------------
 *
 * json_unescape.c
 *	  The characters of a JSON string that has escapes.
 *
 * The scanner (json_scan) accepted the string before: nothing is checked here.
 * Declared in json_scan.h.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/json_scan.h"

/* Write a character as UTF-8, and return the position behind it. */
static char *
put_utf8(char *out, unsigned code)
{
	if (code < 0x80)
	{
		*out++ = (char) code;
		return out;
	}
	if (code < 0x800)
		*out++ = (char) (0xC0 | code >> 6);
	else
	{
		if (code < 0x10000)
			*out++ = (char) (0xE0 | code >> 12);
		else
		{
			*out++ = (char) (0xF0 | code >> 18);
			*out++ = (char) (0x80 | (code >> 12 & 0x3F));
		}
		*out++ = (char) (0x80 | (code >> 6 & 0x3F));
	}
	*out++ = (char) (0x80 | (code & 0x3F));
	return out;
}

/* The value of a hex digit. */
static unsigned
hex_digit(char c)
{
	if (c <= '9')
		return (unsigned) (c - '0');
	return (unsigned) ((c | 0x20) - 'a' + 10);
}

/* Four hex digits that are known to be right. */
static unsigned
hex_unit(const char *p)
{
	return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 |
		hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

/* Resolve the escapes of a string; see json_scan.h. */
size_t
si_json_unescape(const char *data, size_t len, char *out)
{
	const char *p = data;
	const char *end = data + len;
	char	   *begin = out;

	while (p < end)
	{
		const char *backslash = memchr(p, '\\', end - p);
		size_t		run = (backslash != NULL ? backslash : end) - p;
		unsigned	code;

		memcpy(out, p, run);
		out += run;
		p += run;
		if (p >= end)
			break;
		p += 2;
		switch (p[-1])
		{
			case 'b':
				*out++ = '\b';
				break;
			case 'f':
				*out++ = '\f';
				break;
			case 'n':
				*out++ = '\n';
				break;
			case 'r':
				*out++ = '\r';
				break;
			case 't':
				*out++ = '\t';
				break;
			case 'u':
				code = hex_unit(p);
				p += 4;
				if (code >= 0xD800 && code <= 0xDBFF)
				{
					code = 0x10000 + ((code - 0xD800) << 10) +
						(hex_unit(p + 2) - 0xDC00);
					p += 6;
				}
				out = put_utf8(out, code);
				break;
			default:
				*out++ = p[-1];
				break;
		}
	}
	return out - begin;
}
