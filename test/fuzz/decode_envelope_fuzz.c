/*-------------------------------------------------------------------------
 *
 * decode_envelope_fuzz.c
 *	  Fuzzer of change events, against jansson.
 *
 * The input is a choice of options (byte 0), the length of the key (byte 1),
 * the key and the value.  The operation and the fields must be what jansson's
 * tree says of the event, with the schema around it or without; a field that
 * holds the placeholder must be absent.  A second reading by the same decoder,
 * which has learned how messages are wrapped, must give the same.  What a schema
 * says of values is not compared.  That values lie within message and arena is
 * AddressSanitizer's part.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "format/decoder.h"

#define WITH_REST		0x01
#define WITH_UNKNOWN	0x02
#define WITH_DELETED	0x04
#define WITH_CONNECT	0x08
#define WITH_KEY		0x10
#define WITHOUT_EVENT	0x20

#define PLACEHOLDER		"?"

#define require(condition, words) \
	do { if (!(condition)) give_up(words); } while (0)

#define member(name)	{(name), sizeof(name) - 1, 0}

static const SiPathStep a[] = {member("a")};
static const SiPathStep ab[] = {member("a"), member("b")};
static const SiPathStep lsn[] = {member("source"), member("lsn")};
static const SiPathStep deleted[] = {member("gone")};

enum
{
	ROW_A, ROW_AB, OLD_A, LSN, KEY_A, NFIELDS
};

static const SiWantedField wanted[NFIELDS + 1] = {
	[ROW_A] = {false, 1, a, true, SI_PART_ROW},
	[ROW_AB] = {false, 2, ab, true, SI_PART_ROW},
	[OLD_A] = {false, 1, a, true, SI_PART_OLD_ROW},
	[LSN] = {false, 2, lsn, true, SI_PART_MESSAGE},
	[KEY_A] = {true, 1, a, true, SI_PART_ROW}
};

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
give_up(const char *words)
{
	fprintf(stderr, "FOUND: %s\n", words);
	abort();
}

/* Does a value say the same as jansson's? */
static bool
same_value(const SiValue *value, json_t *json)
{
	json_t	   *mine;
	bool		same;

	if (json_is_string(json) && strcmp(json_string_value(json), PLACEHOLDER) == 0 &&
		json_string_length(json) == 1)
		return value->kind == SI_VALUE_ABSENT;
	switch (value->kind)
	{
		case SI_VALUE_ABSENT:
			return json == NULL || json_is_string(json) || json_is_array(json) || json_is_object(json);
		case SI_VALUE_NULL:
			return json_is_null(json);
		case SI_VALUE_TRUE:
			return json_is_true(json);
		case SI_VALUE_FALSE:
			return json_is_false(json);
		case SI_VALUE_STRING:
			return json_is_string(json) && json_string_length(json) == value->len &&
				memcmp(json_string_value(json), value->data, value->len) == 0;
		case SI_VALUE_NUMBER:
			return json_is_number(json);
		default:
			mine = json_loadb(value->data, value->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			same = mine != NULL && json_equal(mine, json);
			json_decref(mine);
			return same;
	}
}

/* Hold the record of an event against jansson's tree. */
static void
compare_event(const SiRecord *record, json_t *root)
{
	json_t	   *event = json_object_get(root, "op") != NULL ? root : json_object_get(root, "payload");
	const char *op = json_string_value(json_object_get(event, "op"));
	json_t	   *row;

	if (event != root && json_is_object(json_object_get(root, "schema")))
		return;
	require(op != NULL && op[0] != '\0' && op[1] == '\0', "decoded what is no event");
	require(strchr("crudtm", op[0]) != NULL, "an unknown operation");
	require(op[0] == 'd' ? record->op == SI_OP_DELETE : strchr("tm", op[0]) != NULL ?
			record->op == SI_OP_IGNORE : record->op != SI_OP_IGNORE, "another operation");
	row = json_object_get(event, op[0] == 'd' ? "before" : "after");
	require(same_value(&record->fields[ROW_A], json_object_get(row, "a")), "another field");
	require(same_value(&record->fields[ROW_AB], json_object_get(json_object_get(row, "a"), "b")),
			"another field below");
	require(same_value(&record->fields[OLD_A], json_object_get(json_object_get(event, "before"), "a")),
			"another old field");
	require(same_value(&record->fields[LSN],
					   json_object_get(json_object_get(event, "source"), "lsn")), "another lsn");
}

/* Read every byte of a record, and hold it against an earlier one. */
static void
check_again(const SiRecord *record, const SiRecord *before)
{
	int			i;

	require(record->op == before->op, "another operation at the second reading");
	for (i = 0; i < record->nfields; i++)
	{
		const SiValue *now = &record->fields[i];
		const SiValue *then = &before->fields[i];

		require(now->kind == then->kind && now->len == then->len,
				"another kind or length at the second reading");
		if (si_value_is_typed(now))
			require(now->integer == then->integer && now->scale == then->scale && now->len == 0,
					"another number at the second reading");
		require(now->len == 0 || memcmp(now->data, then->data, now->len) == 0,
				"another value at the second reading");
	}
}

static void
check_message(SiDecoder *decoder, SiArena *arena, const SiMessage *message, bool event)
{
	SiRecord	record;
	SiRecord	again;
	SiDecodeError error;
	json_t	   *root = json_loadb(message->value, message->value_len,
								  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	bool		decoded = si_decoder_decode(decoder, message, arena, &record, &error);

	if (decoded && event && root != NULL)
		compare_event(&record, root);
	if (!decoded)
		require(strlen(error.sqlstate) == 5 && error.message[0] != '\0', "no SQLSTATE or message");
	json_decref(root);
	require(si_decoder_decode(decoder, message, arena, &again, &error) == decoded,
			"another verdict at the second reading");
	if (decoded)
		check_again(&again, &record);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM,.ignore_truncate = true};
	SiDecodePlan plan = {.nfields = NFIELDS,.fields = wanted,.rest_field = -1};
	SiMessage	message = {0};
	SiDecoder  *decoder;
	SiArena    *arena;
	size_t		key_len;

	if (size < 2)
		return 0;
	key_len = data[0] & WITH_KEY ? data[1] : 0;
	if (size < 2 + key_len)
		return 0;
	options.unavailable = PLACEHOLDER;
	if (data[0] & WITH_CONNECT)
		options.envelope = SI_ENVELOPE_CONNECT;
	else if (data[0] & WITHOUT_EVENT)
		options.envelope = SI_ENVELOPE_NONE;
	if (data[0] & (WITH_DELETED | WITHOUT_EVENT))
	{
		options.ndeleted = 1;
		options.deleted = deleted;
	}
	plan.find_unknown = (data[0] & WITH_UNKNOWN) != 0;
	if (data[0] & WITH_REST)
		plan.rest_field = plan.nfields++;
	if (data[0] & WITH_KEY)
	{
		message.key = (const char *) data + 2;
		message.key_len = key_len;
	}
	message.value = (const char *) data + 2 + key_len;
	message.value_len = size - 2 - key_len;
	decoder = si_decoder_create("json", &plan, &options);
	arena = si_arena_create();
	require(decoder != NULL && arena != NULL, "out of memory");
	check_message(decoder, arena, &message, options.envelope == SI_ENVELOPE_DEBEZIUM);
	si_arena_destroy(arena);
	si_decoder_destroy(decoder);
	return 0;
}
