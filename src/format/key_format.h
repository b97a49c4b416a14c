/*-------------------------------------------------------------------------
 *
 * key_format.h
 *	  What the keys of a topic's messages are (the option "key_format").
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_KEY_FORMAT_H
#define SI_KEY_FORMAT_H

typedef enum SiKeyFormat
{
	SI_KEY_JSON,				/* a document, or else a plain text; also a
								 * key that the message's format decodes */
	SI_KEY_TEXT,
	SI_KEY_BYTES,
	SI_KEY_INT16,				/* integers and float: big-endian, as Kafka's
								 * own serializers write them */
	SI_KEY_INT32,
	SI_KEY_INT64,
	SI_KEY_FLOAT64,
	SI_KEY_UUID,				/* 16 bytes, or the text */
	SI_KEY_AVRO,				/* Avro, with the id of a schema of its own */
	SI_KEY_PROTOBUF,			/* the same with Protobuf */
	SI_KEY_AUTO					/* what the format implies; only an option */
} SiKeyFormat;

/* Does such a key have to be decoded, or are its bytes the value? */
#define SI_KEY_IS_TYPED(key_format)	((key_format) >= SI_KEY_INT16)

/* Does such a key name its schema? */
#define SI_KEY_BY_ID(key_format)	((key_format) == SI_KEY_AVRO || (key_format) == SI_KEY_PROTOBUF)

/* Can such a key have fields? */
#define SI_KEY_HAS_FIELDS(key_format)	((key_format) == SI_KEY_JSON || SI_KEY_BY_ID(key_format))

#endif							/* SI_KEY_FORMAT_H */
