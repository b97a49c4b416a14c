/*-------------------------------------------------------------------------
 *
 * proto_token.c
 *	  The tokens of .proto text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/proto_token.h"

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Pass a comment of either form; false if the token is none, or does not end. */
static bool
pass_comment(SiProtoScan *scan)
{
	const char *p = scan->p;

	if (scan->end - p < 2 || p[0] != '/' || (p[1] != '/' && p[1] != '*'))
		return false;
	if (p[1] == '/')
	{
		while (p < scan->end && *p != '\n')
			p++;
		scan->p = p;
		return true;
	}
	/* to look for the end again wherever one begins would take very long */
	for (p += 2; !scan->unended && scan->end - p >= 2; p++)
	{
		if (p[0] == '*' && p[1] == '/')
		{
			scan->p = p + 2;
			return true;
		}
		if (*p == '\n')
			scan->line++;
	}
	scan->unended = true;
	return false;
}

static void
pass_space(SiProtoScan *scan)
{
	while (scan->p < scan->end)
	{
		if (*scan->p == '\n')
			scan->line++;
		if (strchr(" \t\r\n\f\v", *scan->p) != NULL && *scan->p != '\0')
			scan->p++;
		else if (!pass_comment(scan))
			return;
	}
}

static int
digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Set the integer of a token of digits and letters; BAD if it is none. */
static void
set_integer(SiProtoScan *scan)
{
	const char *p = scan->token;
	const char *end = scan->p;
	int			base = 10;

	if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
	{
		base = 16;
		p += 2;
	}
	else if (end - p > 1 && p[0] == '0')
		base = 8;
	scan->integer = 0;
	for (; p < end; p++)
	{
		int			digit = digit_value(*p);

		if (digit >= base ||
			__builtin_mul_overflow(scan->integer, (uint64_t) base, &scan->integer) ||
			__builtin_add_overflow(scan->integer, (uint64_t) digit, &scan->integer))
		{
			/* too large an integer may stand where a float does */
			scan->kind = digit >= base ? SI_TOKEN_BAD : SI_TOKEN_FLOAT;
			return;
		}
	}
}

static void
read_number(SiProtoScan *scan)
{
	bool		hex = scan->end - scan->p > 1 && scan->p[0] == '0' &&
		(scan->p[1] == 'x' || scan->p[1] == 'X');
	bool		real = false;

	for (; scan->p < scan->end; scan->p++)
	{
		char		c = *scan->p;

		if (!hex && (c == '.' || c == 'e' || c == 'E'))
			real = true;
		else if ((c == '+' || c == '-') && !hex && (scan->p[-1] == 'e' || scan->p[-1] == 'E'))
			continue;
		else if (!is_digit(c) && !is_letter(c))
			break;
	}
	scan->kind = real ? SI_TOKEN_FLOAT : SI_TOKEN_INTEGER;
	if (!real)
		set_integer(scan);
}

static void
read_string(SiProtoScan *scan)
{
	char		quote = *scan->p++;

	for (; scan->p < scan->end && *scan->p != '\n'; scan->p++)
	{
		if (*scan->p == quote)
		{
			scan->p++;
			scan->kind = SI_TOKEN_STRING;
			return;
		}
		if (*scan->p == '\\' && scan->end - scan->p > 1 && scan->p[1] != '\n')
			scan->p++;
	}
	scan->kind = SI_TOKEN_BAD;
}

void
si_proto_scan_next(SiProtoScan *scan)
{
	pass_space(scan);
	scan->token = scan->p;
	if (scan->p >= scan->end)
		scan->kind = SI_TOKEN_END;
	else if (is_letter(*scan->p))
	{
		while (scan->p < scan->end && (is_letter(*scan->p) || is_digit(*scan->p)))
			scan->p++;
		scan->kind = SI_TOKEN_WORD;
	}
	else if (is_digit(*scan->p) ||
			 (*scan->p == '.' && scan->end - scan->p > 1 && is_digit(scan->p[1])))
		read_number(scan);
	else if (*scan->p == '"' || *scan->p == '\'')
		read_string(scan);
	else
	{
		scan->kind = *scan->p < '!' || *scan->p > '~' ? SI_TOKEN_BAD : SI_TOKEN_SYMBOL;
		scan->p++;
	}
	scan->len = (size_t) (scan->p - scan->token);
}

void
si_proto_scan_begin(SiProtoScan *scan, const char *data, size_t len)
{
	memset(scan, 0, sizeof(SiProtoScan));
	scan->p = data;
	scan->end = data + len;
	scan->line = 1;

	/* a byte order mark, as some editors write it */
	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		scan->p += 3;
	si_proto_scan_next(scan);
}

bool
si_proto_scan_is_word(const SiProtoScan *scan, const char *word)
{
	return scan->kind == SI_TOKEN_WORD && strlen(word) == scan->len &&
		memcmp(scan->token, word, scan->len) == 0;
}

bool
si_proto_scan_is(const SiProtoScan *scan, char symbol)
{
	return scan->kind == SI_TOKEN_SYMBOL && *scan->token == symbol;
}
