/*-------------------------------------------------------------------------
 *
 * proto_document.c
 *	  Protobuf values as JSON text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/proto_document.h"

/* Has the document become too much?  Names of a schema can make it of few bytes. */
static bool
has_room(SiProtoReader *reader, const SiTextBuffer *out, const char *p)
{
	if (out->fault == SI_TEXT_NO_FAULT)
		return true;
	return si_proto_fault(reader, p, out->fault == SI_TEXT_TOO_LONG ?
						  SI_PROTO_LARGE_DOCUMENT : SI_PROTO_NO_MEMORY) != NULL;
}

/* One value of a field. */
static bool
write_value(SiProtoReader *reader, const SiProtoField *field, const SiProtoValue *from,
			SiTextBuffer *out)
{
	SiValue		value;

	if (field->message != NULL)
		return si_proto_write_message(reader, field->message, from, out);
	if (!si_proto_set_scalar(reader, field, &from->item, &value))
		return false;
	si_text_append_value(out, &value);
	return true;
}

bool
si_proto_get_key(SiProtoReader *reader, const SiProtoFields *entry, SiProtoKey *key)
{
	const SiProtoField *field = entry->type->first;
	SiProtoValue from;
	SiValue		value;

	if (!si_proto_get(reader, entry, field, &from))
		si_proto_set_zero(field, &value);
	else if (!si_proto_set_scalar(reader, field, &from.item, &value))
		return false;
	if (si_value_is_typed(&value))
	{
		key->len = si_value_text(&value, key->made);
		key->data = key->made;
	}
	else if (value.kind == SI_VALUE_TRUE || value.kind == SI_VALUE_FALSE)
	{
		key->data = value.kind == SI_VALUE_TRUE ? "true" : "false";
		key->len = strlen(key->data);
	}
	else
	{
		key->data = value.data;
		key->len = value.len;
	}
	return true;
}

static bool
write_entry(SiProtoReader *reader, const SiProtoField *field, const SiProtoValue *from,
			SiTextBuffer *out)
{
	const SiProtoField *value_field = field->message->first->next;
	SiProtoFields entry;
	SiProtoValue value;
	SiProtoKey	key;
	SiValue		zero;
	bool		done = true;

	if (!si_proto_collect(reader, field->message, from, NULL, NULL, NULL, &entry) ||
		!si_proto_get_key(reader, &entry, &key))
		return false;
	if (value_field->kind == SI_PROTO_UNRESOLVED)
		return si_proto_refuse_type(reader, value_field, from->item.data);
	si_text_append_string(out, key.data, key.len);
	si_text_append_byte(out, ':');
	if (si_proto_get(reader, &entry, value_field, &value))
		done = write_value(reader, value_field, &value, out);
	else if (value_field->message != NULL)
	{
		si_proto_nothing(reader, &value);
		done = si_proto_write_message(reader, value_field->message, &value, out);
	}
	else
	{
		si_proto_set_zero(value_field, &zero);
		si_text_append_value(out, &zero);
	}
	si_proto_release(reader, &entry);
	return done;
}

/* Elements that came as one item: a single one, or packed ones. */
static bool
write_elements(SiProtoReader *reader, const SiProtoField *field, const SiProtoItem *item,
			   bool *more, SiTextBuffer *out)
{
	const char *p = item->data;
	const char *end = item->data + item->len;
	bool		packed = si_proto_is_packed(field, item);
	SiProtoValue element;

	si_proto_single(item, &element);
	if (packed && p == end)
		return true;
	do
	{
		if (packed)
		{
			p = si_proto_read_packed(reader, field, p, end, &element.item);
			if (p == NULL)
				return false;
		}
		if (*more)
			si_text_append_byte(out, ',');
		*more = true;
		if (!(field->map ? write_entry(reader, field, &element, out) :
			  write_value(reader, field, &element, out)) ||
			!has_room(reader, out, item->data))
			return false;
	} while (packed && p < end);
	return true;
}

static bool
write_list(SiProtoReader *reader, const SiProtoField *field, const SiProtoValue *value,
		   SiTextBuffer *out)
{
	bool		more = false;
	int			i;

	si_text_append_byte(out, field->map ? '{' : '[');
	if (value->first < 0 && !write_elements(reader, field, &value->item, &more, out))
		return false;
	for (i = value->first; i >= 0; i = reader->parts[i].next)
	{
		SiProtoItem item = reader->parts[i].item;

		if (!write_elements(reader, field, &item, &more, out))
			return false;
	}
	si_text_append_byte(out, field->map ? '}' : ']');
	return true;
}

bool
si_proto_write_field(SiProtoReader *reader, const SiProtoField *field, const SiProtoValue *value,
					 SiTextBuffer *out)
{
	return field->repeated ? write_list(reader, field, value, out) :
		write_value(reader, field, value, out);
}

/* A field of a message that lacks it. */
static void
write_zero(const SiProtoField *field, SiTextBuffer *out)
{
	SiValue		value;

	if (field->repeated)
		si_text_append(out, field->map ? "{}" : "[]", 2);
	else
	{
		si_proto_set_zero(field, &value);
		si_text_append_value(out, &value);
	}
}

static bool
write_fields(SiProtoReader *reader, const SiProtoFields *fields, SiTextBuffer *out)
{
	const SiProtoField *field;
	SiProtoValue value;
	bool		more = false;

	for (field = fields->type->first; field != NULL; field = field->next)
	{
		bool		there = si_proto_get(reader, fields, field, &value);

		if (field->kind == SI_PROTO_UNRESOLVED)
			return si_proto_refuse_type(reader, field, reader->start);
		if (!there && field->presence)
			continue;
		if (more)
			si_text_append_byte(out, ',');
		more = true;
		si_text_append_string(out, field->name.data, field->name.len);
		si_text_append_byte(out, ':');
		if (!there)
			write_zero(field, out);
		else if (!si_proto_write_field(reader, field, &value, out))
			return false;
	}
	return true;
}

bool
si_proto_write_message(SiProtoReader *reader, const SiProtoMessage *type,
					   const SiProtoValue *from, SiTextBuffer *out)
{
	SiProtoFields fields;
	SiValue		value;

	if (type->meaning != SI_PROTO_PLAIN)
	{
		if (!si_proto_set_known(reader, type, from, &value))
			return false;
		si_text_append_value(out, &value);
		return true;
	}
	if (!si_proto_collect(reader, type, from, NULL, NULL, NULL, &fields))
		return false;
	si_text_append_byte(out, '{');
	if (!write_fields(reader, &fields, out) || !has_room(reader, out, from->item.data))
		return false;
	si_text_append_byte(out, '}');
	si_proto_release(reader, &fields);
	return true;
}
