/*-------------------------------------------------------------------------
 *
 * functions_decode.c
 *	  The SQL function decode(): a decoder on its own, without Kafka.
 *
 * It shows what a message is to a subscription of its format: the operation
 * and all the fields.  An object's members are the fields; what is no object
 * stands under the name that a mapping would take it by, "$value" or "$key".
 * Columns of text and csv have the names in "header_columns", else column1 and
 * so on, and bytes are in bytea's hex form.
 *
 * jsonb refuses some of what the decoder takes (a NUL escape, a number beyond
 * numeric).  That is this function's row and not an ERROR, hence the
 * subtransaction.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "apply/format.h"
#include "apply/schemas.h"
#include "common/bytes.h"
#include "common/failure.h"
#include "common/subtransaction.h"
#include "common/words.h"
#include "format/schema_store.h"
#include "format/transcode.h"
#include "format/value_text.h"
#include "functions/arguments.h"
#include "options/options.h"

PG_FUNCTION_INFO_V1(si_sql_decode);

/* What comes of a message: an error, or its records. */
typedef struct Decoded
{
	SiOperation op;
	int			n;
	int			room;
	Datum	   *fields;			/* by record: jsonb, 0 for none */
	const char *error;			/* NULL if there is none */
} Decoded;

static const char *const operations[] = {
	[SI_OP_WRITE] = "write",
	[SI_OP_DELETE] = "delete",
	[SI_OP_IGNORE] = "ignore"
};

/* A message's one field that holds all of it. */
static const SiWantedField whole_value = {false, 0, NULL};
static const SiWantedField whole_key = {true, 0, NULL};

/* ---- the fields as JSON ---- */

static void
append_typed(StringInfo out, const SiValue *value)
{
	const char *quote = si_value_is_quoted(value) ? "\"" : "";
	char		written[SI_VALUE_TEXT_ROOM];

	(void) si_value_text(value, written);
	appendStringInfo(out, "%s%s%s", quote, written, quote);
}

static void
append_value(StringInfo out, const SiValue *value)
{
	switch (value->kind)
	{
		case SI_VALUE_TRUE:
			appendStringInfoString(out, "true");
			break;
		case SI_VALUE_FALSE:
			appendStringInfoString(out, "false");
			break;
		case SI_VALUE_NUMBER:
		case SI_VALUE_OBJECT:
		case SI_VALUE_ARRAY:
		case SI_VALUE_WRITTEN:
			appendBinaryStringInfo(out, value->data, value->len);
			break;
		case SI_VALUE_STRING:
		case SI_VALUE_TEXT:
			escape_json(out, pnstrdup(value->data, value->len));
			break;
		case SI_VALUE_BYTES:
			/* a string, in which JSON wants the backslash doubled */
			appendStringInfoString(out, "\"\\");
			si_bytes_append_hex(out, value->data, value->len);
			appendStringInfoChar(out, '"');
			break;
		case SI_VALUE_NULL:
		case SI_VALUE_ABSENT:
			appendStringInfoString(out, "null");
			break;
		default:
			append_typed(out, value);
			break;
	}
}

/* The text of the object that a value is, or is in; in UTF-8. */
static char *
object_text(const SiValue *value, const char *name)
{
	StringInfoData out;

	initStringInfo(&out);
	if (value->kind == SI_VALUE_OBJECT)
		append_value(&out, value);
	else
	{
		appendStringInfo(&out, "{\"%s\":", name);
		append_value(&out, value);
		appendStringInfoChar(&out, '}');
	}
	return out.data;
}

static const char *
error_text(const char *sqlstate, const char *message)
{
	return psprintf("%s: %s", sqlstate, message);
}

/* A JSON text in UTF-8, and the jsonb of it. */
typedef struct JsonText
{
	char	   *json;
	Datum		jsonb;
} JsonText;

/* The work of si_subtransaction_run. */
static void
convert_json(void *arg)
{
	JsonText   *text = arg;
	char	   *json = pg_any_to_server(text->json, strlen(text->json), PG_UTF8);

	text	  ->jsonb = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/* Add a record. */
static void
add_fields(Decoded *decoded, Datum fields)
{
	if (decoded->n == decoded->room)
	{
		decoded->room = decoded->room > 0 ? decoded->room * 2 : 1;
		decoded->fields = decoded->n > 0
			? repalloc_huge(decoded->fields, sizeof(Datum) * (Size) decoded->room)
			: palloc(sizeof(Datum));
	}
	decoded->fields[decoded->n++] = fields;
}

/* Add the jsonb of a JSON text in UTF-8; what it does not take is an error. */
static void
add_json(char *json, Decoded *decoded)
{
	JsonText text = {json, (Datum) 0};
	ErrorData  *error = si_subtransaction_run(convert_json, &text, true);

	if (error == NULL)
	{
		add_fields(decoded, text.jsonb);
		return;
	}
	if (si_failure_kind(error->sqlerrcode) == SI_ERROR_TEMPORARY)
		ReThrowError(error);
	decoded->error = error_text(unpack_sql_state(error->sqlerrcode), error->message);
}

/* ---- decoding ---- */

/*
 * Decode all of a message with a plan of one field.  The value's bytes are the
 * message's, or those of the arena.  False with *error filled.
 */
static bool
decode_whole(SiDecoder *decoder, const SiDecodePlan *plan, SiTranscoder *transcoder,
			 const SiMessage *message, SiArena *arena, SiRecord *record,
			 SiDecodeError *error)
{
	SiMessage	utf8 = *message;

	if (transcoder != NULL &&
		!si_transcode_message(transcoder, plan, message, arena, &utf8, error))
		return false;
	return si_decoder_decode(decoder, &utf8, arena, record, error);
}

/*
 * A key need not be JSON: one that is not is a text, and bytes if it is no
 * text either.
 */
static void
take_plain_key(const SiMessage *message, SiTranscoder *transcoder, SiValue *value)
{
	SiDecodeError error;

	value->kind = SI_VALUE_TEXT;
	value->data = message->key;
	value->len = message->key_len;
	if (transcoder != NULL)
	{
		if (si_transcode_text(transcoder, &value->data, &value->len, &error))
			return;
	}
	else if (pg_verify_mbstr(PG_UTF8, value->data, value->len, true))
		return;
	value->kind = SI_VALUE_BYTES;
}

static void
set_error(Decoded *decoded, const SiDecodeError *error)
{
	decoded->error = error_text(error->sqlstate,
								si_words_show(error->message, strlen(error->message)));
}

/* Decode a message that is one record. */
static void
decode_message(SiDecoder *decoder, const SiDecodePlan *plan, SiTranscoder *transcoder,
			   const SiMessage *message, SiArena *arena, Decoded *decoded)
{
	SiRecord	record;
	SiDecodeError error;
	SiValue		key;

	decoded->op = message->value != NULL ? SI_OP_WRITE : SI_OP_DELETE;
	if (message->value == NULL && message->key == NULL)
		add_fields(decoded, (Datum) 0);
	else if (decode_whole(decoder, plan, transcoder, message, arena, &record, &error))
	{
		decoded->op = record.op;
		if (record.op != SI_OP_WRITE && message->value != NULL &&
			(record.fields[0].kind == SI_VALUE_NULL || !record.any_field))
			add_fields(decoded, (Datum) 0);
		else
			add_json(object_text(&record.fields[0], message->value != NULL ? "$value" : "$key"),
					 decoded);
	}
	else
	{
		si_failure_check_decode(&error);
		if (message->value == NULL && plan->key_format == SI_KEY_JSON)
		{
			take_plain_key(message, transcoder, &key);
			add_json(object_text(&key, "$key"), decoded);
		}
		else
			set_error(decoded, &error);
	}
}

/* Decode a message that holds several records, up to the first error. */
static void
decode_records(SiDecoder *decoder, const SiDecodePlan *plan, const SiMessage *message,
			   SiArena *arena, Decoded *decoded)
{
	SiRecords	records;
	SiDecodeError error;
	bool		found = true;

	if (!si_decoder_begin_records(decoder, message, arena, &records, &error))
	{
		si_failure_check_decode(&error);
		set_error(decoded, &error);
		return;
	}
	while (decoded->error == NULL && found)
	{
		int			before = records.number;

		CHECK_FOR_INTERRUPTS();
		si_arena_reset(arena);
		if (!si_json_records_next(&records, &found, &error))
			set_error(decoded, &error);
		else if (found)
			decode_message(decoder, plan, NULL, &records.record, arena, decoded);
		if (decoded->error != NULL && records.number > before)
			decoded->error = psprintf("%s (record %d)", decoded->error, records.number);
	}
}

/* Which field of a message holds all of it. */
static void
make_plan(const SiDecoderRoutine *routine, bool tombstone, SiDecodePlan *plan)
{
	memset(plan, 0, sizeof(SiDecodePlan));
	plan->nfields = 1;
	plan->fields = tombstone ? &whole_key : &whole_value;
	plan->rest_field = -1;

	/*
	 * where the value is no document, its fields are those that no column
	 * takes
	 */
	if (!tombstone && routine->value == SI_WHOLE_TEXT && routine->fields != SI_FIELDS_ONE)
		plan->rest_field = 0;
}

/* Get the schema of a message from the server's registry. */
static void
await_schema(const char *format, const char *server, const SiMessage *message,
			 const SiFormatOptions *options)
{
	SiEntry		entry = {*message};

	if (server != NULL)
		si_schemas_await(options, &entry, 1, format, server, GetUserId());
}

/* server is NULL where none is given. */
static void
decode(const char *format, const char *server, const SiMessage *message,
	   const SiOptions *options, Decoded *decoded)
{
	SiTranscoder *transcoder = si_transcode_create(options->encoding);
	SiFormatOptions format_options;
	SiDecodePlan plan;
	SiDecoder  *volatile decoder = NULL;
	SiArena    *volatile arena = NULL;
	SiSchemaStore *volatile store = NULL;

	options = si_format_settle(format, options);
	make_plan(si_decoder_find(format), message->value == NULL, &plan);
	plan.key_format = options->key_format;

	/* decoders, arenas and stores are malloc's */
	PG_TRY();
	{
		if (server != NULL)
			store = si_schemas_create_store(format, server, GetUserId());
		si_format_options(format, NULL, NULL, options, store, &format_options);
		await_schema(format, server, message, &format_options);
		decoder = si_decoder_create(format, &plan, &format_options);
		arena = si_arena_create();
		if (decoder == NULL || arena == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		if (format_options.records != NULL && message->value != NULL)
			decode_records(decoder, &plan, message, arena, decoded);
		else
			decode_message(decoder, &plan, transcoder, message, arena, decoded);
	}
	PG_FINALLY();
	{
		si_decoder_destroy(decoder);
		si_arena_destroy(arena);
		si_schema_store_free(store);
	}
	PG_END_TRY();
}

/* ---- the function ---- */

static void
bytes_argument(FunctionCallInfo fcinfo, int i, const char **data, size_t *len)
{
	bytea	   *bytes;

	*data = NULL;
	*len = 0;
	if (PG_ARGISNULL(i))
		return;
	bytes = PG_GETARG_BYTEA_PP(i);
	*data = VARDATA_ANY(bytes);
	*len = VARSIZE_ANY_EXHDR(bytes);
}

Datum
si_sql_decode(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SiMessage	message = {0};
	Decoded		decoded = {0};
	char	   *format;
	char	   *options;
	const char *server;
	Datum		values[3] = {0};
	bool		nulls[3] = {0};

	format = si_arguments_format(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	bytes_argument(fcinfo, 1, &message.value, &message.value_len);
	bytes_argument(fcinfo, 2, &message.key, &message.key_len);
	message.timestamp = -1;
	options = si_arguments_jsonb(fcinfo, 3);

	/* a definition of version 1.0 ends here */
	server = PG_NARGS() <= 4 || PG_ARGISNULL(4) ? NULL : NameStr(*PG_GETARG_NAME(4));
	if (PG_NARGS() > 5)
		message.headers = si_arguments_headers(fcinfo, 5, true, &message.nheaders);

	decode(format, server, &message, si_options_parse(options != NULL ? options : "{}"), &decoded);

	if (decoded.error != NULL)
	{
		nulls[0] = nulls[1] = true;
		values[2] = CStringGetTextDatum(decoded.error);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		return (Datum) 0;
	}
	nulls[2] = true;
	values[0] = CStringGetTextDatum(operations[decoded.op]);
	for (int i = 0; i < decoded.n; i++)
	{
		values[1] = decoded.fields[i];
		nulls[1] = decoded.fields[i] == (Datum) 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
