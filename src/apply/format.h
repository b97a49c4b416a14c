/*-------------------------------------------------------------------------
 *
 * format.h
 *	  A subscription's format: what its decoder has to know.
 *
 * Formats without names of their own (text, csv, raw) get the names of their
 * columns from "header_columns" or from the destination.  Called by plan, writer and
 * the SQL functions that decode.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FORMAT_H
#define SI_FORMAT_H

#include "apply/mapping.h"

/*
 * The options of a subscription of this format, with those settled that depend on
 * the format; a copy in the current memory context.
 */
extern const SiOptions *si_format_settle(const char *format, const SiOptions *options);

/*
 * Check the options of the format, which are settled, and fill in *result, which lives in the
 * current memory context and points into mapping.  mapping may be NULL where
 * there is no destination; else its sources are checked, too.  relname is the
 * destination's name for messages; store is where a registry's schemas are, or NULL.
 *
 * Errors: 22023 for an option that the format does not have or COPY would not
 * take, and if no column could ever take anything; 42703 for a source that no
 * message has.
 */
extern void si_format_options(const char *format, const SiMapping *mapping,
							  const char *relname, const SiOptions *options,
							  SiSchemaStore *store, SiFormatOptions *result);

#endif							/* SI_FORMAT_H */
