/*-------------------------------------------------------------------------
 *
 * datum.c
 *	  Values to Datums: what a value becomes, by its column's type.
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

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply/datum.h"
#include "apply/jsonb_push.h"
#include "apply/unix_time.h"
#include "common/bytes.h"
#include "format/json_scan.h"

/* What decoders give, and what headers are in. */
#define MESSAGE_ENCODING	PG_UTF8

static bool convert_input(SiDatumMaker *maker, SiDatumColumn *state,
						  const SiValue *value, Datum *result);
static bool convert_text(SiDatumMaker *maker, SiDatumColumn *state,
						 const SiValue *value, Datum *result);
static bool convert_bool(SiDatumMaker *maker, SiDatumColumn *state,
						 const SiValue *value, Datum *result);
static bool convert_bytea(SiDatumMaker *maker, SiDatumColumn *state,
						  const SiValue *value, Datum *result);
static bool convert_json(SiDatumMaker *maker, SiDatumColumn *state,
						 const SiValue *value, Datum *result);
static bool convert_datetime(SiDatumMaker *maker, SiDatumColumn *state,
							 const SiValue *value, Datum *result);
static bool convert_nested(SiDatumMaker *maker, SiDatumColumn *state,
						   const SiValue *value, Datum *result);
static bool value_text(SiDatumMaker *maker, SiDatumColumn *state, const SiValue *value,
					   const char **text, size_t *len);
static bool value_to_scratch(SiDatumMaker *maker, SiDatumColumn *state,
							 const SiValue *value);
static bool valid_bytes(const SiDatumMaker *maker, const char *data, size_t len);

/* ---- setting up ---- */

static void
set_encoding(SiDatumMaker *maker)
{
	int			encoding = GetDatabaseEncoding();

	/* SQL_ASCII takes any bytes as they are, and so do we then */
	maker->verify_encoding =
		encoding == PG_SQL_ASCII ? PG_SQL_ASCII : MESSAGE_ENCODING;
	maker->transcode =
		encoding != PG_SQL_ASCII && encoding != MESSAGE_ENCODING;
	if (!maker->transcode)
		return;

	maker->conversion = FindDefaultConversionProc(MESSAGE_ENCODING,
												  encoding);
	if (!OidIsValid(maker->conversion))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("default conversion function for encoding \"%s\" to \"%s\" does not exist",
						pg_encoding_to_char(MESSAGE_ENCODING),
						pg_encoding_to_char(encoding))));
}

/*
 * The short ways past an input function are for the types themselves: a domain
 * over them has constraints, a typmod has a length.
 */
static si_datum_routine
choose_conversion(const SiColumn *column, Oid base_type, const SiMapping *mapping)
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
		case INTERVALOID:
			/* a change event's number is in a unit that is not the type's */
			return mapping->change_events ? convert_datetime : convert_input;
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
init_nested(SiDatumColumn *state)
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

void
si_datum_init(SiDatumMaker *maker, const SiMapping *mapping)
{
	memset(maker, 0, sizeof(SiDatumMaker));
	maker->mapping = mapping;
	maker->soft.type = T_ErrorSaveContext;
	maker->soft.details_wanted = true;
	maker->transcoder = si_transcode_create(mapping->encoding);
	set_encoding(maker);
	initStringInfo(&maker->scratch);
	initStringInfo(&maker->document);
	initStringInfo(&maker->converted);
}

void
si_datum_init_column(SiDatumColumn *state, const SiColumn *column, const SiMapping *mapping)
{
	Oid			base_type = getBaseType(column->type);
	Oid			input;

	state->column = column;
	getTypeInputInfo(column->type, &input, &state->typioparam);
	fmgr_info(input, &state->input);
	state->time_of_day = base_type == TIMEOID || base_type == TIMETZOID ||
		base_type == INTERVALOID;
	state->checks_null = !state->input.fn_strict;
	state->fast_input = si_fast_input_find(column->type, column->typmod);
	state->typed = si_typed_find(column->type, column->typmod);
	state->push_jsonb = column->type == JSONBOID && GetDatabaseEncoding() == PG_UTF8;
	state->convert = choose_conversion(column, base_type, mapping);
	if (state->convert == convert_nested)
		init_nested(state);
}

/*
 * json_to_record() may have thrown while it was filling in its cache of the
 * types.  It does not expect to be called again with a cache half filled, so
 * the cache is discarded.
 */
void
si_datum_recover(SiDatumColumn *state)
{
	if (state->nested_context == NULL)
		return;
	MemoryContextReset(state->nested_context);
	fmgr_info_cxt(F_JSON_TO_RECORD, &state->nested, state->nested_context);
}

/* ---- by type ---- */

/* The value's text, by the type's input function. */
static bool
convert_input(SiDatumMaker *maker, SiDatumColumn *state,
			  const SiValue *value, Datum *result)
{
	const char *text;
	size_t		len;

	if (!value_text(maker, state, value, &text, &len))
		return false;
	if (state->fast_input != NULL &&
		si_fast_input_read(state->fast_input, text, len, state->column->typmod, result))
		return true;
	resetStringInfo(&maker->scratch);
	appendBinaryStringInfo(&maker->scratch, text, len);

	return si_datum_from_text(maker, state, maker->scratch.data, result);
}

/* Text types without a length keep what they get. */
static bool
convert_text(SiDatumMaker *maker, SiDatumColumn *state,
			 const SiValue *value, Datum *result)
{
	const char *data;
	size_t		len;

	if (!value_text(maker, state, value, &data, &len))
		return false;
	*result = PointerGetDatum(cstring_to_text_with_len(data, len));
	return true;
}

static bool
convert_bool(SiDatumMaker *maker, SiDatumColumn *state,
			 const SiValue *value, Datum *result)
{
	if (value->kind != SI_VALUE_TRUE && value->kind != SI_VALUE_FALSE)
		return convert_input(maker, state, value, result);
	*result = BoolGetDatum(value->kind == SI_VALUE_TRUE);
	return true;
}

/* Bytes stay what they are; a text is in one of bytea's notations. */
static bool
convert_bytea(SiDatumMaker *maker, SiDatumColumn *state,
			  const SiValue *value, Datum *result)
{
	SiValue		bytes;

	if (value->kind == SI_VALUE_STRING && maker->mapping->binary_text != SI_BINARY_BYTEA)
		return si_change_datum_bytes(maker, state, value, &bytes) &&
			convert_bytea(maker, state, &bytes, result);
	if (value->kind != SI_VALUE_BYTES)
		return convert_input(maker, state, value, result);

	if (state->column->type == BYTEAOID)
	{
		*result = PointerGetDatum(cstring_to_text_with_len(value->data,
														   value->len));
		return true;
	}

	/* a domain wants to see it */
	resetStringInfo(&maker->scratch);
	si_bytes_append_hex(&maker->scratch, value->data, value->len);

	return si_datum_from_text(maker, state, maker->scratch.data, result);
}

/*
 * A field's text becomes a JSON string, and so does a date or time; all else is
 * JSON as it is written.
 */
static bool
convert_json(SiDatumMaker *maker, SiDatumColumn *state,
			 const SiValue *value, Datum *result)
{
	if (state->push_jsonb &&
		(value->kind == SI_VALUE_OBJECT || value->kind == SI_VALUE_ARRAY) &&
		si_jsonb_push(value->data, value->len, result))
		return true;
	if (!value_to_scratch(maker, state, value))
		return false;

	if (value->kind != SI_VALUE_STRING &&
		!(si_value_is_typed(value) && si_value_is_quoted(value)))
		return si_datum_from_text(maker, state, maker->scratch.data, result);

	resetStringInfo(&maker->document);
	escape_json(&maker->document, maker->scratch.data);

	return si_datum_from_text(maker, state, maker->document.data, result);
}

/* Microseconds since 1970 into a column. */
static bool
from_usecs(SiDatumMaker *maker, SiDatumColumn *state, int64 usecs, Datum *result)
{
	const int64 epoch = USECS_PER_DAY *
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
	TimestampTz timestamp;

	if (pg_sub_s64_overflow(usecs, epoch, &timestamp) ||
		!IS_VALID_TIMESTAMP(timestamp))
		return si_datum_out_of_range(maker, state->column);
	return si_datum_from_timestamptz(maker, state, timestamp, result);
}

/*
 * The unit of a number is unknown without "epoch_unit", and the input functions
 * would read some numbers as dates (20260131, for one): it is an error then.
 */
static bool
convert_datetime(SiDatumMaker *maker, SiDatumColumn *state,
				 const SiValue *value, Datum *result)
{
	const SiColumn *column = state->column;
	SiEpochUnit unit = maker->mapping->epoch_unit;
	SiValue		number = {SI_VALUE_NUMBER,.data = maker->typed};
	int64		usecs;

	if (si_change_datum_is_moment(maker, state, value))
		return si_change_datum_moment(maker, state, value, &number) &&
			convert_input(maker, state, &number, result);
	if (value->kind == SI_VALUE_INSTANT)
		return from_usecs(maker, state, value->integer, result);
	if (value->kind == SI_VALUE_INTEGER ||
		(value->kind == SI_VALUE_REAL && !si_value_is_quoted(value)))
	{
		number.len = si_value_text(value, maker->typed);
		value = &number;
	}

	/* a number in CSV is one only if "epoch_unit" is set */
	if (value->kind != SI_VALUE_NUMBER &&
		!(value->kind == SI_VALUE_TEXT && unit != SI_EPOCH_NONE &&
		  !state->time_of_day && si_unix_time_is_number(value->data, value->len)))
		return convert_input(maker, state, value, result);

	if (unit != SI_EPOCH_NONE && !state->time_of_day)
	{
		if (!si_unix_time_parse(value->data, value->len, unit, &usecs))
			return si_datum_out_of_range(maker, column);
		return from_usecs(maker, state, usecs, result);
	}

	si_datum_fail(maker, column, ERRCODE_INVALID_DATETIME_FORMAT,
				  "column \"%s\" takes a number into type %s", column->name,
				  format_type_be(column->type));
	if (!state->time_of_day)
		maker->failure->hint =
			pstrdup("Set the option \"epoch_unit\" to the unit of the number.");

	return false;
}

/*
 * JSON arrays and objects into arrays and composite types, and domains over
 * them: {"v": ...} is read as a row with the one column "v".  Anything else is
 * in the type's own notation.
 */
static bool
convert_nested(SiDatumMaker *maker, SiDatumColumn *state,
			   const SiValue *value, Datum *result)
{
	LOCAL_FCINFO(fcinfo, 1);
	ReturnSetInfo resultinfo = {0};
	StringInfo	document = &maker->document;
	const char *text;
	size_t		len;
	HeapTupleHeader row;
	HeapTupleData tuple;
	bool		isnull;

	if (value->kind != SI_VALUE_ARRAY && value->kind != SI_VALUE_OBJECT)
		return convert_input(maker, state, value, result);
	if (!value_text(maker, state, value, &text, &len))
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

/*
 * Convert a time: as it is where the column is a timestamptz, else by its ISO
 * text, which loses nothing whatever DateStyle is.
 */
bool
si_datum_from_timestamptz(SiDatumMaker *maker, SiDatumColumn *state,
						  TimestampTz timestamp, Datum *result)
{
	const SiColumn *column = state->column;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	const char *tzn;
	char		iso[MAXDATELEN + 1];
	SiValue		value = {SI_VALUE_STRING,.data = iso};

	if (column->type == TIMESTAMPTZOID && column->typmod < 0)
	{
		*result = TimestampTzGetDatum(timestamp);
		return true;
	}

	if (timestamp2tm(timestamp, &tz, &tm, &fsec, &tzn, NULL) != 0)
		return si_datum_out_of_range(maker, column);
	EncodeDateTime(&tm, fsec, true, tz, NULL, USE_ISO_DATES, iso);
	value.len = strlen(iso);

	return state->convert(maker, state, &value, result);
}

/* Call the column's input function, with NULL for a NULL. */
bool
si_datum_from_text(SiDatumMaker *maker, SiDatumColumn *state, char *text,
				   Datum *result)
{
	if (InputFunctionCallSafe(&state->input, text, state->typioparam,
							  state->column->typmod,
							  (fmNodePtr) &maker->soft, result))
		return true;

	return si_datum_fail_soft(maker, state->column);
}

/* ---- texts ---- */

/* Are these bytes a text without a NUL in the messages' encoding? */
static bool
valid_bytes(const SiDatumMaker *maker, const char *data, size_t len)
{
	return memchr(data, '\0', len) == NULL &&
		pg_verify_mbstr(maker->verify_encoding, data, len, true);
}

/* A byte order mark, which json and jsonb refuse, is no part of a document. */
static void
skip_mark(const SiDatumColumn *state, const char **data, size_t *len)
{
	size_t		mark = 0;

	if (state->convert == convert_json)
		mark = si_json_byte_order_mark(*data, *len);
	*data += mark;
	*len -= mark;
}

/* Bytes as the text of a value, in the messages' encoding; false if they are none. */
static bool
bytes_text(SiDatumMaker *maker, SiDatumColumn *state, const char **text, size_t *len)
{
	SiDecodeError error;
	SiFailure  *refusal;

	if (state->column->source != SI_SOURCE_HEADER && maker->transcoder != NULL)
	{
		if (!si_transcode_text(maker->transcoder, text, len, &error))
		{
			refusal = si_failure_from_decode(&error);
			return si_datum_fail(maker, state->column, refusal->sqlerrcode,
								 "%s", refusal->message);
		}
		skip_mark(state, text, len);
		return true;
	}
	skip_mark(state, text, len);
	if (valid_bytes(maker, *text, *len))
		return true;
	return si_datum_fail(maker, state->column,
						 ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
						 "column \"%s\" takes bytes that are not valid in encoding \"%s\"",
						 state->column->name,
						 pg_encoding_to_char(maker->verify_encoding));
}

/*
 * Turn a text from the messages' encoding into the database's; false if it
 * holds a character that the latter lacks.  Does not throw for that, which the
 * functions that do the same for the client's encoding would.
 */
static bool
to_server(SiDatumMaker *maker, const char **text, size_t *len)
{
	StringInfo	converted = &maker->converted;
	int			done;

	if (!maker->transcode)
		return true;

	resetStringInfo(converted);
	enlargeStringInfo(converted, *len * MAX_CONVERSION_GROWTH + 1);
	done = pg_do_encoding_conversion_buf(maker->conversion,
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

/*
 * The text of a value, in the database's encoding; not NUL-terminated, and
 * gone with the next value.
 */
static bool
value_text(SiDatumMaker *maker, SiDatumColumn *state, const SiValue *value,
		   const char **text, size_t *len)
{
	if (si_value_is_typed(value))
	{
		*len = si_value_text(value, maker->typed);
		*text = maker->typed;
		return true;
	}
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
			return si_datum_fail(maker, state->column,
								 ERRCODE_UNTRANSLATABLE_CHARACTER,
								 "column \"%s\" takes a text with the character U+0000, which a text cannot hold",
								 state->column->name);
		case SI_VALUE_BYTES:
			if (!bytes_text(maker, state, text, len))
				return false;
			break;
		default:
			break;
	}

	if (to_server(maker, text, len))
		return true;

	return si_datum_fail(maker, state->column, ERRCODE_UNTRANSLATABLE_CHARACTER,
						 "column \"%s\" takes a text with a character that encoding \"%s\" lacks",
						 state->column->name, GetDatabaseEncodingName());
}

/* Leave a value's text in the scratch buffer, NUL-terminated. */
static bool
value_to_scratch(SiDatumMaker *maker, SiDatumColumn *state,
				 const SiValue *value)
{
	const char *text;
	size_t		len;

	if (!value_text(maker, state, value, &text, &len))
		return false;

	resetStringInfo(&maker->scratch);
	appendBinaryStringInfo(&maker->scratch, text, len);

	return true;
}
