/*-------------------------------------------------------------------------
 *
 * words.c
 *	  Text from and for other programs, made printable.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "common/words.h"

/* The length of an escaped byte: \xNN. */
#define ESCAPED_LEN	4

static void
escape_byte(char *dest, char byte)
{
	static const char digits[] = "0123456789abcdef";

	dest[0] = '\\';
	dest[1] = 'x';
	dest[2] = digits[(unsigned char) byte >> 4];
	dest[3] = digits[(unsigned char) byte & 0xF];
}

/*
 * Characters of UTF-8 that are invisible but change how others are shown: the
 * control characters of ISO 8859, which terminals obey, U+200B to U+200F,
 * U+2028 to U+202E, U+2060 to U+206F, and the byte order mark.
 */
static bool
is_invisible(const unsigned char *p)
{
	if (p[0] == 0xC2)
		return p[1] < 0xA0;
	if (p[0] == 0xE2 && p[1] == 0x80)
		return (p[2] >= 0x8B && p[2] <= 0x8F) || (p[2] >= 0xA8 && p[2] <= 0xAE);
	if (p[0] == 0xE2 && p[1] == 0x81)
		return p[2] >= 0xA0 && p[2] <= 0xAF;
	return p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF;
}

/*
 * The length of the character at p, or 0 if it is invalid in this encoding or
 * must not be shown.  SQL_ASCII does not define bytes beyond ASCII.
 */
static int
visible_character(int encoding, const char *p, size_t len)
{
	unsigned char c = *p;
	int			n;

	if (c < 0x80)
		return (c >= ' ' && c != 0x7F) ? 1 : 0;
	if (encoding == PG_SQL_ASCII)
		return 0;
	n = pg_encoding_verifymbchar(encoding, p, Min(len, MAX_MULTIBYTE_CHAR_LEN));

	if (encoding == PG_UTF8 && n > 0 && is_invisible((const unsigned char *) p))
		return 0;
	return Max(n, 0);
}

/* Copy the visible characters, and the rest as \xNN, as far as they fit. */
static void
copy_visible(char *dest, size_t size, const char *words, int encoding)
{
	const char *end = words + strnlen(words, size);
	char	   *limit = dest + size - 1;

	while (words < end)
	{
		int			n = visible_character(encoding, words, end - words);
		bool		space = (*words == '\n' || *words == '\r' || *words == '\t');

		if (dest + (n > 0 ? n : space ? 1 : ESCAPED_LEN) > limit)
			break;
		if (n > 0)
			memcpy(dest, words, n);
		else if (space)
			*dest = ' ';
		else
			escape_byte(dest, *words);
		dest += (n > 0 ? n : space ? 1 : ESCAPED_LEN);
		words += Max(n, 1);
	}
	*dest = '\0';
}

void
si_words_copy(char *dest, size_t size, const char *words)
{
	copy_visible(dest, size, words, GetDatabaseEncoding());
}

void
si_words_copy_ascii(char *dest, size_t size, const char *words)
{
	copy_visible(dest, size, words, PG_SQL_ASCII);
}

/* Append a character in another encoding; false if that one lacks it. */
static bool
append_converted(StringInfo out, const char *p, int n, int from, int to)
{
	unsigned char converted[MAX_MULTIBYTE_CHAR_LEN * MAX_CONVERSION_GROWTH + 1];
	Oid			conversion;

	if (from == to || *(unsigned char *) p < 0x80 || to == PG_SQL_ASCII)
	{
		appendBinaryStringInfo(out, p, n);
		return true;
	}
	conversion = IsTransactionState() ? FindDefaultConversionProc(from, to) : InvalidOid;
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(conversion, from, to, (unsigned char *) p, n,
									  converted, sizeof(converted), true) != n)
		return false;
	appendStringInfoString(out, (char *) converted);
	return true;
}

/* Append a byte as \xNN. */
static void
append_escaped(StringInfo out, char byte)
{
	char		escaped[ESCAPED_LEN];

	escape_byte(escaped, byte);
	appendBinaryStringInfo(out, escaped, ESCAPED_LEN);
}

char *
si_words_show(const char *data, size_t len)
{
	StringInfoData out;

	initStringInfo(&out);
	while (len > 0)
	{
		int			n = visible_character(PG_UTF8, data, len);

		if (n == 0 || !append_converted(&out, data, n, PG_UTF8, GetDatabaseEncoding()))
		{
			append_escaped(&out, *data);
			n = 1;
		}
		data += n;
		len -= n;
	}
	return out.data;
}

const char *
si_words_to_kafka(const char *words)
{
	int			encoding = GetDatabaseEncoding();
	size_t		len = strlen(words);
	StringInfoData out;

	if (encoding == PG_SQL_ASCII)
		encoding = PG_UTF8;		/* if anything */
	if (pg_is_ascii(words) || (encoding == PG_UTF8 && pg_verify_mbstr(PG_UTF8, words, len, true)))
		return words;

	initStringInfo(&out);
	while (len > 0)
	{
		int			n = pg_encoding_verifymbchar(encoding, words,
												 Min(len, MAX_MULTIBYTE_CHAR_LEN));

		if (n < 1 || !append_converted(&out, words, n, encoding, PG_UTF8))
		{
			append_escaped(&out, *words);
			n = 1;
		}
		words += n;
		len -= n;
	}
	return out.data;
}
