/*-------------------------------------------------------------------------
 *
 * json_inner.h
 *	  Paths that enter a string which holds JSON, as in "after::json.name".
 *
 * The format's own decoder gets a plan in which such a path ends at the string.
 * The string is then decoded as a JSON document by the rest of the path.  So
 * this works with every format, and costs nothing where no path does so.  Pure.
 * Called by decoder.c alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSON_INNER_H
#define SI_JSON_INNER_H

#include "format/decoder.h"

typedef struct SiJsonInner SiJsonInner;

/* Does a path of the plan enter a string? */
extern bool si_json_inner_needed(const SiDecodePlan *plan);

/* NULL when out of memory.  The plan must outlive the result. */
extern SiJsonInner *si_json_inner_create(const SiDecodePlan *plan);

/* The plan for the format's decoder. */
extern const SiDecodePlan *si_json_inner_outer_plan(const SiJsonInner *inner);

/*
 * Replace the strings that the format's decoder has put into the record by what
 * the plan wants of them.  False with *error filled if one is not JSON.
 */
extern bool si_json_inner_decode(SiJsonInner *inner, SiArena *arena, SiRecord *record,
								 SiDecodeError *error);
extern void si_json_inner_destroy(SiJsonInner *inner);

#endif							/* SI_JSON_INNER_H */
