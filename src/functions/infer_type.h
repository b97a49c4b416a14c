/*-------------------------------------------------------------------------
 *
 * infer_type.h
 *	  The types of columns that take the values seen.
 *
 * Called by infer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INFER_TYPE_H
#define SI_INFER_TYPE_H

#include "format/json_scan.h"

/*
 * What a value is, as a bit; 0 for a null.  any_text: strings may be numbers and
 * booleans, too.
 */
extern int	si_infer_seen(const SiJsonToken *value, bool any_text);

/* The name of the first type that holds all that was seen. */
extern const char *si_infer_seen_type(int seen);

#endif							/* SI_INFER_TYPE_H */
