/*-------------------------------------------------------------------------
 *
 * format.c
 *	  A subscription's format: what its decoder has to know.
 *
 * The rules for delimiter, quote, escape and null are COPY's, and so are most
 * of the words.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "apply/format.h"

/* The formats that an option is for. */
#define FOR_TEXT	0x01
#define FOR_CSV		0x02
#define FOR_JSON	0x04
#define FOR_RAW		0x08

static int
format_bit(const char *format)
{
	if (strcmp(format, "text") == 0)
		return FOR_TEXT;
	if (strcmp(format, "csv") == 0)
		return FOR_CSV;
	if (strcmp(format, "raw") == 0)
		return FOR_RAW;
	return FOR_JSON;
}

/* ---- options of another format ---- */

static void
check_option(const char *format, const char *option, bool given, int formats,
			 const char *list)
{
	if (!given || (format_bit(format) & formats) != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" does not go with format \"%s\"", option, format),
			 errhint("It is for %s.", list)));
}

static void
check_format(const char *format, const SiOptions *options)
{
	const char *rows = "the formats \"csv\" and \"text\"";
	const char *csv = "the format \"csv\"";

	check_option(format, "delimiter", options->delimiter != NULL, FOR_CSV | FOR_TEXT, rows);
	check_option(format, "quote", options->quote != NULL, FOR_CSV, csv);
	check_option(format, "escape", options->escape != NULL, FOR_CSV, csv);
	check_option(format, "null", options->null_text != NULL, FOR_CSV | FOR_TEXT, rows);
	check_option(format, "header_columns", options->nheader_columns > 0, FOR_CSV | FOR_TEXT, rows);
	check_option(format, "encoding", options->encoding != PG_UTF8, FOR_CSV | FOR_TEXT | FOR_JSON,
				 "the formats \"json\", \"csv\" and \"text\"");
}

/* ---- what COPY asks of its options ---- */

static void
refuse(const char *option, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", option),
			 errdetail("%s", detail)));
}

/* The one byte that an option is, or what it is by default. */
static char
option_byte(const char *option, const char *value, char initial)
{
	if (value == NULL)
		return initial;

	/* in a single-byte encoding of the database, it is none in the messages */
	if (IS_HIGHBIT_SET(value[0]))
		refuse(option, "It must be an ASCII character.");
	return value[0];
}

static void
check_bytes(bool csv, const SiFormatOptions *result)
{
	const char *null_text = result->null_text;

	/* as in COPY: these have a meaning behind a backslash, or end the input */
	if (!csv && strchr("\\.abcdefghijklmnopqrstuvwxyz0123456789",
					   result->delimiter) != NULL)
		refuse("delimiter", "In format \"text\" it can be neither a lower-case letter nor a digit, backslash or dot.");
	if (csv && result->delimiter == result->quote)
		refuse("delimiter", "Delimiter and quote must be different.");
	if (strchr(null_text, result->delimiter) != NULL)
		refuse("null", "The delimiter must not appear in it.");
	if (csv && strchr(null_text, result->quote) != NULL)
		refuse("null", "The quote character must not appear in it.");
}

static void
set_bytes(bool csv, const SiOptions *options, SiFormatOptions *result)
{
	const char *null_text = options->null_text;

	result->delimiter = option_byte("delimiter", options->delimiter, csv ? ',' : '\t');
	result->quote = option_byte("quote", options->quote, '"');
	result->escape = option_byte("escape", options->escape, result->quote);
	if (null_text == NULL)
		null_text = csv ? "" : "\\N";
	result->null_text = pg_server_to_any(null_text, strlen(null_text), PG_UTF8);
	check_bytes(csv, result);
}

/* ---- names of columns ---- */

static bool
takes_value(const SiMapping *mapping)
{
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		if (mapping->columns[i].source == SI_SOURCE_VALUE)
			return true;
	}
	return false;
}

/*
 * How many columns a message has by the destination's names.  Where a message
 * is one value it goes to the only column, unless the mapping has given it to
 * another.
 */
static int
count_names(const char *format, const SiMapping *mapping)
{
	int			n = mapping->nnames;

	if (format_bit(format) == FOR_RAW && n != 1)
		return 0;
	if (format_bit(format) != FOR_CSV && n == 1 && takes_value(mapping))
		return 0;
	return n;
}

static void
set_columns(const char *format, const SiMapping *mapping, const SiOptions *options,
			SiFormatOptions *result)
{
	const char **names;
	int			n = options->nheader_columns;

	if (n == 0 && mapping != NULL)
	{
		result->ncolumns = count_names(format, mapping);
		result->columns = mapping->names;
		return;
	}
	names = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		names[i] = pstrdup(pg_server_to_any(options->header_columns[i],
											strlen(options->header_columns[i]), PG_UTF8));
	result->ncolumns = n;
	result->columns = names;
}

/* A message that is one text has neither delimiter nor null. */
static void
check_single_column(const char *format, const SiOptions *options, const SiFormatOptions *result)
{
	const char *option = options->delimiter != NULL ? "delimiter" : "null";

	if (format_bit(format) != FOR_TEXT || result->ncolumns != 1 ||
		(options->delimiter == NULL && options->null_text == NULL))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" does not go with format \"text\" and a single column", option),
			 errdetail("The column takes the whole message as it is.")));
}

static bool
has_column(const SiFormatOptions *format, const SiWantedField *wanted)
{
	if (wanted->nsteps == 0)
		return true;
	for (int i = 0; i < format->ncolumns && wanted->nsteps == 1; i++)
	{
		if (wanted->steps[0].key != NULL &&
			strlen(format->columns[i]) == wanted->steps[0].key_len &&
			strncmp(format->columns[i], wanted->steps[0].key, wanted->steps[0].key_len) == 0)
			return true;
	}
	return false;
}

/* A source of the mapping that no message has is a mistake. */
static void
refuse_source(const char *format, const SiColumn *column)
{
	bool		raw = format_bit(format) == FOR_RAW;

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" cannot take \"%s\": messages of format \"%s\" have no such column",
					column->name, column->source_text, format),
			 raw ? errhint("The bytes of a message are \"$value\".") :
			 errhint("Name the columns of the messages, in order, in the option \"header_columns\".")));
}

/* Where unknown fields are errors, every message would be one. */
static void
check_unknown(const SiMapping *mapping, const char *relname, const SiFormatOptions *result)
{
	for (int i = 0; i < result->ncolumns && mapping->decode.find_unknown; i++)
	{
		bool		taken = false;

		for (int j = 0; j < mapping->decode.nfields && !taken; j++)
		{
			const SiWantedField *wanted = &mapping->decode.fields[j];

			taken = !wanted->of_key && wanted->nsteps == 1 && wanted->steps[0].key != NULL &&
				strcmp(wanted->steps[0].key, result->columns[i]) == 0;
		}
		if (!taken)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("no column of \"%s\" takes column \"%s\" of the messages", relname,
							pg_any_to_server(result->columns[i], strlen(result->columns[i]), PG_UTF8)),
					 errdetail("By the option \"unknown_fields\" every message would be an error.")));
	}
}

static void
check_sources(const char *format, const SiMapping *mapping, const char *relname,
			  const SiFormatOptions *result)
{
	bool		any = !mapping->needs_field;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];
		const SiWantedField *wanted;

		if (column->source != SI_SOURCE_FIELD)
			continue;
		wanted = &mapping->decode.fields[column->field];
		if (column->field == mapping->decode.rest_field || wanted->of_key ||
			has_column(result, wanted))
			any = true;
		else if (column->mapped)
			refuse_source(format, column);
	}
	if (any)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("no column of \"%s\" takes anything of a message of format \"%s\"",
					relname, format),
			 format_bit(format) == FOR_RAW ?
			 errhint("Say in \"mapping\" which column takes the bytes of a message, such as {\"payload\": \"$value\"}.") :
			 errhint("The columns that the option \"header_columns\" names are none of its own; use \"mapping\" to say which column takes which.")));
}

void
si_format_options(const char *format, const SiMapping *mapping, const char *relname,
				  const SiOptions *options, SiFormatOptions *result)
{
	memset(result, 0, sizeof(SiFormatOptions));
	check_format(format, options);
	if (format_bit(format) == FOR_JSON)
		return;
	if (format_bit(format) != FOR_RAW)
		set_bytes(format_bit(format) == FOR_CSV, options, result);
	set_columns(format, mapping, options, result);
	check_single_column(format, options, result);
	if (mapping != NULL)
	{
		check_sources(format, mapping, relname, result);
		check_unknown(mapping, relname, result);
	}
}
