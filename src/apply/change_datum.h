/*-------------------------------------------------------------------------
 *
 * change_datum.h
 *	  Values that change events, and other JSON, write in a notation of their
 *	  own: bytes as text, and dates as days.
 *
 * Called by datum and datum_failure alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CHANGE_DATUM_H
#define SI_CHANGE_DATUM_H

#include "apply/datum.h"

/*
 * The bytes that a JSON string stands for, by the option "binary_text"; in the
 * current memory context.  False with the maker's failure filled.
 */
extern bool si_change_datum_bytes(SiDatumMaker *maker, const SiDatumColumn *state,
								  const SiValue *text, SiValue *bytes);

/* Does a number count days for this column? */
extern bool si_change_datum_counts_days(const SiDatumMaker *maker, const SiDatumColumn *state);

/* The date that so many days after 1970 are.  False with the failure filled. */
extern bool si_change_datum_date(SiDatumMaker *maker, const SiDatumColumn *state,
								 const SiValue *number, SiValue *date);

/* What to do about this error of a change event's value, or NULL. */
extern char *si_change_datum_hint(const SiColumn *column, int sqlerrcode);

#endif							/* SI_CHANGE_DATUM_H */
