/*-------------------------------------------------------------------------
 *
 * avro_schema.h
 *	  Avro schemas: JSON text in, a graph of types out.
 *
 * The schema is the writer's, and nothing is resolved against another one:
 * fields go to columns by name.  So defaults, aliases, orders and documentation
 * are passed over.  A named type is one node, wherever and however often its
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

#include "common/record.h"

/* Limits of a schema. */
#define SI_AVRO_MAX_TEXT		(4 * 1024 * 1024)
#define SI_AVRO_MAX_TYPES		20000
#define SI_AVRO_MAX_NESTING		100

/* As PostgreSQL's numeric. */
#define SI_AVRO_MAX_SCALE		16383

typedef enum SiAvroKind
{
	SI_AVRO_NULL,
	SI_AVRO_BOOLEAN,
	SI_AVRO_INT,
	SI_AVRO_LONG,
	SI_AVRO_FLOAT,
	SI_AVRO_DOUBLE,
	SI_AVRO_BYTES,
	SI_AVRO_STRING,
	SI_AVRO_FIXED,
	SI_AVRO_ENUM,
	SI_AVRO_ARRAY,
	SI_AVRO_MAP,
	SI_AVRO_UNION,
	SI_AVRO_RECORD
} SiAvroKind;

/* What a value means beyond its kind: a logical type, or Connect's name of one. */
typedef enum SiAvroMeaning
{
	SI_AVRO_PLAIN,
	SI_AVRO_DATE,
	SI_AVRO_TIME,
	SI_AVRO_INSTANT,			/* a timestamp in UTC */
	SI_AVRO_TIMESTAMP,			/* a timestamp without a zone */
	SI_AVRO_DECIMAL,
	SI_AVRO_UUID,				/* of 16 bytes; that in a string is a string */
	SI_AVRO_DURATION
} SiAvroMeaning;

/* What a TIME, INSTANT or TIMESTAMP counts. */
typedef enum SiAvroUnit
{
	SI_AVRO_MILLIS,
	SI_AVRO_MICROS,
	SI_AVRO_NANOS
} SiAvroUnit;

typedef struct SiAvroType SiAvroType;

typedef struct SiAvroName
{
	const char *data;			/* also ends with a NUL */
	size_t		len;
} SiAvroName;

typedef struct SiAvroField
{
	SiAvroName	name;
	const SiAvroType *type;
} SiAvroField;

struct SiAvroType
{
	SiAvroKind	kind;
	SiAvroMeaning meaning;
	SiAvroUnit	unit;
	int			scale;			/* of a DECIMAL */
	int			number;			/* from 0, among the schema's types; -1 for
								 * the plain primitive ones */
	size_t		size;			/* of a FIXED */
	int			n;				/* fields, branches or symbols */
	SiAvroField *fields;
	const SiAvroType **branches;
	SiAvroName *symbols;
	const SiAvroType *items;	/* of an ARRAY or MAP */
};

typedef struct SiAvroSchema SiAvroSchema;

/*
 * Read a schema from its JSON text in UTF-8; the bare name of a primitive type
 * will do.  NULL with *error filled: 42P17 for what is no schema, 54000 for one
 * beyond the limits, 53200 without memory.  Messages name the place by position;
 * names of the schema are in the detail alone.
 */
extern SiAvroSchema *si_avro_schema_parse(const char *data, size_t len,
										  SiDecodeError *error);

extern const SiAvroType *si_avro_schema_root(const SiAvroSchema *schema);

/* Types have numbers below this. */
extern int	si_avro_schema_ntypes(const SiAvroSchema *schema);

extern void si_avro_schema_free(SiAvroSchema *schema);

#endif							/* SI_AVRO_SCHEMA_H */
