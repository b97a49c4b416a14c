/*-------------------------------------------------------------------------
 *
 * binary_text.h
 *	  Bytes that a document holds as a text.
 *
 * Pure C; called by connect_value and by apply's change_datum.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BINARY_TEXT_H
#define SI_BINARY_TEXT_H

#include <stddef.h>

/* What a JSON string is to a bytea column. */
typedef enum SiBinaryText
{
	SI_BINARY_AUTO,				/* base64 under an envelope, else bytea */
	SI_BINARY_BYTEA,			/* in one of bytea's own notations */
	SI_BINARY_BASE64,
	SI_BINARY_BASE64URL,
	SI_BINARY_HEX
} SiBinaryText;

/*
 * Decode a text in one of the last three notations into out, which has room for
 * len bytes.  Returns the end of the bytes, or NULL if the text is not valid:
 * base64 needs its padding, base64url may have it.
 */
extern char *si_binary_text_decode(SiBinaryText notation, const char *text, size_t len, char *out);

#endif							/* SI_BINARY_TEXT_H */
