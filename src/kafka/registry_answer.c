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

#include "kafka/registry_answer.h"

/* How Confluent's API says that it has no such schema, and no such subject or version. */
#define ERROR_NO_SCHEMA		40403
#define ERROR_FIRST_NONE	40401
#define ERROR_LAST_NONE		40407

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

void
si_registry_set_part_unusable(SiRegistryAnswer *answer, SiRegistryPart part,
							  const char *sqlstate, const char *what)
{
	char		words[96];

	snprintf(words, sizeof(words), "%s%s",
			 part == SI_REGISTRY_REFERRED ? "refers to one that " : "", what);
	si_registry_set_unusable(answer, sqlstate, words);
}

static void
set_unknown(SiRegistryAnswer *answer, SiRegistryPart part)
{
	answer->outcome = SI_REGISTRY_UNKNOWN;
	set_error(answer, "42704", part == SI_REGISTRY_OWN ? "is not in the schema registry" :
			  "refers to one that is not in the schema registry");
}

void
si_registry_document_free(SiRegistryDocument *document)
{
	free(document->text);
	json_decref(document->references);
}

static json_t *
load_body(const SiHttpAnswer *http)
{
	return json_loadb(http->body, http->body_len, 0, NULL);
}

/* Keep a copy of a schema's text, which must not have a NUL. */
static void
set_found(SiRegistryAnswer *answer, SiRegistryPart part, SiRegistryDocument *document,
		  const char *text, size_t len)
{
	if (len > SI_REGISTRY_MAX_SCHEMA)
	{
		si_registry_set_part_unusable(answer, part, "54000", "is too large");
		return;
	}
	document->text = malloc(len + 1);
	if (document->text == NULL)
	{
		si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "out of memory");
		return;
	}
	memcpy(document->text, text, len);
	document->text[len] = '\0';
	document->len = len;
	answer->outcome = SI_REGISTRY_FOUND;
}

/* Confluent's API: the schema is a string in a document. */
static void
read_confluent_schema(const SiHttpAnswer *http, const char *type, SiRegistryPart part,
					  SiRegistryDocument *document, SiRegistryAnswer *answer)
{
	json_t	   *json = load_body(http);
	json_t	   *schema = json_object_get(json, "schema");
	json_t	   *references = json_object_get(json, "references");
	const char *given = json_string_value(json_object_get(json, "schemaType"));

	if (!json_is_string(schema))
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "the answer is no schema");
	else if (strcmp(given != NULL ? given : "AVRO", type) != 0)
		si_registry_set_part_unusable(answer, part, "42P17",
									  "is of another type than the format");
	else
	{
		set_found(answer, part, document, json_string_value(schema), json_string_length(schema));
		if (json_is_array(references))
			document->references = json_incref(references);
	}
	json_decref(json);
}

/* Apicurio's API: the schema is the document. */
static void
read_apicurio_schema(const SiHttpAnswer *http, SiRegistryPart part,
					 SiRegistryDocument *document, SiRegistryAnswer *answer)
{
	bool		page = http->content_type != NULL && strstr(http->content_type, "html") != NULL;

	if (page || http->body_len == 0 || memchr(http->body, '\0', http->body_len) != NULL)
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "the answer is no schema");
	else
		set_found(answer, part, document, http->body, http->body_len);
}

static void
read_list(const SiHttpAnswer *http, SiRegistryDocument *document, SiRegistryAnswer *answer)
{
	document->references = load_body(http);
	if (json_is_array(document->references))
		answer->outcome = SI_REGISTRY_FOUND;
	else
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "the answer is no list of references");
}

/* Read an answer that the registry gives without an error. */
static void
read_document(const SiHttpAnswer *http, bool apicurio, const char *type, SiRegistryPart part,
			  SiRegistryDocument *document, SiRegistryAnswer *answer)
{
	if (part == SI_REGISTRY_LIST)
		read_list(http, document, answer);
	else if (apicurio)
		read_apicurio_schema(http, part, document, answer);
	else
		read_confluent_schema(http, type, part, document, answer);
}

/* Is it the registry that says so, and not a server without such a path? */
static bool
says_unknown(const SiHttpAnswer *http, bool apicurio, SiRegistryPart part)
{
	json_t	   *document = load_body(http);
	const char *name = json_string_value(json_object_get(document, "name"));
	json_int_t	code = json_integer_value(json_object_get(document, "error_code"));
	bool		unknown;

	if (apicurio)
		unknown = name != NULL && strcmp(name, "NotFoundException") != 0 &&
			strstr(name, "NotFoundException") != NULL;
	else if (part == SI_REGISTRY_OWN)
		unknown = code == ERROR_NO_SCHEMA;
	else
		unknown = code >= ERROR_FIRST_NONE && code <= ERROR_LAST_NONE;
	json_decref(document);
	return unknown;
}

void
si_registry_read_answer(const SiHttpAnswer *http, bool apicurio, const char *type,
						SiRegistryPart part, SiRegistryDocument *document,
						SiRegistryAnswer *answer)
{
	document->received = http->body_len;
	if (http->status == 200)
		read_document(http, apicurio, type, part, document, answer);
	else if (http->status == 404 && says_unknown(http, apicurio, part))
		set_unknown(answer, part);
	else if (http->status == 404 && part == SI_REGISTRY_LIST)
		answer->outcome = SI_REGISTRY_FOUND;	/* an API of before references */
	else if (http->status == 401 || http->status == 403)
		si_registry_set_outcome(answer, SI_REGISTRY_REFUSED, "HTTP status %ld", http->status);
	else if (si_http_is_passing(http->status))
	{
		si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "HTTP status %ld", http->status);
		answer->retry_after_s = (int) http->retry_after_s;
	}
	else
		si_registry_set_outcome(answer, SI_REGISTRY_NONE, "HTTP status %ld", http->status);
}
