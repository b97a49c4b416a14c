/*-------------------------------------------------------------------------
 *
 * text_rest.c
 *	  The field "$rest" of a row of COPY's: the columns that no other field takes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "format/text_rest.h"

/* A message without named columns gets the names column1 and so on. */
static const char *
column_name(const char *const *columns, int ncolumns, int i, char *buffer,
			size_t size)
{
	if (ncolumns > 0)
		return columns[i];
	snprintf(buffer, size, "column%d", i + 1);
	return buffer;
}

/* Write a JSON string, which takes at most six bytes for each byte of data. */
static char *
put_string(char *out, const char *data, size_t len)
{
	size_t		i;

	*out++ = '"';
	for (i = 0; i < len; i++)
	{
		if ((unsigned char) data[i] < ' ')
			out += sprintf(out, "\\u%04x", (unsigned char) data[i]);
		else
		{
			if (data[i] == '"' || data[i] == '\\')
				*out++ = '\\';
			*out++ = data[i];
		}
	}
	*out++ = '"';
	return out;
}

bool
si_text_rest_make(const char *const *columns, int ncolumns, const bool *taken,
				  const SiValue *values, int n, SiArena *arena, SiValue *rest)
{
	size_t		size = 2;
	char		buffer[32];
	char	   *begin;
	char	   *out;
	int			i;

	for (i = 0; i < n; i++)
	{
		const char *name = column_name(columns, ncolumns, i, buffer, sizeof(buffer));

		size += 6 * (strlen(name) + values[i].len) + 10;
	}
	begin = out = si_arena_alloc(arena, size);
	if (begin == NULL)
		return false;
	*out++ = '{';
	for (i = 0; i < n; i++)
	{
		const char *name = column_name(columns, ncolumns, i, buffer, sizeof(buffer));

		if (ncolumns > 0 && taken[i])
			continue;
		if (out > begin + 1)
			*out++ = ',';
		out = put_string(out, name, strlen(name));
		*out++ = ':';
		if (values[i].kind == SI_VALUE_NULL)
		{
			memcpy(out, "null", 4);
			out += 4;
		}
		else
			out = put_string(out, values[i].data, values[i].len);
	}
	*out++ = '}';
	rest->kind = SI_VALUE_OBJECT;
	rest->data = begin;
	rest->len = (size_t) (out - begin);
	return true;
}
