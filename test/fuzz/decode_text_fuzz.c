/*-------------------------------------------------------------------------
 *
 * decode_text_fuzz.c
 *	  Fuzzer of the formats text and csv, against COPY's own way.
 *
 * The input is the settings and a message.  Byte 0 picks the format (bit 0),
 * how many columns have names (bits 1 and 2) and whether the bytes that follow
 * (delimiter, quote, escape, null) are used or left at their defaults (bit 3).
 *
 * The reference is the server's algorithm, which first finds the end of the
 * line and then cuts it into attributes: CopyReadLineText(),
 * CopyReadAttributesText() and CopyReadAttributesCSV(), byte by byte.  Verdict,
 * columns and nulls must be the same, but for what is no row here: more than
 * one line, and an end-of-copy marker.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"
#include "format/json_scan.h"

#define CSV				0x01
#define OWN_BYTES		0x08

#define MAX_COLUMNS		3
#define MAX_ATTRIBUTES	4096

/* what a message may have whose columns nothing names; a line of COPY has a table's */
#define MOST_COLUMNS	1600

#define require(condition, words) \
	do { if (!(condition)) give_up(words); } while (0)

typedef struct Attribute
{
	bool		null;
	size_t		begin;			/* in the reference's output */
	size_t		len;
} Attribute;

typedef struct Reference
{
	bool		csv;
	char		delimiter;
	char		quote;
	char		escape;
	const char *null_text;
	const char *line;
	size_t		line_len;
	char	   *out;
	size_t		out_len;
	Attribute	attributes[MAX_ATTRIBUTES];
	int			n;
	bool		refused;
} Reference;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
give_up(const char *words)
{
	fprintf(stderr, "FOUND: %s\n", words);
	abort();
}

/* ---- the server's way ---- */

/* Length of the first line, without its end; *rest is what follows it. */
static size_t
find_line(const Reference *reference, const char *data, size_t len,
		  size_t *rest)
{
	char		escape = reference->escape == reference->quote ? '\0' : reference->escape;
	bool		in_quote = false;
	bool		last_was_escape = false;
	size_t		i;

	for (i = 0; i < len; i++)
	{
		char		c = data[i];

		if (reference->csv)
		{
			if (in_quote && c == escape)
				last_was_escape = !last_was_escape;
			if (c == reference->quote && !last_was_escape)
				in_quote = !in_quote;
			if (c != escape)
				last_was_escape = false;
		}
		else if (c == '\\')
		{
			i++;
			continue;
		}
		if (!in_quote && (c == '\n' || c == '\r'))
		{
			*rest = i + 1;
			if (c == '\r' && i + 1 < len && data[i + 1] == '\n')
				(*rest)++;
			return i;
		}
	}
	*rest = len;
	return len;
}

static bool
is_null(const Reference *reference, const char *start, const char *end)
{
	size_t		len = (size_t) (end - start);

	return len == strlen(reference->null_text) &&
		memcmp(start, reference->null_text, len) == 0;
}

static void
put(Reference *reference, char c)
{
	reference->out[reference->out_len++] = c;
}

/* What follows a backslash; returns the position behind it. */
static const char *
put_escape(Reference *reference, const char *p, const char *end, bool *odd)
{
	char		c = *p++;
	int			value = 0;
	int			n;

	if (c >= '0' && c <= '7')
	{
		value = c - '0';
		for (n = 0; n < 2 && p < end && *p >= '0' && *p <= '7'; n++)
			value = value * 8 + (*p++ - '0');
	}
	else if (c == 'x' && p < end && isxdigit((unsigned char) *p))
	{
		for (n = 0; n < 2 && p < end && isxdigit((unsigned char) *p); n++, p++)
			value = value * 16 + (isdigit((unsigned char) *p) ? *p - '0' :
								  tolower((unsigned char) *p) - 'a' + 10);
	}
	else
	{
		const char *from = strchr("b\bf\fn\nr\rt\tv\v", c);

		if (from != NULL && c >= 'a')
			c = from[1];
		put(reference, c);
		return p;
	}
	value &= 0xFF;
	*odd |= value == 0 || value >= 0x80;
	put(reference, (char) value);
	return p;
}

static void
end_attribute(Reference *reference, bool null)
{
	Attribute  *attribute = &reference->attributes[reference->n];

	attribute->null = null;
	attribute->len = reference->out_len - attribute->begin;
	reference->n++;
	if (reference->n < MAX_ATTRIBUTES)
		reference->attributes[reference->n].begin = reference->out_len;
}

static void
read_text(Reference *reference)
{
	const char *p = reference->line;
	const char *end = p + reference->line_len;
	bool		more = true;

	while (more && reference->n < MAX_ATTRIBUTES)
	{
		const char *start = p;
		const char *stop = p;
		size_t		begin = reference->out_len;
		bool		odd = false;

		more = false;
		for (;;)
		{
			char		c;

			stop = p;
			if (p >= end)
				break;
			c = *p++;
			if (c == reference->delimiter)
			{
				more = true;
				break;
			}
			if (c == '\\')
			{
				if (p >= end)
					break;
				p = put_escape(reference, p, end, &odd);
			}
			else
				put(reference, c);
		}
		end_attribute(reference, is_null(reference, start, stop));
		if (odd && !is_null(reference, start, stop) &&
			(memchr(reference->out + begin, '\0', reference->out_len - begin) != NULL ||
			 !si_json_is_utf8(reference->out + begin, reference->out_len - begin)))
			reference->refused = true;
	}
}

/* A quoted section from behind its quote; returns what follows it. */
static const char *
read_quoted(Reference *reference, const char *p, const char *end)
{
	while (p < end)
	{
		char		c = *p++;

		if (c == reference->escape && p < end &&
			(*p == reference->escape || *p == reference->quote))
		{
			put(reference, *p++);
			continue;
		}
		if (c == reference->quote)
			return p;
		put(reference, c);
	}
	reference->refused = true;
	return p;
}

static void
read_csv(Reference *reference)
{
	const char *p = reference->line;
	const char *end = p + reference->line_len;
	bool		more = true;

	while (more && reference->n < MAX_ATTRIBUTES)
	{
		const char *start = p;
		const char *stop = p;
		bool		quoted = false;

		more = false;
		for (;;)
		{
			char		c;

			stop = p;
			if (p >= end)
				break;
			c = *p++;
			if (c == reference->delimiter)
			{
				more = true;
				break;
			}
			if (c == reference->quote)
			{
				quoted = true;
				p = read_quoted(reference, p, end);
			}
			else
				put(reference, c);
		}
		end_attribute(reference, !quoted && is_null(reference, start, stop));
	}
}

/* ---- comparison ---- */

/* Must the decoder refuse this message, or may it? */
static bool
must_refuse(const Reference *reference, size_t rest, size_t len, int ncolumns)
{
	return reference->refused || rest < len ||
		(ncolumns > 0 ? reference->n != ncolumns : reference->n > MOST_COLUMNS);
}

/* Is there a backslash with a dot behind it? */
static bool
has_marker(const Reference *reference, const char *data, size_t len)
{
	size_t		i;

	for (i = 0; !reference->csv && i + 1 < len; i++)
	{
		if (data[i] != '\\')
			continue;
		if (data[i + 1] == '.')
			return true;
		i++;
	}
	return false;
}

static void
compare_columns(const Reference *reference, const SiRecord *record, int ncolumns)
{
	int			i;

	for (i = 0; i < ncolumns; i++)
	{
		const Attribute *attribute = &reference->attributes[i];
		const SiValue *value = &record->fields[i];

		require(value->kind == (attribute->null ? SI_VALUE_NULL : SI_VALUE_TEXT),
				"another null");
		if (attribute->null)
			continue;
		require(value->len == attribute->len, "another length");
		require(memcmp(value->data, reference->out + attribute->begin, value->len) == 0,
				"another text");
	}
}

/* The rest is JSON, and has as many members as there are columns left. */
static void
check_rest(const Reference *reference, const SiValue *rest, int ncolumns)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p = si_json_begin(&scan, rest->data, rest->len);

	p = si_json_read_value(&scan, p, &token);
	require(p != NULL && si_json_finish(&scan, p) && token.kind == SI_VALUE_OBJECT,
			"the rest is no JSON object");
	if (ncolumns > 0)
		require(rest->len == 2, "there is a rest");
	else
		require(reference->n == 0 || rest->len > 2, "there is no rest");
}

static void
check_message(Reference *reference, const SiFormatOptions *options,
			  const char *data, size_t len)
{
	static const SiPathStep steps[MAX_COLUMNS] = {{"a", 1, 0}, {"b", 1, 0}, {"c", 1, 0}};
	SiWantedField fields[MAX_COLUMNS + 1] = {0};
	SiDecodePlan plan = {0};
	SiMessage	message = {0};
	SiArena    *arena = si_arena_create();
	SiDecoder  *decoder;
	SiRecord	record;
	SiDecodeError error;
	size_t		mark;
	size_t		rest;
	bool		decoded;
	int			i;

	for (i = 0; i < options->ncolumns; i++)
	{
		fields[i].nsteps = 1;
		fields[i].steps = &steps[i];
	}
	plan.fields = fields;
	plan.rest_field = options->ncolumns;
	plan.nfields = options->ncolumns + 1;
	message.value = data;
	message.value_len = len;

	/* it is no part of the line */
	mark = si_json_byte_order_mark(data, len);
	data += mark;
	len -= mark;
	reference->line = data;
	reference->line_len = find_line(reference, data, len, &rest);
	if (reference->csv)
		read_csv(reference);
	else
		read_text(reference);

	decoder = si_decoder_create(reference->csv ? "csv" : "text", &plan, options);
	decoded = si_decoder_decode(decoder, &message, arena, &record, &error);
	if (decoded && !(options->ncolumns == 1 && !reference->csv))
	{
		require(!must_refuse(reference, rest, len, options->ncolumns), "decoded what COPY refuses");
		compare_columns(reference, &record, options->ncolumns);
		check_rest(reference, &record.fields[plan.rest_field], options->ncolumns);
	}
	else if (decoded)
		require(record.fields[0].len == len, "not the whole message");
	else
		require(must_refuse(reference, rest, len, options->ncolumns) ||
				has_marker(reference, data, len) || memchr(data, '\0', len) != NULL ||
				!si_json_is_utf8(data, len), "refused what COPY takes");
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
}

/* As the options' checks have it: no byte may have two meanings. */
static bool
fits(const Reference *reference)
{
	if (strchr("\n\r\\.", reference->delimiter) != NULL || !isascii(reference->delimiter) ||
		islower((unsigned char) reference->delimiter) ||
		isdigit((unsigned char) reference->delimiter) ||
		strchr(reference->null_text, reference->delimiter) != NULL)
		return false;
	return !reference->csv ||
		(reference->quote != reference->delimiter && isascii(reference->quote) &&
		 isascii(reference->escape) && strchr("\n\r", reference->quote) == NULL &&
		 strchr("\n\r", reference->escape) == NULL &&
		 strchr(reference->null_text, reference->quote) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[MAX_COLUMNS] = {"a", "b", "c"};
	static Reference reference;
	SiFormatOptions options = {0};
	char		null_text[2] = "";

	if (size < 5 || size > MAX_ATTRIBUTES)
		return 0;
	memset(&reference, 0, sizeof(reference));
	reference.csv = (data[0] & CSV) != 0;
	options.ncolumns = data[0] >> 1 & 3;
	options.columns = names;
	if (data[0] & OWN_BYTES)
	{
		options.delimiter = (char) data[1];
		options.quote = (char) data[2];
		options.escape = (char) data[3];
		null_text[0] = (char) data[4];
		options.null_text = null_text;
	}
	reference.delimiter = options.delimiter ? options.delimiter : reference.csv ? ',' : '\t';
	reference.quote = options.quote ? options.quote : '"';
	reference.escape = options.escape ? options.escape : reference.quote;
	reference.null_text = options.null_text ? options.null_text : reference.csv ? "" : "\\N";
	if (!fits(&reference))
		return 0;
	reference.out = malloc(size);
	check_message(&reference, &options, (const char *) data + 5, size - 5);
	free(reference.out);
	return 0;
}
