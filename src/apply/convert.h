/*-------------------------------------------------------------------------
 *
 * convert.h
 *	  Records to rows: fields to Datums, with cached type functions.
 *
 * Where the server has soft errors (16 and later) a value that a type refuses
 * is a return value; elsewhere, and for types without soft errors, it is an
 * ERROR that the caller catches around its conversion loop (in a
 * subtransaction); si_convert_column gives its column.  Called by convert_batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONVERT_H
#define SI_CONVERT_H

#include "apply/mapping.h"
#include "common/failure.h"

typedef struct SiConverter SiConverter;

/*
 * Look up the types' functions.  topic is what $topic gives.  The mapping must
 * outlive the converter, which lives in the current memory context.  Errors:
 * 42804 for a column whose type can never take its metadata (a number that
 * takes $timestamp); the check of a new subscription calls this for that error.
 */
extern SiConverter *si_convert_create(const SiMapping *mapping, const char *topic);

/*
 * Convert one record.  values and nulls have room for mapping->ncolumns and
 * the absent words behind them; the Datums are in the current memory context,
 * and so is what the input functions leave behind: reset it every few hundred
 * rows.  ($topic's Datum alone is the converter's.)  Needs an active snapshot,
 * since a domain's check may read tables.
 *
 * Checks missing_fields, unknown_fields and needs_field, for writes; in a
 * delete, what is absent is NULL.  False with *failure filled (in the current
 * memory context) if the message is bad.
 */
extern bool si_convert_row(SiConverter *converter, const SiMessage *message,
						   const SiRecord *record, Datum *values, bool *nulls,
						   SiFailure *failure);

/*
 * The column that the last si_convert_row was at when it threw an ERROR; NULL
 * if it was at none.
 */
extern const SiColumn *si_convert_column(const SiConverter *converter);

/* After such an ERROR: release what it left, and be at no column. */
extern void si_convert_recover(SiConverter *converter);

#endif							/* SI_CONVERT_H */
