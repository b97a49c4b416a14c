/*-------------------------------------------------------------------------
 *
 * schema_id.h
 *	  Wire formats: how a message names the schema that it was written with.
 *
 * A serializer that works with a schema registry puts the schema's id before
 * the payload, or into a header.  A frame is what was read of it: the id, and
 * where the payload is.  For Protobuf, it also says which message of the schema the
 * payload is: behind the id, or in a header; see proto_frame.
 *
 * Pure C, no server.  Called by decoder, schema_store and the formats that have
 * schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_ID_H
#define SI_SCHEMA_ID_H

#include "common/message.h"
#include "common/record.h"
#include "common/schema_name.h"

typedef enum SiWireFormat
{
	SI_WIRE_DEFAULT,			/* not given: as SI_WIRE_NONE */
	SI_WIRE_NONE,				/* the payload alone */
	SI_WIRE_CONFLUENT,			/* 00 and 4 bytes of id */
	SI_WIRE_CONFLUENT_HEADER,	/* a header holds 01 and a GUID, or 00 and an
								 * id; without it, as SI_WIRE_CONFLUENT */
	SI_WIRE_APICURIO,			/* 00 and 8 bytes of id, or 4 */
	SI_WIRE_APICURIO_HEADER,	/* a header holds 8 bytes of id */
	SI_WIRE_GLUE				/* 03, 00 and a UUID */
} SiWireFormat;

typedef struct SiFrame
{
	SiWireFormat format;		/* the one that was read */
	SiSchemaId	id;
	const char *payload;
	size_t		payload_len;
	const char *naming;			/* of a header: which message of a Protobuf
								 * schema it is; NULL: the payload begins with
								 * that, if anything says it */
	size_t		naming_len;
} SiFrame;

/*
 * Read the frame of a message's value, or of its key, which is not NULL.  False
 * with *error filled: 22P03 if there is none, 0A000 for a payload that is
 * compressed.
 */
extern bool si_frame_read(SiWireFormat format, const SiMessage *message,
						  bool of_key, SiFrame *frame, SiDecodeError *error);

/* Does a message in this wire format need its headers? */
extern bool si_wire_needs_headers(SiWireFormat format);

#endif							/* SI_SCHEMA_ID_H */
