/*-------------------------------------------------------------------------
 *
 * avro_schema.h
 *	  Avro schemas: JSON text in, a graph of types out.
 *
 * The schema is the writer's, and nothing is resolved against another one:
 * fields go to columns by name.  So defaults, aliases, orders and documentation
 * are skipped.  A named type is one node, wherever and however often its
 * name is used; a record that contains itself is a circle of pointers.
 *
 * Pure C, no server.  A schema is a stranger's text: it may be wrong, large and
 * nested, but not without limit.  Called by decode_avro.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_SCHEMA_H
#define SI_AVRO_SCHEMA_H

#include "common/schema_texts.h"
#include "format/avro_types.h"

/* Limits of a schema. */
#define SI_AVRO_MAX_TYPES		20000
#define SI_AVRO_MAX_NESTING		100

/* Of a name with its namespace, which is made for every use of the name. */
#define SI_AVRO_MAX_FULL_NAME	2000

typedef struct SiAvroSchema SiAvroSchema;

/*
 * Read a schema from its JSON text, or the bare name of a primitive type; the types of
 * the schemas that it refers to are defined before.  NULL with *error filled: 42P17 for
 * what is no schema, 54000 for one beyond the limits, 53200 without memory.  Messages
 * name the place by position; names of the schema are in the detail alone.
 */
extern SiAvroSchema *si_avro_schema_parse(const SiSchemaTexts *texts, SiDecodeError *error);

extern const SiAvroType *si_avro_schema_root(const SiAvroSchema *schema);

/* Types have numbers below this. */
extern int	si_avro_schema_ntypes(const SiAvroSchema *schema);

extern void si_avro_schema_free(SiAvroSchema *schema);

#endif							/* SI_AVRO_SCHEMA_H */
