/*-------------------------------------------------------------------------
 *
 * text_rest.h
 *	  The field "$rest" of a row of COPY's: the columns that no other field takes.
 *
 * Pure C, no server.  Called by decode_text alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TEXT_REST_H
#define SI_TEXT_REST_H

#include "format/decoder.h"

/*
 * Make a JSON object, in the arena, of the values of a row's n columns, except
 * those that a field takes.  Where no columns are named (ncolumns is 0), the
 * object has all of them, as column1 and so on.  False when out of memory.
 */
extern bool si_text_rest_make(const char *const *columns, int ncolumns,
							  const bool *taken, const SiValue *values,
							  int n, SiArena *arena, SiValue *rest);

#endif							/* SI_TEXT_REST_H */
