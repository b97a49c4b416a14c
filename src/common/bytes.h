/*-------------------------------------------------------------------------
 *
 * bytes.h
 *	  Bytes of a message as text that can be shown.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BYTES_H
#define SI_BYTES_H

#include "common/message.h"
#include "lib/stringinfo.h"

/*
 * The bytes, which are meant to be UTF-8, in the database's encoding; in
 * bytea's hex form where they are not valid in it.  palloc'd.
 */
extern char *si_bytes_to_text(const char *data, size_t len);

/* The same, but NULL where they are not valid in it. */
extern char *si_bytes_to_text_strict(const char *data, size_t len);

/* Append bytes in bytea's hex form. */
extern void si_bytes_append_hex(StringInfo out, const char *data, size_t len);

/*
 * Append headers as a JSON object: names and values as text, or in hex where
 * they are not valid in verify_encoding (PG_UTF8; PG_SQL_ASCII takes any bytes
 * but NUL).
 */
extern void si_bytes_append_headers(StringInfo document, const SiHeader *headers,
									int nheaders, int verify_encoding);

/* The same as jsonb, which lets the last of equal names win. */
extern Datum si_bytes_headers_jsonb(const SiHeader *headers, int nheaders);

#endif							/* SI_BYTES_H */
