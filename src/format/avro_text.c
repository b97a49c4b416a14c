/*-------------------------------------------------------------------------
 *
 * avro_text.c
 *	  The text of an Avro schema as JSON.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <string.h>

#include "format/avro_text.h"
#include "format/decoder.h"
#include "format/json_verdict.h"

static bool
is_bare_name(const char *text, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if (!isalpha((unsigned char) text[i]))
			return false;
	}
	return len > 0;
}

json_t *
si_avro_text_load(const char *text, SiDecodeError *error)
{
	size_t		len = strlen(text);
	json_error_t verdict;
	json_t	   *json;
	bool		no_memory;

	if (len > SI_AVRO_MAX_TEXT)
	{
		si_decoder_fail(error, "54000", "invalid Avro schema: it is too long");
		return NULL;
	}
	json = si_json_load(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &verdict, &no_memory);
	if (json == NULL && !no_memory && !is_bare_name(text, len))
	{
		si_decoder_fail(error, "42P17", "invalid Avro schema: no valid JSON at line %d, column %d",
						verdict.line, verdict.column > 0 ? verdict.column : 1);
		return NULL;
	}
	if (json == NULL && !no_memory)
		json = json_stringn(text, len);
	if (json == NULL)
		si_decoder_fail(error, "53200", "out of memory");
	return json;
}
