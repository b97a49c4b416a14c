/*-------------------------------------------------------------------------
 *
 * avro_document.c
 *	  Avro values as JSON text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "format/avro_document.h"
#include "format/connect_value.h"

static const char *
write_record(SiAvroReader *reader, const SiAvroType *type, const char *p, SiTextBuffer *out)
{
	int			i;

	si_text_append_byte(out, '{');
	for (i = 0; i < type->n && p != NULL; i++)
	{
		const SiAvroField *field = &type->fields[i];

		if (i > 0)
			si_text_append_byte(out, ',');
		si_text_append_string(out, field->name.data, field->name.len);
		si_text_append_byte(out, ':');
		p = si_avro_write_json(reader, field->type, p, out);
	}
	si_text_append_byte(out, '}');
	return p;
}

static const char *
write_key(SiAvroReader *reader, const char *p, SiTextBuffer *out)
{
	SiValue		key;

	p = si_avro_read_string(reader, p, &key);
	if (p == NULL)
		return NULL;
	si_text_append_string(out, key.data, key.len);
	si_text_append_byte(out, ':');
	return p;
}

/* An array, or a map as an object. */
static const char *
write_items(SiAvroReader *reader, const SiAvroType *type, const char *p, SiTextBuffer *out)
{
	bool		map = type->kind == SI_AVRO_MAP;
	SiAvroBlock block;
	bool		more = false;
	uint64_t	i;

	si_text_append_byte(out, map ? '{' : '[');
	do
	{
		p = si_avro_read_block(reader, p, &block);
		for (i = 0; p != NULL && i < block.count; i++)
		{
			if (more)
				si_text_append_byte(out, ',');
			more = true;
			if (map)
				p = write_key(reader, p, out);
			if (p != NULL)
				p = si_avro_write_json(reader, type->items, p, out);
		}
		p = si_avro_end_block(reader, p, &block);
	} while (p != NULL && block.count > 0);
	si_text_append_byte(out, map ? '}' : ']');
	return p;
}

const char *
si_avro_write_json(SiAvroReader *reader, const SiAvroType *type, const char *p, SiTextBuffer *out)
{
	SiValue		value;
	int			branch;

	/* names of the schema can make much of few bytes */
	if (out->fault == SI_TEXT_TOO_LONG)
		return si_avro_refuse(reader, p, SI_AVRO_LARGE_DOCUMENT);
	if (out->fault != SI_TEXT_NO_FAULT)
		return si_avro_refuse(reader, p, SI_AVRO_NO_MEMORY);
	if (type->kind == SI_AVRO_UNION)
	{
		p = si_avro_read_branch(reader, type, p, &branch);
		return p != NULL ? si_avro_write_json(reader, type->branches[branch], p, out) : NULL;
	}
	if (type->kind < SI_AVRO_ARRAY)
	{
		p = si_avro_read_scalar(reader, type, p, &value);
		if (p != NULL && type->meaning == SI_AVRO_JSON)
			si_connect_take_json(true, &value);
		if (p != NULL)
			si_text_append_value(out, &value);
		return p;
	}
	if (!si_avro_enter(reader, p))
		return NULL;
	p = type->kind == SI_AVRO_RECORD ? write_record(reader, type, p, out) :
		write_items(reader, type, p, out);
	si_avro_leave(reader);
	return p;
}
