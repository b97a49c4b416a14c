/*-------------------------------------------------------------------------
 *
 * decode_protobuf_fuzz.c
 *	  Fuzzer of the Protobuf decoder and of the readers of its schemas.
 *
 * The input is a plan, a schema and a message.  Byte 0 says how many fields are
 * wanted (its low three bits), what else (WANT_... below) and by which wire format
 * the message names its type (its high two bits), then comes a byte per field that
 * picks a path from the table, then the schema, a zero byte, and the message.  With
 * WANT_DESCRIPTOR the schema is the bytes of a descriptor, up to where two zero bytes
 * stand, and goes to its reader in base64.  If a field's byte has the bit OF_EVENT,
 * messages are change events, and the bit OF_OLD_ROW says which row a path is of.
 *
 * A schema that the reader refuses must give an error in our own words.  Of one
 * that it takes, a message must give the same record when it is read again, a
 * document that was made must be JSON, and what is typed must have a text.  What an
 * event does, and which fields its row has, must be what the message as a whole shows
 * to jansson.  That
 * values lie within message, schema and arena is AddressSanitizer's part: every
 * byte of them is read.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "describe.h"
#include "format/decoder.h"
#include "format/json_scan.h"
#include "format/value_text.h"

#define WANT_REST		0x08
#define WANT_UNKNOWN	0x10
#define WANT_DESCRIPTOR	0x20

/* of a field's byte; it is the number of a path, too */
#define OF_JSON			0x80
#define OF_EVENT		0x40
#define OF_OLD_ROW		0x20

static const SiWireFormat wire_formats[] = {
	SI_WIRE_NONE, SI_WIRE_CONFLUENT, SI_WIRE_APICURIO, SI_WIRE_GLUE
};

#define MAX_FIELDS		8
#define MAX_STEPS		3

#define require(condition, words) \
	do { if (!(condition)) give_up(words); } while (0)

typedef struct Path
{
	int			nsteps;
	SiPathStep	steps[MAX_STEPS];
} Path;

#define member(name)	{(name), sizeof(name) - 1, 0}
#define element(n)		{NULL, 0, (n)}

static const Path paths[] = {
	{0, {{0}}},
	{1, {member("a")}},
	{1, {member("b")}},
	{1, {member("c")}},
	{1, {member("")}},
	{2, {member("a"), member("a")}},
	{2, {member("a"), member("b")}},
	{2, {member("b"), element(0)}},
	{2, {member("a"), element(1)}},
	{3, {member("a"), member("a"), member("a")}},
	{3, {member("a"), element(0), member("b")}},
	{1, {element(0)}},
	{2, {element(1), element(0)}},
	{1, {element(-1)}},
};

#define NPATHS	(sizeof(paths) / sizeof(paths[0]))

typedef struct Input
{
	SiWantedField fields[MAX_FIELDS];
	SiDecodePlan plan;
	SiFormatOptions options;
	SiMessage	message;
} Input;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
give_up(const char *words)
{
	fprintf(stderr, "FOUND: %s\n", words);
	abort();
}

static char *
encode(const uint8_t *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char	   *result = malloc(len * 2 + 2);
	char	   *at = result;
	unsigned int bits = 0;
	int			nbits = 0;
	size_t		i;

	require(result != NULL, "out of memory");
	for (i = 0; i < len; i++)
	{
		bits = bits << 8 | data[i];
		for (nbits += 8; nbits >= 6; nbits -= 6)
			*at++ = digits[bits >> (nbits - 6) & 63];
	}
	if (nbits > 0)
		*at++ = digits[bits << (6 - nbits) & 63];
	*at = '\0';
	return result;
}

/* schema and message are copies, so that each has its own end. */
static bool
read_input(Input *input, const uint8_t *data, size_t size, char **schema, char **message)
{
	size_t		nfields;
	size_t		schema_len;
	const uint8_t *end;
	bool		descriptor;
	size_t		i;

	memset(input, 0, sizeof(*input));
	if (size < 1)
		return false;
	nfields = data[0] & 7;
	if (size < 1 + nfields)
		return false;
	for (i = 0; i < nfields; i++)
	{
		const Path *path = &paths[data[1 + i] % NPATHS];

		input->fields[i].as_json = (data[1 + i] & OF_JSON) != 0;
		input->fields[i].part = (data[1 + i] & OF_OLD_ROW) ? SI_PART_OLD_ROW : SI_PART_ROW;
		if (data[1 + i] & OF_EVENT)
			input->options.envelope = SI_ENVELOPE_DEBEZIUM;
		input->fields[i].nsteps = path->nsteps;
		input->fields[i].steps = path->steps;
	}
	input->plan.fields = input->fields;
	input->plan.nfields = (int) nfields;
	input->plan.rest_field = (data[0] & WANT_REST) ? input->plan.nfields++ : -1;
	input->plan.find_unknown = (data[0] & WANT_UNKNOWN) != 0;

	input->options.ignore_truncate = true;
	input->options.wire_format = wire_formats[data[0] >> 6];
	descriptor = (data[0] & WANT_DESCRIPTOR) != 0;
	data += 1 + nfields;
	size -= 1 + nfields;
	end = descriptor ? memmem(data, size, "\0\0", 2) : memchr(data, '\0', size);
	if (end == NULL)
		return false;
	schema_len = (size_t) (end - data);
	*schema = descriptor ? encode(data, schema_len) : strdup((const char *) data);
	end += descriptor ? 2 : 1;
	size -= (size_t) (end - data);
	*message = malloc(size > 0 ? size : 1);
	require(*schema != NULL && *message != NULL, "out of memory");
	memcpy(*message, end, size);
	input->options.schema = *schema;
	input->message.value = *message;
	input->message.value_len = size;
	return true;
}

/* Read every byte. */
static unsigned int
sum(const char *data, size_t len)
{
	unsigned int result = 0;

	while (len-- > 0)
		result = result * 31 + (unsigned char) *data++;
	return result;
}

static void
check_json(const SiValue *value)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p = si_json_begin(&scan, value->data, value->len);

	p = si_json_read_value(&scan, p, &token);
	require(p != NULL && si_json_finish(&scan, p), "a document is no JSON");
	require(token.kind == (value->kind == SI_VALUE_WRITTEN ? SI_VALUE_STRING : value->kind),
			"a document is of another kind");
}

static unsigned int
check_value(const SiValue *value)
{
	char text[	SI_VALUE_TEXT_ROOM];

	switch (value->kind)
	{
		case SI_VALUE_ABSENT:
		case SI_VALUE_NULL:
		case SI_VALUE_TRUE:
		case SI_VALUE_FALSE:
			return value->kind;
		case SI_VALUE_OBJECT:
		case SI_VALUE_ARRAY:
		case SI_VALUE_WRITTEN:
		case SI_VALUE_NUMBER:
			check_json(value);
			break;
		case SI_VALUE_STRING:
			require(si_json_is_utf8(value->data, value->len), "a string is not UTF-8");
			break;
		case SI_VALUE_BYTES:
			break;
		default:
			require(si_value_is_typed(value), "a kind that Protobuf does not have");
			require(si_value_text(value, text) > 0 && strlen(text) < sizeof(text), "a value has no text");
			return sum(text, strlen(text));
	}
	return sum(value->data, value->len) + value->kind;
}

/* The message as a whole, without an envelope; NULL where it cannot be read. */
static json_t *
read_whole(const Input *input, SiArena *arena)
{
	static const SiWantedField whole = {.as_json = true};
	SiDecodePlan plan = {.nfields = 1,.fields = &whole,.rest_field = -1};
	SiFormatOptions options = input->options;
	SiDecoder  *decoder;
	SiRecord	record;
	SiDecodeError error;
	json_t	   *json = NULL;

	options.envelope = SI_ENVELOPE_NONE;
	decoder = si_decoder_create("protobuf", &plan, &options);
	require(decoder != NULL, "no decoder of the whole");
	if (si_decoder_decode(decoder, &input->message, arena, &record, &error))
		json = json_loadb(record.fields[0].data, record.fields[0].len,
						  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	si_decoder_destroy(decoder);
	return json;
}

/* Is a member's value there, NULL or missing, as the row shows it? */
static void
check_member(const SiValue *value, json_t *row, const SiPathStep *step)
{
	json_t	   *member = json_object_get(row, step->key);

	require((value->kind > SI_VALUE_NULL) == (member != NULL),
			"a field of an event's row is there and is not");
	require(value->kind != SI_VALUE_NULL || row != NULL, "a row that is not there has a NULL");
}

/* Does a plan ask for the row that an event writes?  An event may lack it for other plans. */
static bool
wants_row(const Input *input)
{
	int			i;

	for (i = 0; i < input->plan.nfields; i++)
		if (i == input->plan.rest_field || input->fields[i].part == SI_PART_ROW)
			return true;
	return false;
}

/* Hold an event against the message as a whole. */
static void
check_event(const Input *input, const SiRecord *record, SiArena *arena)
{
	json_t	   *event = read_whole(input, arena);
	const char *op = json_string_value(json_object_get(event, "op"));
	json_t	   *rows[] = {
		[SI_PART_ROW] = json_object_get(event, record->op == SI_OP_DELETE ? "before" : "after"),
		[SI_PART_OLD_ROW] = json_object_get(event, "before")
	};
	int			i;

	if (event == NULL)
		return;
	require(op != NULL && strlen(op) == 1, "what is no event was read");
	require(strchr(record->op == SI_OP_WRITE ? "cru" : record->op == SI_OP_DELETE ? "d" : "tm",
				   op[0]) != NULL, "another operation");
	require(record->op != SI_OP_WRITE || !wants_row(input) || json_is_object(rows[SI_PART_ROW]),
			"no row is written");
	for (i = 0; i < record->nfields; i++)
	{
		const SiWantedField *field = &input->fields[i];
		json_t	   *row = rows[field->part];

		if (i != input->plan.rest_field && field->nsteps == 1 && field->steps[0].key != NULL &&
			(row == NULL || json_is_object(row)))
			check_member(&record->fields[i], row, &field->steps[0]);
	}
	json_decref(event);
}

/* Decode the message; what came of it, as one number. */
static unsigned int
decode(SiDecoder *decoder, const Input *input, SiArena *arena)
{
	SiRecord	record;
	SiDecodeError error;
	unsigned int result = 1;
	int			i;

	if (!si_decoder_decode(decoder, &input->message, arena, &record, &error))
	{
		require(strlen(error.sqlstate) == 5 && error.message[0] != '\0', "an error without words");
		return sum(error.message, strlen(error.message));
	}
	if (input->options.envelope != SI_ENVELOPE_NONE)
		check_event(input, &record, arena);
	else
		require(record.op == SI_OP_WRITE, "a message became a delete");
	for (i = 0; i < record.nfields; i++)
		result = result * 31 + check_value(&record.fields[i]);
	return result * 31 + check_value(&record.unknown);
}

static void
check_schema(const Input *input)
{
	SiDecodeError error;
	SiDecoder  *decoder;
	SiArena    *arena;
	unsigned int first;

	if (!si_decoder_protobuf.check(&input->options, &error))
	{
		require(strlen(error.sqlstate) == 5 && error.message[0] != '\0', "a refusal without words");
		return;
	}
	check_description(&si_decoder_protobuf, &input->options, NULL, false);
	decoder = si_decoder_create("protobuf", &input->plan, &input->options);
	arena = si_arena_create();
	require(decoder != NULL && arena != NULL, "no decoder of a schema that was taken");
	first = decode(decoder, input, arena);
	si_arena_reset(arena);
	require(decode(decoder, input, arena) == first, "a second reading differs");
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input;
	char	   *schema = NULL;
	char	   *message = NULL;

	if (read_input(&input, data, size, &schema, &message))
		check_schema(&input);
	free(schema);
	free(message);
	return 0;
}
