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

/*
 * The bytes, which are meant to be UTF-8, in the database's encoding; in
 * bytea's hex form where they are no text in it.  palloc'd.
 */
extern char *si_bytes_to_text(const char *data, size_t len);

/* The same, but NULL where they are no text in it. */
extern char *si_bytes_to_text_strict(const char *data, size_t len);

/* Append the first to a JSON document, as a string. */
extern void si_bytes_append_json(StringInfo document, const char *data, size_t len);

#endif							/* SI_BYTES_H */
