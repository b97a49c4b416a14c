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

#endif							/* SI_SCHEMA_TEXTS_H */
