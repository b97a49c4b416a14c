/*-------------------------------------------------------------------------
 *
 * proto_descriptor.c
 *	  Reading Protobuf's own description of schemas: FileDescriptorProto and
 *	  FileDescriptorSet.
 *
 * Each message of descriptor.proto that matters is a function that gets its fields
 * one by one; the numbers are those of descriptor.proto.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/proto_build.h"
#include "format/proto_read.h"

typedef struct Reader
{
	SiProtoReader wire;
	SiProtoBuilder *builder;
	int			depth;
} Reader;

/* A field that is being read, and what of it goes elsewhere. */
typedef struct Draft
{
	SiProtoField field;
	SiProtoItem name;
	SiProtoItem type_name;
	int			oneof;
	int			label;
	bool		optional;		/* proto3's word */
	SiProtoFeatures features;
} Draft;

typedef bool (*TakeItem) (Reader *reader, const SiProtoItem *item, void *context);

static bool read_message(Reader *reader, const SiProtoItem *bytes, SiProtoMessage *parent);

static bool
refuse(Reader *reader)
{
	return si_proto_refuse(reader->builder, "42P17",
						   "it is neither .proto text nor a descriptor in base64", NULL, 0);
}

/* Call take for each field of a message. */
static bool
for_each(Reader *reader, const SiProtoItem *bytes, TakeItem take, void *context)
{
	const char *p = bytes->data;
	const char *end = bytes->data + bytes->len;
	SiProtoItem item;

	memset(&item, 0, sizeof(item));
	while (p < end)
	{
		p = si_proto_read_item(&reader->wire, p, end, &item);
		if (p == NULL || item.wire == SI_WIRE_END)
			return refuse(reader);
		if (!take(reader, &item, context))
			return false;
	}
	return true;
}

/* Is this the field of that number, of bytes or a message? */
static bool
is_bytes(const SiProtoItem *item, uint32_t number)
{
	return item->number == number && item->wire == SI_WIRE_BYTES;
}

static bool
is_number(const SiProtoItem *item, uint32_t number)
{
	return item->number == number && item->wire == SI_WIRE_VARINT;
}

/* ---- names first: a message's may stand behind its fields ---- */

typedef struct Find
{
	uint32_t	number;
	SiProtoItem found;
} Find;

static bool
take_found(Reader *reader, const SiProtoItem *item, void *context)
{
	Find	   *find = context;

	(void) reader;
	if (is_bytes(item, find->number))
		find->found = *item;
	return true;
}

/* The bytes of a field, empty if it is not there; the last one counts. */
static bool
find_bytes(Reader *reader, const SiProtoItem *bytes, uint32_t number, SiProtoItem *found)
{
	Find		find = {.number = number};

	find.found.data = bytes->data;
	if (!for_each(reader, bytes, take_found, &find))
		return false;
	*found = find.found;
	return true;
}

/* ---- features ---- */

static bool
take_feature(Reader *reader, const SiProtoItem *item, void *context)
{
	SiProtoFeatures *features = context;

	(void) reader;
	if (is_number(item, 1))		/* field_presence */
		features->presence = item->bits == 2 ? SI_PRESENCE_IMPLICIT : SI_PRESENCE_EXPLICIT;
	if (is_number(item, 5))		/* message_encoding */
		features->encoding = item->bits == 2 ? SI_ENCODING_DELIMITED : SI_ENCODING_PREFIXED;
	return true;
}

/* ---- enums ---- */

typedef struct Symbol
{
	SiProtoItem name;
	int			number;
} Symbol;

static bool
take_symbol_part(Reader *reader, const SiProtoItem *item, void *context)
{
	Symbol	   *symbol = context;

	(void) reader;
	if (is_bytes(item, 1))
		symbol	  ->name = *item;

	if (is_number(item, 2))
		symbol	  ->number = (int32_t) (uint32_t) item->bits;

	return true;
}

static bool
take_enum_part(Reader *reader, const SiProtoItem *item, void *context)
{
	Symbol symbol;

	if (!is_bytes(item, 2))		/* value */
		return true;
	memset(&symbol, 0, sizeof(symbol));
	symbol.		name.data = item->data;

	return for_each(reader, item, take_symbol_part, &symbol) &&
		si_proto_add_symbol(reader->builder, context, symbol.name.data, symbol.name.len,
							symbol.number);
}

static bool
read_enum(Reader *reader, const SiProtoItem *bytes, SiProtoMessage *parent)
{
	SiProtoItem name;
	SiProtoEnum *values;

	if (!find_bytes(reader, bytes, 1, &name))
		return false;
	values = si_proto_add_enum(reader->builder, parent, name.data, name.len);
	return values != NULL && for_each(reader, bytes, take_enum_part, values);
}

/* ---- fields ---- */

static bool
take_field_option(Reader *reader, const SiProtoItem *item, void *context)
{
	Draft	   *draft = context;

	return !is_bytes(item, 21) || for_each(reader, item, take_feature, &draft->features);
}

static bool
take_field_part(Reader *reader, const SiProtoItem *item, void *context)
{
	Draft	   *draft = context;

	if (is_bytes(item, 1))
		draft->name = *item;
	else if (is_number(item, 3))
		draft->field.number = item->bits > INT32_MAX ? 0 : (int) item->bits;
	else if (is_number(item, 4))
		draft->label = (int) item->bits;
	else if (is_number(item, 5))
		draft->field.kind = item->bits < SI_PROTO_NKINDS ? (SiProtoKind) item->bits : SI_PROTO_UNRESOLVED;
	else if (is_bytes(item, 6))
		draft->type_name = *item;
	else if (is_bytes(item, 8))
		return for_each(reader, item, take_field_option, draft);
	else if (is_number(item, 9))
		draft->oneof = item->bits > INT32_MAX ? -1 : (int) item->bits;
	else if (is_number(item, 17))
		draft->optional = item->bits != 0;
	return true;
}

/* Does a field's type have a name? */
static bool
is_named(SiProtoKind kind)
{
	return kind == SI_PROTO_UNRESOLVED || kind == SI_PROTO_MESSAGE || kind == SI_PROTO_GROUP ||
		kind == SI_PROTO_ENUM;
}

static bool
read_field(Reader *reader, const SiProtoItem *bytes, SiProtoMessage *message)
{
	SiProtoBuilder *builder = reader->builder;
	Draft		draft;

	memset(&draft, 0, sizeof(draft));
	draft.oneof = -1;
	draft.name.data = draft.type_name.data = bytes->data;
	if (!for_each(reader, bytes, take_field_part, &draft) ||
		!si_proto_copy_name(builder, draft.name.data, draft.name.len, &draft.field.name))
		return false;
	if (is_named(draft.field.kind))
	{
		if (draft.type_name.len == 0)
			return si_proto_refuse(builder, "42P17", "a field has no type",
								   draft.name.data, draft.name.len);
		if (!si_proto_copy_name(builder, draft.type_name.data, draft.type_name.len,
								&draft.field.type_name))
			return false;
	}
	draft.field.repeated = draft.label == 3;

	/* that of proto3's "optional" has no other field */
	draft.field.oneof = draft.oneof < message->noneofs && !draft.optional ? draft.oneof : -1;
	return si_proto_add_field(builder, message, &draft.field, draft.optional, &draft.features);
}

/* ---- messages ---- */

static bool
take_message_option(Reader *reader, const SiProtoItem *item, void *context)
{
	SiProtoMessage *message = context;

	(void) reader;
	if (is_number(item, 7))
		message->map_entry = item->bits != 0;
	return true;
}

/* What fields need: how many oneofs there are, and whether this is a map's entry. */
static bool
take_message_frame(Reader *reader, const SiProtoItem *item, void *context)
{
	SiProtoMessage *message = context;

	if (is_bytes(item, 8))
		message->noneofs++;
	return !is_bytes(item, 7) || for_each(reader, item, take_message_option, message);
}

static bool
take_message_part(Reader *reader, const SiProtoItem *item, void *context)
{
	if (is_bytes(item, 2))
		return read_field(reader, item, context);
	if (is_bytes(item, 3))
		return read_message(reader, item, context);
	return !is_bytes(item, 4) || read_enum(reader, item, context);
}

static bool
read_message(Reader *reader, const SiProtoItem *bytes, SiProtoMessage *parent)
{
	SiProtoMessage *message;
	SiProtoItem name;

	if (++reader->depth > SI_PROTO_MAX_NESTING)
		return si_proto_refuse(reader->builder, "54000", "messages are nested too deeply", NULL, 0);
	if (!find_bytes(reader, bytes, 1, &name))
		return false;
	message = si_proto_add_message(reader->builder, parent, name.data, name.len);
	if (message == NULL || !for_each(reader, bytes, take_message_frame, message) ||
		!for_each(reader, bytes, take_message_part, message))
		return false;
	reader->depth--;
	return true;
}

/* ---- files ---- */

static bool
take_file_option(Reader *reader, const SiProtoItem *item, void *context)
{
	(void) context;
	return !is_bytes(item, 50) || for_each(reader, item, take_feature, &reader->builder->features);
}

static bool
take_file_frame(Reader *reader, const SiProtoItem *item, void *context)
{
	SiProtoBuilder *builder = reader->builder;

	(void) context;
	if (is_bytes(item, 2))
		return si_proto_copy_name(builder, item->data, item->len, &builder->package);
	if (is_bytes(item, 8))
		return for_each(reader, item, take_file_option, NULL);
	if (is_bytes(item, 12) && item->len == 6 && memcmp(item->data, "proto3", 6) == 0)
		builder->syntax = SI_PROTO_3;
	if (is_bytes(item, 12) && item->len == 8 && memcmp(item->data, "editions", 8) == 0)
		builder->syntax = SI_PROTO_EDITION;
	return true;
}

static bool
take_file_part(Reader *reader, const SiProtoItem *item, void *context)
{
	(void) context;
	if (is_bytes(item, 4))
		return read_message(reader, item, NULL);
	return !is_bytes(item, 5) || read_enum(reader, item, NULL);
}

static bool
read_file(Reader *reader, const SiProtoItem *bytes)
{
	si_proto_begin_file(reader->builder);
	return for_each(reader, bytes, take_file_frame, NULL) &&
		for_each(reader, bytes, take_file_part, NULL);
}

static bool
take_set_part(Reader *reader, const SiProtoItem *item, void *context)
{
	(void) context;
	return !is_bytes(item, 1) || read_file(reader, item);
}

static bool
take_other(Reader *reader, const SiProtoItem *item, void *context)
{
	bool	   *other = context;

	(void) reader;
	if (!is_bytes(item, 1))
		*other = true;
	return true;
}

/* Of a set the files are all that it has; a file has more than its name. */
bool
si_proto_read_descriptor(SiProtoBuilder *builder, const char *data, size_t len)
{
	Reader		reader = {.builder = builder};
	SiProtoItem bytes = {.data = data,.len = len};
	bool		other = false;

	si_proto_begin(&reader.wire, data, builder->arena);
	si_proto_begin_file(builder);
	if (!for_each(&reader, &bytes, take_other, &other))
		return false;
	return other ? read_file(&reader, &bytes) : for_each(&reader, &bytes, take_set_part, NULL);
}
