/*-------------------------------------------------------------------------
 *
 * proto_columns.h
 *	  The columns of a table that takes Protobuf messages of a type.
 *
 * Pure C, no server.  Called by decode_protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_COLUMNS_H
#define SI_PROTO_COLUMNS_H

#include "format/proto_types.h"
#include "format/schema_columns.h"

/*
 * Describe the fields of a message, or of the new row that an event of this envelope
 * has; there are none if it stands for a single value.  Those whose type the schema
 * does not have are left out.  False with *error filled if it is no event, or when out
 * of memory.
 */
extern bool si_proto_describe(const SiProtoMessage *message, SiEnvelopeKind envelope,
							  SiArena *memory, SiSchemaColumns *columns,
							  SiDecodeError *error);

#endif							/* SI_PROTO_COLUMNS_H */
