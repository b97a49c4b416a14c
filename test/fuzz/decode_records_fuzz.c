/*-------------------------------------------------------------------------
 *
 * decode_records_fuzz.c
 *	  Fuzzer of the reader of messages that hold several records, against
 *	  jansson.
 *
 * Byte 0 picks where the records are from the table; the rest is the message.
 * Where both read it, there must be as many records as jansson's array has
 * elements, or as jansson reads documents, and each the same; where the message
 * is refused, jansson must refuse it, too, or not find an array, but for the
 * known differences (see may_differ in decode_json_fuzz.c).  Every record is also
 * decoded as a message.
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

#define load_flags		(JSON_DECODE_ANY | JSON_ALLOW_NUL)

#define require(condition, words) \
	do { if (!(condition)) give_up(words); } while (0)

#define member(name)	{(name), sizeof(name) - 1, 0}
#define element(n)		{NULL, 0, (n)}

static const SiPathStep steps[][2] = {
	{member("a"), member("b")},
	{member("a"), element(1)},
	{element(0), member("a")},
	{member("\xc3\xa9"), member("")}
};

static const SiRecordsPath paths[] = {
	{false, 0, NULL},
	{true, 0, NULL},
	{false, 1, steps[0]},
	{false, 2, steps[0]},
	{false, 2, steps[1]},
	{false, 1, steps[2]},
	{false, 2, steps[2]},
	{false, 2, steps[3]}
};

#define NPATHS	(sizeof(paths) / sizeof(paths[0]))

static const SiPathStep name = member("a");
static const SiWantedField fields[] = {{.nsteps = 1,.steps = &name}, {.nsteps = 0}};

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
give_up(const char *words)
{
	fprintf(stderr, "FOUND: %s\n", words);
	abort();
}

/* What jansson has at the path; NULL if there is nothing. */
static json_t *
find_path(json_t *json, const SiRecordsPath *path)
{
	int			i;

	for (i = 0; json != NULL && i < path->nsteps; i++)
	{
		const SiPathStep *step = &path->steps[i];

		json = step->key != NULL ? json_object_getn(json, step->key, step->key_len) :
			json_array_get(json, (size_t) step->index);
	}
	return json;
}

/*
 * All documents of a message as an array; NULL where jansson refuses one.  jansson
 * reads on behind a number or a word without anything between.
 */
static json_t *
load_lines(const char *data, size_t len, json_error_t *verdict)
{
	json_t	   *all = json_array();
	size_t		at = si_json_byte_order_mark(data, len);

	for (;;)
	{
		json_t	   *one;

		while (at < len && data[at] != '\0' && strchr(" \t\r\n", data[at]) != NULL)
			at++;
		if (at >= len)
			return all;
		one = json_loadb(data + at, len - at, load_flags | JSON_DISABLE_EOF_CHECK, verdict);
		if (one == NULL)
			break;
		at += (size_t) verdict->position;
		json_array_append_new(all, one);
	}
	json_decref(all);
	return NULL;
}

/* The records as jansson has them; NULL if it has none, with the verdict if that is why. */
static json_t *
load_records(const SiRecordsPath *path, const char *data, size_t len, json_error_t *verdict)
{
	size_t		mark = si_json_byte_order_mark(data, len);
	json_t	   *root;
	json_t	   *found;

	verdict->text[0] = '\0';
	if (path->lines)
		return load_lines(data, len, verdict);
	root = json_loadb(data + mark, len - mark, load_flags, verdict);
	if (root == NULL)
		return NULL;
	verdict->text[0] = '\0';
	found = find_path(root, path);
	found = json_is_array(found) ? json_incref(found) : NULL;
	json_decref(root);
	return found;
}

/* Hold a record against jansson's, and decode it. */
static void
check_record(SiDecoder *decoder, SiArena *arena, const SiRecords *records, json_t *expected)
{
	const SiMessage *message = &records->record;
	json_t	   *mine = json_loadb(message->value, message->value_len, load_flags, NULL);
	SiRecord	record;
	SiDecodeError error;

	if (expected != NULL)
		require(mine != NULL &&
				json_equal(mine, json_array_get(expected, (size_t) records->number - 1)),
				"not jansson's record");
	json_decref(mine);
	if (si_decoder_decode(decoder, message, arena, &record, &error))
		require(record.number == 1, "no number");
	else
		require(strcmp(error.sqlstate, "22023") == 0 || strcmp(error.sqlstate, "22P05") == 0,
				"a record is refused that was passed");
}

static void
check_message(const SiRecordsPath *path, SiDecoder *decoder, SiArena *arena,
			  const SiMessage *message)
{
	json_error_t verdict;
	json_t	   *expected = load_records(path, message->value, message->value_len, &verdict);
	SiRecords	records;
	SiDecodeError error;
	bool		found = true;
	bool		good = si_decoder_begin_records(decoder, message, arena, &records, &error);

	while (good && found)
	{
		int			before = records.number;

		good = si_json_records_next(&records, &found, &error);
		if (!good || !found)
			break;
		require(records.number == before + 1, "numbers are not in order");
		check_record(decoder, arena, &records, expected);
	}
	if (good && expected != NULL)
		require((size_t) records.number == json_array_size(expected), "another number of records");
	else if (good)
		require(json_error_code(&verdict) == json_error_numeric_overflow ||
				json_error_code(&verdict) == json_error_null_byte_in_key ||
				path->lines, "accepted, and jansson refuses");
	else if (expected != NULL)
		require(strcmp(error.sqlstate, "54001") == 0 || path->lines ||
				memchr(message->value, '\0', message->value_len) != NULL,
				"refused, and jansson accepts");
	json_decref(expected);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SiDecodePlan plan = {.nfields = 2,.fields = fields,.rest_field = -1};
	SiFormatOptions options = {0};
	SiMessage	message = {0};
	SiDecoder  *decoder;
	SiArena    *arena;

	if (size < 1)
		return 0;
	options.records = &paths[data[0] % NPATHS];
	message.value = (const char *) data + 1;
	message.value_len = size - 1;
	decoder = si_decoder_create("json", &plan, &options);
	arena = si_arena_create();
	require(decoder != NULL && arena != NULL, "out of memory");
	check_message(options.records, decoder, arena, &message);
	si_arena_destroy(arena);
	si_decoder_destroy(decoder);
	return 0;
}
