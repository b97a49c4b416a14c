/*-------------------------------------------------------------------------
 *
 * avro_columns.h
 *	  The columns of a table that takes the messages of an Avro schema.
 *
 * Pure C, no server.  Called by decode_avro.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_COLUMNS_H
#define SI_AVRO_COLUMNS_H

#include "format/avro_types.h"
#include "format/schema_columns.h"

/*
 * Describe the fields of a record, or of the row that is in it where it is a change
 * event; there are none if it may be anything else than a record.  False with *error
 * filled if it is no change event, or when out of memory.
 */
extern bool si_avro_describe(const SiAvroType *root, SiEnvelopeKind envelope, SiArena *memory,
							 SiSchemaColumns *columns, SiDecodeError *error);

#endif							/* SI_AVRO_COLUMNS_H */
