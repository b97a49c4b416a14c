/*-------------------------------------------------------------------------
 *
 * avro_document.h
 *	  Avro values as JSON text.
 *
 * Records and maps are objects, bytes are in bytea's hex form, and what is typed
 * is written as in value_text.  Of equal keys of a map all are written: the
 * reader of the text takes the last.
 *
 * Pure C, no server.  Called by decode_avro.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_DOCUMENT_H
#define SI_AVRO_DOCUMENT_H

#include "format/avro_read.h"
#include "format/value_text.h"

/*
 * Read the value at p and append it to a document.  Returns as the reader's steps
 * do; 54000 for a document that grows too long.
 */
extern const char *si_avro_write_json(SiAvroReader *reader, const SiAvroType *type,
									  const char *p, SiTextBuffer *out);

#endif							/* SI_AVRO_DOCUMENT_H */
