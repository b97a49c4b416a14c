/*-------------------------------------------------------------------------
 *
 * typed_datum.h
 *	  Typed values into columns of their own types, without a text between.
 *
 * What comes out is bit for bit what the type's input function gives for the
 * value's text (format/value_text); whatever is not certain to be that is left
 * to the input function, which also words the error.  sql/typed_datum.sql
 * compares the two.  Called by datum.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TYPED_DATUM_H
#define SI_TYPED_DATUM_H

#include "common/record.h"

/*
 * Make a Datum of a type without a modifier of a typed value.  The result is in
 * the current memory context.  False: the value's text has to be read.
 */
typedef bool (*si_typed_routine) (const SiValue *value, Datum *result);

/* The routine for a type (not a domain) with this typmod, or NULL. */
extern si_typed_routine si_typed_find(Oid type, int32 typmod);

#endif							/* SI_TYPED_DATUM_H */
