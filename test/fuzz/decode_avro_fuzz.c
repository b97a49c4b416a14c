/*-------------------------------------------------------------------------
 *
 * decode_avro_fuzz.c
 *	  Fuzzer of the Avro decoder and of the reader of its schemas.
 *
 * The input is a plan, a schema and a message.  Byte 0 says how many fields are
 * wanted (its low three bits) and what else (WANT_... below), then comes a byte
 * per field that picks a path from the table, then the schema, a zero byte, and
 * the message.
 *
 * A schema that the reader refuses must give an error in our own words.  Of one
 * that it takes, a message must give the same record when it is read again, a
 * document that was made must be JSON, and what is typed must have a text.  That
 * values lie within message, schema and arena is AddressSanitizer's part: every
 * byte of them is read.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "format/decoder.h"
#include "format/json_scan.h"
#include "format/value_text.h"

#define WANT_REST		0x08
#define WANT_UNKNOWN	0x10

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

/* schema and message are copies, so that each has its own end. */
static bool
read_input(Input *input, const uint8_t *data, size_t size, char **schema, char **message)
{
	size_t		nfields;
	size_t		schema_len;
	const uint8_t *end;
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

		input->fields[i].as_json = (data[1 + i] & 0x80) != 0;
		input->fields[i].nsteps = path->nsteps;
		input->fields[i].steps = path->steps;
	}
	input->plan.fields = input->fields;
	input->plan.nfields = (int) nfields;
	input->plan.rest_field = (data[0] & WANT_REST) ? input->plan.nfields++ : -1;
	input->plan.find_unknown = (data[0] & WANT_UNKNOWN) != 0;

	data += 1 + nfields;
	size -= 1 + nfields;
	end = memchr(data, '\0', size);
	if (end == NULL)
		return false;
	schema_len = (size_t) (end - data);
	*schema = strdup((const char *) data);
	*message = malloc(size - schema_len);
	require(*schema != NULL && *message != NULL, "out of memory");
	memcpy(*message, end + 1, size - schema_len - 1);
	input->options.schema = *schema;
	input->message.value = *message;
	input->message.value_len = size - schema_len - 1;
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
			require(si_value_is_typed(value), "a kind that Avro does not have");
			require(si_value_text(value, text) > 0 && strlen(text) < sizeof(text), "a value has no text");
			return sum(text, strlen(text));
	}
	return sum(value->data, value->len) + value->kind;
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
	require(record.op == SI_OP_WRITE, "a message became a delete");
	for (i = 0; i < record.nfields; i++)
		result = result * 31 + check_value(&record.fields[i]);
	return result * 31 + check_value(&record.unknown);
}

static void
check_schema(const Input *input)
{
	SiFormatOptions debezium = input->options;
	SiDecodeError error;
	SiDecoder  *decoder;
	SiArena    *arena;
	unsigned int first;

	if (!si_decoder_avro.check(&input->options, &error))
	{
		require(strlen(error.sqlstate) == 5 && error.message[0] != '\0', "a refusal without words");
		return;
	}
	check_description(&si_decoder_avro, &input->options, NULL, false);
	debezium.envelope = SI_ENVELOPE_DEBEZIUM;
	check_description(&si_decoder_avro, &debezium, NULL, false);
	decoder = si_decoder_create("avro", &input->plan, &input->options);
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
