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

#include "common/md5.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "apply/event_check.h"
#include "apply/format.h"
#include "apply/mapping_source.h"
#include "common/failure.h"
#include "common/uuid_text.h"
#include "format/envelope_shape.h"
#include "format/match_names.h"

/* ---- options of another format ---- */

/* The formats that have an option, as in: formats "csv" and "text". */
static char *
formats_with(int option)
{
	const char *names[16];
	StringInfoData list;
	int			n = 0;

	for (int i = 0; si_decoder_routines[i] != NULL && n < lengthof(names); i++)
	{
		if ((si_decoder_routines[i]->options & option) != 0)
			names[n++] = si_decoder_routines[i]->format;
	}
	initStringInfo(&list);
	appendStringInfoString(&list, n > 1 ? "formats" : "format");
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? " " : i == n - 1 ? " and " : ", ", names[i]);
	return list.data;
}

/* Error if an option is given that only other formats have. */
static void
check_options(const SiDecoderRoutine *routine, const SiOptions *options)
{
	const struct
	{
		const char *name;
		int			option;
		bool		given;
	}			given[] = {
		{"delimiter", SI_FORMAT_DELIMITER, options->delimiter != NULL},
		{"quote", SI_FORMAT_QUOTE, options->quote != NULL},
		{"escape", SI_FORMAT_QUOTE, options->escape != NULL},
		{"null", SI_FORMAT_DELIMITER, options->null_text != NULL},
		{"header_columns", SI_FORMAT_COLUMNS, options->nheader_columns > 0},
		{"encoding", SI_FORMAT_ENCODING, options->encoding != PG_UTF8},
		{"wire_format", SI_FORMAT_WIRE, options->wire_format != SI_WIRE_DEFAULT},
		{"schema", SI_FORMAT_SCHEMA, options->schema != NULL},
		{"message", SI_FORMAT_MESSAGE, options->message != NULL},
		{"schemas", SI_FORMAT_SCHEMAS, options->nschemas > 0},
		{"records", SI_FORMAT_RECORDS, options->records != NULL},
		{"deleted_field", SI_FORMAT_DELETED, options->deleted_field != NULL},
		{"envelope", SI_FORMAT_DEBEZIUM, options->envelope == SI_ENVELOPE_DEBEZIUM},
		{"envelope", SI_FORMAT_CONNECT, options->envelope >= SI_ENVELOPE_CONNECT},
	};

	for (int i = 0; i < lengthof(given); i++)
	{
		if (given[i].given && (routine->options & given[i].option) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" does not go with format \"%s\"",
							given[i].name, routine->format),
					 errhint("It is for the %s.", formats_with(given[i].option))));
	}
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
set_bytes(const SiDecoderRoutine *routine, const SiOptions *options, SiFormatOptions *result)
{
	const SiFormatOptions *initial = &routine->initial;
	const char *null_text = options->null_text ? options->null_text : initial->null_text;

	result->delimiter = option_byte("delimiter", options->delimiter, initial->delimiter);
	result->quote = option_byte("quote", options->quote, initial->quote);
	result->escape = option_byte("escape", options->escape, result->quote);
	result->null_text = pg_server_to_any(null_text, strlen(null_text), PG_UTF8);
	check_bytes((routine->options & SI_FORMAT_QUOTE) != 0, result);
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
count_names(const SiDecoderRoutine *routine, const SiMapping *mapping)
{
	int			n = mapping->nnames;

	if (routine->fields == SI_FIELDS_ONE && n != 1)
		return 0;
	if (routine->fields != SI_FIELDS_IN_ORDER && n == 1 && takes_value(mapping))
		return 0;
	return n;
}

/* Does a column take the field of exactly this name, in UTF-8? */
static bool
has_field(const SiMapping *mapping, const char *name)
{
	for (int i = 0; i < mapping->decode.nfields; i++)
	{
		const SiWantedField *wanted = &mapping->decode.fields[i];

		if (i != mapping->decode.rest_field && !wanted->of_key && wanted->nsteps > 0 &&
			wanted->steps[0].key != NULL && strcmp(wanted->steps[0].key, name) == 0)
			return true;
	}
	return false;
}

/*
 * The name that a column of the messages has for the decoder: where
 * match_names makes it mean a column of the destination, that one's.
 */
static const char *
matched_name(const SiMapping *mapping, const char *name)
{
	char		folded[SI_MATCH_ROOM];
	char		own[SI_MATCH_ROOM];
	size_t		len;

	if (mapping == NULL || mapping->decode.match_names == SI_MATCH_EXACT ||
		has_field(mapping, name))
		return name;
	len = si_match_names_fold(mapping->decode.match_names, name, strlen(name), folded);
	for (int i = 0; i < mapping->decode.nfields && len > 0; i++)
	{
		const SiWantedField *wanted = &mapping->decode.fields[i];

		if (wanted->own_name &&
			si_match_names_fold(mapping->decode.match_names, wanted->steps[0].key,
								wanted->steps[0].key_len, own) == len &&
			memcmp(own, folded, len) == 0)
			return wanted->steps[0].key;
	}
	return name;
}

static void
set_columns(const SiDecoderRoutine *routine, const SiMapping *mapping,
			const SiOptions *options, SiFormatOptions *result)
{
	const char **names;
	int			n = options->nheader_columns;

	if (n == 0 && mapping != NULL)
	{
		result->ncolumns = count_names(routine, mapping);
		result->columns = mapping->names;
		return;
	}
	names = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		names[i] = matched_name(mapping,
								pstrdup(pg_server_to_any(options->header_columns[i],
														 strlen(options->header_columns[i]),
														 PG_UTF8)));
		for (int j = 0; j < i; j++)
		{
			if (strcmp(names[i], names[j]) == 0)
				refuse("header_columns", "By the option \"match_names\" two of the names mean the same column.");
		}
	}
	result->ncolumns = n;
	result->columns = names;
}

/* A message that is one text has neither delimiter nor null. */
static void
check_single_column(const SiDecoderRoutine *routine, const SiOptions *options,
					const SiFormatOptions *result)
{
	const char *option = options->delimiter != NULL ? "delimiter" : "null";

	if (routine->fields != SI_FIELDS_IN_ORDER_OR_ONE || result->ncolumns != 1 ||
		(options->delimiter == NULL && options->null_text == NULL))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" does not go with format \"%s\" and a single column",
					option, routine->format),
			 errdetail("The column takes the whole message as it is.")));
}

static bool
has_column(const SiFormatOptions *format, const SiWantedField *wanted)
{
	int			nsteps = si_path_outer_steps(wanted);

	if (nsteps == 0)
		return true;
	for (int i = 0; i < format->ncolumns && nsteps == 1; i++)
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
refuse_source(const SiDecoderRoutine *routine, const SiColumn *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" cannot take \"%s\": messages of format \"%s\" have no such column",
					column->name, column->source_text, routine->format),
			 routine->fields == SI_FIELDS_ONE ? errhint("The bytes of a message are \"$value\".") :
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

			taken = !wanted->of_key && si_path_outer_steps(wanted) == 1 && wanted->steps[0].key != NULL &&
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
check_sources(const SiDecoderRoutine *routine, const SiMapping *mapping,
			  const char *relname, const SiFormatOptions *result)
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
			refuse_source(routine, column);
	}
	if (any)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("no column of \"%s\" takes anything of a message of format \"%s\"",
					relname, routine->format),
			 routine->fields == SI_FIELDS_ONE ?
			 errhint("Say in \"mapping\" which column takes the bytes of a message, such as {\"payload\": \"$value\"}.") :
			 errhint("The columns that the option \"header_columns\" names are none of its own; use \"mapping\" to say which column takes which.")));
}

/*
 * How messages name their schemas: as the option says; else a format that has
 * schemas expects Confluent's frame, unless all messages have one schema.
 */
static void
set_wire_format(const SiDecoderRoutine *routine, const SiOptions *options,
				SiFormatOptions *result)
{
	bool		by_id = (routine->options & SI_FORMAT_SCHEMAS) != 0 && options->schema == NULL;

	result->wire_format = options->wire_format;
	if (options->wire_format == SI_WIRE_DEFAULT)
		result->wire_format = by_id ? SI_WIRE_CONFLUENT : SI_WIRE_NONE;
	if (result->wire_format > SI_WIRE_NONE && options->encoding != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"encoding\" does not go with option \"wire_format\""),
				 errdetail("What a schema registry describes is in UTF-8.")));
}

/* The schemas of the options, and the name of the message, in UTF-8. */
static void
set_schemas(const SiOptions *options, SiFormatOptions *result)
{
	SiGivenSchema *schemas = palloc(sizeof(SiGivenSchema) * Max(options->nschemas, 1));

	if (options->schema != NULL)
		result->schema = pg_server_to_any(options->schema, strlen(options->schema), PG_UTF8);
	if (options->message != NULL)
		result->message = pg_server_to_any(options->message, strlen(options->message), PG_UTF8);
	for (int i = 0; i < options->nschemas; i++)
	{
		const char *text = options->schemas[i].text;

		schemas[i].id = options->schemas[i].id;
		schemas[i].text = pg_server_to_any(text, strlen(text), PG_UTF8);
	}
	result->nschemas = options->nschemas;
	result->schemas = schemas;
}

/* Keys of Debezium's events are written as their values are; else keys are JSON. */
static SiKeyFormat
auto_key_format(const SiDecoderRoutine *routine, const SiOptions *options)
{
	bool		by_id = options->schema == NULL && options->wire_format != SI_WIRE_NONE;

	if (options->envelope != SI_ENVELOPE_DEBEZIUM || !by_id)
		return SI_KEY_JSON;
	if (routine == &si_decoder_avro)
		return SI_KEY_AVRO;
	return routine == &si_decoder_protobuf ? SI_KEY_PROTOBUF : SI_KEY_JSON;
}

/* Protobuf's schemas have no place for the names of Debezium's types. */
const SiOptions *
si_format_settle(const char *format, const SiOptions *options)
{
	const SiDecoderRoutine *routine = si_decoder_find(format);
	SiOptions  *settled = palloc(sizeof(SiOptions));

	*settled = *options;
	if (options->key_format == SI_KEY_AUTO)
		settled->key_format = auto_key_format(routine, options);
	settled->bare_integers = options->envelope == SI_ENVELOPE_DEBEZIUM &&
		routine == &si_decoder_protobuf;
	return settled;
}

/* Avro and Protobuf keys name their schemas as the values, which are of that format, do. */
static void
set_keys(const SiDecoderRoutine *routine, const SiOptions *options, SiFormatOptions *result)
{
	const SiDecoderRoutine *wanted = options->key_format == SI_KEY_AVRO ?
		&si_decoder_avro : &si_decoder_protobuf;

	if (!SI_KEY_BY_ID(options->key_format))
		return;
	if (routine != wanted || result->wire_format <= SI_WIRE_NONE ||
		(result->nschemas == 0 && result->store == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"key_format\" can be \"%s\" only where messages name their schemas",
						wanted->format),
				 errhint("Use it with format \"%s\", a wire format, and the option \"schemas\" or a server with a schema registry.",
						 wanted->format)));
	result->key_by_id = true;
}

/* Where the records of a message are. */
static void
set_records(const SiOptions *options, SiFormatOptions *result)
{
	SiRecordsPath *path;

	if (options->records == NULL)
		return;
	if (options->encoding != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"records\" does not go with option \"encoding\""),
				 errhint("Have the messages produced in UTF-8.")));
	if (options->envelope != SI_ENVELOPE_NONE || options->deleted_field != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"records\" does not go with option \"%s\"",
						options->deleted_field != NULL ? "deleted_field" : "envelope"),
				 errdetail("A change event is one record.")));
	path = palloc0(sizeof(SiRecordsPath));
	si_mapping_source_read_records(path, options->records);
	result->records = path;
}

/* ---- change events ---- */

/* The steps of a path whose names are parted by dots. */
static void
set_deleted(const char *path, SiFormatOptions *result)
{
	const char *utf8 = pg_server_to_any(path, strlen(path), PG_UTF8);
	SiPathStep *steps = palloc0(sizeof(SiPathStep) * (strlen(utf8) + 1));

	while (result->ndeleted == 0 || *utf8 == '.')
	{
		SiPathStep *step = &steps[result->ndeleted];

		if (result->ndeleted++ > 0)
			utf8++;
		step->key_len = strcspn(utf8, ".");
		step->key = pnstrdup(utf8, step->key_len);
		if (step->key_len == 0)
			refuse("deleted_field", "It is a name, or several names parted by dots.");
		utf8 += step->key_len;
	}
	result->deleted = steps;
}

/* The UUID that Java makes of a name: version 3, without a namespace. */
static char *
name_uuid(const char *name)
{
	uint8		b[MD5_DIGEST_LENGTH];
	const char *errstr = NULL;
	char	   *text;

	if (!pg_md5_binary(name, strlen(name), b, &errstr))
		return NULL;
	b[6] = (b[6] & 0x0F) | 0x30;
	b[8] = (b[8] & 0x3F) | 0x80;
	text = palloc0(SI_UUID_TEXT + 1);

	si_uuid_write(b, text);
	return text;
}

static void
set_envelope(const SiMapping *mapping, const char *relname, const SiOptions *options,
			 SiFormatOptions *result)
{
	const char *unavailable = options->unavailable_value;

	if (options->deleted_field != NULL && si_envelope_changes_keys(options->envelope))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"deleted_field\" does not go with envelope \"%s\"",
						si_envelope_shapes[options->envelope].name),
				 errdetail("An event says by itself what is deleted.")));
	if (mapping != NULL)
		si_event_check_names(mapping, relname, options->envelope);
	if (options->deleted_field != NULL)
		set_deleted(options->deleted_field, result);
	result->envelope = options->envelope;
	if (!si_envelope_is_event(options->envelope))
		return;
	if (options->missing_fields == SI_MISSING_NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"missing_fields\" cannot be \"null\" with change events"),
				 errdetail("Values that an update left unchanged may be missing in its event, and would be lost.")));
	result->ignore_truncate = options->truncate == SI_TRUNCATE_IGNORE;
	if (options->envelope != SI_ENVELOPE_DEBEZIUM)
		return;
	result->unavailable = pg_server_to_any(unavailable, strlen(unavailable), PG_UTF8);
	result->unavailable_uuid = name_uuid(result->unavailable);
}

/* What the format itself wants of its options, such as a schema that it can read. */
static void
check_contents(const SiDecoderRoutine *routine, const SiFormatOptions *result)
{
	SiDecodeError error;
	SiFailure  *refusal;

	if (routine->check == NULL || routine->check(result, &error))
		return;
	refusal = si_failure_from_decode(&error);
	ereport(ERROR,
			(errcode(refusal->sqlerrcode),
			 errmsg("%s", refusal->message),
			 refusal->detail != NULL ? errdetail("%s", refusal->detail) : 0));
}

void
si_format_options(const char *format, const SiMapping *mapping, const char *relname,
				  const SiOptions *options, SiSchemaStore *store, SiFormatOptions *result)
{
	const SiDecoderRoutine *routine = si_decoder_find(format);

	memset(result, 0, sizeof(SiFormatOptions));
	check_options(routine, options);
	set_wire_format(routine, options, result);
	set_schemas(options, result);
	result->store = store;
	set_keys(routine, options, result);
	set_records(options, result);
	check_contents(routine, result);
	set_envelope(mapping, relname, options, result);
	if (routine->fields == SI_FIELDS_NAMED)
		return;
	if ((routine->options & SI_FORMAT_DELIMITER) != 0)
		set_bytes(routine, options, result);
	set_columns(routine, mapping, options, result);
	check_single_column(routine, options, result);
	if (mapping != NULL)
	{
		check_sources(routine, mapping, relname, result);
		check_unknown(mapping, relname, result);
	}
}
