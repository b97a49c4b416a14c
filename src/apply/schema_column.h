/*-------------------------------------------------------------------------
 *
 * schema_column.h
 *	  The column that takes a field of a schema: its name and its type.
 *
 * Called by new_columns, and by functions/infer and its parts.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_COLUMN_H
#define SI_SCHEMA_COLUMN_H

#include "format/schema_columns.h"

/*
 * What the column of a field with this name, in UTF-8, is called: as the field, or
 * what match_names makes of that; palloc'd.  NULL if no column can be called so: the
 * name is empty, too long, a system column's, or nothing that the database's encoding
 * has.  It is never cut.
 */
extern char *si_schema_column_name(SiMatchNames match_names, const char *name, size_t len);

/*
 * The name of a type, as people write it; may be palloc'd.  qualified: so that no
 * search_path makes another type of it, palloc'd.
 */
extern const char *si_schema_column_type(const SiColumnType *type);
extern char *si_schema_column_type_qualified(const SiColumnType *type);

#endif							/* SI_SCHEMA_COLUMN_H */
