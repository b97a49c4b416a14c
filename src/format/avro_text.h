/*-------------------------------------------------------------------------
 *
 * avro_text.h
 *	  The text of an Avro schema as JSON.
 *
 * Pure C, no server.  Called by avro_schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_TEXT_H
#define SI_AVRO_TEXT_H

#include <jansson.h>

#include "common/record.h"

/* Longer schemas are refused. */
#define SI_AVRO_MAX_TEXT		(4 * 1024 * 1024)

/*
 * Read a text, which may also be the bare name of a type, which JSON would have in
 * quotes; the result is for json_decref.  NULL with *error filled: 42P17 for what is no
 * JSON, 54000 for a text that is too long, 53200 without memory.
 */
extern json_t *si_avro_text_load(const char *text, SiDecodeError *error);

#endif							/* SI_AVRO_TEXT_H */
