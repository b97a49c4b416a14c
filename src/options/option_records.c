/*-------------------------------------------------------------------------
 *
 * option_records.c
 *	  The option "records": where the records of a message are that holds
 *	  several.
 *
 * A path is a text, or an array of names and indexes, of which the JSON text is
 * kept; what it must be otherwise is apply's to say (apply/mapping_source).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "options/option_types.h"

static void
parse_records(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = json_is_array(value) ? si_document_text(value) : si_document_string(value);

	if (given == NULL || strlen(given) < option->min || strlen(given) > option->max)
		si_option_refuse(option, value, NULL);
	SI_OPTION_MEMBER(options, option, char *) = given;
}

static const char *
describe_records(const SiOption *option)
{
	return psprintf("\"lines\", \"$\" and paths to an array, of at most " INT64_FORMAT " bytes",
					option->max);
}

const SiOptionType si_option_records = {parse_records, si_option_show_text, describe_records};
