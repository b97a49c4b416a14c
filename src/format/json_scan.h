/*-------------------------------------------------------------------------
 *
 * json_scan.h
 *	  A strict scanner of JSON text (RFC 8259) that hands out raw slices.
 *
 * It builds no tree and allocates nothing: the caller walks through a document,
 * enters the containers that matter and skips the others, which are checked
 * too.  The text needs no terminating NUL, and no
 * byte beyond its end is read.
 *
 * What is checked: grammar, UTF-8 (no overlong form, no surrogate, nothing
 * above U+10FFFF), escapes (a surrogate only as half of a pair), depth.  What
 * is not: \u0000 is an escape like any other here, and numbers have no limits.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSON_SCAN_H
#define SI_JSON_SCAN_H

#include "common/record.h"

/* So many containers may be open at once. */
#define SI_JSON_MAX_DEPTH	1000

/* What is wrong with a document. */
typedef enum SiJsonFault
{
	SI_JSON_NO_FAULT,
	SI_JSON_BAD_SYNTAX,
	SI_JSON_INCOMPLETE,			/* right so far, but it ends */
	SI_JSON_BAD_UTF8,
	SI_JSON_TOO_DEEP
} SiJsonFault;

typedef struct SiJsonScan
{
	const char *start;
	const char *end;
	int			depth;			/* containers entered and not left */
	SiJsonFault fault;
	const char *fault_pos;
} SiJsonScan;

/* A value or key.  The kind is never ABSENT or BYTES. */
typedef struct SiJsonToken
{
	SiValueKind kind;
	bool		escaped;		/* string: has escapes to be resolved */
	bool		nul;			/* string: has a \u0000 */
	const char *data;			/* as written; a string without its quotes */
	size_t		len;
} SiJsonToken;

/*
 * Steps take the position p of the next byte to read and return the position
 * behind what they read, or NULL with the scan's fault set.  (The position is
 * no member of the scan: it would go through memory at every step.)
 */

/*
 * Begin with a document, at its first byte that is not white space.  A byte
 * order mark before it is skipped, as RFC 8259 allows, and is no part of what
 * positions count.
 */
extern const char *si_json_begin(SiJsonScan *scan, const char *data,
								 size_t len);

/* After the top-level value: is there nothing but white space left? */
extern bool si_json_finish(SiJsonScan *scan, const char *p);

/* Read the value that begins at p: scalar or whole container. */
extern const char *si_json_read_value(SiJsonScan *scan, const char *p,
									  SiJsonToken *token);

/* Read a member's key, up to the colon (see si_json_pass_colon). */
extern const char *si_json_read_key(SiJsonScan *scan, const char *p,
									SiJsonToken *token);

/*
 * Resolve the escapes of a string, as read, into out, which has room for len
 * bytes: resolved text is never longer.  Returns its length.
 */
extern size_t si_json_unescape(const char *data, size_t len, char *out);

/* Line and column (in characters) of pos, both from 1. */
extern void si_json_locate(const SiJsonScan *scan, const char *pos,
						   size_t *line, size_t *column);

extern bool si_json_is_utf8(const char *data, size_t len);

/* The length of the UTF-8 byte order mark that a text begins with, or 0. */
extern size_t si_json_byte_order_mark(const char *data, size_t len);

/* Set the fault, found at p, and return NULL. */
extern const char *si_json_refuse(SiJsonScan *scan, const char *p,
								  SiJsonFault fault);

/* ---- the steps between values, inline because they are a few bytes ---- */

/* Go to the next byte that is not white space, or to the end. */
static inline const char *
si_json_pass_space(const SiJsonScan *scan, const char *p)
{
	while (p < scan->end && (unsigned char) *p <= ' ' &&
		   (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/*
 * Enter the container whose opening bracket is at p, and go to its first
 * member or element; *more is false if it is empty, and has been left.
 */
static inline const char *
si_json_enter(SiJsonScan *scan, const char *p, char close, bool *more)
{
	*more = false;
	if (scan->depth >= SI_JSON_MAX_DEPTH)
		return si_json_refuse(scan, p, SI_JSON_TOO_DEEP);
	p = si_json_pass_space(scan, p + 1);
	if (p < scan->end && *p == close)
		return p + 1;
	scan->depth++;
	*more = true;
	return p;
}

/* After a member or element: go to the next one, or leave the container. */
static inline const char *
si_json_next(SiJsonScan *scan, const char *p, char close, bool *more)
{
	p = si_json_pass_space(scan, p);
	if (p < scan->end && *p == ',')
	{
		*more = true;
		return si_json_pass_space(scan, p + 1);
	}
	*more = false;
	if (p >= scan->end || *p != close)
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	scan->depth--;
	return p + 1;
}

/* Between key and value: go to the value. */
static inline const char *
si_json_pass_colon(SiJsonScan *scan, const char *p)
{
	p = si_json_pass_space(scan, p);
	if (p >= scan->end || *p != ':')
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	return si_json_pass_space(scan, p + 1);
}

#endif							/* SI_JSON_SCAN_H */
