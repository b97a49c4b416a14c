/*-------------------------------------------------------------------------
 *
 * infer.c
 *	  From messages to a table that could take them.
 *
 * Where messages have schemas, these say what the columns are (infer_schema).
 * Else each field of the top level becomes a column whose type holds all values
 * that were seen, and a key is not guessed.  The columns of csv and text have no
 * names, and all their values are texts, so these are looked at for numbers too.
 *
 * Names of fields come from the topic, so they reach the text as quoted
 * identifiers alone: to run the text is to run nothing of the topic's.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "apply/format.h"
#include "apply/schema_column.h"
#include "apply/schemas.h"
#include "common/failure.h"
#include "format/schema_store.h"
#include "format/transcode.h"
#include "functions/infer.h"
#include "functions/infer_schema.h"
#include "functions/infer_type.h"

/* A column is NOT NULL if so many messages, and all there were, had it. */
#define ENOUGH_FOR_NOT_NULL	100

struct SiInference
{
	const SiDecoderRoutine *routine;
	const char *server;
	SiFormatOptions format;
	SiDecodePlan plan;			/* for all of a message */
	SiTranscoder *transcoder;
	bool		decodes;		/* are messages not looked at as they came? */

	/* what makes an object of a message; malloc's */
	SiDecoder  *decoder;
	SiArena    *arena;
	SiSchemaStore *store;
	MemoryContextCallback callback;

	SiInferColumns *columns;
	SiInferSchemas schemas;
	int			nmessages;		/* with a value */
	int			nobjects;
	int			nothers;		/* of the format, but no objects */
	int			nnorows;		/* change events that write none */
	int			nbad;			/* not of the format */
	int			nlarge;			/* too large to be looked at */
};

/* All of a message. */
static const SiWantedField whole_message = {false, 0, NULL};

/* ---- what it takes ---- */

/* Decoders, arenas and stores are malloc's. */
static void
free_decoder(void *arg)
{
	SiInference *inference = arg;

	si_decoder_destroy(inference->decoder);
	si_arena_destroy(inference->arena);
	si_schema_store_free(inference->store);
}

/* Are there options by which a document is not the row as it came? */
static bool
is_changed(const SiInference *inference)
{
	const SiFormatOptions *format = &inference->format;

	return inference->transcoder != NULL || format->wire_format > SI_WIRE_NONE ||
		format->records != NULL || si_envelope_needed(format);
}

/* Messages that have no fields need no decoder: nothing is known of them. */
static void
create_decoder(SiInference *inference)
{
	const SiDecoderRoutine *routine = inference->routine;

	inference->decodes = routine->value == SI_WHOLE_JSON ? is_changed(inference) :
		routine->fields != SI_FIELDS_ONE && routine->value != SI_WHOLE_DECODED;
	if (!inference->decodes)
		return;
	inference->plan.nfields = 1;
	inference->plan.fields = &whole_message;
	inference->plan.rest_field = routine->value == SI_WHOLE_JSON ? -1 : 0;
	inference->decoder = si_decoder_create(routine->format, &inference->plan, &inference->format);
	inference->arena = si_arena_create();
	if (inference->decoder == NULL || inference->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

SiInference *
si_infer_create(const char *format, const char *server, const SiOptions *options)
{
	SiInference *inference = palloc0(sizeof(SiInference));

	inference->routine = si_decoder_find(format);
	inference->server = server;
	inference->columns = si_infer_columns_create(options->match_names);
	inference->callback.func = free_decoder;
	inference->callback.arg = inference;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &inference->callback);

	options = si_format_settle(format, options);
	inference->store = si_schemas_create_store(format, server, GetUserId());
	si_format_options(format, NULL, NULL, options, inference->store, &inference->format);
	inference->transcoder = si_transcode_create(options->encoding);
	create_decoder(inference);
	return inference;
}

/* ---- by the values seen ---- */

static void
add_field(SiInference *inference, const SiJsonToken *key, const SiJsonToken *value)
{
	char	   *name = palloc(key->len + 1);
	size_t		len = key->len;
	SiInferColumn *column;

	if (key->escaped)
		len = si_json_unescape(key->data, key->len, name);
	else
		memcpy(name, key->data, len);
	column = si_infer_columns_add(inference->columns, name, len);
	pfree(name);
	if (column == NULL || value->kind == SI_VALUE_NULL)
		return;
	column->seen |= si_infer_seen(value, inference->routine->value != SI_WHOLE_JSON);
	if (column->last_message != inference->nobjects)
		column->nmessages++;
	column->last_message = inference->nobjects;
}

/* A document, which is right, with its fields if it is an object. */
static void
add_document(SiInference *inference, const char *data, size_t len)
{
	SiJsonScan	scan;
	const char *p = si_json_begin(&scan, data, len);
	bool		more;

	if (len == 0 || *p != '{')
	{
		inference->nothers++;
		return;
	}
	inference->nobjects++;
	p = si_json_enter(&scan, p, '}', &more);
	while (more)
	{
		SiJsonToken key;
		SiJsonToken value;

		p = si_json_read_key(&scan, p, &key);
		p = si_json_pass_colon(&scan, p);
		p = si_json_read_value(&scan, p, &value);
		add_field(inference, &key, &value);
		p = si_json_next(&scan, p, '}', &more);
	}
}

static void
add_json(SiInference *inference, const SiMessage *message)
{
	SiJsonScan	scan;
	SiJsonToken whole;
	const char *p;

	/* all of it first, so that a bad message leaves no trace */
	p = si_json_begin(&scan, message->value, message->value_len);
	p = si_json_read_value(&scan, p, &whole);
	if (p != NULL && si_json_finish(&scan, p))
		add_document(inference, message->value, message->value_len);
	else
		inference->nbad++;
}

/* Decode a record, and with add take it into account.  False if it is bad. */
static bool
decode_record(SiInference *inference, const SiMessage *message, bool add)
{
	SiMessage	utf8 = *message;
	SiRecord	record;
	SiDecodeError error;

	if ((inference->transcoder != NULL &&
		 !si_transcode_message(inference->transcoder, &inference->plan, message, inference->arena,
							   &utf8, &error)) ||
		!si_decoder_decode(inference->decoder, &utf8, inference->arena, &record, &error))
	{
		si_failure_check_decode(&error);
		return false;
	}
	if (!add)
		return true;
	if (record.op != SI_OP_WRITE)
		inference->nnorows++;
	else if (record.fields[0].kind == SI_VALUE_OBJECT)
		add_document(inference, record.fields[0].data, record.fields[0].len);
	else
		inference->nothers++;
	return true;
}

/* The same of all records of a message. */
static bool
decode_records(SiInference *inference, const SiMessage *message, bool add)
{
	SiRecords	records;
	SiDecodeError error;
	bool		found = true;

	if (!si_decoder_begin_records(inference->decoder, message, inference->arena, &records, &error))
	{
		si_failure_check_decode(&error);
		return false;
	}
	while (found)
	{
		CHECK_FOR_INTERRUPTS();
		si_arena_reset(inference->arena);
		if (!si_json_records_next(&records, &found, &error) ||
			(found && !decode_record(inference, &records.record, add)))
			return false;
	}
	return true;
}

static void
add_decoded(SiInference *inference, const SiMessage *message)
{
	bool		good;

	if (inference->format.records == NULL)
		good = decode_record(inference, message, true);
	else
	{
		good = decode_records(inference, message, false);
		if (good)
			(void) decode_records(inference, message, true);
	}
	inference->nbad += !good;
	si_arena_reset(inference->arena);
}

static void
add_message(SiInference *inference, const SiMessage *message)
{
	if (inference->decodes)
		add_decoded(inference, message);
	else if (inference->routine->value == SI_WHOLE_JSON)
		add_json(inference, message);
}

/* ---- taking messages ---- */

void
si_infer_take(SiInference *inference, const SiMessage *messages, int n)
{
	if (inference->store != NULL)
		si_schemas_await_messages(&inference->format, messages, n, inference->routine->format,
								  inference->server, GetUserId());
	si_infer_schemas(inference->routine, &inference->format, messages, n, inference->columns,
					 &inference->schemas);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (si_message_is_reduced(&messages[i]))
			inference->nlarge++;
		else if (messages[i].value == NULL)
			continue;
		else if (inference->schemas.n == 0)
			add_message(inference, &messages[i]);
		inference->nmessages++;
	}
}

/* ---- the table ---- */

/* The type of the only column where messages have no fields. */
static const char *const value_types[] = {
	[SI_WHOLE_JSON] = "jsonb",
	[SI_WHOLE_TEXT] = "text",
	[SI_WHOLE_BYTES] = "bytea",
	[SI_WHOLE_DECODED] = "jsonb"
};

static void
append_columns(StringInfo table, const SiInference *inference)
{
	bool		by_schema = inference->schemas.n > 0;
	ListCell   *cell;

	foreach(cell, inference->columns->list)
	{
		const SiInferColumn *column = lfirst(cell);
		bool		never_null = by_schema ? !column->type.nullable :
			inference->nobjects >= ENOUGH_FOR_NOT_NULL &&
			column->nmessages == inference->nobjects;

		appendStringInfo(table, "%s\n    %s %s%s",
						 cell == list_head(inference->columns->list) ? "" : ",",
						 quote_identifier(column->name),
						 by_schema ? si_schema_column_type(&column->type) :
						 si_infer_seen_type(column->seen),
						 never_null ? " NOT NULL" : "");
	}
}

static void
append_key(StringInfo table, const SiInference *inference)
{
	ListCell   *cell;

	foreach(cell, inference->columns->key)
	{
		const SiInferColumn *column = lfirst(cell);

		appendStringInfo(table, "%s%s",
						 cell == list_head(inference->columns->key) ? ",\n    PRIMARY KEY (" : ", ",
						 quote_identifier(column->name));
	}
	if (inference->columns->key != NIL)
		appendStringInfoChar(table, ')');
}

/* What one should know of columns that come from schemas. */
static void
append_schema_notes(StringInfo table, const SiInference *inference)
{
	const SiInferSchemas *schemas = &inference->schemas;

	if (inference->format.schema != NULL)
		appendStringInfoString(table, "-- by the schema in the options\n");
	else if (schemas->n > 0)
		appendStringInfo(table, "-- by the schema of the newest message%s\n",
						 schemas->differ ? "; what other schemas lack may be null" : "");
	if (schemas->nbad > 0)
		appendStringInfo(table, "-- schemas that cannot be read: %d\n", schemas->nbad);
	if (schemas->nleft_out > 0)
		appendStringInfo(table, "-- fields left out, whose types the schema does not have: %d\n",
						 schemas->nleft_out);
	if (inference->columns->key != NIL)
		appendStringInfoString(table, "-- the primary key is the messages' key: use it with insert_mode => 'upsert'\n");
}

/* What one should know of the guess. */
static void
append_notes(StringInfo table, const SiInference *inference, const char *topic)
{
	appendStringInfo(table, "-- messages of topic \"%s\" looked at: %d\n",
					 topic, inference->nmessages);
	append_schema_notes(table, inference);
	if (inference->nbad > 0)
		appendStringInfo(table, "-- not valid %s: %d\n",
						 inference->routine->called, inference->nbad);
	if (inference->nlarge > 0)
		appendStringInfo(table, "-- too large to be looked at: %d\n", inference->nlarge);
	if (inference->nnorows > 0)
		appendStringInfo(table, "-- events that write no row: %d\n", inference->nnorows);
	if (inference->routine->value == SI_WHOLE_JSON && inference->nothers > 0)
		appendStringInfo(table, "-- JSON without fields: %d\n", inference->nothers);
	if (inference->columns->list == NIL)
		appendStringInfoString(table, "-- use it with mapping => '{\"value\": \"$value\"}'\n");
	if (inference->columns->nunusable > 0)
		appendStringInfo(table, "-- fields whose names no column can have, for \"mapping\": met %d times\n",
						 inference->columns->nunusable);
}

/* Error if there is nothing to infer from. */
static void
check_messages(const SiInference *inference, const char *topic)
{
	const SiInferSchemas *schemas = &inference->schemas;
	SiFailure  *refusal;

	if (schemas->n == 0 && inference->nmessages == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("topic \"%s\" has no messages to infer a table from", topic)));
	if (schemas->n > 0 || inference->routine->value != SI_WHOLE_DECODED)
		return;
	refusal = si_failure_from_decode(&schemas->error);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no message of topic \"%s\" has a schema that can be read", topic),
			 schemas->nbad > 0 ? errdetail_internal("%s", refusal->message) : 0,
			 errhint("See the options \"wire_format\", \"schema\", \"schemas\" and \"envelope\".")));
}

char *
si_infer_table(const SiInference *inference, const char *target, const char *topic)
{
	StringInfoData table;

	check_messages(inference, topic);
	initStringInfo(&table);
	append_notes(&table, inference, topic);
	appendStringInfo(&table, "CREATE TABLE %s (", target);
	if (inference->columns->list == NIL)
		appendStringInfo(&table, "\n    value %s", value_types[inference->routine->value]);
	append_columns(&table, inference);
	append_key(&table, inference);
	appendStringInfoString(&table, "\n);");
	return table.data;
}
