/*-------------------------------------------------------------------------
 *
 * options.h
 *	  A subscription's options: JSON in, a checked struct out.
 *
 * Every option stands in one table (options.c) with its type, bounds and
 * default; checking, the effective values shown in the view, and the hint with
 * the nearest name all come from it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OPTIONS_H
#define SI_OPTIONS_H

#include "options/option_values.h"

/*
 * Check and parse the text of a JSON object; the result is in the current
 * memory context.  Errors: 22023 for a bad value or unknown name (with the
 * nearest name as a hint).
 */
extern SiOptions *si_options_parse(const char *json);

/*
 * The same for stored options, which may be another version's: NULL if they are
 * not valid, and why.  In a subtransaction.  Errors of the server are thrown.
 */
extern SiOptions *si_options_parse_stored(const char *json, char **why);

/*
 * The effective value of every option (defaults included) as the text of a
 * JSON object.
 */
extern char *si_options_effective(const SiOptions *options);

/*
 * Merge changes into options as alter_subscription does: a key given as null
 * is reset, '{}' resets all; both are texts of JSON objects, and so is the
 * result.  create_subscription merges into '{}'.  Only its result may be stored:
 * names of properties are replaced by librdkafka's own, and a timestamp in
 * "start" (or 'now') is resolved in this session, since the worker that reads
 * it has another time zone and a later clock.  Errors as for si_options_parse
 * for the names; the values are checked by parsing the result.
 */
extern char *si_options_merge(const char *options, const char *changes);

/*
 * Do changes, as si_options_merge takes them, name this option?  '{}' resets all of them.
 */
extern bool si_options_names(const char *changes, const char *name);

/*
 * The option group_id of stored options, palloc'd; NULL if it is not set.  They
 * may be another subscription's, and need not be valid.
 */
extern char *si_options_group_id(const char *options);

/* What follows is in option_positions.c. */

/* Is this partition one of those the subscription takes? */
extern bool si_options_takes(const SiOptions *options, int32 partition);

/* Where this partition begins. */
extern SiStart si_options_start(const SiOptions *options, int32 partition);

/*
 * Where a run ends in this partition, if it ends at all (nstops): an
 * offset, or "latest", which is also that of a partition without an entry.
 */
extern SiStart si_options_stop(const SiOptions *options, int32 partition);

/*
 * A position as seek() and "start" take it: 'earliest', 'latest' or a
 * timestamp (with a time zone, or in the session's).  Errors: 22023.
 */
extern SiStart si_options_parse_position(const char *text);

/*
 * The text of a position, palloc'd: what si_options_parse_position takes, or
 * an offset's number.  Timestamps are in UTC, for any session to read.
 */
extern char *si_options_position_text(const SiStart *start);

#endif							/* SI_OPTIONS_H */
