/*-------------------------------------------------------------------------
 *
 * decode_json_fuzz.c
 *	  Fuzzer of the JSON decoder, against jansson.
 *
 * The input is a plan and a message.  Byte 0 says how many fields are wanted
 * (its low three bits) and what else (WANT_... below), byte 1 how long the
 * key is, then comes a byte per field that picks a path from the table, then
 * the key, then the value.
 *
 * The scanner's verdict on the value must be jansson's, but for the known
 * differences (see may_differ), and where both read it, every field, the rest
 * and the unknown name must be what jansson's tree says.  A second reading
 * with the same decoder, which has learned the order of the members, must give
 * the same.  That values lie within message and arena is AddressSanitizer's
 * part: every byte of them is read.
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
#include "format/json_scan.h"

#define WANT_REST		0x08
#define WANT_UNKNOWN	0x10
#define WANT_KEY		0x20	/* the message has a key */

#define MAX_FIELDS		8
#define MAX_STEPS		4

#define load_flags		(JSON_DECODE_ANY | JSON_ALLOW_NUL)

#define require(condition, words) \
	do { if (!(condition)) give_up(words); } while (0)

typedef struct Path
{
	bool		of_key;
	int			nsteps;
	SiPathStep	steps[MAX_STEPS];
} Path;

#define member(name)	{(name), sizeof(name) - 1, 0}
#define element(n)		{NULL, 0, (n)}

static const Path paths[] = {
	{false, 0, {{0}}},
	{false, 1, {member("a")}},
	{false, 1, {member("b")}},
	{false, 1, {member("")}},
	{false, 1, {member("c")}},
	{false, 1, {member("\xc3\xa9")}},
	{false, 1, {member("a\"b")}},
	{false, 1, {member("a_name_of_a_column")}},
	{false, 1, {member("a_name_of_a_colum2")}},
	{false, 1, {member("fifteen_bytes_l")}},
	{false, 2, {member("a"), member("a")}},
	{false, 2, {member("a"), member("b")}},
	{false, 2, {member("b"), element(0)}},
	{false, 2, {member("a"), element(1)}},
	{false, 3, {member("a"), member("b"), member("a")}},
	{false, 3, {member("a"), element(0), member("b")}},
	{false, 3, {member("a"), element(0), member("c")}},
	{false, 4, {member("a"), element(1), element(0), element(2)}},
	{false, 1, {element(0)}},
	{false, 2, {element(0), member("a")}},
	{false, 3, {element(0), element(0), element(0)}},
	{false, 2, {element(3), member("b")}},
	{false, 1, {element(-1)}},
	{false, 1, {member("\xff")}},
	{true, 0, {{0}}},
	{true, 1, {member("a")}},
	{true, 2, {member("a"), member("b")}},
	{true, 1, {element(0)}},
};

#define NPATHS	(sizeof(paths) / sizeof(paths[0]))

typedef struct Input
{
	SiWantedField fields[MAX_FIELDS];
	SiDecodePlan plan;
	SiMessage	message;
} Input;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
give_up(const char *words)
{
	fprintf(stderr, "FOUND: %s\n", words);
	abort();
}

static bool
read_input(Input *input, const uint8_t *data, size_t size)
{
	const char *p = (const char *) data;
	size_t		nfields;
	size_t		key_len;
	size_t		i;

	memset(input, 0, sizeof(*input));
	if (size < 2)
		return false;
	nfields = data[0] & 7;
	key_len = data[0] & WANT_KEY ? data[1] : 0;
	if (size < 2 + nfields + key_len)
		return false;
	for (i = 0; i < nfields; i++)
	{
		const Path *path = &paths[data[2 + i] % NPATHS];

		input->fields[i].of_key = path->of_key;
		input->fields[i].as_json = i % 2 != 0;
		input->fields[i].nsteps = path->nsteps;
		input->fields[i].steps = path->steps;
	}
	input->plan.fields = input->fields;
	input->plan.nfields = (int) nfields;
	input->plan.rest_field = -1;
	input->plan.find_unknown = (data[0] & WANT_UNKNOWN) != 0;
	if (data[0] & WANT_REST)
		input->plan.rest_field = input->plan.nfields++;
	p += 2 + nfields;
	if (data[0] & WANT_KEY)
	{
		input->message.key = p;
		input->message.key_len = key_len;
	}
	input->message.value = p + key_len;
	input->message.value_len = size - 2 - nfields - key_len;
	return true;
}

/* May jansson refuse what the scanner accepts, or the reverse? */
static bool
may_differ(const SiJsonScan *scan, const json_error_t *verdict, bool scanned)
{
	if (scanned)
		return json_error_code(verdict) == json_error_numeric_overflow ||
			json_error_code(verdict) == json_error_null_byte_in_key;
	return scan->fault == SI_JSON_TOO_DEEP ||
		(scan->fault_pos < scan->end && *scan->fault_pos == '\0');
}

/* Scan without a plan, and hold the verdict against jansson's. */
static json_t *
compare_verdicts(const char *data, size_t len, bool *accepted)
{
	SiJsonScan	scan;
	SiJsonToken token;
	json_error_t verdict;
	size_t		mark = si_json_byte_order_mark(data, len);
	json_t	   *json = json_loadb(data + mark, len - mark, load_flags, &verdict);
	const char *p = si_json_begin(&scan, data, len);
	bool		scanned;

	p = si_json_read_value(&scan, p, &token);
	scanned = p != NULL && si_json_finish(&scan, p);
	if (scanned)
		require(scan.fault == SI_JSON_NO_FAULT && scan.depth == 0,
				"fault or depth is left");
	else
		require(scan.fault != SI_JSON_NO_FAULT && scan.fault_pos >= data &&
				scan.fault_pos <= data + len, "no fault, or not in the text");
	if (scanned != (json != NULL))
		require(may_differ(&scan, &verdict, scanned),
				scanned ? "accepted, and jansson refuses" :
				"refused, and jansson accepts");
	*accepted = scanned;
	if (!scanned && json != NULL)
	{
		json_decref(json);
		json = NULL;
	}
	return json;
}

static json_t *
find_path(json_t *json, const SiWantedField *wanted)
{
	int			i;

	for (i = 0; json != NULL && i < wanted->nsteps; i++)
	{
		const SiPathStep *step = &wanted->steps[i];

		if (step->key != NULL)
			json = json_object_getn(json, step->key, step->key_len);
		else
			json = step->index < 0 ? NULL :
				json_array_get(json, (size_t) step->index);
	}
	return json;
}

static bool
same_number(const SiValue *value, const json_t *json)
{
	char	   *text = strndup(value->data, value->len);
	bool		same;

	if (json_is_integer(json))
		same = strtoll(text, NULL, 10) == json_integer_value(json);
	else
		same = json_is_real(json) &&
			strtod(text, NULL) == json_real_value(json);
	free(text);
	return same;
}

static bool
same_container(const SiValue *value, json_t *json)
{
	json_t	   *mine = json_loadb(value->data, value->len, load_flags, NULL);
	bool		same = mine != NULL && json_equal(mine, json);

	json_decref(mine);
	return same;
}

static bool
same_value(const SiValue *value, json_t *json)
{
	switch (value->kind)
	{
		case SI_VALUE_ABSENT:
			return json == NULL;
		case SI_VALUE_NULL:
			return json_is_null(json);
		case SI_VALUE_TRUE:
			return json_is_true(json);
		case SI_VALUE_FALSE:
			return json_is_false(json);
		case SI_VALUE_NUMBER:
			return same_number(value, json);
		case SI_VALUE_STRING:
			return json_is_string(json) &&
				memchr(value->data, '\0', value->len) == NULL &&
				json_string_length(json) == value->len &&
				memcmp(json_string_value(json), value->data, value->len) == 0;
		case SI_VALUE_OBJECT:
			return json_is_object(json) && same_container(value, json);
		case SI_VALUE_ARRAY:
			return json_is_array(json) && same_container(value, json);
		case SI_VALUE_WRITTEN:
			return json_is_string(json) && same_container(value, json);
		default:
			return false;
	}
}

/* What is left of a document when all that fields take is removed. */
static json_t *
unclaimed(const Input *input, json_t *json)
{
	json_t	   *rest = json_copy(json);
	int			i;

	for (i = 0; i < input->plan.nfields; i++)
	{
		const SiWantedField *wanted = &input->fields[i];

		if (i != input->plan.rest_field && !wanted->of_key &&
			wanted->nsteps > 0 && wanted->steps[0].key != NULL)
			json_object_deln(rest, wanted->steps[0].key,
							 wanted->steps[0].key_len);
	}
	return rest;
}

static void
compare_unknown(const Input *input, const SiRecord *record, json_t *json)
{
	const SiValue *unknown = &record->unknown;
	json_t	   *rest;
	bool		asked = input->plan.find_unknown && input->plan.rest_field < 0;
	int			i;

	for (i = 0; i < input->plan.nfields; i++)
	{
		if (!input->fields[i].of_key && input->fields[i].nsteps == 0)
			asked = false;
	}
	rest = unclaimed(input, json);
	if (!asked || json_object_size(rest) == 0)
		require(unknown->kind == SI_VALUE_ABSENT, "nothing is unknown");
	else
		require(unknown->kind == SI_VALUE_STRING &&
				json_object_getn(rest, unknown->data, unknown->len) != NULL,
				"not the unknown name");
	json_decref(rest);
}

/* Hold a record against jansson's trees. */
static void
compare_record(const Input *input, const SiRecord *record, json_t *value,
			   json_t *key)
{
	int			i;

	for (i = 0; i < input->plan.nfields; i++)
	{
		const SiWantedField *wanted = &input->fields[i];
		json_t	   *side = wanted->of_key ? key : value;
		const SiValue *field = &record->fields[i];

		if (i != input->plan.rest_field)
		{
			if (side != NULL)
				require(same_value(field, find_path(side, wanted)),
						"not jansson's value");
		}
		else if (value != NULL)
		{
			json_t	   *rest = unclaimed(input, value);

			require(field->kind == SI_VALUE_OBJECT &&
					same_container(field, rest), "not the rest");
			json_decref(rest);
		}
	}
	if (value != NULL)
		compare_unknown(input, record, value);
}

/* Is there a wanted string that no text can hold? */
static bool
wants_nul(const Input *input, json_t *value, json_t *key)
{
	int			i;

	for (i = 0; i < input->plan.nfields; i++)
	{
		const SiWantedField *wanted = &input->fields[i];
		json_t	   *json = wanted->of_key ? key : value;

		json = i != input->plan.rest_field ? find_path(json, wanted) : NULL;
		if (!wanted->as_json && json_is_string(json) &&
			memchr(json_string_value(json), '\0', json_string_length(json)) != NULL)
			return true;
	}
	return false;
}

/* Was the message refused for one of the reasons that there are? */
static void
check_refusal(const Input *input, const SiDecodeError *error,
			  bool value_accepted, bool key_accepted, json_t *value,
			  json_t *key)
{
	const char *state = error->sqlstate;

	require(strlen(state) == 5 && error->message[0] != '\0',
			"no SQLSTATE or message");
	require(memchr(error->detail, '\0', sizeof(error->detail)) != NULL,
			"the detail does not end");
	if (strcmp(state, "22P05") == 0)
		require((value_accepted && value == NULL) ||
				(key_accepted && key == NULL) || wants_nul(input, value, key),
				"no NUL was wanted");
	else if (strcmp(state, "22023") != 0)
	{
		require(strcmp(state, "22P02") == 0 || strcmp(state, "22021") == 0 ||
				strcmp(state, "54001") == 0, "an unexpected SQLSTATE");
		require(!value_accepted || !key_accepted, "refused without reason");
	}
}

/* Read every byte of a record, and hold it against an earlier one. */
static void
check_record(const SiRecord *record, const SiRecord *before)
{
	int			i;

	for (i = 0; i < record->nfields; i++)
	{
		const SiValue *now = &record->fields[i];
		const SiValue *then = &before->fields[i];

		require(now->kind == then->kind && now->len == then->len,
				"another kind or length at the second reading");
		require(now->len == 0 ||
				memcmp(now->data, then->data, now->len) == 0,
				"another value at the second reading");
	}
	require(record->any_field == before->any_field &&
			record->unknown.kind == before->unknown.kind,
			"another record at the second reading");
}

static void
check_message(Input *input, SiDecoder *decoder, SiArena *arena)
{
	const SiMessage *message = &input->message;
	SiRecord	record;
	SiRecord	again;
	SiDecodeError error;
	bool		value_accepted;
	bool		key_accepted = true;
	json_t	   *value;
	json_t	   *key = NULL;
	bool		decoded;

	value = compare_verdicts(message->value, message->value_len,
							 &value_accepted);
	if (message->key != NULL)
		key = compare_verdicts(message->key, message->key_len, &key_accepted);
	decoded = si_decoder_decode(decoder, message, arena, &record, &error);
	if (decoded)
	{
		require(value_accepted, "decoded what the scanner refuses");
		compare_record(input, &record, value, key);
	}
	else
		check_refusal(input, &error, value_accepted, key_accepted, value, key);
	require(si_decoder_decode(decoder, message, arena, &again,
							  &error) == decoded,
			"another verdict at the second reading");
	if (decoded)
		check_record(&again, &record);
	json_decref(value);
	json_decref(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input;
	SiDecoder  *decoder;
	SiArena    *arena;

	if (!read_input(&input, data, size))
		return 0;
	decoder = si_decoder_create("json", &input.plan, NULL);
	arena = si_arena_create();
	require(decoder != NULL && arena != NULL, "out of memory");
	check_message(&input, decoder, arena);
	si_arena_destroy(arena);
	si_decoder_destroy(decoder);
	return 0;
}
