/*-------------------------------------------------------------------------
 *
 * avro_types.h
 *	  The types of an Avro schema, as a graph.
 *
 * Made by avro_schema, read by whatever reads messages.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_TYPES_H
#define SI_AVRO_TYPES_H

#include "common/record.h"

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
	SI_AVRO_SCALED,				/* a record of a scale and bytes, a decimal */
	SI_AVRO_ARRAY,
	SI_AVRO_MAP,
	SI_AVRO_UNION,
	SI_AVRO_RECORD
} SiAvroKind;

/*
 * What a value means beyond its kind: a logical type, or Connect's name of one.  A
 * string stays what it is, whatever it means, but for JSON; the others tell which
 * type of column takes its text.
 */
typedef enum SiAvroMeaning
{
	SI_AVRO_PLAIN,
	SI_AVRO_DATE,
	SI_AVRO_TIME,
	SI_AVRO_INSTANT,			/* a timestamp in UTC */
	SI_AVRO_TIMESTAMP,			/* a timestamp without a zone */
	SI_AVRO_DECIMAL,
	SI_AVRO_UUID,
	SI_AVRO_DURATION,
	SI_AVRO_JSON				/* a string that holds a document */
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
	int			precision;		/* the same; 0 where it is not known */
	int			number;			/* from 0, among the schema's types; -1 for
								 * the plain primitive ones */
	size_t		size;			/* of a FIXED */
	int			n;				/* fields, branches or symbols */
	SiAvroField *fields;
	const SiAvroType **branches;
	SiAvroName *symbols;
	const SiAvroType *items;	/* of an ARRAY or MAP */
};

#endif							/* SI_AVRO_TYPES_H */
