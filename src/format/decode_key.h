/*-------------------------------------------------------------------------
 *
 * decode_key.h
 *	  Keys as Kafka's own serializers write them: one value without fields.
 *
 * Integers and doubles are big-endian.  A UUID is 16 bytes, or its text.  Text
 * and bytes are handed over as they came.  Pure.  Called by decoder.c through
 * the routine, and by apply for "$key".
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DECODE_KEY_H
#define SI_DECODE_KEY_H

#include "format/decoder.h"

/* The text of a UUID, without a NUL byte. */
#define SI_KEY_ROOM		36

/*
 * Read a key that is not null.  *value may point into the key or into room,
 * which has SI_KEY_ROOM bytes.  False with *error filled (22P03) if the key
 * cannot be of this format, which must not be SI_KEY_JSON.
 */
extern bool si_key_read(SiKeyFormat format, const char *key, size_t len, char *room,
						SiValue *value, SiDecodeError *error);

/* Only create, destroy and decode_key are there: it decodes no values. */
extern const SiDecoderRoutine si_decoder_key;

#endif							/* SI_DECODE_KEY_H */
