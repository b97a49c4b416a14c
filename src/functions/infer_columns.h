/*-------------------------------------------------------------------------
 *
 * infer_columns.h
 *	  The columns of the table that infer_table proposes.
 *
 * Names of fields are a stranger's: a column has one only if it can be the name
 * of a column as it is, and each is there once.
 *
 * Called by infer and infer_schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INFER_COLUMNS_H
#define SI_INFER_COLUMNS_H

#include "nodes/pg_list.h"
#include "utils/hsearch.h"

#include "format/schema_columns.h"

typedef struct SiInferColumn
{
	char		name[NAMEDATALEN];	/* the key of the hash table */

	/* by the values seen */
	int			seen;
	int			nmessages;		/* how many had a value that is not null */
	int			last_message;

	/* by schemas */
	SiColumnType type;
	int			last_schema;	/* the number of the last that had it; 0: none */
} SiInferColumn;

typedef struct SiInferColumns
{
	SiMatchNames match_names;
	HTAB	   *by_name;
	List	   *list;			/* of SiInferColumn, as they appeared */
	List	   *key;			/* those of the primary key, if there is one */
	int			nunusable;		/* fields that no column can be named after */
} SiInferColumns;

/* In the current memory context, where all that is added must be added, too. */
extern SiInferColumns *si_infer_columns_create(SiMatchNames match_names);

/*
 * The column of a field with this name, in UTF-8; a new one is all zeroes.  NULL, and
 * counted, if no column can have the name, or the table has too many.
 */
extern SiInferColumn *si_infer_columns_add(SiInferColumns *columns, const char *name, size_t len);

/* The same, but NULL where there is no such column. */
extern SiInferColumn *si_infer_columns_find(const SiInferColumns *columns, const char *name,
											size_t len);

#endif							/* SI_INFER_COLUMNS_H */
