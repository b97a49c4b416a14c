/*-------------------------------------------------------------------------
 *
 * infer_columns.c
 *	  The columns of the table that infer_table proposes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"

#include "apply/schema_column.h"
#include "functions/infer_columns.h"

SiInferColumns *
si_infer_columns_create(SiMatchNames match_names)
{
	SiInferColumns *columns = palloc0(sizeof(SiInferColumns));
	HASHCTL		control = {0};

	columns->match_names = match_names;
	control.keysize = NAMEDATALEN;
	control.entrysize = sizeof(SiInferColumn);
	control.hcxt = CurrentMemoryContext;
	columns->by_name = hash_create("stream_ingest inferred columns", 64, &control,
								   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	return columns;
}

SiInferColumn *
si_infer_columns_find(const SiInferColumns *columns, const char *name, size_t len)
{
	char	   *own = si_schema_column_name(columns->match_names, name, len);

	return own == NULL ? NULL : hash_search(columns->by_name, own, HASH_FIND, NULL);
}

SiInferColumn *
si_infer_columns_add(SiInferColumns *columns, const char *name, size_t len)
{
	char	   *own = si_schema_column_name(columns->match_names, name, len);
	SiInferColumn *column;
	bool		found = false;

	column = own == NULL ? NULL : hash_search(columns->by_name, own, HASH_FIND, NULL);
	if (column != NULL)
		return column;
	if (own == NULL || list_length(columns->list) >= MaxHeapAttributeNumber)
	{
		columns->nunusable++;
		return NULL;
	}
	column = hash_search(columns->by_name, own, HASH_ENTER, &found);
	memset((char *) column + NAMEDATALEN, 0, sizeof(SiInferColumn) - NAMEDATALEN);
	columns->list = lappend(columns->list, column);
	return column;
}
