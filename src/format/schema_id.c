/*-------------------------------------------------------------------------
 *
 * schema_id.c
 *	  Wire formats: how a message names the schema that it was written with.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/schema_id.h"

#define APICURIO_HEADER_BYTES	8
#define GLUE_FRAME_BYTES		(2 + SI_GUID_BYTES)

/* What Glue's second byte says of the payload. */
#define GLUE_PLAIN		0
#define GLUE_ZLIB		5

/* Part of a message, and what errors call it. */
typedef struct Part
{
	const SiMessage *message;
	bool		of_key;
	const char *name;
	const char *data;
	size_t		len;
} Part;

static bool fail(SiDecodeError *error, const char *sqlstate, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* As si_decoder_fail, which is above this module. */
static bool
fail(SiDecodeError *error, const char *sqlstate, const char *format,...)
{
	va_list		arguments;

	snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	error->detail[0] = '\0';
	return false;
}

/* ---- bytes ---- */

static uint64_t
read_number(const char *data, size_t len)
{
	uint64_t	result = 0;

	while (len-- > 0)
		result = result << 8 | (unsigned char) *data++;
	return result;
}

static void
set_number(SiSchemaId *id, SiSchemaIdKind kind, const char *data, size_t len)
{
	id->kind = kind;
	id->number = read_number(data, len);
}

static void
set_guid(SiSchemaId *id, const char *data)
{
	id->kind = SI_SCHEMA_GUID;
	memcpy(id->guid, data, SI_GUID_BYTES);
}

static bool
refuse(const Part *part, const char *what, SiDecodeError *error)
{
	return fail(error, "22P03", "the message's %s %s", part->name, what);
}

/* The payload begins after so many bytes of the part. */
static bool
begin_payload(const Part *part, size_t at, SiFrame *frame)
{
	frame->payload = part->data + at;
	frame->payload_len = part->len - at;
	return true;
}

/* Does the part begin with this byte, and is it as long as a frame? */
static bool
check_start(const Part *part, char magic, size_t least, SiDecodeError *error)
{
	if (part->len == 0 || part->data[0] != magic)
		return refuse(part, "does not begin with the id of a schema", error);
	if (part->len < least)
		return refuse(part, "ends within the id of its schema", error);
	return true;
}

/* The last header of that name with a value, as Kafka's own clients have it. */
static const SiHeader *
find_header(const Part *part, const char *of_value, const char *of_key)
{
	const char *name = part->of_key ? of_key : of_value;
	int			i;

	for (i = part->message->nheaders - 1; i >= 0; i--)
	{
		const SiHeader *header = &part->message->headers[i];

		if (header->value != NULL && strcmp(header->name, name) == 0)
			return header;
	}
	return NULL;
}

/* ---- the wire formats ---- */

static bool
read_confluent(const Part *part, SiFrame *frame, SiDecodeError *error)
{
	frame->format = SI_WIRE_CONFLUENT;
	if (!check_start(part, 0, 5, error))
		return false;
	set_number(&frame->id, SI_SCHEMA_NUMBER, part->data + 1, 4);
	return begin_payload(part, 5, frame);
}

static bool
read_confluent_header(const Part *part, SiFrame *frame, SiDecodeError *error)
{
	const SiHeader *header = find_header(part, "__value_schema_id", "__key_schema_id");
	size_t		id_end = 5;

	/*
	 * a serializer that was not switched yet, as Confluent's own client reads
	 * it
	 */
	if (header == NULL)
		return read_confluent(part, frame, error);
	if (header->value_len >= 1 + SI_GUID_BYTES && header->value[0] == 1)
	{
		set_guid(&frame->id, header->value + 1);
		id_end = 1 + SI_GUID_BYTES;
	}
	else if (header->value_len >= 5 && header->value[0] == 0)
		set_number(&frame->id, SI_SCHEMA_NUMBER, header->value + 1, 4);
	else
		return refuse(part, "has a header that holds no id of a schema", error);
	frame->naming = header->value + id_end;
	frame->naming_len = header->value_len - id_end;
	return begin_payload(part, 0, frame);
}

/* Ids have 8 bytes, or 4 from serializers that were told so. */
static bool
read_apicurio(const Part *part, SiFrame *frame, SiDecodeError *error)
{
	size_t		id_len = 4;

	if (!check_start(part, 0, 5, error))
		return false;
	if (read_number(part->data + 1, 4) == 0)
		id_len = 8;
	if (!check_start(part, 0, 1 + id_len, error))
		return false;
	set_number(&frame->id, SI_SCHEMA_NUMBER, part->data + 1, id_len);
	return begin_payload(part, 1 + id_len, frame);
}

static bool
read_apicurio_header(const Part *part, SiFrame *frame, SiDecodeError *error)
{
	SiSchemaIdKind kind = SI_SCHEMA_NUMBER;
	const SiHeader *header = find_header(part, "apicurio.value.globalId", "apicurio.key.globalId");

	if (header == NULL)
	{
		kind = SI_SCHEMA_CONTENT;
		header = find_header(part, "apicurio.value.contentId", "apicurio.key.contentId");
	}
	if (header == NULL)
		return refuse(part, "has no header with the id of its schema", error);
	if (header->value_len != APICURIO_HEADER_BYTES)
		return refuse(part, "has a header that holds no id of a schema", error);
	set_number(&frame->id, kind, header->value, APICURIO_HEADER_BYTES);
	header = find_header(part, "apicurio.protobuf.type", "apicurio.protobuf.type.key");
	if (header != NULL)
	{
		frame->naming = header->value;
		frame->naming_len = header->value_len;
	}
	return begin_payload(part, 0, frame);
}

static bool
read_glue(const Part *part, SiFrame *frame, SiDecodeError *error)
{
	if (!check_start(part, 3, GLUE_FRAME_BYTES, error))
		return false;
	if (part->data[1] == GLUE_ZLIB)
		return fail(error, "0A000", "the message's %s is compressed with zlib", part->name);
	if (part->data[1] != GLUE_PLAIN)
		return refuse(part, "does not begin with the id of a schema", error);
	set_guid(&frame->id, part->data + 2);
	return begin_payload(part, GLUE_FRAME_BYTES, frame);
}

typedef struct WireFormat
{
	bool		(*read) (const Part *part, SiFrame *frame, SiDecodeError *error);
	bool		needs_headers;
} WireFormat;

static const WireFormat wire_formats[] = {
	[SI_WIRE_DEFAULT] = {NULL, false},
	[SI_WIRE_NONE] = {NULL, false},
	[SI_WIRE_CONFLUENT] = {read_confluent, false},
	[SI_WIRE_CONFLUENT_HEADER] = {read_confluent_header, true},
	[SI_WIRE_APICURIO] = {read_apicurio, false},
	[SI_WIRE_APICURIO_HEADER] = {read_apicurio_header, true},
	[SI_WIRE_GLUE] = {read_glue, false}
};

bool
si_frame_read(SiWireFormat format, const SiMessage *message, bool of_key,
			  SiFrame *frame, SiDecodeError *error)
{
	Part		part = {message, of_key, of_key ? "key" : "value",
		of_key ? message->key : message->value,
	of_key ? message->key_len : message->value_len};

	memset(frame, 0, sizeof(*frame));
	frame->format = format;
	if (wire_formats[format].read == NULL)
		return begin_payload(&part, 0, frame);
	return wire_formats[format].read(&part, frame, error);
}

bool
si_wire_needs_headers(SiWireFormat format)
{
	return wire_formats[format].needs_headers;
}
