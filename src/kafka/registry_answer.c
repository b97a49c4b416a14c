/*-------------------------------------------------------------------------
 *
 * registry_answer.c
 *	  What a schema registry's HTTP answer means.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "kafka/registry_answer.h"

/* A registry may wish no longer than this. */
#define MAX_RETRY_AFTER_S	60

/* How Confluent's API says that it has no such schema. */
#define ERROR_NO_SCHEMA		40403

void
si_registry_set_outcome(SiRegistryAnswer *answer, SiRegistryOutcome outcome,
						const char *format,...)
{
	va_list		arguments;

	answer->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(answer->words, sizeof(answer->words), format, arguments);
	va_end(arguments);
}

/* What messages with the schema's id are refused with; the id goes before what. */
static void
set_error(SiRegistryAnswer *answer, const char *sqlstate, const char *what)
{
	char		id[SI_SCHEMA_ID_ROOM];

	memset(&answer->error, 0, sizeof(answer->error));
	snprintf(answer->error.sqlstate, sizeof(answer->error.sqlstate), "%s", sqlstate);
	si_schema_id_text(&answer->id, id);
	snprintf(answer->error.message, sizeof(answer->error.message), "schema %s %s", id, what);
}

void
si_registry_set_unusable(SiRegistryAnswer *answer, const char *sqlstate, const char *what)
{
	char		words[96];

	answer->outcome = SI_REGISTRY_UNUSABLE;
	snprintf(words, sizeof(words), "of the schema registry %s", what);
	set_error(answer, sqlstate, words);
}

static void
set_unknown(SiRegistryAnswer *answer)
{
	answer->outcome = SI_REGISTRY_UNKNOWN;
	set_error(answer, "42704", "is not in the schema registry");
}

static json_t *
load_body(const SiHttpAnswer *http)
{
	return json_loadb(http->body, http->body_len, 0, NULL);
}

/* Keep a copy of the schema's text, which must not have a NUL. */
static void
set_found(SiRegistryAnswer *answer, const char *text, size_t len)
{
	const char **texts;
	char	   *copy;

	if (len > SI_REGISTRY_MAX_SCHEMA)
	{
		si_registry_set_unusable(answer, "54000", "is too large");
		return;
	}
	answer->texts = malloc(sizeof(SiSchemaTexts) + sizeof(char *) + len + 1);
	if (answer->texts == NULL)
	{
		si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "out of memory");
		return;
	}
	texts = (const char **) (answer->texts + 1);
	copy = (char *) (texts + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	texts[0] = copy;
	answer->texts->n = 1;
	answer->texts->texts = texts;
	answer->outcome = SI_REGISTRY_FOUND;
}

/* Confluent's API: the schema is a string in a document. */
static void
read_confluent_schema(const SiHttpAnswer *http, const char *type, SiRegistryAnswer *answer)
{
	json_t	   *document = load_body(http);
	json_t	   *schema = json_object_get(document, "schema");
	const char *given = json_string_value(json_object_get(document, "schemaType"));

	if (!json_is_string(schema))
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "the answer is no schema");
	else if (strcmp(given != NULL ? given : "AVRO", type) != 0)
		si_registry_set_unusable(answer, "42P17", "is of another type than the format");
	else if (json_array_size(json_object_get(document, "references")) > 0)
		si_registry_set_unusable(answer, "0A000", "refers to other schemas, which is not supported");
	else
		set_found(answer, json_string_value(schema), json_string_length(schema));
	json_decref(document);
}

/* Apicurio's API: the schema is the document. */
static void
read_apicurio_schema(const SiHttpAnswer *http, const char *type, SiRegistryAnswer *answer)
{
	bool		page = http->content_type != NULL && strstr(http->content_type, "html") != NULL;

	if (page || http->body_len == 0 || memchr(http->body, '\0', http->body_len) != NULL)
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "the answer is no schema");
	else
		set_found(answer, http->body, http->body_len);
}

/* Is it the registry that says so, and not a server without such a path? */
static bool
says_unknown(const SiHttpAnswer *http, bool apicurio)
{
	json_t	   *document = load_body(http);
	const char *name = json_string_value(json_object_get(document, "name"));
	bool		unknown;

	if (apicurio)
		unknown = name != NULL && strcmp(name, "NotFoundException") != 0 &&
			strstr(name, "NotFoundException") != NULL;
	else
		unknown = json_integer_value(json_object_get(document, "error_code")) == ERROR_NO_SCHEMA;
	json_decref(document);
	return unknown;
}

static bool
is_passing(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

void
si_registry_read_answer(const SiHttpAnswer *http, bool apicurio, const char *type,
						SiRegistryAnswer *answer)
{
	if (http->status == 200)
	{
		if (apicurio)
			read_apicurio_schema(http, type, answer);
		else
			read_confluent_schema(http, type, answer);
	}
	else if (http->status == 404 && says_unknown(http, apicurio))
		set_unknown(answer);
	else if (http->status == 401 || http->status == 403)
		si_registry_set_outcome(answer, SI_REGISTRY_REFUSED, "HTTP status %ld", http->status);
	else if (is_passing(http->status))
	{
		si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "HTTP status %ld", http->status);
		if (http->retry_after_s > 0)
			answer->retry_after_s = http->retry_after_s < MAX_RETRY_AFTER_S ?
				(int) http->retry_after_s : MAX_RETRY_AFTER_S;
	}
	else
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "HTTP status %ld", http->status);
}
