/*-------------------------------------------------------------------------
 *
 * proto_frame.h
 *	  Which message of its schema a Protobuf payload is.
 *
 * A schema has many messages, so serializers that work with a schema registry say
 * which one follows: Confluent's by indexes, Apicurio's by name.
 *
 * Pure C, no server.  A frame is a stranger's bytes.  Called by decode_protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_FRAME_H
#define SI_PROTO_FRAME_H

#include "format/proto_schema.h"
#include "format/schema_id.h"

/* Does a frame of this wire format say it? */
extern bool si_proto_frame_names(SiWireFormat format);

/*
 * Find the message that a frame names, and take the bytes that name it off the
 * payload.  Where named is not NULL, it is that one whatever the frame says.  NULL
 * with *error filled: 22P03 for a frame that is wrong, 42704 if the schema has no such
 * message, 22023 if the frame names none and the schema has several.
 */
extern const SiProtoMessage *si_proto_frame_read(SiFrame *frame, const SiProtoSchema *schema,
												 const SiProtoMessage *named,
												 SiDecodeError *error);

/*
 * Set frame->naming to the bytes that name the message, which are taken off the payload
 * if they are there; it stays NULL where they are cut or wrong, or there are none.
 */
extern void si_proto_frame_find_naming(SiFrame *frame);

#endif							/* SI_PROTO_FRAME_H */
