/*-------------------------------------------------------------------------
 *
 * json_verdict.h
 *	  jansson's verdict on a document that the scanner refused.
 *
 * Pure C, no server.  Called by decode_json and json_records; si_json_load by all
 * that give a message's or a schema's text to jansson.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSON_VERDICT_H
#define SI_JSON_VERDICT_H

#include <jansson.h>

#include "format/decoder.h"
#include "format/json_scan.h"

/*
 * Have jansson read a document; the caller releases it.  NULL if jansson refuses it,
 * with *no_memory set if it only lacked memory: then its words may blame the text.
 */
extern json_t *si_json_load(const char *data, size_t len, size_t flags, json_error_t *verdict,
							bool *no_memory);

/*
 * Ask jansson about a document that the scanner refused.  True if jansson
 * accepts it, with *document, in the arena, set to what jansson read.  False
 * with *error filled otherwise, or if the document is large; its message begins with prefix.
 */
extern bool si_json_verdict(const SiJsonScan *scan, const char *prefix,
							SiArena *arena, const char **document,
							size_t *len, SiDecodeError *error);

/* Fill in *error with the scanner's fault, and return false. */
extern bool si_json_refuse_document(const SiJsonScan *scan,
									const char *prefix,
									SiDecodeError *error);

#endif							/* SI_JSON_VERDICT_H */
