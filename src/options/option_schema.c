/*-------------------------------------------------------------------------
 *
 * option_schema.c
 *	  The options "schema" and "schemas": a schema as a JSON document, or as a
 *	  text, of all messages or by its id.
 *
 * A document is kept as its text.  What a schema must be is the format's to say
 * (apply/format).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "options/option_types.h"

/* A schema's text, or an error that refuses the option's whole value. */
static char *
schema_text(const SiOption *option, json_t *schema, json_t *value)
{
	char	   *given = si_document_string(schema);

	if (json_is_object(schema) || json_is_array(schema))
		given = si_document_text(schema);
	if (given == NULL || strlen(given) < option->min || strlen(given) > option->max)
		si_option_refuse(option, value, NULL);
	return given;
}

static void
parse_schema(const SiOption *option, json_t *value, SiOptions *options)
{
	SI_OPTION_MEMBER(options, option, char *) = schema_text(option, value, value);
}

static const char *
describe_schema(const SiOption *option)
{
	return psprintf("JSON documents and strings of " INT64_FORMAT " to " INT64_FORMAT " bytes",
					option->min, option->max);
}

const SiOptionType si_option_schema = {parse_schema, si_option_show_text, describe_schema};

/* ---- schemas by their ids ---- */

static void
parse_schemas(const SiOption *option, json_t *value, SiOptions *options)
{
	SiGivenSchema *schemas;
	const char *key;
	json_t	   *schema;
	int			n = 0;

	if (json_object_size(value) == 0)
		si_option_refuse(option, value, NULL);
	schemas = palloc0(sizeof(SiGivenSchema) * json_object_size(value));
	json_object_foreach(value, key, schema)
	{
		if (!si_schema_id_parse(key, &schemas[n].id))
			si_option_refuse(option, value, "A schema's id is a number or a GUID.");
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			if (si_schema_id_matches(&schemas[i].id, &schemas[n].id))
				si_option_refuse(option, value, "An id appears twice.");
		}
		schemas[n++].text = schema_text(option, schema, value);
	}
	options->nschemas = n;
	SI_OPTION_MEMBER(options, option, SiGivenSchema *) = schemas;
}

static json_t *
show_schemas(const SiOption *option, const SiOptions *options)
{
	SiDocument *object;
	char		id[SI_SCHEMA_ID_ROOM];

	if (options->nschemas == 0)
		return json_null();
	object = si_document_make();
	object->json = si_document_require(json_pack("{}"));
	for (int i = 0; i < options->nschemas; i++)
	{
		si_schema_id_text(&options->schemas[i].id, id);
		if (json_object_set_new(object->json, id,
								si_document_from_string(options->schemas[i].text)) != 0)
			(void) si_document_require(NULL);
	}
	return si_document_take(object);
}

static const char *
describe_schemas(const SiOption *option)
{
	return "JSON objects that have schemas by their ids";
}

const SiOptionType si_option_schemas = {parse_schemas, show_schemas, describe_schemas};
