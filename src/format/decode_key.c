/*-------------------------------------------------------------------------
 *
 * decode_key.c
 *	  Keys as Kafka's own serializers write them: one value without fields.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/decode_key.h"

#define UUID_BYTES	16

typedef struct KeyDecoder
{
	SiKeyFormat format;
	const SiDecodePlan *plan;
} KeyDecoder;

/* What messages call a format, and how many bytes it has; 0 for any number. */
static const struct
{
	const char *name;
	size_t		size;
}			key_formats[] = {
	[SI_KEY_INT16] = {"int16", 2},
	[SI_KEY_INT32] = {"int32", 4},
	[SI_KEY_INT64] = {"int64", 8},
	[SI_KEY_FLOAT64] = {"float64", 8},
	[SI_KEY_UUID] = {"uuid", 0},
	[SI_KEY_TEXT] = {"text", 0},
	[SI_KEY_BYTES] = {"bytes", 0}
};

static uint64_t
read_big_endian(const char *key, size_t len)
{
	uint64_t	result = 0;
	size_t		i;

	for (i = 0; i < len; i++)
		result = result << 8 | (unsigned char) key[i];
	return result;
}

static bool
is_hyphen_place(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static void
write_uuid(const char *bytes, char *text)
{
	static const char digits[] = "0123456789abcdef";
	int			i;

	for (i = 0; i < SI_KEY_ROOM; i++)
	{
		if (is_hyphen_place(i))
		{
			text[		i] = '-';

			continue;
		}
		text[		i++] = digits[(unsigned char) *bytes >> 4];
		text[		i] = digits[(unsigned char) *bytes++ & 15];
	}
}

/* Copy the text of a UUID in lower case; false if it is none. */
static bool
copy_uuid(const char *key, char *text)
{
	int			i;

	for (i = 0; i < SI_KEY_ROOM; i++)
	{
		char		c = key[i];

		if (c >= 'A' && c <= 'F')
			c += 'a' - 'A';
		if (is_hyphen_place(i) ? c != '-' :
			!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		text[		i] = c;
	}
	return true;
}

static bool
read_uuid(const char *key, size_t len, char *room, SiValue *value, SiDecodeError *error)
{
	value->kind = SI_VALUE_STRING;
	value->data = room;
	value->len = SI_KEY_ROOM;
	if (len == UUID_BYTES)
	{
		write_uuid(key, room);
		return true;
	}
	if (len == SI_KEY_ROOM && copy_uuid(key, room))
		return true;
	return si_decoder_fail(error, "22P03",
						   "message key: it is neither the 16 bytes nor the text of a UUID");
}

bool
si_key_read(SiKeyFormat format, const char *key, size_t len, char *room,
			SiValue *value, SiDecodeError *error)
{
	size_t		size = key_formats[format].size;
	uint64_t	bits;

	memset(value, 0, sizeof(SiValue));
	if (size != 0 && len != size)
		return si_decoder_fail(error, "22P03",
							   "message key: it has %zu bytes, and key_format %s has %zu",
							   len, key_formats[format].name, size);
	if (format == SI_KEY_UUID)
		return read_uuid(key, len, room, value, error);
	if (size == 0)
	{
		value->kind = SI_VALUE_BYTES;
		value->data = key;
		value->len = len;
		return true;
	}
	bits = read_big_endian(key, len);
	value->kind = SI_VALUE_INTEGER;
	if (format == SI_KEY_INT16)
		value->integer = (int16_t) bits;
	else if (format == SI_KEY_INT32)
		value->integer = (int32_t) bits;
	else if (format == SI_KEY_INT64)
		value->integer = (int64_t) bits;
	else
	{
		value->kind = SI_VALUE_REAL;
		memcpy(&value->real, &bits, sizeof(bits));
	}
	return true;
}

/* ---- the routine ---- */

static void *
key_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	KeyDecoder *decoder = calloc(1, sizeof(KeyDecoder));

	if (decoder == NULL)
		return NULL;
	decoder->format = options->key_format;
	decoder->plan = plan;
	return decoder;
}

/* Only the key as a whole is there; fields of it are ABSENT. */
static bool
key_decode_key(void *state, const SiMessage *message, SiArena *arena,
			   SiRecord *record, SiDecodeError *error)
{
	const KeyDecoder *decoder = state;
	const SiDecodePlan *plan = decoder->plan;
	char	   *room = si_arena_alloc(arena, SI_KEY_ROOM);
	SiValue		value;
	int			i;

	if (room == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	if (!si_key_read(decoder->format, message->key, message->key_len, room, &value, error))
		return false;
	for (i = 0; i < plan->nfields; i++)
	{
		if (i != plan->rest_field && plan->fields[i].of_key && plan->fields[i].nsteps == 0)
			record->fields[i] = value;
	}
	return true;
}

const SiDecoderRoutine si_decoder_key = {
	.format = "key",
	.called = "key",
	.create = key_create,
	.destroy = free,
	.decode_key = key_decode_key
};
