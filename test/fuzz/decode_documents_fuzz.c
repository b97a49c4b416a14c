/*-------------------------------------------------------------------------
 *
 * decode_documents_fuzz.c
 *	  Fuzzer of what goes beside the JSON decoder: key formats, names that are
 *	  matched, and strings that hold JSON.
 *
 * Byte 0 picks the format of the key, byte 1 how names are matched and how many
 * fields are wanted, byte 2 how long the key is; then comes a byte per field
 * that picks a path from the table, then the key, then the value.
 *
 * A second reading with the same decoder, which has learned the order of the
 * members, must give the same.  That values lie within message and arena is
 * AddressSanitizer's part: every byte of them is read.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"
#include "format/match_names.h"

#define MAX_FIELDS	8
#define MAX_STEPS	5

#define member(name)	{(name), sizeof(name) - 1, 0}
#define element(n)		{NULL, 0, (n)}
#define inner			{NULL, 0, SI_STEP_JSON}

typedef struct Path
{
	bool		of_key;
	bool		own_name;
	int			nsteps;
	SiPathStep	steps[MAX_STEPS];
} Path;

static const Path paths[] = {
	{false, true, 1, {member("a")}},
	{false, true, 1, {member("a_b")}},
	{false, true, 1, {member("http_status")}},
	{false, false, 1, {member("aB")}},
	{false, false, 2, {member("a"), member("b")}},
	{false, false, 1, {inner}},
	{false, false, 2, {inner, member("a")}},
	{false, false, 2, {member("a"), inner}},
	{false, false, 3, {member("a"), inner, member("b")}},
	{false, false, 4, {member("a"), inner, member("b"), element(0)}},
	{false, false, 4, {member("a"), inner, member("b"), inner}},
	{false, false, 5, {member("a"), inner, member("b"), inner, member("a")}},
	{false, false, 3, {member("a"), element(1), inner}},
	{true, false, 0, {{0}}},
	{true, false, 1, {inner}},
	{true, true, 1, {member("a")}},
	{true, false, 3, {member("a"), inner, member("b")}}
};

static void
require(bool condition, const char *words)
{
	if (condition)
		return;
	fprintf(stderr, "%s\n", words);
	abort();
}

/* Read every byte of a record's values into a sum. */
static unsigned long
sum_record(const SiRecord *record)
{
	unsigned long sum = record->any_field;
	int			i;
	size_t		n;

	for (i = 0; i < record->nfields; i++)
	{
		const SiValue *value = &record->fields[i];

		sum = sum * 31 + value->kind;
		if (si_value_is_typed(value))
			sum = sum * 31 + (unsigned long) value->integer;
		else
			for (n = 0; value->data != NULL && n < value->len; n++)
				sum = sum * 31 + (unsigned char) value->data[n];
	}
	return sum;
}

static void
check_message(SiDecoder *decoder, const SiMessage *message)
{
	SiArena    *arena = si_arena_create();
	SiRecord	first;
	SiRecord	second;
	SiDecodeError error = {{0}};
	bool		done = si_decoder_decode(decoder, message, arena, &first, &error);
	unsigned long sum = done ? sum_record(&first) : 0;

	require(done || (error.message[0] != '\0' && strlen(error.sqlstate) == 5), "no error");
	require(si_decoder_decode(decoder, message, arena, &second, &error) == done, "second verdict");
	require(!done || sum_record(&second) == sum, "second reading");
	si_arena_destroy(arena);
}

/* Folding a name that is folded changes nothing. */
static void
check_names(const char *name, size_t len, SiMatchNames how)
{
	char		once[SI_MATCH_ROOM];
	char		twice[SI_MATCH_ROOM];
	size_t		n = si_match_names_fold(how, name, len, once);
	size_t		m = n <= SI_MATCH_LENGTH ? si_match_names_fold(how, once, n, twice) : n;

	require(n <= SI_MATCH_LENGTH ? m == n && memcmp(once, twice, n) == 0 : true, "folded twice");
}

/* A copy of exactly this size, which the caller frees. */
static char *
copy_bytes(const uint8_t *data, size_t len)
{
	char	   *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, data, len);
	return copy;
}

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SiWantedField fields[MAX_FIELDS] = {{0}};
	SiDecodePlan plan = {.fields = fields,.rest_field = -1};
	SiFormatOptions options = {0};
	SiMessage	message = {0};
	SiDecoder  *decoder;
	int			i;

	if (size < 3 + MAX_FIELDS)
		return 0;
	plan.key_format = data[0] % (SI_KEY_UUID + 1);
	plan.match_names = data[1] % (SI_MATCH_SNAKE_CASE + 1);
	plan.nfields = data[1] / 4 % MAX_FIELDS + 1;
	plan.find_unknown = data[1] >= 128;
	for (i = 0; i < plan.nfields; i++)
	{
		const Path *path = &paths[data[3 + i] % (sizeof(paths) / sizeof(Path))];

		fields[i].of_key = path->of_key;
		fields[i].own_name = path->own_name;
		fields[i].nsteps = path->nsteps;
		fields[i].steps = path->steps;
		fields[i].as_json = data[3 + i] >= 128;
	}
	message.key_len = data[2];
	data += 3 + MAX_FIELDS;
	size -= 3 + MAX_FIELDS;
	if (message.key_len > size)
		message.key_len = size;
	message.value_len = size - message.key_len;
	message.key = copy_bytes(data, message.key_len);
	message.value = copy_bytes(data + message.key_len, message.value_len);

	decoder = si_decoder_create("json", &plan, &options);
	require(decoder != NULL, "no decoder");
	check_message(decoder, &message);
	si_decoder_destroy(decoder);
	if (plan.match_names != SI_MATCH_EXACT)
		check_names(message.value, message.value_len, plan.match_names);
	free((char *) message.key);
	free((char *) message.value);
	return 0;
}
