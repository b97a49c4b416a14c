/*-------------------------------------------------------------------------
 *
 * json_rest.h
 *	  The field "$rest" of a JSON document: the top-level members that no other
 *	  field takes.
 *
 * The decoder adds members while it reads a document, then makes the object of
 * them.  Pure C, no server: the memory is the arena's, and members point into
 * the document.  Called by decode_json, and for other text formats whose fields
 * have names.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSON_REST_H
#define SI_JSON_REST_H

#include "format/decoder.h"

typedef struct SiJsonRestMember
{
	const char *key;			/* escapes resolved */
	size_t		key_len;
	const char *written;		/* key, colon and value */
	size_t		written_len;
	bool		superseded;		/* by a later one of the same key */
} SiJsonRestMember;

/* Zeroed for each document. */
typedef struct SiJsonRest
{
	SiJsonRestMember *members;
	size_t		nmembers;
	size_t		room;
} SiJsonRest;

/*
 * Add the member of that key, which is written from begin up to end.  False
 * when out of memory.
 */
extern bool si_json_rest_add(SiJsonRest *rest, SiArena *arena,
							 const char *key, size_t key_len,
							 const char *begin, const char *end);

/*
 * Make the object of the members.  Of equal keys the last one counts.  False
 * when out of memory.
 */
extern bool si_json_rest_make(SiJsonRest *rest, SiArena *arena,
							  SiValue *value);

#endif							/* SI_JSON_REST_H */
