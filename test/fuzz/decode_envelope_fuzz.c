/*-------------------------------------------------------------------------
 *
 * decode_envelope_fuzz.c
 *	  Fuzzer of change events, against jansson.
 *
 * The input is a choice of options (byte 0), the length of the key (byte 1),
 * the key and the value.  The operation and the fields must be what jansson's
 * tree says of the event, with the schema around it or without; a field that
 * holds the placeholder, or of which another one says that it is missing, must be
 * absent.  A second reading by the same decoder,
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

#include "describe.h"
#include "format/envelope_shape.h"

#define WITH_REST		0x01
#define WITH_UNKNOWN	0x02
#define WITH_DELETED	0x04
#define WITH_CONNECT	0x08
#define WITH_KEY		0x10
#define WITHOUT_EVENT	0x20
#define OF_MAXWELL		0x40
#define OF_GOLDENGATE	0x80

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

/* Of an old row the others may be wrong. */
static const bool needed[NFIELDS + 1] = {[ROW_A] = true};

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

/* What an envelope calls its parts, and its words: of writes, deletes, and neither. */
typedef struct Names
{
	const char *mark;
	const char *row;
	const char *old_row;
	const char *deleted_row;
	const char *writes;
	const char *updates;		/* whose old row counts */
	const char *deletes;
	const char *ignored;
} Names;

static const Names names[] = {
	[SI_ENVELOPE_DEBEZIUM] = {"op", "after", "before", "before", " c r u ", " ", " d ", " t m "},
	[SI_ENVELOPE_MAXWELL] = {"type", "data", "old", "data", " insert bootstrap-insert ", " update ", " delete ",
		" bootstrap-start bootstrap-complete table-create table-alter table-drop database-create "
	"database-alter database-drop "},
	[SI_ENVELOPE_GOLDENGATE] = {"op_type", "after", "before", "before", " I ", " U ", " D ", " T "}
};

static bool
is_among(const char *word, const char *words)
{
	char		quoted[64];

	if (strchr(word, ' ') != NULL || strlen(word) > 60)
		return false;
	snprintf(quoted, sizeof(quoted), " %s ", word);
	return strstr(words, quoted) != NULL;
}

/* Is a field of a row the same, or missing for a reason that the row has? */
static bool
same_in_row(const SiValue *value, json_t *row, SiEnvelopeKind kind)
{
	json_t	   *json = json_object_get(row, "a");
	json_t	   *missing = json_object_get(row, "a_isMissing");
	const char *word = json_string_value(missing);

	if (kind == SI_ENVELOPE_GOLDENGATE && json_is_null(json) &&
		(json_is_true(missing) || (word != NULL && json_string_length(missing) == strlen(word) &&
								   (strcmp(word, "true") == 0 || strcmp(word, "t") == 0))))
		return value->kind == SI_VALUE_ABSENT;
	return same_value(value, json);
}

/* Hold the record of an event against jansson's tree. */
static void
compare_event(const SiRecord *record, json_t *root, SiEnvelopeKind kind)
{
	const Names *name = &names[kind];
	json_t	   *event = json_object_get(root, name->mark) != NULL ? root : json_object_get(root, "payload");
	const char *op = json_string_value(json_object_get(event, name->mark));
	json_t	   *old = json_object_get(event, name->old_row);
	json_t	   *row;
	json_t	   *source = kind == SI_ENVELOPE_DEBEZIUM ? json_object_get(event, "source") : event;

	if (event != root && json_is_object(json_object_get(root, "schema")))
		return;
	require(op != NULL && op[0] != '\0', "decoded what is no event");
	row = json_object_get(event, is_among(op, name->deletes) ? name->deleted_row : name->row);
	if (is_among(op, name->deletes))
		require(record->op == SI_OP_DELETE, "no delete");
	else if (is_among(op, name->ignored))
		require(record->op == SI_OP_IGNORE, "not ignored");
	else
	{
		require(is_among(op, name->writes) || is_among(op, name->updates), "an unknown operation");
		require(record->op != SI_OP_IGNORE, "another operation");
		require(record->op != SI_OP_WRITE || json_is_object(row), "no row is written");
	}
	require(same_in_row(&record->fields[ROW_A], row, kind), "another field");
	require(same_value(&record->fields[ROW_AB], json_object_get(json_object_get(row, "a"), "b")),
			"another field below");
	require(same_in_row(&record->fields[OLD_A], old, kind), "another old field");
	require(same_value(&record->fields[LSN], json_object_get(source, "lsn")), "another lsn");
	require((record->old_fields != NULL) == (record->op == SI_OP_WRITE && is_among(op, name->updates)),
			"an old row that does not count, or none");
	if (record->old_fields != NULL)
		require(same_in_row(&record->old_fields[ROW_A], old, kind), "another field of the old row");
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
check_message(SiDecoder *decoder, SiArena *arena, const SiMessage *message, SiEnvelopeKind kind)
{
	SiRecord	record;
	SiRecord	again;
	SiDecodeError error;
	json_t	   *root = json_loadb(message->value, message->value_len,
								  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	bool		decoded = si_decoder_decode(decoder, message, arena, &record, &error);

	if (decoded && si_envelope_is_event(kind) && root != NULL)
		compare_event(&record, root, kind);
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
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM,.ignore_truncate = true,.old_rows = true};
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
	options.old_needed = needed;
	if (data[0] & WITH_CONNECT)
		options.envelope = SI_ENVELOPE_CONNECT;
	else if (data[0] & WITHOUT_EVENT)
		options.envelope = SI_ENVELOPE_NONE;
	else if (data[0] & OF_MAXWELL)
		options.envelope = SI_ENVELOPE_MAXWELL;
	else if (data[0] & OF_GOLDENGATE)
		options.envelope = SI_ENVELOPE_GOLDENGATE;
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
	check_description(&si_decoder_json, &options, &message, false);
	if (message.key != NULL)
		check_description(&si_decoder_json, &options, &message, true);
	decoder = si_decoder_create("json", &plan, &options);
	arena = si_arena_create();
	require(decoder != NULL && arena != NULL, "out of memory");
	check_message(decoder, arena, &message, options.envelope);
	si_arena_destroy(arena);
	si_decoder_destroy(decoder);
	return 0;
}
