/*-------------------------------------------------------------------------
 *
 * match_names.c
 *	  Names that differ by their spelling only: the option "match_names".
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "format/match_names.h"

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

/*
 * Does a word begin at the capital letter at i?  After a small letter or a
 * digit, and at the last letter of "HTTPStatus" that is followed by a small one.
 */
static bool
word_begins(const char *name, size_t len, size_t i)
{
	char		before;

	if (i == 0)
		return false;
	before = name[i - 1];
	if (is_lower(before) || (before >= '0' && before <= '9'))
		return true;
	return is_upper(before) && i + 1 < len && is_lower(name[i + 1]);
}

size_t
si_match_names_fold(SiMatchNames how, const char *name, size_t len, char *folded)
{
	size_t		n = 0;
	size_t		i;

	if (len > SI_MATCH_LENGTH)
		return 0;
	for (i = 0; i < len; i++)
	{
		char		c = name[i];

		if (how == SI_MATCH_SNAKE_CASE && (c == '-' || c == ' '))
			c = '_';
		if (is_upper(c))
		{
			if (how == SI_MATCH_SNAKE_CASE && word_begins(name, len, i))
				folded[n++] = '_';
			c += 'a' - 'A';
		}
		folded[n++] = c;
	}
	return n;
}
