/*-------------------------------------------------------------------------
 *
 * schema_name.h
 *	  By what a schema registry, and the messages, name a schema: its id.
 *
 * The file needs no server header, so that decoders and fuzzers can use it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_NAME_H
#define SI_SCHEMA_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/uuid_text.h"

typedef enum SiSchemaIdKind
{
	SI_SCHEMA_NUMBER,
	SI_SCHEMA_CONTENT,			/* a number too, of a content in Apicurio's
								 * registry */
	SI_SCHEMA_GUID
} SiSchemaIdKind;

#define SI_GUID_BYTES	SI_UUID_BYTES

/* Room for an id's text, with its NUL. */
#define SI_SCHEMA_ID_ROOM	40

typedef struct SiSchemaId
{
	SiSchemaIdKind kind;
	uint64_t	number;			/* unless it is a GUID */
	unsigned char guid[SI_GUID_BYTES];	/* else all zero */
} SiSchemaId;

/* So many schemas are asked for at a time. */
#define SI_SCHEMA_MOST_LACKING	8

/*
 * An id from its text: a decimal number without leading zeros, or a GUID with
 * hyphens.  False if it is neither.
 */
extern bool si_schema_id_parse(const char *name, SiSchemaId *id);

/* Write an id as text, into SI_SCHEMA_ID_ROOM bytes. */
extern void si_schema_id_text(const SiSchemaId *id, char *name);

/* Do the ids have the same text?  Numbers of either kind do. */
extern bool si_schema_id_matches(const SiSchemaId *id, const SiSchemaId *other);

#endif							/* SI_SCHEMA_NAME_H */
