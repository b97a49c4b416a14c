/*-------------------------------------------------------------------------
 *
 * decoder_dump.c
 *	  Messages as a decoder reads them, for test/avro_cases.py and proto_cases.py.
 *
 *	  decoder_dump FORMAT
 *
 * A line of the input is a schema, a message in hexadecimal, a path, and the
 * option "message" where the format has it, apart by tabs; a path is a member's
 * name or an element's number at a time, each with a slash before it.  A line of
 * the output is the whole value as JSON, a tab, and the value at the path; where
 * the message is bad it is "!", the SQLSTATE and the error.  Of a schema that is
 * bad "schema" stands in between.
 *
 *	  decoder_dump FORMAT --events
 *
 * The messages are change events: a line of the output is what the event does, the
 * row, and the value at the path in the row.
 *
 *	  decoder_dump --schema
 *
 * A line of the input is a Protobuf schema, and one of the output all that its
 * reader has found in it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"
#include "format/proto_schema.h"
#include "format/value_text.h"

#define MAX_STEPS	16

/* The decoder of the schema and path of the line before, if it has the same. */
typedef struct Kept
{
	char	   *schema;
	char	   *path;
	char	   *message;
	SiWantedField fields[2];
	SiPathStep	steps[MAX_STEPS];
	SiDecodePlan plan;
	SiFormatOptions options;
	SiDecoder  *decoder;
} Kept;

static Kept kept;
static const SiDecoderRoutine *routine;
static bool events;

static size_t
decode_hex(char *digits)
{
	size_t		len = strlen(digits) / 2;
	unsigned int byte;
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (sscanf(digits + 2 * i, "%2x", &byte) != 1)
			exit(2);
		digits[i] = (char) byte;
	}
	return len;
}

static int
cut_path(char *path)
{
	char	   *save;
	char	   *step;
	int			n = 0;

	for (step = strtok_r(path, "/", &save); step != NULL && n < MAX_STEPS;
		 step = strtok_r(NULL, "/", &save))
	{
		bool		element = isdigit((unsigned char) *step);

		kept.steps[n].key = element ? NULL : step;
		kept.steps[n].key_len = element ? 0 : strlen(step);
		kept.steps[n].index = element ? atoi(step) : 0;
		n++;
	}
	return n;
}

/* Make the decoder; false with *error filled if the schema is bad. */
static bool
make_decoder(const char *schema, const char *path, const char *message, SiDecodeError *error)
{
	si_decoder_destroy(kept.decoder);
	free(kept.schema);
	free(kept.path);
	free(kept.message);
	memset(&kept, 0, sizeof(kept));
	kept.schema = strdup(schema);
	kept.path = strdup(path);
	kept.message = strdup(message);
	kept.options.schema = kept.schema;
	kept.options.message = *message != '\0' ? kept.message : NULL;
	kept.options.envelope = events ? SI_ENVELOPE_DEBEZIUM : SI_ENVELOPE_NONE;
	kept.options.ignore_truncate = true;
	if (!routine->check(&kept.options, error))
		return false;
	kept.fields[1].nsteps = cut_path(kept.path);
	kept.fields[1].steps = kept.steps;
	kept.plan.nfields = 2;
	kept.plan.fields = kept.fields;
	kept.plan.rest_field = -1;
	kept.decoder = si_decoder_create(routine->format, &kept.plan, &kept.options);
	return kept.decoder != NULL;
}

static void
print_value(const SiValue *value)
{
	SiTextBuffer out = {0};

	if (value->kind == SI_VALUE_ABSENT)
	{
		printf("absent");
		return;
	}
	si_text_append_value(&out, value);
	printf("%.*s", (int) out.len, out.data);
	si_text_free(&out);
}

static void
dump(const char *schema, char *message, const char *path, const char *name)
{
	static char last_path[4096];
	SiArena    *arena = si_arena_create();
	size_t		len = decode_hex(message);
	char	   *exact = malloc(len > 0 ? len : 1);
	SiMessage	m = {.value = exact,.value_len = len};
	SiRecord	record;
	SiDecodeError error;

	memcpy(exact, message, len);
	if ((kept.schema == NULL || kept.decoder == NULL || strcmp(kept.schema, schema) != 0 || strcmp(last_path, path) != 0 ||
		 strcmp(kept.message, name) != 0) &&
		!make_decoder(schema, path, name, &error))
		printf("! schema %s %s", error.sqlstate, error.message);
	else if (!si_decoder_decode(kept.decoder, &m, arena, &record, &error))
		printf("! %s %s", error.sqlstate, error.message);
	else
	{
		static const char *const operations[] = {
			[SI_OP_WRITE] = "write",[SI_OP_DELETE] = "delete",[SI_OP_IGNORE] = "ignore"
		};

		if (events)
			printf("%s\t", operations[record.op]);
		print_value(&record.fields[0]);
		printf("\t");
		print_value(&record.fields[1]);
	}
	printf("\n");
	snprintf(last_path, sizeof(last_path), "%s", path);
	free(exact);
	si_arena_destroy(arena);
}

/* A message of a schema, and those within it. */
static void
print_message(const SiProtoMessage *message)
{
	const SiProtoField *field;
	const SiProtoMessage *nested;
	int			i;

	printf("message %s%s%d{", message->name.data, message->map_entry ? " entry " : " ",
		   message->meaning);
	for (field = message->first; field != NULL; field = field->next)
	{
		printf("%s %d kind %d%s%s%s oneof %d", field->name.data, field->number, field->kind,
			   field->repeated ? " repeated" : "", field->map ? " map" : "",
			   field->presence ? " presence" : "", field->oneof);
		if (field->message != NULL)
			printf(" %s", field->message->name.data);
		for (i = 0; field->values != NULL && i < field->values->n; i++)
			printf(" %s %d", field->values->symbols[i].name.data, field->values->symbols[i].number);
		printf(";");
	}
	for (nested = message->first_nested; nested != NULL; nested = nested->next)
		print_message(nested);
	printf("}");
}

static void
print_schema(const char *given)
{
	SiSchemaTexts texts = {1, &given};
	SiDecodeError error;
	SiProtoSchema *schema = si_proto_schema_parse(&texts, &error);
	const SiProtoMessage *message = schema != NULL ? si_proto_schema_first(schema) : NULL;

	if (schema == NULL)
		printf("! %s %s %s", error.sqlstate, error.message, error.detail);
	for (; message != NULL; message = message->next)
		print_message(message);
	printf("\n");
	si_proto_schema_free(schema);
}

/* Cut a line at a tab; what follows it, or NULL. */
static char *
cut(char *line)
{
	char	   *tab = line == NULL ? NULL : strchr(line, '\t');

	if (tab == NULL)
		return NULL;
	*tab = '\0';
	return tab + 1;
}

int
main(int argc, char **argv)
{
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;

	if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--events") != 0))
		return 2;
	events = argc == 3;
	routine = si_decoder_find(argv[1]);
	if (routine == NULL && strcmp(argv[1], "--schema") != 0)
		return 2;
	while ((len = getline(&line, &size, stdin)) > 0)
	{
		char	   *message;
		char	   *path;
		char	   *name;

		line[len - 1] = '\0';
		if (routine == NULL)
		{
			print_schema(line);
			continue;
		}
		message = cut(line);
		path = cut(message);
		name = cut(path);
		if (path == NULL)
			return 2;
		dump(line, message, path, name != NULL ? name : "");
	}
	si_decoder_destroy(kept.decoder);
	free(kept.schema);
	free(kept.path);
	free(kept.message);
	free(line);
	return 0;
}
