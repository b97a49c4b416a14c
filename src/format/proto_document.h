/*-------------------------------------------------------------------------
 *
 * proto_document.h
 *	  Protobuf values as JSON text.
 *
 * Messages and maps are objects, with the names that the schema has; a field with
 * presence that a message lacks is left out, any other is its zero.  Bytes are in
 * bytea's hex form, and what is typed is written as in value_text.  Of equal keys
 * of a map all are written: the reader of the text takes the last.
 *
 * Pure C, no server.  Called by decode_protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_DOCUMENT_H
#define SI_PROTO_DOCUMENT_H

#include "format/proto_read.h"
#include "format/value_text.h"

/* The text of a map's key. */
typedef struct SiProtoKey
{
	const char *data;
	size_t		len;
	char		made[SI_VALUE_TEXT_ROOM];
} SiProtoKey;

/* Append a message; false with the reader's fault set. */
extern bool si_proto_write_message(SiProtoReader *reader, const SiProtoMessage *type,
								   const SiProtoValue *value, SiTextBuffer *out);

/* Append the values of a field: a list or a map where it is repeated. */
extern bool si_proto_write_field(SiProtoReader *reader, const SiProtoField *field,
								 const SiProtoValue *value, SiTextBuffer *out);

/* The key of a map's entry whose fields were collected. */
extern bool si_proto_get_key(SiProtoReader *reader, const SiProtoFields *entry, SiProtoKey *key);

#endif							/* SI_PROTO_DOCUMENT_H */
