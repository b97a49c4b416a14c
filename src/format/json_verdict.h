/*-------------------------------------------------------------------------
 *
 * json_verdict.h
 *	  jansson's verdict on a document that the scanner refused.
 *
 * Pure C, no server.  Called by decode_json alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSON_VERDICT_H
#define SI_JSON_VERDICT_H

#include "format/decoder.h"
#include "format/json_scan.h"

/*
 * Ask jansson about a document that the scanner refused.  True if jansson
 * accepts it, with *document, in the arena, set to what jansson read.  False
 * with *error filled otherwise; its message begins with prefix.
 */
extern bool si_json_verdict(const SiJsonScan *scan, const char *prefix,
							SiArena *arena, const char **document,
							size_t *len, SiDecodeError *error);

/* Fill in *error with the scanner's fault, and return false. */
extern bool si_json_refuse_document(const SiJsonScan *scan,
									const char *prefix,
									SiDecodeError *error);

#endif							/* SI_JSON_VERDICT_H */
