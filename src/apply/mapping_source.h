/*-------------------------------------------------------------------------
 *
 * mapping_source.h
 *	  Reading one source of the "mapping" argument.
 *
 * A source is a text (a path into the value, or one of the special sources such
 * as "$key") or an array of keys and indexes.  Called by mapping; by format for the
 * path of the option "records".
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_MAPPING_SOURCE_H
#define SI_MAPPING_SOURCE_H

#include <jansson.h>

#include "apply/source_kind.h"
#include "format/decoder.h"

/* What is known of an attribute's source. */
typedef enum SiSourceState
{
	SI_SOURCE_UNSET,			/* not named in "mapping" */
	SI_SOURCE_NOTHING,			/* the column takes nothing */
	SI_SOURCE_SET
} SiSourceState;

typedef struct SiMappingSource
{
	SiSourceState state;
	SiSourceKind kind;
	const char *text;			/* as the user wrote it */
	bool		own_name;		/* not named in "mapping" */
	bool		rest;			/* SI_SOURCE_FIELD: "$rest", no path */
	bool		of_event;		/* SI_SOURCE_FIELD: "$op", "$source",
								 * "$before" */
	SiWantedField path;			/* SI_SOURCE_FIELD */
	const char *header;			/* SI_SOURCE_HEADER */
} SiMappingSource;

/*
 * Read the source that "mapping" gives for a column.  The result is in the
 * current memory context.  Error 22023 for a bad one, naming column and source.
 */
extern void si_mapping_source_read(SiMappingSource *source, const char *column, json_t *json);

/*
 * Read the option "records" into *path, which is zeroed.  In the current memory
 * context.  Error 22023 for what is no path to an array.
 */
extern void si_mapping_source_read_records(SiRecordsPath *path, const char *given);

/* Do two columns take the same of a message, so that one field serves both? */
extern bool si_mapping_source_same_path(const SiWantedField *a, const SiWantedField *b);

#endif							/* SI_MAPPING_SOURCE_H */
