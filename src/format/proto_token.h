/*-------------------------------------------------------------------------
 *
 * proto_token.h
 *	  The tokens of .proto text.
 *
 * Pure C, no server.  Called by proto_text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_TOKEN_H
#define SI_PROTO_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SiProtoTokenKind
{
	SI_TOKEN_END,
	SI_TOKEN_WORD,				/* an identifier, or a keyword */
	SI_TOKEN_INTEGER,
	SI_TOKEN_FLOAT,
	SI_TOKEN_STRING,			/* with its quotes */
	SI_TOKEN_SYMBOL,			/* a single character */
	SI_TOKEN_BAD
} SiProtoTokenKind;

typedef struct SiProtoScan
{
	const char *p;				/* behind the token */
	const char *end;
	int			line;			/* of the token, from 1 */

	SiProtoTokenKind kind;
	const char *token;
	size_t		len;
	uint64_t	integer;
	bool		unended;		/* no comment that begins here has an end */
} SiProtoScan;

/* Begin with a text; the first token is read. */
extern void si_proto_scan_begin(SiProtoScan *scan, const char *data, size_t len);

/* Read the next token. */
extern void si_proto_scan_next(SiProtoScan *scan);

/* Is the token this word, or this character? */
extern bool si_proto_scan_is_word(const SiProtoScan *scan, const char *word);
extern bool si_proto_scan_is(const SiProtoScan *scan, char symbol);

#endif							/* SI_PROTO_TOKEN_H */
