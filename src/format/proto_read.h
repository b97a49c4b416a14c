/*-------------------------------------------------------------------------
 *
 * proto_read.h
 *	  Protobuf's wire format, checked: tags, values, and what values mean.
 *
 * Bytes are a stranger's: every length and number in them is checked before it is
 * used, and nothing is allocated by what they claim.
 *
 * A message's fields come in any order and any number of times: of a scalar the
 * last counts, messages are merged, lists grow.  So a message is collected first:
 * a slot for each field of its type, with the values that the field has.
 *
 * Pure C, no server.  Called by decode_protobuf, proto_document and
 * proto_descriptor.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_READ_H
#define SI_PROTO_READ_H

#include "format/decoder.h"
#include "format/proto_types.h"

/* So many messages and groups may be within one another. */
#define SI_PROTO_MAX_DEPTH		200

/*
 * A message that is read may hold so many elements of lists and parts of messages,
 * packed ones aside, and so many fields of the types around one another: their
 * memory is many times what they take of the message.
 */
#define SI_PROTO_MAX_PARTS		4000000
#define SI_PROTO_MAX_SLOTS		2000000

/* What is wrong with a message. */
typedef enum SiProtoFault
{
	SI_PROTO_NO_FAULT,
	SI_PROTO_TRUNCATED,
	SI_PROTO_LONG_NUMBER,
	SI_PROTO_BAD_TAG,
	SI_PROTO_WIRE_TYPE,
	SI_PROTO_BAD_GROUP,
	SI_PROTO_BAD_UTF8,
	SI_PROTO_TIME_RANGE,
	SI_PROTO_BAD_SCALE,
	SI_PROTO_LARGE_DECIMAL,
	SI_PROTO_TOO_MANY,
	SI_PROTO_TOO_DEEP,
	SI_PROTO_LARGE_DOCUMENT,
	SI_PROTO_UNKNOWN_TYPE,
	SI_PROTO_NO_MEMORY
} SiProtoFault;

/* Wire types. */
#define SI_WIRE_VARINT		0
#define SI_WIRE_64			1
#define SI_WIRE_BYTES		2
#define SI_WIRE_GROUP		3
#define SI_WIRE_END			4
#define SI_WIRE_32			5

/* A value on the wire. */
typedef struct SiProtoItem
{
	uint32_t	number;			/* of its field */
	int			wire;
	uint64_t	bits;			/* of a number */
	const char *data;			/* of bytes, and of what is in a group */
	size_t		len;
} SiProtoItem;

/* Values of a field: one, or a list in the reader's parts. */
typedef struct SiProtoValue
{
	uint64_t	serial;			/* of the collecting that found it */
	SiProtoItem item;			/* the last one */
	int			first;			/* of the list, -1 if item is all there is */
	int			last;
} SiProtoValue;

typedef struct SiProtoPart
{
	SiProtoItem item;
	int			next;			/* or -1 */
} SiProtoPart;

/* Reads messages; lives as long as the decoder, for the memory of its stacks. */
typedef struct SiProtoReader
{
	SiArena    *arena;			/* for values that are not in the message */
	const char *start;			/* of the message */
	int			depth;
	SiProtoFault fault;
	const char *fault_pos;
	const SiProtoField *fault_field;	/* of UNKNOWN_TYPE and WIRE_TYPE */

	/* stacks, of the messages that are being read */
	SiProtoPart *parts;
	int			nparts;
	int			parts_room;
	SiProtoValue *slots;
	int			nslots;
	int			slots_room;
	uint64_t	serial;			/* of the last collecting */
} SiProtoReader;

/* What a reader's stacks held at a time. */
typedef struct SiProtoMark
{
	int			nparts;
	int			nslots;
} SiProtoMark;

/* The fields of a message that are there. */
typedef struct SiProtoFields
{
	const SiProtoMessage *type;
	SiProtoMark mark;			/* to be released */
	uint64_t	serial;
} SiProtoFields;

/* Begin with a message. */
extern void si_proto_begin(SiProtoReader *reader, const char *data, SiArena *arena);
extern void si_proto_reader_free(SiProtoReader *reader);

/* Set the fault, found at p, and return NULL. */
extern const char *si_proto_fault(SiProtoReader *reader, const char *p, SiProtoFault fault);

/* The same for a field whose type the schema lacks; returns false. */
extern bool si_proto_refuse_type(SiProtoReader *reader, const SiProtoField *field, const char *p);

/* Word the fault; returns false. */
extern bool si_proto_report(const SiProtoReader *reader, SiDecodeError *error);

/* Read a tag and its value, of any field; returns what is behind it, or NULL. */
extern const char *si_proto_read_item(SiProtoReader *reader, const char *p, const char *end,
									  SiProtoItem *item);

/* Read an element of packed ones. */
extern const char *si_proto_read_packed(SiProtoReader *reader, const SiProtoField *field,
										const char *p, const char *end, SiProtoItem *item);

/* Are these packed elements of a repeated field? */
extern bool si_proto_is_packed(const SiProtoField *field, const SiProtoItem *item);

/* Called for a field of a collected message that no one takes, or that is unknown. */
typedef void (*SiProtoUnclaimed) (void *context, const SiProtoField *field, const SiProtoItem *item);

/*
 * Collect the fields of a message that came in the parts of a value.  With takers,
 * only those fields whose entry, by their order, is not NULL; the others, and
 * unknown ones, are reported to unclaimed if that is not NULL.  False with the
 * fault set; on success the caller releases.
 */
extern bool si_proto_collect(SiProtoReader *reader, const SiProtoMessage *type,
							 const SiProtoValue *value, void *const *takers,
							 SiProtoUnclaimed unclaimed, void *context, SiProtoFields *fields);
extern void si_proto_release(SiProtoReader *reader, const SiProtoFields *fields);

/* The values of a field that was collected; false if there is none. */
static inline bool
si_proto_get(const SiProtoReader *reader, const SiProtoFields *fields, const SiProtoField *field,
			 SiProtoValue *value)
{
	const SiProtoValue *slot = &reader->slots[fields->mark.nslots + field->order];

	if (slot->serial != fields->serial)
		return false;
	*value = *slot;
	return true;
}

/* A value that is the one item. */
extern void si_proto_single(const SiProtoItem *item, SiProtoValue *value);

/* The value of a message without fields. */
extern void si_proto_nothing(const SiProtoReader *reader, SiProtoValue *value);

/* Make a value of an item of a scalar's or enum's field. */
extern bool si_proto_set_scalar(SiProtoReader *reader, const SiProtoField *field,
								const SiProtoItem *item, SiValue *value);

/* What such a field is where a message lacks it. */
extern void si_proto_set_zero(const SiProtoField *field, SiValue *value);

/* Make the value of a message that stands for one; defined in proto_known.c. */
extern bool si_proto_set_known(SiProtoReader *reader, const SiProtoMessage *type,
							   const SiProtoValue *from, SiValue *value);

#endif							/* SI_PROTO_READ_H */
