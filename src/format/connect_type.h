/*-------------------------------------------------------------------------
 *
 * connect_type.h
 *	  Types of Kafka Connect's schemas, as its JSON converter writes them around a
 *	  message.
 *
 * Pure C, no server.  Called by connect_value and connect_schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONNECT_TYPE_H
#define SI_CONNECT_TYPE_H

#include "format/decoder.h"

/* Limits of a schema. */
#define SI_CONNECT_MAX_TEXT		((size_t) 2 * 1024 * 1024)
#define SI_CONNECT_MAX_TYPES	20000
#define SI_CONNECT_MAX_DEPTH	100

/* What JSON cannot say itself of a value. */
typedef enum SiConnectMeaning
{
	SI_CONNECT_PLAIN,			/* nothing */
	SI_CONNECT_INTEGER,			/* a number that is no date or time */
	SI_CONNECT_JSON,			/* a string that holds a document */
	SI_CONNECT_BYTES,			/* base64 */
	SI_CONNECT_DECIMAL,			/* base64 of an integer / 10^scale */
	SI_CONNECT_VARIABLE_DECIMAL,	/* the same, with the scale beside it */
	SI_CONNECT_DATE,			/* days since 1970 */
	SI_CONNECT_TIME,			/* since midnight */
	SI_CONNECT_TIMESTAMP,		/* since 1970, no zone */
	SI_CONNECT_INSTANT,			/* since 1970, UTC */
	SI_CONNECT_DURATION
} SiConnectMeaning;

typedef enum SiConnectUnit
{
	SI_CONNECT_MILLIS,
	SI_CONNECT_MICROS,
	SI_CONNECT_NANOS
} SiConnectUnit;

typedef struct SiConnectType SiConnectType;

typedef struct SiConnectField
{
	const char *name;
	size_t		name_len;
	uint32_t	folded;			/* hash of the name that match_names makes of
								 * it */
	const SiConnectType *type;
} SiConnectField;

struct SiConnectType
{
	SiConnectMeaning meaning;
	SiConnectUnit unit;			/* of what counts time */
	int			scale;			/* of a decimal */
	bool		holds_meaning;	/* is anything within it not plain? */
	int			nfields;		/* of a struct */
	const SiConnectField *fields;
	const SiConnectField **sorted;	/* by name; of equal ones the first stays
									 * first */
	const SiConnectType *items; /* of an array or the values of a map, or NULL */
};

/*
 * Read a schema, whose text is a JSON object and whose types are looked for by this
 * rule.  False with *error filled if it is larger than the limits, or its decimals
 * are, or when out of memory.
 */
extern bool si_connect_type_parse(const char *text, size_t len, SiMatchNames match_names,
								  SiArena *memory, const SiConnectType **type,
								  SiDecodeError *error);

/*
 * The type at the end of a path, or NULL where the schema has none.  The last
 * step is matched by this rule, the schema's or none.  A scalar, such as a key may be,
 * is its only field itself.
 */
extern const SiConnectType *si_connect_type_find(const SiConnectType *type,
												 const SiPathStep *steps, int nsteps,
												 SiMatchNames match_names);

/* The type of a struct's field, or NULL. */
extern const SiConnectType *si_connect_type_field(const SiConnectType *type, const char *name,
												  size_t len);

#endif							/* SI_CONNECT_TYPE_H */
