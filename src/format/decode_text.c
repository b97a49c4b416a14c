/*-------------------------------------------------------------------------
 *
 * decode_text.c
 *	  Messages that are a line of COPY's: formats "text" and "csv".
 *
 * A message is one row, and may end with a line break.  Cutting it into
 * columns follows the server's CopyReadAttributesText() and
 * CopyReadAttributesCSV() step by step, and the words of the errors are COPY's:
 *
 * - A column is compared with the null text as it was written, before escapes
 *	 are resolved; in CSV, one with a quote anywhere in it is never null.
 * - CSV's quotes may begin and end anywhere in a column, and hold line breaks.
 * - A backslash before a line break makes it data in format text, and one at
 *	 the very end is dropped.  \. would end the input there and is an error
 *	 here; in CSV it is data, as it is for COPY since version 18.
 *
 * What differs: the only column of a plan for format text is the whole message
 * as it came, so that a line of a log needs no escapes.  A byte order mark before
 * the message, which is data for COPY, is skipped.  Escapes such as \303 are bytes
 * of UTF-8 in any encoding, because messages were converted before.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"
#include "format/json_scan.h"
#include "format/text_rest.h"

#define BAD_FORMAT		"22P04"
#define BAD_CHARACTER	"22021"

/* A message whose columns nothing names has no more than a table may have. */
#define MOST_COLUMNS	1600

/* What a field of the plan is that is no column. */
#define FIELD_ABSENT	(-1)
#define FIELD_WHOLE		(-2)

typedef struct RowDecoder
{
	const SiDecodePlan *plan;
	bool		csv;
	char		delimiter;
	char		quote;
	char		escape;
	const char *null_text;
	size_t		null_len;
	int			ncolumns;		/* 0: as many as a message has */
	const char *const *columns;
	int		   *field_column;	/* by field of the plan: a column, FIELD_... */
	bool	   *taken;			/* by column: does a field take it? */
	int			unknown;		/* column to report, as no field takes it; -1 */
	bool		verbatim;		/* the only column takes the message as it is */
} RowDecoder;

/* A message while it is read. */
typedef struct Reader
{
	const RowDecoder *decoder;
	const char *p;
	const char *end;
	SiArena    *arena;
	SiDecodeError *error;
} Reader;

/* A column as it is written. */
typedef struct Slice
{
	const char *data;
	size_t		len;
	bool		special;		/* has quotes or escapes to be resolved */
} Slice;

static bool bind_fields(RowDecoder *decoder);
static bool read_row(Reader *reader, SiValue *values, int *n);
static bool scan_text(Reader *reader, Slice *slice);
static bool scan_csv(Reader *reader, Slice *slice);
static bool make_value(Reader *reader, const Slice *slice, SiValue *value);

/* ---- the routines ---- */

static void
row_destroy(void *state)
{
	RowDecoder *decoder = state;

	free(decoder->field_column);
	free(decoder->taken);
	free(decoder);
}

static void *
row_create(const SiDecodePlan *plan, const SiFormatOptions *options, bool csv)
{
	static const SiFormatOptions defaults;
	RowDecoder *decoder = calloc(1, sizeof(RowDecoder));

	if (decoder == NULL)
		return NULL;
	if (options == NULL)
		options = &defaults;
	decoder->plan = plan;
	decoder->csv = csv;
	decoder->delimiter = options->delimiter;
	if (decoder->delimiter == '\0')
		decoder->delimiter = csv ? ',' : '\t';
	decoder->quote = options->quote != '\0' ? options->quote : '"';
	decoder->escape = options->escape;
	if (decoder->escape == '\0')
		decoder->escape = decoder->quote;
	decoder->null_text = csv ? "" : "\\N";
	if (options->null_text != NULL)
		decoder->null_text = options->null_text;
	decoder->null_len = strlen(decoder->null_text);
	decoder->ncolumns = options->ncolumns;
	decoder->columns = options->columns;
	decoder->verbatim = !csv && decoder->ncolumns == 1;
	if (!bind_fields(decoder))
	{
		row_destroy(decoder);
		return NULL;
	}
	return decoder;
}

static void *
text_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	return row_create(plan, options, false);
}

static void *
csv_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	return row_create(plan, options, true);
}

/* What input functions cannot take must not reach them. */
static bool
check_characters(const SiMessage *message, SiDecodeError *error)
{
	if (message->value_len > 0 &&
		memchr(message->value, '\0', message->value_len) != NULL)
		return si_decoder_fail(error, BAD_CHARACTER,
							   "message has a NUL byte, which a text cannot hold");
	if (!si_json_is_utf8(message->value, message->value_len))
		return si_decoder_fail(error, BAD_CHARACTER,
							   "message has bytes that are not valid UTF-8");
	return true;
}

static void
set_whole(SiValue *value, const SiMessage *message)
{
	value->kind = SI_VALUE_TEXT;
	value->data = message->value;
	value->len = message->value_len;
}

/* Room for the columns of a message, or for so many as it may have. */
static size_t
most_columns(const RowDecoder *decoder, const SiMessage *message)
{
	size_t		n = 1;

	if (decoder->ncolumns > 0)
		return (size_t) decoder->ncolumns;
	for (size_t i = 0; i < message->value_len && n < MOST_COLUMNS; i++)
		n += message->value[i] == decoder->delimiter;
	return n;
}

/* Hand the columns out to the fields that take them. */
static void
fill_record(const RowDecoder *decoder, const SiMessage *message,
			const SiValue *values, int n, SiRecord *record)
{
	int			i;

	for (i = 0; i < decoder->plan->nfields; i++)
	{
		int			column = decoder->field_column[i];

		if (column == FIELD_WHOLE)
			set_whole(&record->fields[i], message);
		else if (column >= 0 && column < n)
			record->fields[i] = values[column];
	}
	if (decoder->unknown >= 0)
	{
		record->unknown.kind = SI_VALUE_STRING;
		record->unknown.data = decoder->columns[decoder->unknown];
		record->unknown.len = strlen(record->unknown.data);
	}
}

static bool
row_decode(void *state, const SiMessage *given, SiArena *arena,
		   SiRecord *record, SiDecodeError *error)
{
	const RowDecoder *decoder = state;
	SiMessage	unmarked = *given;
	const SiMessage *message = &unmarked;
	size_t		mark = si_json_byte_order_mark(given->value, given->value_len);
	Reader		reader;
	SiValue    *values;
	int			rest_field = decoder->plan->rest_field;
	int			n = 1;

	/* some producers write one, which is no part of the first column */
	unmarked.value += mark;
	unmarked.value_len -= mark;
	if (!check_characters(message, error))
		return false;
	reader.decoder = decoder;
	reader.p = message->value;
	reader.end = message->value + message->value_len;
	reader.arena = arena;
	reader.error = error;

	values = si_arena_alloc(arena, most_columns(decoder, message) * sizeof(SiValue));
	if (values == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	if (decoder->verbatim)
		set_whole(&values[0], message);
	else if (!read_row(&reader, values, &n))
		return false;

	fill_record(decoder, message, values, n, record);
	if (rest_field >= 0 &&
		!si_text_rest_make(decoder->columns, decoder->ncolumns, decoder->taken,
						   values, n, arena, &record->fields[rest_field]))
		return si_decoder_fail(error, "53200", "out of memory");
	return true;
}

const SiDecoderRoutine si_decoder_text = {
	.format = "text",
	.called = "text",
	.options = SI_FORMAT_DELIMITER | SI_FORMAT_COLUMNS | SI_FORMAT_ENCODING,
	.initial = {.delimiter = '\t',.null_text = "\\N"},
	.fields = SI_FIELDS_IN_ORDER_OR_ONE,
	.value = SI_WHOLE_TEXT,
	.create = text_create,
	.decode = row_decode,
	.destroy = row_destroy
};

const SiDecoderRoutine si_decoder_csv = {
	.format = "csv",
	.called = "csv",
	.options = SI_FORMAT_DELIMITER | SI_FORMAT_QUOTE | SI_FORMAT_COLUMNS | SI_FORMAT_ENCODING,
	.initial = {.delimiter = ',',.quote = '"',.null_text = ""},
	.fields = SI_FIELDS_IN_ORDER,
	.value = SI_WHOLE_TEXT,
	.create = csv_create,
	.decode = row_decode,
	.destroy = row_destroy
};

/* ---- which field is which column ---- */

static int
find_column(const RowDecoder *decoder, const SiWantedField *wanted)
{
	const SiPathStep *step = wanted->steps;
	int			i;

	if (wanted->nsteps != 1 || step->key == NULL)
		return wanted->nsteps == 0 ? FIELD_WHOLE : FIELD_ABSENT;
	for (i = 0; i < decoder->ncolumns; i++)
	{
		if (strlen(decoder->columns[i]) == step->key_len &&
			memcmp(decoder->columns[i], step->key, step->key_len) == 0)
			return i;
	}
	return FIELD_ABSENT;
}

static bool
bind_fields(RowDecoder *decoder)
{
	const SiDecodePlan *plan = decoder->plan;
	bool		whole = false;
	int			i;

	decoder->field_column = calloc((size_t) plan->nfields + 1, sizeof(int));
	decoder->taken = calloc((size_t) decoder->ncolumns + 1, sizeof(bool));
	if (decoder->field_column == NULL || decoder->taken == NULL)
		return false;
	for (i = 0; i < plan->nfields; i++)
	{
		int			column = FIELD_ABSENT;

		if (i != plan->rest_field && !plan->fields[i].of_key)
			column = find_column(decoder, &plan->fields[i]);
		if (column >= 0)
			decoder->taken[column] = true;
		whole |= column == FIELD_WHOLE;
		decoder->field_column[i] = column;
	}

	/* nothing is unknown if a field takes the whole or the rest */
	decoder->unknown = -1;
	if (!plan->find_unknown || plan->rest_field >= 0 || whole)
		return true;
	for (i = 0; i < decoder->ncolumns && decoder->unknown < 0; i++)
	{
		if (!decoder->taken[i])
			decoder->unknown = i;
	}
	return true;
}

/* ---- reading ---- */

static bool
fail(Reader *reader, const char *words)
{
	return si_decoder_fail(reader->error, BAD_FORMAT, "%s", words);
}

/* Pass the line break at p, behind which the message must end. */
static bool
finish_line(Reader *reader)
{
	if (reader->p < reader->end && *reader->p++ == '\r' &&
		reader->p < reader->end && *reader->p == '\n')
		reader->p++;
	if (reader->p < reader->end)
		return fail(reader, "message has more than one line");
	return true;
}

/* Read the columns into values, and set *n to their number. */
static bool
read_row(Reader *reader, SiValue *values, int *n)
{
	const RowDecoder *decoder = reader->decoder;

	for (*n = 0;; (*n)++)
	{
		Slice		slice;
		bool		taken = decoder->plan->rest_field >= 0;

		if (!(decoder->csv ? scan_csv(reader, &slice) :
			  scan_text(reader, &slice)))
			return false;
		if (decoder->ncolumns > 0 && *n == decoder->ncolumns)
			return fail(reader, "extra data after last expected column");
		if (decoder->ncolumns == 0 && *n == MOST_COLUMNS)
			return si_decoder_fail(reader->error, "54011",
								   "message has more than %d columns", MOST_COLUMNS);

		/* the escapes of a column that no field takes are checked too */
		if (decoder->ncolumns > 0)
			taken |= decoder->taken[*n];
		if ((taken || slice.special) && !make_value(reader, &slice, &values[*n]))
			return false;
		if (reader->p >= reader->end || *reader->p != decoder->delimiter)
			break;
		reader->p++;
	}
	(*n)++;
	if (!finish_line(reader))
		return false;
	if (*n < decoder->ncolumns)
		return si_decoder_fail(reader->error, BAD_FORMAT,
							   "missing data for column \"%s\"",
							   decoder->columns[*n]);
	return true;
}

/* The value of a digit; negative if it is none in that base. */
static int
digit_value(char c, int base)
{
	int			value = -1;

	if (c >= '0' && c <= '9')
		value = c - '0';
	else if (c >= 'a' && c <= 'f')
		value = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		value = c - 'A' + 10;
	return value < base ? value : -1;
}

/* A delimiter that is a hex digit is one of the number's first. */
static const char *
pass_hex(const char *p, const char *end)
{
	int			n;

	for (n = 0; n < 2 && p + 1 < end && digit_value(p[1], 16) >= 0; n++)
		p++;
	return p;
}

/* Find the end of a column of format text. */
static bool
scan_text(Reader *reader, Slice *slice)
{
	char		delimiter = reader->decoder->delimiter;
	const char *end = reader->end;
	const char *p = reader->p;

	slice->data = p;
	slice->len = 0;
	slice->special = false;
	for (; p < end && *p != delimiter && *p != '\n' && *p != '\r'; p++)
	{
		if (*p != '\\')
			continue;
		slice->special = true;
		if (p + 1 == end)
		{
			/* dropped, and no part of what is compared with the null text */
			slice->len = (size_t) (p - slice->data);
			reader->p = end;
			return true;
		}
		p++;
		if (*p == '.')
			return fail(reader, "message has an end-of-copy marker");
		if (*p == 'x')
			p = pass_hex(p, end);
	}
	slice->len = (size_t) (p - slice->data);
	reader->p = p;
	return true;
}

/* Find the end of a column of format csv. */
static bool
scan_csv(Reader *reader, Slice *slice)
{
	const RowDecoder *decoder = reader->decoder;
	const char *end = reader->end;
	const char *p = reader->p;
	bool		quoted = false;

	slice->data = p;
	slice->len = 0;
	slice->special = false;
	for (; p < end; p++)
	{
		if (quoted)
		{
			if (*p == decoder->escape && p + 1 < end &&
				(p[1] == decoder->escape || p[1] == decoder->quote))
				p++;
			else if (*p == decoder->quote)
				quoted = false;
		}
		else if (*p == decoder->delimiter || *p == '\n' || *p == '\r')
			break;
		else if (*p == decoder->quote)
			slice->special = quoted = true;
	}
	if (quoted)
		return fail(reader, "unterminated CSV quoted field");
	slice->len = (size_t) (p - slice->data);
	reader->p = p;
	return true;
}

/* ---- escapes and quotes ---- */

/* Read up to so many digits from p on, and go to the last one of them. */
static char
read_digits(const char **p, const char *end, int base, int most)
{
	int			value = 0;
	int			n;

	for (n = 0; n < most && *p + n < end && digit_value((*p)[n], base) >= 0; n++)
		value = value * base + digit_value((*p)[n], base);
	*p += n - 1;
	return (char) value;
}

/*
 * Resolve the escape whose first character, behind the backslash, is at *p,
 * and go to its last one.  *by_number is set if it is one of digits.
 */
static char
resolve_escape(const char **p, const char *end, bool *by_number)
{
	switch (**p)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'v':
			return '\v';
		case 'x':
			if (*p + 1 == end || digit_value((*p)[1], 16) < 0)
				return 'x';
			(*p)++;
			*by_number = true;
			return read_digits(p, end, 16, 2);
		default:
			if (digit_value(**p, 8) < 0)
				return **p;
			*by_number = true;
			return read_digits(p, end, 8, 3);
	}
}

/* Resolve the escapes of a column of format text into out. */
static bool
unescape(Reader *reader, const Slice *slice, char *out, size_t *len)
{
	const char *end = slice->data + slice->len;
	const char *begin = out;
	bool		by_number = false;

	for (const char *p = slice->data; p < end; p++)
	{
		if (*p == '\\')
		{
			p++;
			*out++ = resolve_escape(&p, end, &by_number);
		}
		else
			*out++ = *p;
	}
	*len = (size_t) (out - begin);
	if (by_number && (memchr(begin, '\0', *len) != NULL ||
					  !si_json_is_utf8(begin, *len)))
		return si_decoder_fail(reader->error, BAD_CHARACTER,
							   "message has escapes that give no valid UTF-8");
	return true;
}

/* Take the quotes off a column of format csv, into out. */
static void
unquote(const RowDecoder *decoder, const Slice *slice, char *out, size_t *len)
{
	const char *end = slice->data + slice->len;
	const char *begin = out;
	bool		quoted = false;

	for (const char *p = slice->data; p < end; p++)
	{
		if (quoted && *p == decoder->escape && p + 1 < end &&
			(p[1] == decoder->escape || p[1] == decoder->quote))
			p++;
		else if (*p == decoder->quote)
		{
			quoted = !quoted;
			continue;
		}
		*out++ = *p;
	}
	*len = (size_t) (out - begin);
}

/* Make a value of a column as it is written. */
static bool
make_value(Reader *reader, const Slice *slice, SiValue *value)
{
	const RowDecoder *decoder = reader->decoder;
	char	   *resolved;

	value->kind = SI_VALUE_TEXT;
	value->data = slice->data;
	value->len = slice->len;
	if (slice->len == decoder->null_len &&
		!(decoder->csv && slice->special) &&
		memcmp(slice->data, decoder->null_text, slice->len) == 0)
	{
		value->kind = SI_VALUE_NULL;
		return true;
	}
	if (!slice->special)
		return true;

	/* what is resolved is never longer */
	resolved = si_arena_alloc(reader->arena, slice->len);
	if (resolved == NULL)
		return si_decoder_fail(reader->error, "53200", "out of memory");
	value->data = resolved;
	if (!decoder->csv)
		return unescape(reader, slice, resolved, &value->len);
	unquote(decoder, slice, resolved, &value->len);
	return true;
}
