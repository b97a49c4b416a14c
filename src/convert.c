/*-------------------------------------------------------------------------
 *
 * convert.c
 *	  Records to rows: fields to Datums, with cached type functions.
 *
 * What happens to a column's values is decided once: one routine for where
 * they come from (a field, metadata) and one for what they become (by type).
 * The rules are those of a reader of JSON who knows COPY: a type's input
 * function gets the text that the message holds, and only where JSON itself
 * has more to say (null, booleans, json columns, arrays and composite types)
 * is it asked.
 *
 * All Datums, and whatever an input function leaves behind, are in the
 * caller's memory context.  Nothing else is allocated per value: texts pass
 * through buffers that live as long as the converter.
 *
 * Texts of fields are taken as valid in the messages' encoding, because the
 * decoder checked them.  Whatever comes as bytes (keys, headers, the value as
 * a whole) is checked here.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "compat.h"
#include "convert.h"
#include "funcapi.h"
#include "json_scan.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "transcode.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* What decoders give, and what headers are in. */
#define MESSAGE_ENCODING	PG_UTF8

/* How much of a name from the payload a detail quotes. */
#define QUOTED_LENGTH		100

typedef struct ColumnState ColumnState;

/* Find the column's value; false if the message is bad. */
typedef bool (*SourceRoutine) (SiConverter *converter, ColumnState *state,
							   Datum *result, bool *isnull);

/* Convert a value that is neither ABSENT nor NULL; false if it is bad. */
typedef bool (*ValueRoutine) (SiConverter *converter, ColumnState *state,
							  const SiValue *value, Datum *result);

struct ColumnState
{
	const SiColumn *column;
	SourceRoutine take;
	ValueRoutine convert;
	bool		native;			/* metadata: the column's type is the source's
								 * own */
	bool		time_of_day;	/* a time without a date */
	bool		checks_null;	/* the input function wants to see NULLs */
	FmgrInfo	input;
	Oid			typioparam;

	/* for arrays and composite types */
	MemoryContext nested_context;	/* what the function remembers */
	TupleDesc	nested_desc;	/* a row type with this column alone */
	FmgrInfo	nested;			/* json_to_record() into it */
};

struct SiConverter
{
	const SiMapping *mapping;
	const char *topic;
	Datum		topic_datum;
	int			ncolumns;
	ColumnState *columns;
	uint64	   *absent;			/* the row's absent words */
	int			nabsent_words;
	FmgrInfo	jsonb_input;	/* for $headers */

	/* keys and values as they came, if they are not in UTF-8 */
	SiTranscoder *transcoder;

	/* from UTF-8 to the database's encoding */
	int			verify_encoding;	/* what bytes must be valid in */
	bool		transcode;
	Oid			conversion;

	/* the row at hand */
	const SiMessage *message;
	const SiRecord *record;
	SiFailure  *failure;
	const SiColumn *current;	/* NULL between columns */

	ErrorSaveContext soft;
	StringInfoData scratch;		/* a NUL-terminated copy of a value's text */
	StringInfoData document;	/* a JSON text that is put together */
	StringInfoData converted;	/* a text in the database's encoding */
};

/* setting up */
static void set_encoding(SiConverter *converter);
static void init_column(SiConverter *converter, ColumnState *state,
						const SiColumn *column);
static void check_source_type(const SiColumn *column, Oid base_type);
static Oid	native_type(SiSourceKind source);
static SourceRoutine choose_source(const ColumnState *state);
static ValueRoutine choose_conversion(const SiColumn *column, Oid base_type);
static void init_nested(ColumnState *state);
static void forget_nested(SiConverter *converter);

/* a record as a whole */
static bool check_record(SiConverter *converter);

/* where values come from */
static bool take_field(SiConverter *converter, ColumnState *state,
					   Datum *result, bool *isnull);
static bool take_absent(SiConverter *converter, ColumnState *state,
						Datum *result, bool *isnull);
static bool take_null(SiConverter *converter, ColumnState *state,
					  Datum *result, bool *isnull);
static bool take_bytes(SiConverter *converter, ColumnState *state,
					   Datum *result, bool *isnull);
static bool take_metadata(SiConverter *converter, ColumnState *state,
						  Datum *result, bool *isnull);
static bool take_timestamp(SiConverter *converter, ColumnState *state,
						   Datum *result, bool *isnull);
static bool take_headers(SiConverter *converter, ColumnState *state,
						 Datum *result, bool *isnull);
static SiValue find_header(const SiConverter *converter, const char *name);
static void append_header_text(SiConverter *converter, const char *data,
							   size_t len);

/* what they become */
static bool convert_input(SiConverter *converter, ColumnState *state,
						  const SiValue *value, Datum *result);
static bool convert_text(SiConverter *converter, ColumnState *state,
						 const SiValue *value, Datum *result);
static bool convert_bool(SiConverter *converter, ColumnState *state,
						 const SiValue *value, Datum *result);
static bool convert_bytea(SiConverter *converter, ColumnState *state,
						  const SiValue *value, Datum *result);
static bool convert_json(SiConverter *converter, ColumnState *state,
						 const SiValue *value, Datum *result);
static bool convert_datetime(SiConverter *converter, ColumnState *state,
							 const SiValue *value, Datum *result);
static bool is_number(const char *text, size_t len);
static bool parse_epoch(const char *text, size_t len, SiEpochUnit unit,
						int64 *usecs);
static int	read_exponent(const char *at, const char *end);
static bool convert_instant(SiConverter *converter, ColumnState *state,
							int64 usecs, Datum *result);
static bool fail_instant(SiConverter *converter, const SiColumn *column);
static bool convert_nested(SiConverter *converter, ColumnState *state,
						   const SiValue *value, Datum *result);
static bool call_input(SiConverter *converter, ColumnState *state, char *text,
					   Datum *result);

/* texts */
static bool value_text(SiConverter *converter, ColumnState *state,
					   const SiValue *value, const char **text, size_t *len);
static bool value_to_scratch(SiConverter *converter, ColumnState *state,
							 const SiValue *value);
static void append_hex(StringInfo buf, const char *data, size_t len);
static bool valid_bytes(const SiConverter *converter, const char *data,
						size_t len);
static bool to_server(SiConverter *converter, const char **text, size_t *len);

/* failures */
static bool fail(SiConverter *converter, const SiColumn *column,
				 int sqlerrcode, const char *format,...)
			__attribute__((format(printf, 4, 5)));
static bool fail_soft(SiConverter *converter, const SiColumn *column);
static bool fail_unknown(SiConverter *converter);

/* Look up the types' functions; see convert.h. */
SiConverter *
si_convert_create(const SiMapping *mapping, const char *topic)
{
	SiConverter *converter = palloc0(sizeof(SiConverter));
	Oid			jsonb_input;
	Oid			typioparam;

	converter->mapping = mapping;
	converter->topic = pstrdup(topic);
	converter->topic_datum = CStringGetTextDatum(topic);
	converter->ncolumns = mapping->ncolumns;
	converter->nabsent_words = SI_MAPPING_ABSENT_WORDS(mapping);
	converter->absent = palloc0(sizeof(uint64) *
								Max(converter->nabsent_words, 1));
	getTypeInputInfo(JSONBOID, &jsonb_input, &typioparam);
	fmgr_info(jsonb_input, &converter->jsonb_input);

	set_encoding(converter);
	converter->transcoder = si_transcode_create(mapping->encoding);
	converter->soft.type = T_ErrorSaveContext;
	converter->soft.details_wanted = true;
	initStringInfo(&converter->scratch);
	initStringInfo(&converter->document);
	initStringInfo(&converter->converted);

	converter->columns = palloc0(sizeof(ColumnState) *
								 Max(mapping->ncolumns, 1));
	for (int i = 0; i < mapping->ncolumns; i++)
		init_column(converter, &converter->columns[i], &mapping->columns[i]);

	return converter;
}

/* Convert one record; see convert.h. */
bool
si_convert_row(SiConverter *converter, const SiMessage *message,
			   const SiRecord *record, Datum *values, bool *nulls,
			   SiFailure *failure)
{
	if (converter->current)
		forget_nested(converter);

	converter->message = message;
	converter->record = record;
	converter->failure = failure;

	if (record->op == SI_OP_WRITE && !check_record(converter))
		return false;

	for (int i = 0; i < converter->nabsent_words; i++)
		converter->absent[i] = 0;

	for (int i = 0; i < converter->ncolumns; i++)
	{
		ColumnState *state = &converter->columns[i];

		converter->current = state->column;
		if (!state->take(converter, state, &values[i], &nulls[i]))
		{
			converter->current = NULL;
			return false;
		}
	}
	converter->current = NULL;

	for (int i = 0; i < converter->nabsent_words; i++)
	{
		values[converter->ncolumns + i] =
			Int64GetDatum((int64) converter->absent[i]);
		nulls[converter->ncolumns + i] = false;
	}

	return true;
}

/* The column that the last row was at when it threw; see convert.h. */
const SiColumn *
si_convert_column(const SiConverter *converter)
{
	return converter->current;
}

/* ---- setting up ---- */

static void
set_encoding(SiConverter *converter)
{
	int			encoding = GetDatabaseEncoding();

	/* SQL_ASCII takes any bytes as they are, and so do we then */
	converter->verify_encoding =
		encoding == PG_SQL_ASCII ? PG_SQL_ASCII : MESSAGE_ENCODING;
	converter->transcode =
		encoding != PG_SQL_ASCII && encoding != MESSAGE_ENCODING;
	if (!converter->transcode)
		return;

	converter->conversion = FindDefaultConversionProc(MESSAGE_ENCODING,
													  encoding);
	if (!OidIsValid(converter->conversion))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("default conversion function for encoding \"%s\" to \"%s\" does not exist",
						pg_encoding_to_char(MESSAGE_ENCODING),
						pg_encoding_to_char(encoding))));
}

static void
init_column(SiConverter *converter, ColumnState *state,
			const SiColumn *column)
{
	Oid			base_type = getBaseType(column->type);
	Oid			input;

	check_source_type(column, base_type);

	state->column = column;
	state->native = column->type == native_type(column->source) &&
		column->typmod < 0;
	getTypeInputInfo(column->type, &input, &state->typioparam);
	fmgr_info(input, &state->input);
	state->time_of_day = base_type == TIMEOID || base_type == TIMETZOID;
	state->checks_null = !state->input.fn_strict;
	state->take = choose_source(state);
	state->convert = choose_conversion(column, base_type);
	if (state->convert == convert_nested)
		init_nested(state);
}

/*
 * Refuse what no message could ever satisfy, so that it is an error when the
 * subscription is made and not one of every message.
 */
static void
check_source_type(const SiColumn *column, Oid base_type)
{
	const char *refused = "";
	char		category;
	bool		preferred;

	switch (column->source)
	{
		case SI_SOURCE_PARTITION:
		case SI_SOURCE_OFFSET:
			refused = "ABCDGIRT";
			break;
		case SI_SOURCE_TIMESTAMP:
			refused = "ABCGINRT";
			break;
		case SI_SOURCE_HEADERS:
			refused = "ABCDEGINRT";
			break;
		default:
			return;
	}

	get_type_category_preferred(base_type, &category, &preferred);
	if (strchr(refused, category) == NULL && base_type != BYTEAOID)
		return;

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of type %s cannot take \"%s\"",
					column->name, format_type_be(column->type),
					column->source_text)));
}

/* The type that a source has by itself, InvalidOid if it has none. */
static Oid
native_type(SiSourceKind source)
{
	switch (source)
	{
		case SI_SOURCE_TOPIC:
			return TEXTOID;
		case SI_SOURCE_PARTITION:
			return INT4OID;
		case SI_SOURCE_OFFSET:
			return INT8OID;
		case SI_SOURCE_TIMESTAMP:
			return TIMESTAMPTZOID;
		case SI_SOURCE_HEADERS:
			return JSONBOID;
		case SI_SOURCE_DELETED:
			return BOOLOID;
		case SI_SOURCE_FIELD:
		case SI_SOURCE_VALUE:
		case SI_SOURCE_KEY:
		case SI_SOURCE_HEADER:
			break;
	}

	return InvalidOid;
}

static SourceRoutine
choose_source(const ColumnState *state)
{
	switch (state->column->source)
	{
		case SI_SOURCE_VALUE:
		case SI_SOURCE_KEY:
		case SI_SOURCE_HEADER:
			return take_bytes;
		case SI_SOURCE_TOPIC:
		case SI_SOURCE_PARTITION:
		case SI_SOURCE_OFFSET:
		case SI_SOURCE_DELETED:
			return take_metadata;
		case SI_SOURCE_TIMESTAMP:
			return take_timestamp;
		case SI_SOURCE_HEADERS:
			return take_headers;
		case SI_SOURCE_FIELD:
			break;
	}

	return take_field;
}

/*
 * The short ways past an input function are for the types themselves: a domain
 * over them has constraints, a typmod has a length.
 */
static ValueRoutine
choose_conversion(const SiColumn *column, Oid base_type)
{
	bool		plain = column->type == base_type && column->typmod < 0;

	switch (base_type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return plain ? convert_text : convert_input;
		case BOOLOID:
			return plain ? convert_bool : convert_input;
		case BYTEAOID:
			return convert_bytea;
		case JSONOID:
		case JSONBOID:
			return convert_json;
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return convert_datetime;
		default:
			break;
	}

	if (OidIsValid(get_element_type(base_type)) ||
		get_typtype(base_type) == TYPTYPE_COMPOSITE)
		return convert_nested;

	return convert_input;
}

/*
 * JSON becomes an array or a composite value by json_to_record(), which is the
 * same in all versions: the row type that it asks its caller for has one
 * column, "v".
 */
static void
init_nested(ColumnState *state)
{
	const SiColumn *column = state->column;

	state->nested_desc =
		BlessTupleDesc(BuildDescFromLists(list_make1(makeString("v")),
										  list_make1_oid(column->type),
										  list_make1_int(column->typmod),
										  list_make1_oid(column->collation)));
	state->nested_context = AllocSetContextCreate(CurrentMemoryContext,
												  "stream_ingest nested type",
												  ALLOCSET_SMALL_SIZES);
	fmgr_info_cxt(F_JSON_TO_RECORD, &state->nested, state->nested_context);
}

/*
 * The last row threw, perhaps while json_to_record() was filling in what it
 * remembers of the types.  It never reckons with being called again after
 * that, so it begins anew.
 */
static void
forget_nested(SiConverter *converter)
{
	int			i = converter->current - converter->mapping->columns;
	ColumnState *state = &converter->columns[i];

	if (state->nested_context)
	{
		MemoryContextReset(state->nested_context);
		fmgr_info_cxt(F_JSON_TO_RECORD, &state->nested,
					  state->nested_context);
	}
	converter->current = NULL;
}

/* ---- a record as a whole ---- */

static bool
check_record(SiConverter *converter)
{
	if (converter->mapping->needs_field && !converter->record->any_field)
	{
		fail(converter, NULL, ERRCODE_INVALID_PARAMETER_VALUE,
			 "no column takes a field of this message");
		converter->failure->detail =
			pstrdup("Where fields have other names than columns, \"mapping\" has to say which column takes which.");
		return false;
	}

	if (converter->record->unknown.kind != SI_VALUE_ABSENT)
		return fail_unknown(converter);

	return true;
}

/* ---- where values come from ---- */

static bool
take_field(SiConverter *converter, ColumnState *state, Datum *result,
		   bool *isnull)
{
	const SiValue *value =
		&converter->record->fields[state->column->field];

	if (value->kind == SI_VALUE_ABSENT)
		return take_absent(converter, state, result, isnull);
	if (value->kind == SI_VALUE_NULL)
		return take_null(converter, state, result, isnull);

	*isnull = false;

	return state->convert(converter, state, value, result);
}

/*
 * A field that the message lacks.  Where the column has an absent bit the
 * statement puts the default in the place of our NULL, which is why that NULL
 * may be one that the type does not allow.
 */
static bool
take_absent(SiConverter *converter, ColumnState *state, Datum *result,
			bool *isnull)
{
	const SiColumn *column = state->column;
	bool		is_delete = converter->record->op == SI_OP_DELETE;

	if (converter->mapping->missing_fields == SI_MISSING_ERROR &&
		!is_delete && column->field != converter->mapping->decode.rest_field)
		return fail(converter, column, ERRCODE_SQL_JSON_MEMBER_NOT_FOUND,
					"field \"%s\" is missing", column->source_text);

	if (column->absent_bit < 0 && !is_delete)
		return take_null(converter, state, result, isnull);

	if (column->absent_bit >= 0)
		converter->absent[column->absent_bit / SI_ABSENT_BITS] |=
			UINT64CONST(1) << (column->absent_bit % SI_ABSENT_BITS);
	*result = (Datum) 0;
	*isnull = true;

	return true;
}

/*
 * NULL, which a domain may refuse.  Nobody asks it later: in the batch the
 * value has the domain's type already.
 */
static bool
take_null(SiConverter *converter, ColumnState *state, Datum *result,
		  bool *isnull)
{
	*result = (Datum) 0;
	*isnull = true;

	return !state->checks_null || call_input(converter, state, NULL, result);
}

/* "$value", "$key" and "$headers.name": bytes as they came. */
static bool
take_bytes(SiConverter *converter, ColumnState *state, Datum *result,
		   bool *isnull)
{
	const SiMessage *message = converter->message;
	const SiColumn *column = state->column;
	SiValue		value = {SI_VALUE_BYTES};

	if (column->source == SI_SOURCE_VALUE)
	{
		value.data = message->value;
		value.len = message->value_len;
	}
	else if (column->source == SI_SOURCE_KEY)
	{
		value.data = message->key;
		value.len = message->key_len;
	}
	else
		value = find_header(converter, column->header);

	if (value.data == NULL)
		return take_null(converter, state, result, isnull);

	*isnull = false;

	return state->convert(converter, state, &value, result);
}

/* What every message has: directly, or else by the rules for fields. */
static bool
take_metadata(SiConverter *converter, ColumnState *state, Datum *result,
			  bool *isnull)
{
	SiSourceKind source = state->column->source;
	bool		deleted = converter->record->op == SI_OP_DELETE;
	char		number[24];
	SiValue		value = {SI_VALUE_NUMBER, number};

	*isnull = false;

	if (state->native)
	{
		if (source == SI_SOURCE_TOPIC)
			*result = converter->topic_datum;
		else if (source == SI_SOURCE_PARTITION)
			*result = Int32GetDatum(converter->message->partition);
		else if (source == SI_SOURCE_OFFSET)
			*result = Int64GetDatum(converter->message->offset);
		else
			*result = BoolGetDatum(deleted);
		return true;
	}

	if (source == SI_SOURCE_TOPIC)
	{
		value.kind = SI_VALUE_STRING;
		value.data = converter->topic;
		value.len = strlen(converter->topic);
	}
	else if (source == SI_SOURCE_PARTITION)
		value.len = pg_ltoa(converter->message->partition, number);
	else if (source == SI_SOURCE_OFFSET)
		value.len = pg_lltoa(converter->message->offset, number);
	else
		value.kind = deleted ? SI_VALUE_TRUE : SI_VALUE_FALSE;

	return state->convert(converter, state, &value, result);
}

/* "$timestamp", which Kafka counts in milliseconds. */
static bool
take_timestamp(SiConverter *converter, ColumnState *state, Datum *result,
			   bool *isnull)
{
	int64		usecs;

	if (converter->message->timestamp == -1)
		return take_null(converter, state, result, isnull);

	*isnull = false;
	if (pg_mul_s64_overflow(converter->message->timestamp, 1000, &usecs))
		return fail_instant(converter, state->column);

	return convert_instant(converter, state, usecs, result);
}

/* "$headers": jsonb itself sees to it that the last of equal names wins. */
static bool
take_headers(SiConverter *converter, ColumnState *state, Datum *result,
			 bool *isnull)
{
	const SiMessage *message = converter->message;
	StringInfo	document = &converter->document;
	char	   *text;

	resetStringInfo(document);
	appendStringInfoChar(document, '{');
	for (int i = 0; i < message->nheaders; i++)
	{
		const SiHeader *header = &message->headers[i];

		if (i > 0)
			appendStringInfoChar(document, ',');
		append_header_text(converter, header->name, strlen(header->name));
		appendStringInfoChar(document, ':');
		if (header->value)
			append_header_text(converter, header->value, header->value_len);
		else
			appendStringInfoString(document, "null");
	}
	appendStringInfoChar(document, '}');

	*isnull = false;
	if (!InputFunctionCallSafe(&converter->jsonb_input, document->data,
							   JSONBOID, -1, (fmNodePtr) &converter->soft,
							   result))
		return fail_soft(converter, state->column);
	if (state->native)
		return true;

	text = DatumGetCString(DirectFunctionCall1(jsonb_out, *result));

	return call_input(converter, state, text, result);
}

/* The last header of this name; data is NULL if there is none. */
static SiValue
find_header(const SiConverter *converter, const char *name)
{
	const SiMessage *message = converter->message;
	SiValue		value = {SI_VALUE_BYTES};

	for (int i = message->nheaders - 1; i >= 0; i--)
	{
		if (strcmp(message->headers[i].name, name) == 0)
		{
			value.data = message->headers[i].value;
			value.len = message->headers[i].value_len;
			break;
		}
	}

	return value;
}

/* Append a JSON string: the bytes' text if they have one, else in hex form. */
static void
append_header_text(SiConverter *converter, const char *data, size_t len)
{
	resetStringInfo(&converter->scratch);
	if (valid_bytes(converter, data, len) &&
		to_server(converter, &data, &len))
		appendBinaryStringInfo(&converter->scratch, data, len);
	else
		append_hex(&converter->scratch, data, len);

	escape_json(&converter->document, converter->scratch.data);
}

/* ---- what they become ---- */

/* The value's text, by the type's input function. */
static bool
convert_input(SiConverter *converter, ColumnState *state,
			  const SiValue *value, Datum *result)
{
	if (!value_to_scratch(converter, state, value))
		return false;

	return call_input(converter, state, converter->scratch.data, result);
}

/* Text types without a length keep what they get. */
static bool
convert_text(SiConverter *converter, ColumnState *state,
			 const SiValue *value, Datum *result)
{
	const char *data;
	size_t		len;

	if (!value_text(converter, state, value, &data, &len))
		return false;

	*result = PointerGetDatum(cstring_to_text_with_len(data, len));

	return true;
}

static bool
convert_bool(SiConverter *converter, ColumnState *state,
			 const SiValue *value, Datum *result)
{
	if (value->kind != SI_VALUE_TRUE && value->kind != SI_VALUE_FALSE)
		return convert_input(converter, state, value, result);

	*result = BoolGetDatum(value->kind == SI_VALUE_TRUE);

	return true;
}

/* Bytes stay what they are; a text is in one of bytea's notations. */
static bool
convert_bytea(SiConverter *converter, ColumnState *state,
			  const SiValue *value, Datum *result)
{
	if (value->kind != SI_VALUE_BYTES)
		return convert_input(converter, state, value, result);

	if (state->column->type == BYTEAOID)
	{
		*result = PointerGetDatum(cstring_to_text_with_len(value->data,
														   value->len));
		return true;
	}

	/* a domain wants to see it */
	resetStringInfo(&converter->scratch);
	append_hex(&converter->scratch, value->data, value->len);

	return call_input(converter, state, converter->scratch.data, result);
}

/* A field's text becomes a JSON string; all else is JSON as it is written. */
static bool
convert_json(SiConverter *converter, ColumnState *state,
			 const SiValue *value, Datum *result)
{
	if (!value_to_scratch(converter, state, value))
		return false;

	if (value->kind != SI_VALUE_STRING)
		return call_input(converter, state, converter->scratch.data, result);

	resetStringInfo(&converter->document);
	escape_json(&converter->document, converter->scratch.data);

	return call_input(converter, state, converter->document.data, result);
}

/*
 * A number says nothing about its unit, and the input functions would read
 * some as dates (20260131, for one): without "epoch_unit" it is an error.
 */
static bool
convert_datetime(SiConverter *converter, ColumnState *state,
				 const SiValue *value, Datum *result)
{
	const SiColumn *column = state->column;
	SiEpochUnit unit = converter->mapping->epoch_unit;
	int64		usecs;

	/* a number in CSV is one only if somebody says what it counts */
	if (value->kind != SI_VALUE_NUMBER &&
		!(value->kind == SI_VALUE_TEXT && unit != SI_EPOCH_NONE &&
		  !state->time_of_day && is_number(value->data, value->len)))
		return convert_input(converter, state, value, result);

	if (unit != SI_EPOCH_NONE && !state->time_of_day)
	{
		if (!parse_epoch(value->data, value->len, unit, &usecs))
			return fail_instant(converter, column);
		return convert_instant(converter, state, usecs, result);
	}

	fail(converter, column, ERRCODE_INVALID_DATETIME_FORMAT,
		 "column \"%s\" takes a number into type %s", column->name,
		 format_type_be(column->type));
	if (!state->time_of_day)
		converter->failure->detail =
			pstrdup("What a bare number counts is said by the option \"epoch_unit\".");

	return false;
}

/* Is this text a number as JSON has it? */
static bool
is_number(const char *text, size_t len)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p = si_json_begin(&scan, text, len);

	if (p != text ||len == 0 || (*p != '-' && !isdigit((unsigned char) *p)))
		return false;
	return si_json_read_value(&scan, p, &token) == text +len &&
				token.kind == SI_VALUE_NUMBER;
}

/*
 * Read a JSON number as microseconds since 1970, exactly: no float is between.
 * Half a microsecond is rounded away from zero, as numeric does.  False if it
 * is out of range.
 */
static bool
parse_epoch(const char *text, size_t len, SiEpochUnit unit, int64 *usecs)
{
	const char *end = text +len;
	bool		negative = *text == '-';
	bool		fraction = false;
	int			scale = unit == SI_EPOCH_SECONDS ? 6 :
		unit == SI_EPOCH_MILLISECONDS ? 3 : 0;
	int64		value = 0;
	const char *at;

	for (at = negative ? text +1 : text;
		 at < end && *at != 'e' && *at != 'E'; at++)
	{
		if (*at == '.')
		{
			fraction = true;
			continue;
		}

		/* digits beyond the 18th are far below a microsecond, or too many */
		if (value < INT64CONST(100000000000000000))
		{
			value = value * 10 + (*at - '0');
			scale -= fraction;
		}
		else
			scale += !fraction;
	}

	if (at < end)
		scale += read_exponent(at + 1, end);

	for (; scale > 0 && value != 0; scale--)
	{
		if (pg_mul_s64_overflow(value, 10, &value))
			return false;
	}
	for (; scale < -1 && value != 0; scale++)
		value /= 10;
	if (scale == -1)
		value = (value + 5) / 10;

	*usecs = negative ? -value : value;

	return true;
}

/* An exponent too large for us decides by its sign alone. */
static int
read_exponent(const char *at, const char *end)
{
	bool		negative = *at == '-';
	int			exponent = 0;

	if (*at == '-' || *at == '+')
		at++;
	for (; at < end && exponent < 1000000; at++)
		exponent = exponent * 10 + (*at - '0');

	return negative ? -exponent : exponent;
}

/*
 * Microseconds since 1970 into a column: as a timestamptz where it is one,
 * else by the ISO text of that, which loses nothing whatever DateStyle says.
 */
static bool
convert_instant(SiConverter *converter, ColumnState *state, int64 usecs,
				Datum *result)
{
	const SiColumn *column = state->column;
	const int64 epoch = USECS_PER_DAY *
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
	TimestampTz timestamp;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	const char *tzn;
	char		iso[MAXDATELEN + 1];
	SiValue		value = {SI_VALUE_STRING, iso};

	if (pg_sub_s64_overflow(usecs, epoch, &timestamp) ||
		!IS_VALID_TIMESTAMP(timestamp))
		return fail_instant(converter, column);

	if (column->type == TIMESTAMPTZOID && column->typmod < 0)
	{
		*result = TimestampTzGetDatum(timestamp);
		return true;
	}

	if (timestamp2tm(timestamp, &tz, &tm, &fsec, &tzn, NULL) != 0)
		return fail_instant(converter, column);
	EncodeDateTime(&tm, fsec, true, tz, NULL, USE_ISO_DATES, iso);
	value.len = strlen(iso);

	return state->convert(converter, state, &value, result);
}

static bool
fail_instant(SiConverter *converter, const SiColumn *column)
{
	return fail(converter, column, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
				"column \"%s\" takes a point in time that is out of range",
				column->name);
}

/*
 * JSON arrays and objects into arrays and composite types, and domains over
 * them: {"v": ...} is read as a row with the one column "v".  Anything else is
 * in the type's own notation.
 */
static bool
convert_nested(SiConverter *converter, ColumnState *state,
			   const SiValue *value, Datum *result)
{
	LOCAL_FCINFO(fcinfo, 1);
	ReturnSetInfo resultinfo = {0};
	StringInfo	document = &converter->document;
	const char *text;
	size_t		len;
	HeapTupleHeader row;
	HeapTupleData tuple;
	bool		isnull;

	if (value->kind != SI_VALUE_ARRAY && value->kind != SI_VALUE_OBJECT)
		return convert_input(converter, state, value, result);
	if (!value_text(converter, state, value, &text, &len))
		return false;

	/* the argument, a json Datum, is put together in place */
	resetStringInfo(document);
	appendStringInfoSpaces(document, VARHDRSZ);
	appendStringInfoString(document, "{\"v\":");
	appendBinaryStringInfo(document, text, len);
	appendStringInfoChar(document, '}');
	SET_VARSIZE(document->data, document->len);

	resultinfo.type = T_ReturnSetInfo;
	resultinfo.expectedDesc = state->nested_desc;
	InitFunctionCallInfoData(*fcinfo, &state->nested, 1, InvalidOid, NULL,
							 (fmNodePtr) &resultinfo);
	fcinfo->args[0].value = PointerGetDatum(document->data);
	fcinfo->args[0].isnull = false;
	row = DatumGetHeapTupleHeader(FunctionCallInvoke(fcinfo));

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	*result = heap_getattr(&tuple, 1, state->nested_desc, &isnull);

	/* an array or object is never NULL */
	Assert(!isnull);

	return true;
}

/* Call the column's input function, with NULL for a NULL. */
static bool
call_input(SiConverter *converter, ColumnState *state, char *text,
		   Datum *result)
{
	if (InputFunctionCallSafe(&state->input, text, state->typioparam,
							  state->column->typmod,
							  (fmNodePtr) &converter->soft, result))
		return true;

	return fail_soft(converter, state->column);
}

/* ---- texts ---- */

/*
 * The text of a value, in the database's encoding; not NUL-terminated, and
 * gone with the next value.
 */
static bool
value_text(SiConverter *converter, ColumnState *state, const SiValue *value,
		   const char **text, size_t *len)
{
	SiDecodeError error;

	*text = value->data;
	*len = value->len;

	switch (value->kind)
	{
		case SI_VALUE_TRUE:
			*text = "true";
			*len = strlen("true");
			return true;
		case SI_VALUE_FALSE:
			*text = "false";
			*len = strlen("false");
			return true;
		case SI_VALUE_NUMBER:
			return true;
		case SI_VALUE_STRING:
			if (memchr(*text, '\0', *len) == NULL)
				break;
			return fail(converter, state->column,
						ERRCODE_UNTRANSLATABLE_CHARACTER,
						"column \"%s\" takes a text with the character U+0000, which a text cannot hold",
						state->column->name);
		case SI_VALUE_BYTES:
			if (state->column->source != SI_SOURCE_HEADER &&
				converter->transcoder != NULL)
			{
				if (si_transcode_text(converter->transcoder, text, len, &error))
					break;
				return fail(converter, state->column,
							MAKE_SQLSTATE(error.sqlstate[0], error.sqlstate[1],
										  error.sqlstate[2], error.sqlstate[3],
										  error.sqlstate[4]),
							"%s", error.message);
			}
			if (valid_bytes(converter, *text, *len))
				break;
			return fail(converter, state->column,
						ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
						"column \"%s\" takes bytes that are not valid in encoding \"%s\"",
						state->column->name,
						pg_encoding_to_char(converter->verify_encoding));
		default:
			break;
	}

	if (to_server(converter, text, len))
		return true;

	return fail(converter, state->column, ERRCODE_UNTRANSLATABLE_CHARACTER,
				"column \"%s\" takes a text with a character that encoding \"%s\" lacks",
				state->column->name, GetDatabaseEncodingName());
}

/* Leave a value's text in the scratch buffer, NUL-terminated. */
static bool
value_to_scratch(SiConverter *converter, ColumnState *state,
				 const SiValue *value)
{
	const char *text;
	size_t		len;

	if (!value_text(converter, state, value, &text, &len))
		return false;

	resetStringInfo(&converter->scratch);
	appendBinaryStringInfo(&converter->scratch, text, len);

	return true;
}

/* Append bytes in bytea's hex form. */
static void
append_hex(StringInfo buf, const char *data, size_t len)
{
	appendStringInfoString(buf, "\\x");
	enlargeStringInfo(buf, len * 2);
	buf->len += hex_encode(data, len, buf->data + buf->len);
	buf->data[buf->len] = '\0';
}

/* Are these bytes a text without a NUL in the messages' encoding? */
static bool
valid_bytes(const SiConverter *converter, const char *data, size_t len)
{
	return memchr(data, '\0', len) == NULL &&
		pg_verify_mbstr(converter->verify_encoding, data, len, true);
}

/*
 * Turn a text from the messages' encoding into the database's; false if it
 * holds a character that the latter lacks.  Does not throw for that, which the
 * functions that do the same for the client's encoding would.
 */
static bool
to_server(SiConverter *converter, const char **text, size_t *len)
{
	StringInfo	converted = &converter->converted;
	int			done;

	if (!converter->transcode)
		return true;

	resetStringInfo(converted);
	enlargeStringInfo(converted, *len * MAX_CONVERSION_GROWTH + 1);
	done = pg_do_encoding_conversion_buf(converter->conversion,
										 MESSAGE_ENCODING,
										 GetDatabaseEncoding(),
										 (unsigned char *) *text, *len,
										 (unsigned char *) converted->data,
										 converted->maxlen, true);
	if (done != *len)
		return false;

	*text = converted->data;
	*len = strlen(converted->data);

	return true;
}

/* ---- failures ---- */

/* Fill in the failure, in our own words; column may be NULL. */
static bool
fail(SiConverter *converter, const SiColumn *column, int sqlerrcode,
	 const char *format,...)
{
	SiFailure  *failure = converter->failure;
	StringInfoData message;

	initStringInfo(&message);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}

	memset(failure, 0, sizeof(SiFailure));
	failure->sqlerrcode = sqlerrcode;
	failure->message = message.data;
	failure->safe = true;
	if (column)
	{
		failure->column = pstrdup(column->name);
		failure->type = format_type_be(column->type);
	}

	return false;
}

/* Fill in the failure from what an input function said softly. */
static bool
fail_soft(SiConverter *converter, const SiColumn *column)
{
	SiFailure  *failure = converter->failure;

	*failure = *si_failure_from_error(converter->soft.error_data);
	failure->column = pstrdup(column->name);
	failure->type = format_type_be(column->type);

	converter->soft.error_occurred = false;
	converter->soft.error_data = NULL;

	return false;
}

/* The field's name is the payload's, so it stands in the detail alone. */
static bool
fail_unknown(SiConverter *converter)
{
	const char *name = converter->record->unknown.data;
	size_t		len = converter->record->unknown.len;

	fail(converter, NULL, ERRCODE_TOO_MANY_JSON_OBJECT_MEMBERS,
		 "the message has a field that no column takes");

	if (memchr(name, '\0', len) == NULL && to_server(converter, &name, &len))
		converter->failure->detail =
			psprintf("The field is \"%s\".",
					 pnstrdup(name, pg_mbcliplen(name, len, QUOTED_LENGTH)));

	return false;
}
