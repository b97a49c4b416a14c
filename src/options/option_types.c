/*-------------------------------------------------------------------------
 *
 * option_types.c
 *	  How values of options are read, printed and described.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "options/option_types.h"

void
si_option_refuse(const SiOption *option, json_t *value, const char *reason)
{
	char	   *given = si_document_text(value);
	int			len = strlen(given);
	int			shown = pg_mbcliplen(given, len, SI_OPTION_QUOTED);
	char	   *valid = psprintf("Valid values are %s.",
								 option->type->describe(option));

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": %.*s%s",
					option->name, shown, given, shown < len ? "..." : ""),
			 errdetail("%s", reason != NULL ? reason : valid),
			 reason != NULL ? errhint("%s", valid) : 0));
}

Datum
si_option_input(Oid function, char *given, const char **reason)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;

	PG_TRY();
	{
		result = OidInputFunctionCall(function, given, InvalidOid, -1);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();

		/* the message becomes a sentence */
		error->message[0] = pg_toupper((unsigned char) error->message[0]);
		*reason = psprintf("%s.", error->message);
	}
	PG_END_TRY();
	return result;
}

/* Read an integer, or text that the server's settings would take as one. */
static bool
read_integer(json_t *value, int64 *number)
{
	char	   *given = si_document_string(value);
	int			parsed;

	if (json_is_integer(value))
	{
		*number = json_integer_value(value);
		return true;
	}
	if (given == NULL || !parse_int(given, &parsed, 0, NULL))
		return false;
	*number = parsed;
	return true;
}

static void
parse_integer(const SiOption *option, json_t *value, SiOptions *options)
{
	int64		number;

	if (!read_integer(value, &number) ||
		number < option->min || number > option->max)
		si_option_refuse(option, value, NULL);
	SI_OPTION_MEMBER(options, option, int) = (int) number;
}

static json_t *
show_integer(const SiOption *option, const SiOptions *options)
{
	int			number = SI_OPTION_CONST_MEMBER(options, option, int);

	/* a value below the bounds is the zero of an option that is not set */
	return number < option->min ? json_null() : si_document_require(json_integer(number));
}

static const char *
describe_integer(const SiOption *option)
{
	return psprintf("integers from " INT64_FORMAT " to " INT64_FORMAT,
					option->min, option->max);
}

const SiOptionType si_option_integer = {parse_integer, show_integer, describe_integer};

/*
 * Read an interval's text as milliseconds, rounded up so that a short wait
 * does not become none.
 */
static int64
read_interval(const SiOption *option, json_t *value, char *given)
{
	const char *reason = NULL;
	Interval   *span;

	/* a bare number is seconds in an interval, but milliseconds in JSON */
	if (given[0] != '\0' && given[strspn(given, " +-.0123456789")] == '\0')
		si_option_refuse(option, value, "The text has no unit.");

	span = DatumGetIntervalP(si_option_input(F_INTERVAL_IN, given, &reason));
	if (reason == NULL && span->month != 0)
		reason = "Months and years have no fixed length.";
	if (reason != NULL)
		si_option_refuse(option, value, reason);

	return (int64) span->day * SECS_PER_DAY * 1000 +
		span->time / 1000 + (span->time % 1000 > 0 ? 1 : 0);
}

/* A number of milliseconds, or an interval. */
static void
parse_duration(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);
	int64		number;

	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (given != NULL)
		number = read_interval(option, value, given);
	else
		number = -1;

	if (number < option->min || number > option->max)
		si_option_refuse(option, value, NULL);
	SI_OPTION_MEMBER(options, option, int) = (int) number;
}

/* Milliseconds as an interval's text, in the largest unit that is exact. */
static const char *
duration_text(int64 number)
{
	if (number > 0 && number % MS_PER_HOUR == 0)
		return psprintf(INT64_FORMAT " h", number / MS_PER_HOUR);
	if (number > 0 && number % 60000 == 0)
		return psprintf(INT64_FORMAT " min", number / 60000);
	if (number > 0 && number % 1000 == 0)
		return psprintf(INT64_FORMAT " s", number / 1000);
	return psprintf(INT64_FORMAT " ms", number);
}

static json_t *
show_duration(const SiOption *option, const SiOptions *options)
{
	return si_document_from_string(duration_text(SI_OPTION_CONST_MEMBER(options, option, int)));
}

static const char *
describe_duration(const SiOption *option)
{
	return psprintf("numbers of milliseconds and intervals such as \"100 ms\", from %s to %s",
					duration_text(option->min), duration_text(option->max));
}

const SiOptionType si_option_duration = {parse_duration, show_duration, describe_duration};

/* A number of bytes, or a number with a unit as in postgresql.conf. */
static void
parse_size(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);
	const char *hint = NULL;
	int64		number = -1;
	int			parsed;

	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (given != NULL && parse_int(given, &parsed, GUC_UNIT_BYTE, &hint))
		number = parsed;

	if (number < option->min || number > option->max)
		si_option_refuse(option, value, hint);
	SI_OPTION_MEMBER(options, option, int64) = number;
}

/* Bytes as text, in the largest unit that is exact. */
static const char *
size_text(int64 number)
{
	if (number > 0 && number % (1024 * 1024 * 1024) == 0)
		return psprintf(INT64_FORMAT "GB", number / (1024 * 1024 * 1024));
	if (number > 0 && number % (1024 * 1024) == 0)
		return psprintf(INT64_FORMAT "MB", number / (1024 * 1024));
	if (number > 0 && number % 1024 == 0)
		return psprintf(INT64_FORMAT "kB", number / 1024);
	return psprintf(INT64_FORMAT "B", number);
}

static json_t *
show_size(const SiOption *option, const SiOptions *options)
{
	return si_document_from_string(size_text(SI_OPTION_CONST_MEMBER(options, option, int64)));
}

static const char *
describe_size(const SiOption *option)
{
	return psprintf("numbers of bytes and sizes such as \"16MB\", from %s to %s",
					size_text(option->min), size_text(option->max));
}

const SiOptionType si_option_size = {parse_size, show_size, describe_size};

/* A JSON boolean, or one of the strings "true", "on", "false" and "off". */
static void
parse_boolean(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);

	if (json_is_boolean(value))
		SI_OPTION_MEMBER(options, option, bool) = json_is_true(value);
	else if (given != NULL &&
			 (pg_strcasecmp(given, "true") == 0 || pg_strcasecmp(given, "on") == 0))
		SI_OPTION_MEMBER(options, option, bool) = true;
	else if (given != NULL &&
			 (pg_strcasecmp(given, "false") == 0 || pg_strcasecmp(given, "off") == 0))
		SI_OPTION_MEMBER(options, option, bool) = false;
	else
		si_option_refuse(option, value, NULL);
}

static json_t *
show_boolean(const SiOption *option, const SiOptions *options)
{
	return json_boolean(SI_OPTION_CONST_MEMBER(options, option, bool));
}

static const char *
describe_boolean(const SiOption *option)
{
	return "true and false";
}

const SiOptionType si_option_boolean = {parse_boolean, show_boolean, describe_boolean};

/* The keyword that a value names; throws if it names none. */
static const SiKeyword *
read_keyword(const SiOption *option, json_t *value)
{
	char	   *given = si_document_string(value);
	const SiKeyword *keyword = option->keywords;

	while (given != NULL && keyword->name != NULL &&
		   pg_strcasecmp(given, keyword->name) != 0)
		keyword++;
	if (given == NULL || keyword->name == NULL)
		si_option_refuse(option, value, NULL);
	return keyword;
}

static void
parse_keyword(const SiOption *option, json_t *value, SiOptions *options)
{
	StaticAssertStmt(sizeof(SiOnError) == sizeof(int), "enums are set as int");

	SI_OPTION_MEMBER(options, option, int) = read_keyword(option, value)->value;
}

/* A keyword that is the value of a setting of the server. */
static void
parse_setting(const SiOption *option, json_t *value, SiOptions *options)
{
	SI_OPTION_MEMBER(options, option, char *) = pstrdup(read_keyword(option, value)->name);
}

/* Where none is set, the first keyword applies to most targets. */
static json_t *
show_setting(const SiOption *option, const SiOptions *options)
{
	const char *given = SI_OPTION_CONST_MEMBER(options, option, char *);

	return si_document_from_string(given != NULL ? given : option->keywords[0].name);
}

static json_t *
show_keyword(const SiOption *option, const SiOptions *options)
{
	for (const SiKeyword *keyword = option->keywords; keyword->name != NULL; keyword++)
	{
		if (keyword->value == SI_OPTION_CONST_MEMBER(options, option, int))
			return si_document_from_string(keyword->name);
	}
	return json_null();
}

static const char *
describe_keyword(const SiOption *option)
{
	StringInfoData words;

	initStringInfo(&words);
	for (const SiKeyword *keyword = option->keywords; keyword->name != NULL; keyword++)
		appendStringInfo(&words, "%s\"%s\"", words.len > 0 ? ", " : "", keyword->name);
	return words.data;
}

const SiOptionType si_option_keyword = {parse_keyword, show_keyword, describe_keyword};
const SiOptionType si_option_setting = {parse_setting, show_setting, describe_keyword};

static void
parse_text(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);

	if (given == NULL || strlen(given) < option->min || strlen(given) > option->max)
		si_option_refuse(option, value, NULL);
	SI_OPTION_MEMBER(options, option, char *) = given;
}

json_t *
si_option_show_text(const SiOption *option, const SiOptions *options)
{
	const char *given = SI_OPTION_CONST_MEMBER(options, option, char *);

	return given == NULL ? json_null() : si_document_from_string(given);
}

static const char *
describe_text(const SiOption *option)
{
	return psprintf("strings of " INT64_FORMAT " to " INT64_FORMAT " bytes",
					option->min, option->max);
}

const SiOptionType si_option_text = {parse_text, si_option_show_text, describe_text};

/* As a text, but of one line; COPY requires the same of its options. */
static void
parse_line(const SiOption *option, json_t *value, SiOptions *options)
{
	parse_text(option, value, options);
	if (strpbrk(SI_OPTION_MEMBER(options, option, char *), "\r\n") != NULL)
		si_option_refuse(option, value, NULL);
}

static const char *
describe_line(const SiOption *option)
{
	if (option->min == 1 && option->max == 1)
		return "strings of one single-byte character that is not a line break";
	return psprintf("%s without line breaks", describe_text(option));
}

const SiOptionType si_option_line = {parse_line, si_option_show_text, describe_line};

/* An array of distinct column names. */
static void
parse_names(const SiOption *option, json_t *value, SiOptions *options)
{
	int			n = json_array_size(value);
	char	  **names;

	if (n == 0)
		si_option_refuse(option, value, NULL);

	names = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		names[i] = si_document_string(json_array_get(value, i));
		if (names[i] == NULL ||
			strlen(names[i]) < option->min || strlen(names[i]) > option->max)
			si_option_refuse(option, value, NULL);
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < i; j++)
		{
			if (strcmp(names[i], names[j]) == 0)
				si_option_refuse(option, value, "A name appears twice.");
		}
	}
	options->nheader_columns = n;
	SI_OPTION_MEMBER(options, option, char **) = names;
}

static json_t *
show_names(const SiOption *option, const SiOptions *options)
{
	SiDocument *array;

	if (options->nheader_columns == 0)
		return json_null();
	array = si_document_make();
	array->json = si_document_require(json_array());
	for (int i = 0; i < options->nheader_columns; i++)
	{
		if (json_array_append_new(array->json,
								  si_document_from_string(options->header_columns[i])) != 0)
			(void) si_document_require(NULL);
	}
	return si_document_take(array);
}

static const char *
describe_names(const SiOption *option)
{
	return "arrays of column names";
}

const SiOptionType si_option_names = {parse_names, show_names, describe_names};

/* One of the server's names of encodings. */
static void
parse_encoding(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);
	int			encoding = given != NULL ? pg_char_to_encoding(given) : -1;

	if (encoding < 0)
		si_option_refuse(option, value, NULL);
	SI_OPTION_MEMBER(options, option, int) = encoding;
}

static json_t *
show_encoding(const SiOption *option, const SiOptions *options)
{
	return si_document_from_string(pg_encoding_to_char(SI_OPTION_CONST_MEMBER(options, option, int)));
}

static const char *
describe_encoding(const SiOption *option)
{
	return "the server's names of encodings";
}

const SiOptionType si_option_encoding = {parse_encoding, show_encoding, describe_encoding};

/* A number, or a percentage such as "1%". */
static void
parse_reject_limit(const SiOption *option, json_t *value, SiOptions *options)
{
	SiRejectLimit limit = {0, 0};
	char	   *given = si_document_string(value);
	char	   *end = NULL;
	int64		number;

	if (read_integer(value, &number))
	{
		if (number < option->min || number > option->max)
			si_option_refuse(option, value, NULL);
		limit.count = (int) number;
	}
	else
	{
		if (given != NULL)
			limit.percent = strtod(given, &end);

		/* written so that a NaN fails, too */
		if (end == NULL || strcmp(end, "%") != 0 ||
			!(limit.percent > 0 && limit.percent <= 100))
			si_option_refuse(option, value, NULL);
	}
	SI_OPTION_MEMBER(options, option, SiRejectLimit) = limit;
}

static json_t *
show_reject_limit(const SiOption *option, const SiOptions *options)
{
	SiRejectLimit limit = SI_OPTION_CONST_MEMBER(options, option, SiRejectLimit);

	if (limit.count > 0)
		return si_document_require(json_integer(limit.count));
	if (limit.percent > 0)
		return si_document_from_string(psprintf("%g%%", limit.percent));
	return json_null();
}

static const char *
describe_reject_limit(const SiOption *option)
{
	return "positive integers and percentages such as \"1%\"";
}

const SiOptionType si_option_reject_limit = {parse_reject_limit, show_reject_limit, describe_reject_limit};
