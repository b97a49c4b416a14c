/*-------------------------------------------------------------------------
 *
 * decode_key.c
 *	  Keys that are one value, such as Kafka's own serializers write.
 *
 * Takes the place of a format's decode_key where the option "key_format" is
 * not "json" (decoder.c).  Only a wanted field without steps gets something:
 * such a key has no fields.  A null key is a NULL.  Pure, as all decoders.
 *
 * The bytes are those of Kafka's clients (org.apache.kafka.common.serialization:
 * ShortSerializer, IntegerSerializer, LongSerializer, DoubleSerializer), and
 * for a UUID the text of UUIDSerializer or 16 bytes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "common/uuid_text.h"
#include "format/decoder.h"
#include "format/json_scan.h"

typedef struct KeyDecoder
{
	const SiDecodePlan *plan;
} KeyDecoder;

/* The sizes of those that have one. */
static const struct
{
	const char *called;
	size_t		size;
}			fixed[] = {
	[SI_KEY_INT16] = {"int16", 2},
	[SI_KEY_INT32] = {"int32", 4},
	[SI_KEY_INT64] = {"int64", 8},
	[SI_KEY_FLOAT64] = {"float64", 8},
};

static void *
key_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	KeyDecoder *decoder = calloc(1, sizeof(KeyDecoder));

	if (decoder != NULL)
		decoder->plan = plan;
	return decoder;
}

/* A big-endian number, sign-extended. */
static int64_t
read_integer(const char *data, size_t len)
{
	uint64_t	bits = (data[0] & 0x80) != 0 ? UINT64_MAX : 0;

	for (size_t i = 0; i < len; i++)
		bits = (bits << 8) | (unsigned char) data[i];
	return (int64_t) bits;
}

static bool
read_number(SiKeyFormat format, const SiMessage *message, SiValue *value, SiDecodeError *error)
{
	int64_t		bits;

	if (message->key_len != fixed[format].size)
		return si_decoder_fail(error, "22P03", "message key: %zu bytes are no %s, which has %zu",
							   message->key_len, fixed[format].called, fixed[format].size);
	bits = read_integer(message->key, message->key_len);
	if (format == SI_KEY_FLOAT64)
	{
		value->kind = SI_VALUE_REAL;
		memcpy(&value->real, &bits, sizeof(double));
	}
	else
	{
		value->kind = SI_VALUE_INTEGER;
		value->integer = bits;
	}
	return true;
}

/* A uuid becomes its text. */
static bool
read_uuid(const SiMessage *message, SiArena *arena, SiValue *value, SiDecodeError *error)
{
	unsigned char bytes[SI_UUID_BYTES];
	char	   *out;

	value->kind = SI_VALUE_STRING;
	value->len = SI_UUID_TEXT;
	value->data = message->key;
	if (message->key_len == SI_UUID_TEXT && si_uuid_read(message->key, bytes))
		return true;
	if (message->key_len != SI_UUID_BYTES)
		return si_decoder_fail(error, "22P03", "message key: %zu bytes are no uuid, which has 16, or 36 as text",
							   message->key_len);
	out = si_arena_alloc(arena, SI_UUID_TEXT);
	if (out == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	si_uuid_write(message->key, out);
	value->data = out;
	return true;
}

static bool
read_key(SiKeyFormat format, const SiMessage *message, SiArena *arena, SiValue *value,
		 SiDecodeError *error)
{
	memset(value, 0, sizeof(SiValue));
	value->kind = SI_VALUE_NULL;
	if (message->key == NULL)
		return true;
	if (format == SI_KEY_UUID)
		return read_uuid(message, arena, value, error);
	if (SI_KEY_IS_TYPED(format))
		return read_number(format, message, value, error);

	value->kind = format == SI_KEY_TEXT ? SI_VALUE_STRING : SI_VALUE_BYTES;
	value->data = message->key;
	value->len = message->key_len;
	if (format == SI_KEY_TEXT && (memchr(message->key, '\0', message->key_len) != NULL ||
								  !si_json_is_utf8(message->key, message->key_len)))
		return si_decoder_fail(error, "22021", "message key: it is no text in UTF-8");
	return true;
}

static bool
key_decode_key(void *state, const SiMessage *message, SiArena *arena, SiRecord *record,
			   SiDecodeError *error)
{
	const SiDecodePlan *plan = ((KeyDecoder *) state)->plan;
	SiValue		value;

	if (!read_key(plan->key_format, message, arena, &value, error))
		return false;
	for (int i = 0; i < plan->nfields; i++)
	{
		if (i != plan->rest_field && plan->fields[i].of_key && plan->fields[i].nsteps == 0)
			record->fields[i] = value;
	}
	return true;
}

static void
key_destroy(void *state)
{
	free(state);
}

const SiDecoderRoutine si_decoder_key = {
	.create = key_create,
	.destroy = key_destroy,
	.decode_key = key_decode_key
};
