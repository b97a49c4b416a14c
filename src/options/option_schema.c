/*-------------------------------------------------------------------------
 *
 * option_schema.c
 *	  The option "schema": a schema as a JSON document, or as a text.
 *
 * A document is kept as its text.  What a schema must be is the format's to say
 * (apply/format).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "options/option_types.h"

static void
parse_schema(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);

	if (json_is_object(value) || json_is_array(value))
		given = si_document_text(value);
	if (given == NULL || strlen(given) < option->min || strlen(given) > option->max)
		si_option_refuse(option, value, NULL);
	SI_OPTION_MEMBER(options, option, char *) = given;
}

static json_t *
show_schema(const SiOption *option, const SiOptions *options)
{
	const char *given = SI_OPTION_CONST_MEMBER(options, option, char *);

	return given == NULL ? json_null() : si_document_from_string(given);
}

static const char *
describe_schema(const SiOption *option)
{
	return psprintf("JSON documents and strings of " INT64_FORMAT " to " INT64_FORMAT " bytes",
					option->min, option->max);
}

const SiOptionType si_option_schema = {parse_schema, show_schema, describe_schema};
