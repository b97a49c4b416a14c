/*-------------------------------------------------------------------------
 *
 * connect_columns.c
 *	  The columns of a table that takes JSON messages, by the schema that Kafka
 *	  Connect's converter puts around them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "format/connect_columns.h"
#include "format/connect_type.h"
#include "format/envelope_shape.h"
#include "format/json_verdict.h"

#define NKINDS	(sizeof(kinds) / sizeof(kinds[0]))

/*
 * What a value is by its type and the type's name; without a name, by any other.
 * The rest is JSON.
 */
static const struct
{
	const char *type;
	const char *name;
	SiColumnKind kind;
}			kinds[] = {
	{"int32", "io.debezium.time.Date", SI_COLUMN_DATE},
	{"int32", "io.debezium.time.Time", SI_COLUMN_TIME},
	{"int64", "io.debezium.time.MicroTime", SI_COLUMN_TIME},
	{"int64", "io.debezium.time.NanoTime", SI_COLUMN_TIME},
	{"int64", "io.debezium.time.Timestamp", SI_COLUMN_TIMESTAMP},
	{"int64", "io.debezium.time.MicroTimestamp", SI_COLUMN_TIMESTAMP},
	{"int64", "io.debezium.time.NanoTimestamp", SI_COLUMN_TIMESTAMP},
	{"int64", "io.debezium.time.MicroDuration", SI_COLUMN_INTERVAL},
	{"int64", "io.debezium.time.NanoDuration", SI_COLUMN_INTERVAL},
	{"int32", "org.apache.kafka.connect.data.Date", SI_COLUMN_DATE},
	{"int32", "org.apache.kafka.connect.data.Time", SI_COLUMN_TIME},
	{"int64", "org.apache.kafka.connect.data.Timestamp", SI_COLUMN_TIMESTAMPTZ},
	{"bytes", "org.apache.kafka.connect.data.Decimal", SI_COLUMN_NUMERIC},
	{"struct", "io.debezium.data.VariableScaleDecimal", SI_COLUMN_NUMERIC},
	{"string", "io.debezium.time.ZonedTimestamp", SI_COLUMN_TIMESTAMPTZ},
	{"string", "io.debezium.time.ZonedTime", SI_COLUMN_TIMETZ},
	{"string", "io.debezium.time.Interval", SI_COLUMN_INTERVAL},
	{"string", "io.debezium.data.Uuid", SI_COLUMN_UUID},
	{"string", "io.debezium.data.Json", SI_COLUMN_JSONB},
	{"boolean", NULL, SI_COLUMN_BOOLEAN},
	{"int8", NULL, SI_COLUMN_INTEGER},
	{"int16", NULL, SI_COLUMN_INTEGER},
	{"int32", NULL, SI_COLUMN_INTEGER},
	{"int64", NULL, SI_COLUMN_BIGINT},
	{"float", NULL, SI_COLUMN_REAL},
	{"float32", NULL, SI_COLUMN_REAL},
	{"double", NULL, SI_COLUMN_DOUBLE},
	{"float64", NULL, SI_COLUMN_DOUBLE},
	{"string", NULL, SI_COLUMN_TEXT},
	{"bytes", NULL, SI_COLUMN_BYTEA}
};

/* ---- types ---- */

static const char *
member_text(const json_t *schema, const char *name)
{
	const char *text = json_string_value(json_object_get(schema, name));

	return text !=NULL ? text : "";
}

/* A number that Connect writes as a text; 0 where there is none, -1 if it is out of range. */
static int
parameter(const json_t *schema, const char *name)
{
	long		number = strtol(member_text(json_object_get(schema, "parameters"), name), NULL, 10);

	return number >= 0 && number <= SI_CONNECT_MAX_TYPES ? (int) number : -1;
}

static void
describe_scalar(const json_t *schema, SiColumnType *type)
{
	const char *base = member_text(schema, "type");
	const char *name = member_text(schema, "name");
	size_t		i = 0;

	while (i < NKINDS && (strcmp(kinds[i].type, base) != 0 ||
						  (kinds[i].name != NULL && strcmp(kinds[i].name, name) != 0)))
		i++;
	type->kind = i < NKINDS ? kinds[i].kind : SI_COLUMN_JSONB;
	if (type->kind != SI_COLUMN_NUMERIC || strcmp(base, "bytes") != 0)
		return;
	type->precision = parameter(schema, "connect.decimal.precision");
	type->scale = parameter(schema, "scale");

	/* with a negative scale there are more digits than the precision says */
	if (type->scale < 0 || type->scale > type->precision)
		type->precision = type->scale = 0;
}

static void
describe_type(const json_t *schema, SiColumnType *type)
{
	memset(type, 0, sizeof(SiColumnType));
	if (strcmp(member_text(schema, "type"), "array") == 0)
	{
		describe_scalar(json_object_get(schema, "items"), type);
		si_column_make_list(type);
	}
	else
		describe_scalar(schema, type);
	type->nullable = !json_is_false(json_object_get(schema, "optional"));
}

/* ---- structs ---- */

/* The row in the schema of an event, or NULL. */
static const json_t *
find_row(const json_t *event, const char *name)
{
	const json_t *fields = json_object_get(event, "fields");
	size_t		i;

	for (i = 0; i < json_array_size(fields); i++)
	{
		const json_t *field = json_array_get(fields, i);

		if (strcmp(member_text(field, "field"), name) == 0)
			return strcmp(member_text(field, "type"), "struct") == 0 ? field : NULL;
	}
	return NULL;
}

static bool
describe_struct(const json_t *schema, SiArena *memory, SiSchemaColumns *columns,
				SiDecodeError *error)
{
	const json_t *fields = json_object_get(schema, "fields");
	size_t		n = strcmp(member_text(schema, "type"), "struct") == 0 ? json_array_size(fields) : 0;
	size_t		i;

	if (!si_columns_begin(columns, n, memory, error))
		return false;
	for (i = 0; i < n; i++)
	{
		const json_t *field = json_array_get(fields, i);
		const json_t *name = json_object_get(field, "field");
		SiColumnType type;

		if (!json_is_string(name))
			continue;
		describe_type(field, &type);
		if (!si_columns_add(columns, json_string_value(name), json_string_length(name), &type,
							memory, error))
			return false;
	}
	return true;
}

static bool
describe_schema(const json_t *schema, SiEnvelopeKind envelope, SiArena *memory,
				SiSchemaColumns *columns, SiDecodeError *error)
{
	if (si_envelope_is_event(envelope))
		schema = find_row(schema, si_envelope_shapes[envelope].row);
	if (schema == NULL)
		return si_decoder_fail(error, "22023", "the schema is not that of a change event");
	return describe_struct(schema, memory, columns, error);
}

/* ---- messages ---- */

static bool
is_name(const SiJsonToken *token, const char *name)
{
	return !token->escaped && token->len == strlen(name) &&
		memcmp(token->data, name, token->len) == 0;
}

/*
 * Find the schema in a document that is an object of a schema and a payload.  False if
 * it is none, or no JSON: nothing is known of it then.
 */
static bool
find_schema(const char *data, size_t len, SiJsonToken *schema)
{
	SiJsonScan	scan;
	const char *p = si_json_begin(&scan, data, len);
	bool		has_schema = false;
	bool		has_payload = false;
	bool		more = false;

	if (p == scan.end || *p != '{')
		return false;
	p = si_json_enter(&scan, p, '}', &more);
	while (p != NULL && more)
	{
		SiJsonToken key;
		SiJsonToken value;

		p = si_json_read_key(&scan, p, &key);
		if (p != NULL)
			p = si_json_pass_colon(&scan, p);
		if (p != NULL)
			p = si_json_read_value(&scan, p, &value);
		if (p == NULL)
			return false;
		if (is_name(&key, "schema"))
		{
			*schema = value;
			has_schema = value.kind == SI_VALUE_OBJECT;
		}
		has_payload |= is_name(&key, "payload");
		p = si_json_next(&scan, p, '}', &more);
	}
	return p != NULL && has_schema && has_payload;
}

bool
si_connect_describe(const SiFormatOptions *options, const SiMessage *message, bool of_key,
					SiArena *memory, SiSchemaColumns *columns, SiDecodeError *error)
{
	SiFrame		frame = {.format = SI_WIRE_NONE};
	SiJsonToken token = {0};
	json_error_t verdict;
	json_t	   *schema;
	bool		no_memory;
	bool		described;

	memset(columns, 0, sizeof(SiSchemaColumns));
	if (message == NULL ||
		(options->envelope != SI_ENVELOPE_DEBEZIUM && options->envelope != SI_ENVELOPE_CONNECT))
		return true;
	if (!si_frame_read(of_key ? SI_WIRE_NONE : options->wire_format, message, of_key, &frame, error))
		return false;
	if (!find_schema(frame.payload, frame.payload_len, &token))
		return true;
	if (token.len > SI_CONNECT_MAX_TEXT)
		return si_decoder_fail(error, "54000",
							   "the schema in the message is too large or too deeply nested");
	schema = si_json_load(token.data, token.len, JSON_ALLOW_NUL, &verdict, &no_memory);
	if (no_memory)
		return si_decoder_fail(error, "53200", "out of memory");
	if (schema == NULL)
		return si_decoder_fail(error, "42P17", "the schema in the message cannot be read");
	described = describe_schema(schema, of_key ? SI_ENVELOPE_NONE : options->envelope, memory,
								columns, error);
	json_decref(schema);
	return described;
}

void
si_connect_find_naming(SiFrame *frame)
{
	SiJsonToken token = {0};

	if (!find_schema(frame->payload, frame->payload_len, &token))
		return;
	frame->naming = token.data;
	frame->naming_len = token.len;
}
