/*-------------------------------------------------------------------------
 *
 * describe.h
 *	  What a format says of the columns of a schema holds together.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include <stdlib.h>

#include "format/schema_columns.h"

/* Describe the row of a message, or its key; NULL where the options have the schema. */
static inline void
check_description(const SiDecoderRoutine *routine, const SiFormatOptions *options,
				  const SiMessage *message, bool of_key)
{
	SiSchemaColumns columns;
	SiDecodeError error;
	SiArena    *arena = si_arena_create();
	volatile unsigned int sum = 0;
	int			i;

	if (arena == NULL)
		abort();
	if (!routine->describe(options, message, of_key, arena, &columns, &error))
	{
		if (strlen(error.sqlstate) != 5 || error.message[0] == '\0')
			abort();
		columns.n = 0;
	}
	for (i = 0; i < columns.n; i++)
	{
		const SiSchemaColumn *column = &columns.columns[i];
		size_t		j;

		/* every byte of it is ours to read */
		for (j = 0; j < column->len; j++)
			sum += (unsigned char) column->name[j];
		if (column->type.kind > SI_COLUMN_JSONB || column->type.precision < column->type.scale ||
			(column->type.array && column->type.kind == SI_COLUMN_JSONB))
			abort();
	}
	si_arena_destroy(arena);
}

#endif							/* DESCRIBE_H */
