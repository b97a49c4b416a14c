/*-------------------------------------------------------------------------
 *
 * jsonb_push.h
 *	  JSON text that a decoder has checked into jsonb, without parsing it twice.
 *
 * jsonb_in() reads a text with the server's incremental parser and makes each
 * number by numeric_in(); this walks it with json_scan and reads numbers by the
 * short way.  The result is bit for bit the same.  Called by datum.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSONB_PUSH_H
#define SI_JSONB_PUSH_H

/*
 * Make jsonb of an object or array in the database's encoding, which is UTF-8.
 * The result is in the current memory context.  False for whatever is unusual
 * (a number with an exponent, a U+0000, deep nesting): jsonb_in() has to read
 * it, which also words the error.
 */
extern bool si_jsonb_push(const char *text, size_t len, Datum *result);

#endif							/* SI_JSONB_PUSH_H */
