/*-------------------------------------------------------------------------
 *
 * proto_frame.c
 *	  Which message of its schema a Protobuf payload is.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "format/decoder.h"
#include "format/proto_frame.h"

/* What is left of the bytes that name a message. */
typedef struct Bytes
{
	const char *p;
	const char *end;
} Bytes;

/* What the bytes say: one of the two. */
typedef struct Naming
{
	int			indexes[SI_PROTO_MAX_NESTING];
	int			nindexes;		/* 0: a name */
	const char *name;
	size_t		name_len;
} Naming;

/* ---- bytes ---- */

/* An unsigned number of at most 32 bits. */
static bool
read_number(Bytes *bytes, uint32_t *number)
{
	uint64_t	value = 0;
	int			shift;

	for (shift = 0; shift < 35 && bytes->p < bytes->end; shift += 7)
	{
		unsigned char byte = (unsigned char) *bytes->p++;

		value |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
		{
			*number = (uint32_t) value;
			return value <= UINT32_MAX;
		}
	}
	return false;
}

/* A signed number, as Kafka's clients write it: zigzag. */
static bool
read_signed(Bytes *bytes, int *number)
{
	uint32_t	value;

	if (!read_number(bytes, &value))
		return false;
	*number = (int) (value >> 1) ^ -(int) (value & 1);
	return true;
}

/*
 * Confluent's indexes: how many, and each, of a message in its file or in the message
 * around it.  A single 0 stands for the first message.
 */
static bool
read_indexes(Bytes *bytes, Naming *naming)
{
	int			n;
	int			i;

	if (!read_signed(bytes, &n) || n < 0 || n > SI_PROTO_MAX_NESTING)
		return false;
	naming->indexes[0] = 0;
	for (i = 0; i < n; i++)
	{
		if (!read_signed(bytes, &naming->indexes[i]))
			return false;
	}
	naming->nindexes = n > 0 ? n : 1;
	return true;
}

/*
 * Apicurio's reference: a message of its own, with its length before it, whose only
 * field is a name.
 */
static bool
read_reference(Bytes *bytes, Naming *naming)
{
	uint32_t	len;
	Bytes		inner;

	if (!read_number(bytes, &len) || len == 0 || len > (size_t) (bytes->end - bytes->p))
		return false;
	inner.p = bytes->p;
	inner.end = bytes->p + len;
	bytes->p = inner.end;
	if (*inner.p++ != 0x0A || !read_number(&inner, &len) || len == 0 ||
		len != (size_t) (inner.end - inner.p))
		return false;
	naming->name = inner.p;
	naming->name_len = len;
	return true;
}

/* Glue's index, by an order of its own, which is passed over. */
static bool
skip_index(Bytes *bytes, Naming *naming)
{
	uint32_t	index;

	(void) naming;
	return read_number(bytes, &index);
}

/* ---- the wire formats ---- */

typedef bool (*ReadNaming) (Bytes *bytes, Naming *naming);

static const ReadNaming readers[] = {
	[SI_WIRE_DEFAULT] = NULL,
	[SI_WIRE_NONE] = NULL,
	[SI_WIRE_CONFLUENT] = read_indexes,
	[SI_WIRE_CONFLUENT_HEADER] = read_indexes,
	[SI_WIRE_APICURIO] = read_reference,
	[SI_WIRE_APICURIO_HEADER] = read_reference,
	[SI_WIRE_GLUE] = skip_index
};

bool
si_proto_frame_names(SiWireFormat format)
{
	return readers[format] != NULL && readers[format] != skip_index;
}

/* Read what names the message: in a header, or at the payload's begin, where it is taken off. */
static bool
read_naming(SiFrame *frame, Naming *naming, SiDecodeError *error)
{
	Bytes		bytes = {frame->payload, frame->payload + frame->payload_len};

	if (frame->format == SI_WIRE_APICURIO_HEADER && frame->naming != NULL)
	{
		naming->name = frame->naming;
		naming->name_len = frame->naming_len;
		return true;
	}
	if (frame->naming != NULL)
	{
		bytes.p = frame->naming;
		bytes.end = frame->naming + frame->naming_len;
	}
	if (!readers[frame->format] (&bytes, naming))
		return si_decoder_fail(error, "22P03", "the type of the message, behind the id of its schema, is cut or wrong");
	if (frame->naming == NULL)
	{
		frame->payload = bytes.p;
		frame->payload_len = (size_t) (bytes.end - bytes.p);
	}
	return true;
}

void
si_proto_frame_find_naming(SiFrame *frame)
{
	const char *begin = frame->payload;
	SiDecodeError error;
	Naming		naming;

	if (frame->naming != NULL || readers[frame->format] == NULL ||
		!read_naming(frame, &naming, &error))
		return;
	frame->naming = begin;
	frame->naming_len = (size_t) (frame->payload - begin);
}

const SiProtoMessage *
si_proto_frame_read(SiFrame *frame, const SiProtoSchema *schema, const SiProtoMessage *named,
					SiDecodeError *error)
{
	Naming		naming;
	const SiProtoMessage *message;

	/* a header that is not needed may be empty */
	if (named != NULL && frame->naming != NULL)
		return named;
	naming.nindexes = 0;
	naming.name = NULL;
	if (readers[frame->format] != NULL && !read_naming(frame, &naming, error))
		return NULL;
	if (named != NULL)
		return named;
	if (naming.nindexes > 0)
		message = si_proto_schema_at(schema, naming.indexes, naming.nindexes);
	else if (naming.name != NULL)
		message = si_proto_schema_named(schema, naming.name, naming.name_len);
	else
	{
		message = si_proto_schema_only(schema);
		if (message == NULL)
			si_decoder_fail(error, "22023",
							"the schema has several messages, and the option \"message\" names none");
		return message;
	}
	if (message == NULL)
		si_decoder_fail(error, "42704", "the schema has no message of the type that the message names");
	return message;
}
