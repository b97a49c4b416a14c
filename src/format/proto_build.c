/*-------------------------------------------------------------------------
 *
 * proto_build.c
 *	  Making a Protobuf schema: types are added as a reader meets them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "format/json_scan.h"
#include "format/proto_build.h"

#define MAX_FIELD_NUMBER	((1 << 29) - 1)

bool
si_proto_refuse(SiProtoBuilder *builder, const char *sqlstate, const char *words,
				const char *name, size_t len)
{
	if (builder->line > 0)
		si_decoder_fail(builder->error, sqlstate, "invalid Protobuf schema at line %d: %s",
						builder->line, words);
	else
		si_decoder_fail(builder->error, sqlstate, "invalid Protobuf schema: %s", words);
	if (len > 0)
		snprintf(builder->error->detail, sizeof(builder->error->detail), "The name is \"%.*s\".",
				 len < 200 ? (int) len : 200, name);
	return false;
}

bool
si_proto_out_of_memory(SiProtoBuilder *builder)
{
	return si_decoder_fail(builder->error, "53200", "out of memory");
}

void *
si_proto_alloc(SiProtoBuilder *builder, size_t size)
{
	void	   *result = si_arena_alloc(builder->arena, size);

	if (result == NULL)
	{
		si_proto_out_of_memory(builder);
		return NULL;
	}
	return memset(result, 0, size);
}

/* A descriptor may have any bytes for a name, and names go into documents. */
static bool
check_name(SiProtoBuilder *builder, const char *data, size_t len)
{
	if (memchr(data, '\0', len) != NULL || !si_json_is_utf8(data, len))
		return si_proto_refuse(builder, "42P17", "a name is not valid UTF-8", NULL, 0);
	return len <= SI_PROTO_MAX_FULL_NAME ||
		si_proto_refuse(builder, "54000", "a name is too long", NULL, 0);
}

bool
si_proto_copy_name(SiProtoBuilder *builder, const char *data, size_t len, SiProtoName *name)
{
	char	   *copy;

	if (!check_name(builder, data, len))
		return false;
	copy = si_proto_alloc(builder, len + 1);
	if (copy == NULL)
		return false;
	memcpy(copy, data, len);
	name->data = copy;
	name->len = len;
	return true;
}

void
si_proto_begin_file(SiProtoBuilder *builder)
{
	static const SiProtoFeatures none = {SI_PRESENCE_INHERITED, SI_ENCODING_INHERITED};

	builder->package.data = "";
	builder->package.len = 0;
	builder->syntax = SI_PROTO_2;
	builder->features = none;
	builder->first_top = NULL;
	builder->last_top = NULL;
}

/* The full name of a type: its package, the messages around it, and its own. */
static bool
make_name(SiProtoBuilder *builder, const SiProtoMessage *parent, const char *own, size_t len,
		  SiProtoName *name)
{
	const SiProtoName *scope = parent != NULL ? &parent->name : &builder->package;
	char	   *full;

	if (++builder->ntypes > SI_PROTO_MAX_TYPES)
		return si_proto_refuse(builder, "54000", "there are too many types", NULL, 0);
	if (len == 0)
		return si_proto_refuse(builder, "42P17", "a type has no name", NULL, 0);
	if (!check_name(builder, own, len))
		return false;
	if (scope->len + len + 1 > SI_PROTO_MAX_FULL_NAME)
		return si_proto_refuse(builder, "54000", "a name is too long", NULL, 0);
	full = si_proto_alloc(builder, scope->len + len + 2);
	if (full == NULL)
		return false;
	name->len = (size_t) sprintf(full, "%s%s%.*s", scope->data, scope->len > 0 ? "." : "",
								 (int) len, own);
	name->data = full;
	return true;
}

SiProtoMessage *
si_proto_add_message(SiProtoBuilder *builder, SiProtoMessage *parent, const char *name, size_t len)
{
	SiProtoMessage *message = si_proto_alloc(builder, sizeof(SiProtoMessage));
	SiProtoMessage **first = parent != NULL ? &parent->first_nested : &builder->first_top;
	SiProtoMessage **last = parent != NULL ? &parent->last_nested : &builder->last_top;

	if (message == NULL || !make_name(builder, parent, name, len, &message->name))
		return NULL;
	message->number = builder->ntypes;
	message->parent = parent;
	if (*last != NULL)
		(*last)->next = message;
	else
		*first = message;
	*last = message;
	message->next_made = builder->messages;
	builder->messages = message;
	return message;
}

SiProtoEnum *
si_proto_add_enum(SiProtoBuilder *builder, SiProtoMessage *parent, const char *name, size_t len)
{
	SiProtoEnum *values = si_proto_alloc(builder, sizeof(SiProtoEnum));

	if (values == NULL || !make_name(builder, parent, name, len, &values->name))
		return NULL;
	values->next_made = builder->enums;
	builder->enums = values;
	return values;
}

bool
si_proto_add_symbol(SiProtoBuilder *builder, SiProtoEnum *values, const char *name, size_t len,
					int number)
{
	SiProtoSymbol *symbol;

	if (values->n == values->room)
	{
		int			room = values->room > 0 ? values->room * 2 : 8;
		SiProtoSymbol *larger = si_proto_alloc(builder, (size_t) room * sizeof(SiProtoSymbol));

		if (larger == NULL)
			return false;
		if (values->n > 0)
			memcpy(larger, values->symbols, (size_t) values->n * sizeof(SiProtoSymbol));
		values->symbols = larger;
		values->room = room;
	}
	symbol = &values->symbols[values->n++];
	symbol	  ->number = number;

	return si_proto_copy_name(builder, name, len, &symbol->name);
}

/* Does a field of a scalar or an enum have presence? */
static bool
has_presence(const SiProtoBuilder *builder, const SiProtoField *field, bool optional,
			 const SiProtoFeatures *features)
{
	if (field->repeated)
		return false;
	if (field->oneof >= 0)
		return true;
	if (builder->syntax == SI_PROTO_2)
		return true;
	if (builder->syntax == SI_PROTO_3)
		return optional;
	return (features->presence != SI_PRESENCE_INHERITED ? features->presence :
			builder->features.presence) != SI_PRESENCE_IMPLICIT;
}

bool
si_proto_add_field(SiProtoBuilder *builder, SiProtoMessage *message, const SiProtoField *given,
				   bool optional, const SiProtoFeatures *features)
{
	SiProtoField *field;

	if (given->name.len == 0)
		return si_proto_refuse(builder, "42P17", "a field has no name", NULL, 0);
	if (given->number <= 0 || given->number > MAX_FIELD_NUMBER)
		return si_proto_refuse(builder, "42P17", "a field's number is out of range",
							   given->name.data, given->name.len);
	field = si_proto_alloc(builder, sizeof(SiProtoField));
	if (field == NULL)
		return false;
	*field = *given;
	field->presence = has_presence(builder, given, optional, features);
	field->delimited = builder->syntax == SI_PROTO_EDITION &&
		(features->encoding != SI_ENCODING_INHERITED ? features->encoding :
		 builder->features.encoding) == SI_ENCODING_DELIMITED;
	field->order = message->nfields++;
	if (message->last != NULL)
		message->last->next = field;
	else
		message->first = field;
	message->last = field;
	return true;
}
