/*-------------------------------------------------------------------------
 *
 * decode_raw.c
 *	  Messages whose value is nothing but bytes.
 *
 * The value as a whole is a field, and the field that has the name of the one
 * column which is to take it.  All other fields are absent.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"

typedef struct RawDecoder
{
	const SiDecodePlan *plan;
	const char *name;			/* of the value as a field; NULL for none */
} RawDecoder;

static void *
raw_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	RawDecoder *decoder = calloc(1, sizeof(RawDecoder));

	if (decoder == NULL)
		return NULL;
	decoder->plan = plan;
	if (options != NULL && options->ncolumns == 1)
		decoder->name = options->columns[0];
	return decoder;
}

static bool
is_value(const RawDecoder *decoder, const SiWantedField *wanted)
{
	const SiPathStep *step = wanted->steps;

	if (wanted->of_key || wanted->nsteps == 0)
		return !wanted->of_key;
	return wanted->nsteps == 1 && step->key != NULL &&
		decoder->name != NULL && step->key_len == strlen(decoder->name) &&
		memcmp(step->key, decoder->name, step->key_len) == 0;
}

static bool
raw_decode(void *state, const SiMessage *message, SiArena *arena,
		   SiRecord *record, SiDecodeError *error)
{
	const RawDecoder *decoder = state;
	int			i;

	for (i = 0; i < decoder->plan->nfields; i++)
	{
		SiValue    *value = &record->fields[i];

		if (i == decoder->plan->rest_field ||
			!is_value(decoder, &decoder->plan->fields[i]))
			continue;
		value->kind = SI_VALUE_BYTES;
		value->data = message->value;
		value->len = message->value_len;
	}
	return true;
}

static void
raw_destroy(void *state)
{
	free(state);
}

const SiDecoderRoutine si_decoder_raw = {
	.format = "raw",
	.called = "raw",
	.fields = SI_FIELDS_ONE,
	.value = SI_WHOLE_BYTES,
	.create = raw_create,
	.decode = raw_decode,
	.destroy = raw_destroy
};
