/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  Which field of a message goes to which column.
 *
 * Built once per plan, from the destination's row type and the subscription's
 * "mapping"; gives the columns of the batch relation and the decoder's plan.
 * The same code serves creation (errors with hints) and the worker.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_MAPPING_H
#define SI_MAPPING_H

#include "access/tupdesc.h"
#include "apply/source_kind.h"
#include "format/decoder.h"
#include "options/option_values.h"

typedef struct SiColumn
{
	const char *name;
	AttrNumber	attnum;			/* in the destination's row type */
	Oid			type;
	int32		typmod;
	Oid			collation;
	SiSourceKind source;
	bool		mapped;			/* is the source the mapping's, not just the
								 * column's own name? */
	const char *source_text;	/* as the user wrote it, for messages */
	int			field;			/* SI_SOURCE_FIELD */
	const char *header;			/* SI_SOURCE_HEADER */
	int			absent_bit;		/* bit that is set if the message lacks it, -1
								 * where the statement need not know */
} SiColumn;

typedef struct SiMapping
{
	int			ncolumns;		/* columns that take something, in the order
								 * of the row type */
	SiColumn   *columns;
	int			nabsent;		/* absent bits handed out */
	bool		wants_headers;
	bool		needs_field;	/* a message of which no column takes a field
								 * is a data error */
	SiMissingFields missing_fields;
	SiUnknownFields unknown_fields;
	SiEpochUnit epoch_unit;		/* what a bare number in a date column counts */
	int			encoding;		/* pg_enc, of keys and values */
	bool		extended_json;	/* do MongoDB's objects stand for their value? */
	bool		change_events;	/* debezium's: numbers in date columns are
								 * days */
	bool		bare_integers;	/* integers are such numbers, for no schema
								 * tells what they are */
	SiBinaryText binary_text;	/* never SI_BINARY_AUTO */
	SiDecodePlan decode;

	/*
	 * What the columns of a message are whose format does not name them:
	 * those of the row type, but identity and generated columns and those
	 * that the mapping gives something else than a field.  In UTF-8.
	 */
	int			nnames;
	const char **names;
} SiMapping;

/*
 * How many int8 columns the absent bits need behind the columns in the batch
 * relation; bit b is bit b % SI_ABSENT_BITS of the b / SI_ABSENT_BITS-th.
 */
#define SI_ABSENT_BITS	63
#define SI_MAPPING_ABSENT_WORDS(m) \
	(((m)->nabsent + SI_ABSENT_BITS - 1) / SI_ABSENT_BITS)

/*
 * Build the mapping of a row type.
 *
 * desc: the destination's row type (dropped, generated and GENERATED ALWAYS
 * identity columns are never written; identity columns of either sort not by
 * name alone).  relname: its name for messages.  json: text of the "mapping"
 * argument, NULL for none.  track_absent: hand out an absent bit to every
 * column that takes a field, not only to those with a default (upserts, views).
 * skip: columns of the row type to leave alone (bool per attribute), or NULL.
 *
 * Everything is in the current memory context.  Errors: 42703 for an unknown
 * column (with the nearest name), 428C9 for a generated or identity ALWAYS
 * column, 22023 for a bad source, each naming column and source.
 */
extern SiMapping *si_mapping_build(TupleDesc desc, const char *relname, const char *json,
								   const SiOptions *options, bool track_absent,
								   const bool *skip);

/*
 * The columns that apply's batch has behind the user's own: _topic, _partition,
 * _offset, _timestamp, _key, _headers and _deleted.
 */
#define SI_METADATA_COLUMNS	7

/*
 * Add them to a row type with room for them, from the column of this index on.
 * Error 42701 if one of the columns before has the name of one.
 */
extern void si_mapping_add_metadata(TupleDesc desc, int first);

/*
 * Build the mapping of apply's batch, whose last columns are those.  whole: its
 * first column takes $value unless the mapping gives another source.  No column
 * has a default, so there are no absent bits.  Otherwise as si_mapping_build.
 */
extern SiMapping *si_mapping_build_apply(TupleDesc desc, bool whole, const char *json,
										 const SiOptions *options, const bool *skip);

#endif							/* SI_MAPPING_H */
