/*-------------------------------------------------------------------------
 *
 * datum.h
 *	  Values to Datums: what a value becomes, by its column's type.
 *
 * How a column's values are converted is decided once, by its type.  The rules
 * follow COPY: a type's input function gets the text that the message holds.
 * Only where JSON has a form of its own (null, booleans, json columns, arrays
 * and composite types) are the rules those of JSON.
 *
 * Datums, and whatever an input function leaves behind, are in the current
 * memory context.  Nothing else is allocated per value: texts pass through
 * buffers that live as long as the maker.  Called by convert alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DATUM_H
#define SI_DATUM_H

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"

#include "apply/fast_input.h"
#include "apply/mapping.h"
#include "apply/typed_datum.h"
#include "common/compat.h"
#include "common/failure.h"
#include "format/transcode.h"
#include "format/value_text.h"

typedef struct SiDatumMaker
{
	const SiMapping *mapping;
	SiFailure  *failure;		/* where the next failure goes */
	ErrorSaveContext soft;

	/* keys and values as they came, if they are not in UTF-8 */
	SiTranscoder *transcoder;

	/* from UTF-8 to the database's encoding */
	int			verify_encoding;	/* what bytes must be valid in */
	bool		transcode;
	Oid			conversion;

	StringInfoData scratch;		/* a NUL-terminated copy of a value's text */
	StringInfoData document;	/* a JSON text that is put together */
	StringInfoData converted;	/* a text in the database's encoding */
	char		typed[SI_VALUE_TEXT_ROOM];	/* the text of a typed value */
} SiDatumMaker;

typedef struct SiDatumColumn SiDatumColumn;

/* Convert a value that is neither ABSENT nor NULL; false if it is bad. */
typedef bool (*si_datum_routine) (SiDatumMaker *maker, SiDatumColumn *state,
								  const SiValue *value, Datum *result);

struct SiDatumColumn
{
	const SiColumn *column;
	si_datum_routine convert;
	bool		time_of_day;	/* a time without a date, or an interval */
	bool		checks_null;	/* the input function wants to see NULLs */
	const SiFastInput *fast_input;	/* tried before it; or NULL */
	si_typed_routine typed;		/* tried first of typed values; or NULL */
	bool		push_jsonb;		/* objects and arrays need no input function */
	FmgrInfo	input;
	Oid			typioparam;

	/* for arrays and composite types */
	MemoryContext nested_context;	/* what the function remembers */
	TupleDesc	nested_desc;	/* a row type with this column alone */
	FmgrInfo	nested;			/* json_to_record() into it */
};

/*
 * Fill in a maker, in the current memory context.  Error: 42883 if UTF-8 cannot
 * be converted to the database's encoding.
 */
extern void si_datum_init(SiDatumMaker *maker, const SiMapping *mapping);

/* Look up a column's functions, and choose how its values are converted. */
extern void si_datum_init_column(SiDatumColumn *state, const SiColumn *column,
								 const SiMapping *mapping);

/* A value of this column threw an ERROR: discard what may be half built. */
extern void si_datum_recover(SiDatumColumn *state);

/* By the type's input function: a text in the database's encoding, or NULL. */
extern bool si_datum_from_text(SiDatumMaker *maker, SiDatumColumn *state, char *input,
							   Datum *result);

/* From a time, which is in the range of timestamptz. */
extern bool si_datum_from_timestamptz(SiDatumMaker *maker, SiDatumColumn *state,
									  TimestampTz timestamp, Datum *result);

/* Fill in the failure, in our own words; column may be NULL.  Returns false. */
extern bool si_datum_fail(SiDatumMaker *maker, const SiColumn *column, int sqlerrcode,
						  const char *format,...) __attribute__((format(printf, 4, 5)));

/* Fill in the failure from an input function's soft error.  Returns false. */
extern bool si_datum_fail_soft(SiDatumMaker *maker, const SiColumn *column);

/* Fill in the failure for a point in time out of range.  Returns false. */
extern bool si_datum_out_of_range(SiDatumMaker *maker, const SiColumn *column);

/* ---- change_datum.c: notations of change events ---- */

/*
 * The bytes that a JSON string stands for, by the option "binary_text"; in the
 * current memory context.  False with the maker's failure filled.
 */
extern bool si_change_datum_bytes(SiDatumMaker *maker, const SiDatumColumn *state,
								  const SiValue *text, SiValue *bytes);

/*
 * Is this value of a change event a date or time that only the column tells: a
 * number of days, or what Kafka Connect has for a time without a zone?
 */
extern bool si_change_datum_is_moment(const SiDatumMaker *maker, const SiDatumColumn *state,
									  const SiValue *value);

/* Such a value as a date or timestamp.  False with the failure filled. */
extern bool si_change_datum_moment(SiDatumMaker *maker, const SiDatumColumn *state,
								   const SiValue *value, SiValue *moment);

/* What to do about this error of a change event's value, or NULL. */
extern char *si_change_datum_hint(const SiColumn *column, int sqlerrcode);

#endif							/* SI_DATUM_H */
