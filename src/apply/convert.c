/*-------------------------------------------------------------------------
 *
 * convert.c
 *	  Records to rows: where each column's value comes from.
 *
 * For each column one routine, chosen once, finds the value: a field of the
 * record, or metadata of the message.  datum converts the value.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "apply/convert.h"
#include "apply/datum.h"
#include "apply/extended_json.h"
#include "common/bytes.h"
#include "common/kafka_time.h"
#include "common/words.h"

/* How much of a name from the payload a detail quotes. */
#define QUOTED_LENGTH		100

typedef struct ColumnState ColumnState;

/* Find the column's value; false if the message is bad. */
typedef bool (*take_routine) (SiConverter *converter, ColumnState *state,
							  Datum *result, bool *isnull);

struct ColumnState
{
	SiDatumColumn datum;
	take_routine take;
	bool		native;			/* metadata: the column's type is the source's
								 * own */
	Oid			base_type;
	bool		unwraps;		/* objects of extended JSON stand for their
								 * value */
};

struct SiConverter
{
	SiDatumMaker maker;
	const SiMapping *mapping;
	const char *topic;
	Datum		topic_datum;
	ColumnState *columns;
	uint64	   *absent;			/* the row's absent words */
	int			nabsent_words;
	FmgrInfo	jsonb_input;	/* for $headers */

	/* the row that is converted */
	const SiMessage *message;
	const SiRecord *record;
	const SiColumn *current;	/* NULL between columns */
};

static bool take_field(SiConverter *converter, ColumnState *state, Datum *result,
					   bool *isnull);
static bool take_bytes(SiConverter *converter, ColumnState *state, Datum *result,
					   bool *isnull);
static bool take_metadata(SiConverter *converter, ColumnState *state, Datum *result,
						  bool *isnull);
static bool take_number(SiConverter *converter, ColumnState *state, Datum *result,
						bool *isnull);
static bool take_timestamp(SiConverter *converter, ColumnState *state, Datum *result,
						   bool *isnull);
static bool take_headers(SiConverter *converter, ColumnState *state, Datum *result,
						 bool *isnull);

/* ---- setting up ---- */

/*
 * Refuse what no message could ever satisfy, so that it is an error when the
 * subscription is made and not one of every message.
 */
static void
check_source_type(const SiColumn *column)
{
	Oid			base_type = getBaseType(column->type);
	const char *refused = "";
	char		category;
	bool		preferred;

	switch (column->source)
	{
		case SI_SOURCE_PARTITION:
		case SI_SOURCE_OFFSET:
		case SI_SOURCE_RECORD:
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
		case SI_SOURCE_RECORD:
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

static take_routine
choose_source(SiSourceKind source)
{
	switch (source)
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
		case SI_SOURCE_RECORD:
			return take_number;
		case SI_SOURCE_TIMESTAMP:
			return take_timestamp;
		case SI_SOURCE_HEADERS:
			return take_headers;
		case SI_SOURCE_FIELD:
			break;
	}

	return take_field;
}

static void
init_column(ColumnState *state, const SiMapping *mapping, const SiColumn *column)
{
	Oid			base_type = getBaseType(column->type);

	check_source_type(column);
	si_datum_init_column(&state->datum, column, mapping);
	state->native = column->type == native_type(column->source) && column->typmod < 0;
	state->take = choose_source(column->source);
	state->base_type = base_type;
	state->unwraps = mapping->extended_json && base_type != JSONOID && base_type != JSONBOID;
}

SiConverter *
si_convert_create(const SiMapping *mapping, const char *topic)
{
	SiConverter *converter = palloc0(sizeof(SiConverter));
	Oid			jsonb_input;
	Oid			typioparam;

	si_datum_init(&converter->maker, mapping);
	converter->mapping = mapping;
	converter->topic = pstrdup(topic);
	converter->topic_datum = CStringGetTextDatum(topic);
	converter->nabsent_words = SI_MAPPING_ABSENT_WORDS(mapping);
	converter->absent = palloc0(sizeof(uint64) * Max(converter->nabsent_words, 1));
	getTypeInputInfo(JSONBOID, &jsonb_input, &typioparam);
	fmgr_info(jsonb_input, &converter->jsonb_input);

	converter->columns = palloc0(sizeof(ColumnState) * Max(mapping->ncolumns, 1));
	for (int i = 0; i < mapping->ncolumns; i++)
		init_column(&converter->columns[i], mapping, &mapping->columns[i]);

	return converter;
}

/* ---- a record as a whole ---- */

/* The field's name is the payload's, so it stands in the detail alone. */
static bool
fail_unknown(SiConverter *converter)
{
	const char *name = converter->record->unknown.data;
	size_t		len = converter->record->unknown.len;

	si_datum_fail(&converter->maker, NULL, ERRCODE_TOO_MANY_JSON_OBJECT_MEMBERS,
				  "the message has a field that no column takes");

	converter->maker.failure->detail =
		psprintf("The field is \"%s\"%s.",
				 si_words_show(name, pg_encoding_mbcliplen(PG_UTF8, name, len, QUOTED_LENGTH)),
				 converter->mapping->unknown_fields == SI_UNKNOWN_ADD_COLUMNS ?
				 ", for which no column could be added" : "");

	return false;
}

static bool
check_record(SiConverter *converter)
{
	if (converter->mapping->needs_field && !converter->record->any_field)
	{
		si_datum_fail(&converter->maker, NULL, ERRCODE_INVALID_PARAMETER_VALUE,
					  "no column takes a field of this message");
		converter->maker.failure->hint =
			pstrdup("Where fields have other names than columns, \"mapping\" has to say which column takes which.");
		return false;
	}

	if (converter->record->unknown.kind != SI_VALUE_ABSENT)
		return fail_unknown(converter);

	return true;
}

bool
si_convert_row(SiConverter *converter, const SiMessage *message,
			   const SiRecord *record, Datum *values, bool *nulls,
			   SiFailure *failure)
{
	si_convert_recover(converter);
	converter->message = message;
	converter->record = record;
	converter->maker.failure = failure;

	if (record->op == SI_OP_WRITE && !check_record(converter))
		return false;

	for (int i = 0; i < converter->nabsent_words; i++)
		converter->absent[i] = 0;

	for (int i = 0; i < converter->mapping->ncolumns; i++)
	{
		ColumnState *state = &converter->columns[i];

		converter->current = state->datum.column;
		if (!state->take(converter, state, &values[i], &nulls[i]))
		{
			converter->current = NULL;
			return false;
		}
	}
	converter->current = NULL;

	for (int i = 0; i < converter->nabsent_words; i++)
	{
		values[converter->mapping->ncolumns + i] =
			Int64GetDatum((int64) converter->absent[i]);
		nulls[converter->mapping->ncolumns + i] = false;
	}

	return true;
}

void
si_convert_recover(SiConverter *converter)
{
	if (converter->current != NULL)
		si_datum_recover(&converter->columns[converter->current - converter->mapping->columns].datum);
	converter->current = NULL;
}

const SiColumn *
si_convert_column(const SiConverter *converter)
{
	return converter->current;
}

/* ---- where values come from ---- */

/*
 * NULL, which a domain may refuse.  The domain's check does not run later: in
 * the batch the value has the domain's type already.
 */
static bool
take_null(SiConverter *converter, ColumnState *state, Datum *result,
		  bool *isnull)
{
	*result = (Datum) 0;
	*isnull = true;

	return !state->datum.checks_null || si_datum_from_text(&converter->maker, &state->datum, NULL, result);
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
	const SiColumn *column = state->datum.column;
	bool		is_delete = converter->record->op == SI_OP_DELETE;

	if (converter->mapping->missing_fields == SI_MISSING_ERROR &&
		!is_delete && column->field != converter->mapping->decode.rest_field)
		return si_datum_fail(&converter->maker, column, ERRCODE_SQL_JSON_MEMBER_NOT_FOUND,
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

/* Convert a value that is neither ABSENT nor NULL. */
static inline bool
convert_value(SiConverter *converter, ColumnState *state, const SiValue *value,
			  Datum *result)
{
	if (si_value_is_typed(value) && state->datum.typed != NULL &&
		state->datum.typed(value, result))
		return true;
	return state->datum.convert(&converter->maker, &state->datum, value, result);
}

static bool
take_field(SiConverter *converter, ColumnState *state, Datum *result,
		   bool *isnull)
{
	const SiValue *value =
		&converter->record->fields[state->datum.column->field];

	SiValue		unwrapped;

	if (value->kind == SI_VALUE_ABSENT)
		return take_absent(converter, state, result, isnull);
	if (value->kind == SI_VALUE_NULL)
		return take_null(converter, state, result, isnull);

	*isnull = false;
	if (value->kind == SI_VALUE_STORED)
	{
		*result = (Datum) value->integer;
		return true;
	}
	if (state->unwraps &&
		(value->kind == SI_VALUE_OBJECT || value->kind == SI_VALUE_ARRAY))
	{
		unwrapped = *value;
		si_extended_json_unwrap(&unwrapped, state->base_type, state->datum.nested_desc != NULL);
		value = &unwrapped;
	}
	return convert_value(converter, state, value, result);
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

/* "$value", "$key" and "$headers.name": bytes as they came. */
static bool
take_bytes(SiConverter *converter, ColumnState *state, Datum *result,
		   bool *isnull)
{
	const SiMessage *message = converter->message;
	const SiColumn *column = state->datum.column;
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

	return state->datum.convert(&converter->maker, &state->datum, &value, result);
}

/* What every message has: directly, or else by the rules for fields. */
static bool
take_metadata(SiConverter *converter, ColumnState *state, Datum *result,
			  bool *isnull)
{
	SiSourceKind source = state->datum.column->source;
	bool		deleted = converter->record->op == SI_OP_DELETE;
	char		number[24];
	SiValue		value = {SI_VALUE_NUMBER,.data = number};

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

	return state->datum.convert(&converter->maker, &state->datum, &value, result);
}

/* "$record", which a tombstone does not have. */
static bool
take_number(SiConverter *converter, ColumnState *state, Datum *result, bool *isnull)
{
	char		number[24];
	SiValue		value = {SI_VALUE_NUMBER,.data = number};

	if (converter->record->number == 0)
		return take_null(converter, state, result, isnull);
	*isnull = false;
	if (state->native)
	{
		*result = Int32GetDatum(converter->record->number);
		return true;
	}
	value.len = pg_ltoa(converter->record->number, number);
	return state->datum.convert(&converter->maker, &state->datum, &value, result);
}

/* "$timestamp", which Kafka counts in milliseconds. */
static bool
take_timestamp(SiConverter *converter, ColumnState *state, Datum *result,
			   bool *isnull)
{
	TimestampTz timestamp;

	if (converter->message->timestamp == SI_KAFKA_NO_TIME)
		return take_null(converter, state, result, isnull);

	*isnull = false;
	if (!si_kafka_time_to_timestamptz(converter->message->timestamp, &timestamp))
		return si_datum_out_of_range(&converter->maker, state->datum.column);

	return si_datum_from_timestamptz(&converter->maker, &state->datum, timestamp, result);
}

/* "$headers": of equal names jsonb itself keeps the last. */
static bool
take_headers(SiConverter *converter, ColumnState *state, Datum *result,
			 bool *isnull)
{
	const SiMessage *message = converter->message;
	StringInfo	document = &converter->maker.document;
	char	   *text;

	resetStringInfo(document);
	si_bytes_append_headers(document, message->headers, message->nheaders,
							converter->maker.verify_encoding);

	*isnull = false;
	if (!InputFunctionCallSafe(&converter->jsonb_input, document->data,
							   JSONBOID, -1, (fmNodePtr) &converter->maker.soft,
							   result))
		return si_datum_fail_soft(&converter->maker, state->datum.column);
	if (state->native)
		return true;

	text = DatumGetCString(DirectFunctionCall1(jsonb_out, *result));

	return si_datum_from_text(&converter->maker, &state->datum, text, result);
}
