/*-------------------------------------------------------------------------
 *
 * shown_text.c
 *	  Keys and values of messages as texts for a human.
 *
 * A message is shown as it is: an envelope stays around it, and several records
 * are one text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "apply/format.h"
#include "apply/schemas.h"
#include "common/bytes.h"
#include "common/failure.h"
#include "common/words.h"
#include "format/schema_store.h"
#include "format/transcode.h"
#include "format/value_text.h"
#include "functions/shown_text.h"

/* What decodes a part of messages. */
typedef struct Part
{
	SiDecodePlan plan;			/* all of it */
	SiDecoder  *decoder;		/* malloc's; NULL: it is a text as it came */
} Part;

struct SiShownText
{
	const char *format;
	const char *server;
	SiFormatOptions options;
	Part		value;
	Part		key;
	SiTranscoder *transcoder;	/* of texts as they came; NULL: they are in
								 * UTF-8 */
	SiArena    *arena;			/* malloc's, as is the store */
	SiSchemaStore *store;
	MemoryContextCallback callback;
	bool		told;			/* was a notice given? */
};

static const SiWantedField whole_value = {false, 0, NULL};
static const SiWantedField whole_key = {true, 0, NULL};

/* ---- decoders ---- */

static void
free_decoders(void *arg)
{
	SiShownText *shown = arg;

	si_decoder_destroy(shown->value.decoder);
	si_decoder_destroy(shown->key.decoder);
	si_arena_destroy(shown->arena);
	si_schema_store_free(shown->store);
}

static void
make_decoder(SiShownText *shown, Part *part, const SiWantedField *field, SiKeyFormat key_format)
{
	part->plan.nfields = 1;
	part->plan.fields = field;
	part->plan.rest_field = -1;
	part->plan.key_format = key_format;
	part->decoder = si_decoder_create(shown->format, &part->plan, &shown->options);
	if (part->decoder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

SiShownText *
si_shown_text_create(const char *format, const char *server, const SiOptions *options)
{
	SiShownText *shown = palloc0(sizeof(SiShownText));

	shown->format = format;
	shown->server = server;
	shown->callback.func = free_decoders;
	shown->callback.arg = shown;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &shown->callback);

	options = si_format_settle(format, options);
	shown->store = si_schemas_create_store(format, server, GetUserId());
	si_format_options(format, NULL, NULL, options, shown->store, &shown->options);
	shown->options.envelope = SI_ENVELOPE_NONE;
	shown->options.ndeleted = 0;
	shown->options.records = NULL;
	shown->transcoder = si_transcode_create(options->encoding);
	shown->arena = si_arena_create();
	if (shown->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (si_decoder_find(format)->value == SI_WHOLE_DECODED ||
		shown->options.wire_format > SI_WIRE_NONE)
		make_decoder(shown, &shown->value, &whole_value, SI_KEY_JSON);
	if (options->key_format != SI_KEY_JSON)
		make_decoder(shown, &shown->key, &whole_key, options->key_format);
	return shown;
}

void
si_shown_text_await(SiShownText *shown, const SiMessage *messages, int n)
{
	if (shown->store != NULL)
		si_schemas_await_messages(&shown->options, messages, n, shown->format, shown->server,
								  GetUserId());
}

/* ---- texts ---- */

static char *
value_text(const SiValue *value)
{
	StringInfoData out;

	initStringInfo(&out);
	switch (value->kind)
	{
		case SI_VALUE_ABSENT:
		case SI_VALUE_NULL:
			return pstrdup("null");
		case SI_VALUE_TRUE:
			return pstrdup("true");
		case SI_VALUE_FALSE:
			return pstrdup("false");
		case SI_VALUE_BYTES:
			si_bytes_append_hex(&out, value->data, value->len);
			return out.data;
		default:
			break;
	}
	if (!si_value_is_typed(value))
		return si_bytes_to_text(value->data, value->len);
	enlargeStringInfo(&out, SI_VALUE_TEXT_ROOM);
	(void) si_value_text(value, out.data);
	return out.data;
}

static void
tell_failure(SiShownText *shown, const SiMessage *message, bool of_key, const SiDecodeError *error)
{
	si_failure_check_decode(error);
	if (shown->told)
		return;
	shown->told = true;
	ereport(NOTICE,
			(errmsg("the %s of the message at partition %d, offset %lld is shown as it came: %s",
					of_key ? "key" : "value", message->partition, (long long) message->offset,
					si_words_show(error->message, strlen(error->message)))));
}

/* NULL if it cannot be decoded. */
static char *
decode_part(SiShownText *shown, const Part *part, const SiMessage *message, bool of_key)
{
	SiMessage	alone = *message;
	SiRecord	record;
	SiDecodeError error;
	char	   *result = NULL;

	/* a message without a value is a key alone */
	if (of_key)
		alone.value = NULL;
	if (si_decoder_decode(part->decoder, &alone, shown->arena, &record, &error))
		result = value_text(&record.fields[0]);
	else
		tell_failure(shown, message, of_key, &error);
	si_arena_reset(shown->arena);
	return result;
}

char *
si_shown_text(SiShownText *shown, const SiMessage *message, bool of_key)
{
	const char *data = of_key ? message->key : message->value;
	size_t		len = of_key ? message->key_len : message->value_len;
	const Part *part = shown == NULL ? NULL : of_key ? &shown->key : &shown->value;
	const char *utf8 = data;
	size_t		utf8_len = len;
	SiDecodeError error;
	char	   *result = NULL;

	if (part != NULL && part->decoder != NULL)
		result = decode_part(shown, part, message, of_key);
	else if (part != NULL && shown->transcoder != NULL)
	{
		if (si_transcode_text(shown->transcoder, &utf8, &utf8_len, &error))
			result = si_bytes_to_text(utf8, utf8_len);
		else
			tell_failure(shown, message, of_key, &error);
	}
	return result != NULL ? result : si_bytes_to_text(data, len);
}
