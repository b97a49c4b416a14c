/*-------------------------------------------------------------------------
 *
 * schema_columns.h
 *	  The columns of a table that takes the messages of a schema.
 *
 * A format describes the fields of its rows; which names a column can have, and
 * what a type is called, is for the caller.  Each type holds all values that the
 * format's decoder gives for its field, but for those that no date, time or
 * interval of PostgreSQL's can be: where there is none it is jsonb.
 *
 * Pure C, no server.  Called by functions/infer and apply/new_columns; implemented by
 * the formats that have schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_COLUMNS_H
#define SI_SCHEMA_COLUMNS_H

#include "format/decoder.h"

typedef enum SiColumnKind
{
	SI_COLUMN_NOTHING,			/* null alone: any type holds it */
	SI_COLUMN_BOOLEAN,
	SI_COLUMN_INTEGER,
	SI_COLUMN_BIGINT,
	SI_COLUMN_REAL,
	SI_COLUMN_DOUBLE,
	SI_COLUMN_NUMERIC,
	SI_COLUMN_UUID,
	SI_COLUMN_TEXT,
	SI_COLUMN_BYTEA,
	SI_COLUMN_DATE,
	SI_COLUMN_TIME,
	SI_COLUMN_TIMETZ,
	SI_COLUMN_TIMESTAMP,
	SI_COLUMN_TIMESTAMPTZ,
	SI_COLUMN_INTERVAL,
	SI_COLUMN_JSONB
} SiColumnKind;

typedef struct SiColumnType
{
	SiColumnKind kind;
	bool		array;			/* of values of that kind */
	bool		nullable;
	int			precision;		/* of a NUMERIC; 0: any number */
	int			scale;
} SiColumnType;

typedef struct SiSchemaColumn
{
	const char *name;			/* in UTF-8, a stranger's */
	size_t		len;
	SiColumnType type;
} SiSchemaColumn;

/* Those of a message's row. */
struct SiSchemaColumns
{
	bool		found;			/* false: the message has no schema */
	int			n;				/* 0: it is no record with fields */
	SiSchemaColumn *columns;	/* in an arena, as are their names */
	int			nleft_out;		/* fields whose types the schema does not have */
};

/* Make a type the one that holds the values of both. */
extern void si_column_merge(SiColumnType *type, const SiColumnType *other);

/* Make a type the one of a list of its values. */
extern void si_column_make_list(SiColumnType *type);

/* Make room for so many columns; false with *error filled when out of memory. */
extern bool si_columns_begin(SiSchemaColumns *columns, size_t n, SiArena *memory,
							 SiDecodeError *error);

/* Add a column, whose name is copied; errors as above. */
extern bool si_columns_add(SiSchemaColumns *columns, const char *name, size_t len,
						   const SiColumnType *type, SiArena *memory, SiDecodeError *error);

#endif							/* SI_SCHEMA_COLUMNS_H */
