/*-------------------------------------------------------------------------
 *
 * avro_dump.c
 *	  Avro messages as the decoder reads them, for test/avro_cases.py.
 *
 * A line of the input is a schema, a message in hexadecimal and a path, apart
 * by tabs; a path is a member's name or an element's number at a time, each with
 * a slash before it.  A line of the output is the whole value as JSON, a tab,
 * and the value at the path; where the message is bad it is "!", the SQLSTATE
 * and the error.  Of a schema that is bad "schema" stands in between.
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
#include "format/value_text.h"

#define MAX_STEPS	16

/* The decoder of the schema and path of the line before, if it has the same. */
typedef struct Kept
{
	char	   *schema;
	char	   *path;
	SiWantedField fields[2];
	SiPathStep	steps[MAX_STEPS];
	SiDecodePlan plan;
	SiFormatOptions options;
	SiDecoder  *decoder;
} Kept;

static Kept kept;

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
make_decoder(const char *schema, const char *path, SiDecodeError *error)
{
	si_decoder_destroy(kept.decoder);
	free(kept.schema);
	free(kept.path);
	memset(&kept, 0, sizeof(kept));
	kept.schema = strdup(schema);
	kept.path = strdup(path);
	kept.options.schema = kept.schema;
	if (!si_decoder_avro.check(&kept.options, error))
		return false;
	kept.fields[1].nsteps = cut_path(kept.path);
	kept.fields[1].steps = kept.steps;
	kept.plan.nfields = 2;
	kept.plan.fields = kept.fields;
	kept.plan.rest_field = -1;
	kept.decoder = si_decoder_create("avro", &kept.plan, &kept.options);
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
dump(const char *schema, char *message, const char *path)
{
	static char last_path[4096];
	SiArena    *arena = si_arena_create();
	size_t		len = decode_hex(message);
	char	   *exact = malloc(len > 0 ? len : 1);
	SiMessage	m = {.value = exact,.value_len = len};
	SiRecord	record;
	SiDecodeError error;

	memcpy(exact, message, len);
	if ((kept.schema == NULL || kept.decoder == NULL || strcmp(kept.schema, schema) != 0 || strcmp(last_path, path) != 0) &&
		!make_decoder(schema, path, &error))
		printf("! schema %s %s", error.sqlstate, error.message);
	else if (!si_decoder_decode(kept.decoder, &m, arena, &record, &error))
		printf("! %s %s", error.sqlstate, error.message);
	else
	{
		print_value(&record.fields[0]);
		printf("\t");
		print_value(&record.fields[1]);
	}
	printf("\n");
	snprintf(last_path, sizeof(last_path), "%s", path);
	free(exact);
	si_arena_destroy(arena);
}

int
main(void)
{
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;

	while ((len = getline(&line, &size, stdin)) > 0)
	{
		char	   *message = strchr(line, '\t');
		char	   *path = message == NULL ? NULL : strchr(message + 1, '\t');

		if (path == NULL)
			return 2;
		line[len - 1] = '\0';
		*message++ = '\0';
		*path++ = '\0';
		dump(line, message, path);
	}
	si_decoder_destroy(kept.decoder);
	free(kept.schema);
	free(kept.path);
	free(line);
	return 0;
}
