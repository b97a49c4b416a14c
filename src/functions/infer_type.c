/*-------------------------------------------------------------------------
 *
 * infer_type.c
 *	  The types of columns that take the values seen.
 *
 * The type is never a lossy one (a fraction is numeric, not double
 * precision), and text where they do not agree.  Objects and arrays are jsonb.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "utils/builtins.h"

#include "common/uuid_text.h"
#include "functions/infer_type.h"

/* The longest string that may be something else than a text. */
#define MAX_SPECIAL_LEN		63

/* What was seen in a column. */
#define SEEN_BOOLEAN		(1 << 0)
#define SEEN_BIGINT			(1 << 1)
#define SEEN_NUMERIC		(1 << 2)
#define SEEN_UUID			(1 << 3)
#define SEEN_DATE			(1 << 4)
#define SEEN_TIMESTAMP		(1 << 5)
#define SEEN_TIMESTAMPTZ	(1 << 6)
#define SEEN_INET			(1 << 7)
#define SEEN_TEXT			(1 << 8)
#define SEEN_NESTED			(1 << 9)

/* Which types hold what was seen; the first that holds all of it is taken. */
static const struct
{
	const char *name;
	int			holds;
}			types[] = {
	{"boolean", SEEN_BOOLEAN},
	{"bigint", SEEN_BIGINT},
	{"numeric", SEEN_BIGINT | SEEN_NUMERIC},
	{"uuid", SEEN_UUID},
	{"date", SEEN_DATE},
	{"timestamp", SEEN_DATE | SEEN_TIMESTAMP},
	{"timestamptz", SEEN_TIMESTAMPTZ},
	{"inet", SEEN_INET},
	{"text", ~SEEN_NESTED},
	{"jsonb", ~0},
};

/* ---- what a string may be ---- */

/* Take n digits as a number between least and most. */
static bool
take_number(const char **p, int n, int least, int most, int *result)
{
	int			value = 0;

	for (int i = 0; i < n; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (**p - '0');
	}
	if (result != NULL)
		*result = value;
	return value >= least && value <= most;
}

static bool
take_char(const char **p, const char *chars)
{
	if (**p == '\0' || strchr(chars, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

static bool
take_date(const char **p)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int			year;
	int			month;
	bool		leap;

	if (!take_number(p, 4, 1, 9999, &year) || !take_char(p, "-") ||
		!take_number(p, 2, 1, 12, &month) || !take_char(p, "-"))
		return false;
	leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return take_number(p, 2, 1, days[month - 1] + (leap ? 1 : 0), NULL);
}

static bool
take_time(const char **p)
{
	if (!take_number(p, 2, 0, 23, NULL) || !take_char(p, ":") ||
		!take_number(p, 2, 0, 59, NULL))
		return false;
	if (!take_char(p, ":"))
		return true;
	if (!take_number(p, 2, 0, 59, NULL))
		return false;
	if (take_char(p, "."))
	{
		if (!take_number(p, 1, 0, 9, NULL))
			return false;
		while (take_char(p, "0123456789"))
			;
	}
	return true;
}

static bool
take_zone(const char **p)
{
	if (take_char(p, "Zz"))
		return true;
	if (!take_char(p, "+-") || !take_number(p, 2, 0, 15, NULL))
		return false;
	if (**p == '\0')
		return true;
	(void) take_char(p, ":");
	return take_number(p, 2, 0, 59, NULL);
}

/* A date or a time of ISO 8601, 0 if it is none. */
static int
seen_in_datetime(const char *text)
{
	const char *p = text;

	if (!take_date(&p))
		return 0;
	if (*p == '\0')
		return SEEN_DATE;
	if (!take_char(&p, "Tt ") || !take_time(&p))
		return 0;
	if (*p == '\0')
		return SEEN_TIMESTAMP;
	return take_zone(&p) && *p == '\0' ? SEEN_TIMESTAMPTZ : 0;
}

static bool
is_uuid(const char *text, size_t len)
{
	unsigned char bytes[SI_UUID_BYTES] = {0};

	return len == SI_UUID_TEXT && si_uuid_read(text, bytes);
}

static bool
is_inet(const char *text)
{
	unsigned char address[16];

	return inet_pton(AF_INET, text, address) == 1 ||
		inet_pton(AF_INET6, text, address) == 1;
}

static int
seen_in_number(const char *data, size_t len)
{
	char		copy[24];
	char	   *end;

	if (len >= sizeof(copy))
		return SEEN_NUMERIC;
	memcpy(copy, data, len);
	copy[len] = '\0';
	errno = 0;
	(void) strtoi64(copy, &end, 10);
	return *end == '\0' && errno == 0 ? SEEN_BIGINT : SEEN_NUMERIC;
}

/*
 * What a value of csv or text is.  Numbers are JSON's: one with a leading zero
 * is rather the number of a house.
 */
static int
seen_in_text(const char *text)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p;

	if (strcmp(text, "t") == 0 || strcmp(text, "f") == 0)
		return SEEN_BOOLEAN;
	p = si_json_begin(&scan, text, strlen(text));
	if (p != text)
		return SEEN_TEXT;
	p = si_json_read_value(&scan, p, &token);
	if (p == NULL || *p != '\0')
		return SEEN_TEXT;
	if (token.kind == SI_VALUE_NUMBER)
		return seen_in_number(token.data, token.len);
	return token.kind == SI_VALUE_TRUE || token.kind == SI_VALUE_FALSE ?
		SEEN_BOOLEAN : SEEN_TEXT;
}

static int
seen_in_string(const SiJsonToken *token, bool any_text)
{
	char		copy[MAX_SPECIAL_LEN + 1];
	int			seen;

	if (token->escaped || token->len == 0 || token->len > MAX_SPECIAL_LEN)
		return SEEN_TEXT;
	memcpy(copy, token->data, token->len);
	copy[token->len] = '\0';
	seen = seen_in_datetime(copy);
	if (seen != 0)
		return seen;
	if (is_uuid(copy, token->len))
		return SEEN_UUID;
	if (is_inet(copy))
		return SEEN_INET;
	return any_text ? seen_in_text(copy) : SEEN_TEXT;
}

/* ---- types ---- */

int
si_infer_seen(const SiJsonToken *value, bool any_text)
{
	switch (value->kind)
	{
		case SI_VALUE_NULL:
			return 0;
		case SI_VALUE_TRUE:
		case SI_VALUE_FALSE:
			return SEEN_BOOLEAN;
		case SI_VALUE_NUMBER:
			return seen_in_number(value->data, value->len);
		case SI_VALUE_STRING:
			return seen_in_string(value, any_text);
		default:
			return SEEN_NESTED;
	}
}

const char *
si_infer_seen_type(int seen)
{
	/* null alone: any type holds it */
	if (seen == 0)
		return "text";
	for (int i = 0; i < lengthof(types); i++)
	{
		if ((seen & ~types[i].holds) == 0)
			return types[i].name;
	}
	pg_unreachable();
}
