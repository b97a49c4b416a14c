/*-------------------------------------------------------------------------
 *
 * proto_types.h
 *	  The types of a Protobuf schema, as a graph.
 *
 * Made by proto_schema from .proto text or descriptors, read by whatever reads
 * messages.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_TYPES_H
#define SI_PROTO_TYPES_H

#include "common/record.h"

/* Limits of a schema. */
#define SI_PROTO_MAX_TEXT		(4 * 1024 * 1024)
#define SI_PROTO_MAX_TYPES		20000
#define SI_PROTO_MAX_NESTING	100

/* Numbers are those of FieldDescriptorProto.Type. */
typedef enum SiProtoKind
{
	SI_PROTO_UNRESOLVED = 0,	/* a message or enum that the schema names and
								 * does not have */
	SI_PROTO_DOUBLE,
	SI_PROTO_FLOAT,
	SI_PROTO_INT64,
	SI_PROTO_UINT64,
	SI_PROTO_INT32,
	SI_PROTO_FIXED64,
	SI_PROTO_FIXED32,
	SI_PROTO_BOOL,
	SI_PROTO_STRING,
	SI_PROTO_GROUP,				/* a message between two tags */
	SI_PROTO_MESSAGE,
	SI_PROTO_BYTES,
	SI_PROTO_UINT32,
	SI_PROTO_ENUM,
	SI_PROTO_SFIXED32,
	SI_PROTO_SFIXED64,
	SI_PROTO_SINT32,
	SI_PROTO_SINT64,
	SI_PROTO_NKINDS
} SiProtoKind;

/* What a message is beyond its fields. */
typedef enum SiProtoMeaning
{
	SI_PROTO_PLAIN,
	SI_PROTO_TIMESTAMP,
	SI_PROTO_DURATION,
	SI_PROTO_WRAPPER,			/* stands for its field "value" */
	SI_PROTO_DATE,
	SI_PROTO_TIME_OF_DAY,
	SI_PROTO_DECIMAL,
	SI_PROTO_SCALED				/* Debezium's decimal with a scale of its own */
} SiProtoMeaning;

typedef struct SiProtoMessage SiProtoMessage;
typedef struct SiProtoEnum SiProtoEnum;
typedef struct SiProtoField SiProtoField;

typedef struct SiProtoName
{
	const char *data;			/* also ends with a NUL */
	size_t		len;
} SiProtoName;

struct SiProtoField
{
	SiProtoName name;
	SiProtoName type_name;		/* of a message or enum, as the schema has it */
	int			number;
	int			order;			/* among the message's fields, from 0 */
	SiProtoKind kind;
	bool		repeated;
	bool		map;			/* repeated entries of a map */
	bool		presence;		/* is it NULL, and not zero, where a message
								 * lacks it? */
	bool		delimited;		/* would a message be a group? */
	int			oneof;			/* its number in the message, or -1 */
	const SiProtoMessage *message;
	const SiProtoEnum *values;
	SiProtoField *next;			/* of the message */
};

struct SiProtoMessage
{
	SiProtoName name;			/* with its package and messages around it */
	SiProtoMeaning meaning;
	int			number;			/* of the schema's types */
	bool		map_entry;
	bool		of_field;		/* in .proto text no message: a map's entry,
								 * or a group */
	int			nfields;
	int			noneofs;
	SiProtoField *first;		/* fields, as declared */
	SiProtoField *last;
	const SiProtoField **fields;	/* by their order */
	const SiProtoField **sorted;	/* by their number */
	const SiProtoField **dense; /* by number, of those below ndense */
	int			ndense;
	SiProtoMessage *parent;
	SiProtoMessage *first_nested;
	SiProtoMessage *last_nested;
	SiProtoMessage *next;		/* of the same parent or file */
	SiProtoMessage *next_made;	/* of the schema */
};

typedef struct SiProtoSymbol
{
	SiProtoName name;
	int			number;
} SiProtoSymbol;

struct SiProtoEnum
{
	SiProtoName name;
	int			n;
	int			room;
	SiProtoSymbol *symbols;		/* by number; of equal ones the first stays
								 * first */
	SiProtoEnum *next_made;
};

/* The field of that number, or NULL. */
static inline const SiProtoField *
si_proto_find_field(const SiProtoMessage *message, uint32_t number)
{
	int			low = 0;
	int			high = message->nfields;

	if (number < (uint32_t) message->ndense)
		return message->dense[number];
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if ((uint32_t) message->sorted[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < message->nfields && (uint32_t) message->sorted[low]->number == number ?
		message->sorted[low] : NULL;
}

#endif							/* SI_PROTO_TYPES_H */
