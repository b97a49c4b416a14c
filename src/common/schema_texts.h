/*-------------------------------------------------------------------------
 *
 * schema_texts.h
 *	  The texts of a schema, which may refer to other schemas.
 *
 * The file needs no server header, so that decoders and fuzzers can use it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_TEXTS_H
#define SI_SCHEMA_TEXTS_H

#include <stdio.h>

#include "common/record.h"

/*
 * The schema's own text is the last one; before it are those of the schemas that it
 * refers to, each once, and each behind those that it refers to itself.  Texts are
 * UTF-8.  Where a registry has given them, all are one block of malloc's.
 */
typedef struct SiSchemaTexts
{
	int			n;				/* at least 1 */
	const char *const *texts;
} SiSchemaTexts;

/* An error was found in this text: say so, unless it is the schema's own. */
static inline void
si_schema_texts_blame(const SiSchemaTexts *texts, int at, SiDecodeError *error)
{
	if (at < texts->n - 1 && error->detail[0] == '\0')
		snprintf(error->detail, sizeof(error->detail),
				 "The error is in a schema that the message's schema refers to.");
}

#endif							/* SI_SCHEMA_TEXTS_H */
