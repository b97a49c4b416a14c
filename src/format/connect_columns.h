/*-------------------------------------------------------------------------
 *
 * connect_columns.h
 *	  The columns of a table that takes JSON messages, by the schema that Kafka
 *	  Connect's converter puts around them.
 *
 * Pure C, no server.  Called by decode_json's routine.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONNECT_COLUMNS_H
#define SI_CONNECT_COLUMNS_H

#include "format/schema_columns.h"

/*
 * The routine's function "describe".  Nothing is found in a message that has no schema
 * around it, or where the options have no envelope that takes the schema off.
 */
extern bool si_connect_describe(const SiFormatOptions *options, const SiMessage *message,
								bool of_key, SiArena *memory, SiSchemaColumns *columns,
								SiDecodeError *error);

/*
 * Set frame->naming to the text of the schema in a message that is a schema and a
 * payload; see SiDecoderRoutine.
 */
extern void si_connect_find_naming(SiFrame *frame);

#endif							/* SI_CONNECT_COLUMNS_H */
