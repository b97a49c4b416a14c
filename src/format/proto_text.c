/*-------------------------------------------------------------------------
 *
 * proto_text.c
 *	  Reading .proto text: proto2, proto3 and editions.
 *
 * Only what decides how messages are read is looked at: messages, their fields,
 * enums, and the features for presence and encoding.  Everything else is passed
 * over with its brackets in balance, so that a text with statements of a later
 * edition is read all the same.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/proto_parse.h"

static bool parse_body(SiProtoParser *parser, SiProtoMessage *message, int oneof);

/* ---- fields ---- */

static SiProtoKind
find_kind(const SiProtoWord *type)
{
	static const struct
	{
		const char *name;
		SiProtoKind kind;
	}			kinds[] = {
		{"double", SI_PROTO_DOUBLE}, {"float", SI_PROTO_FLOAT},
		{"int64", SI_PROTO_INT64}, {"uint64", SI_PROTO_UINT64},
		{"int32", SI_PROTO_INT32}, {"fixed64", SI_PROTO_FIXED64},
		{"fixed32", SI_PROTO_FIXED32}, {"bool", SI_PROTO_BOOL},
		{"string", SI_PROTO_STRING}, {"bytes", SI_PROTO_BYTES},
		{"uint32", SI_PROTO_UINT32}, {"sfixed32", SI_PROTO_SFIXED32},
		{"sfixed64", SI_PROTO_SFIXED64}, {"sint32", SI_PROTO_SINT32},
		{"sint64", SI_PROTO_SINT64},
	};
	size_t		i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strcmp(type->data, kinds[i].name) == 0)
			return kinds[i].kind;
	}
	return SI_PROTO_UNRESOLVED;
}

static bool
set_type(SiProtoParser *parser, const SiProtoWord *type, SiProtoField *field)
{
	field->kind = find_kind(type);
	return field->kind != SI_PROTO_UNRESOLVED ||
		si_proto_copy_name(parser->builder, type->data, type->len, &field->type_name);
}

/* The name of the message that a map's entries are. */
static void
make_entry_name(const SiProtoWord *field, SiProtoWord *entry)
{
	bool		capital = true;
	size_t		i;

	entry->len = 0;
	for (i = 0; i < field->len; i++)
	{
		char		c = field->data[i];

		if (c != '_')
			entry->data[entry->len++] = capital && c >= 'a' && c <= 'z' ? (char) (c - 'a' + 'A') : c;
		capital = c == '_';
	}
	memcpy(entry->data + entry->len, "Entry", 6);
	entry->len += 5;
}

/* A field of a map's entry. */
static bool
add_entry_field(SiProtoParser *parser, SiProtoMessage *entry, const char *name, int number, const SiProtoWord *type)
{
	static const SiProtoFeatures none;
	SiProtoField field = {.number = number,.oneof = -1};

	return si_proto_copy_name(parser->builder, name, strlen(name), &field.name) &&
		set_type(parser, type, &field) &&
		si_proto_add_field(parser->builder, entry, &field, false, &none);
}

/* map<key, value> name = number, behind "map". */
static bool
parse_map(SiProtoParser *parser, SiProtoMessage *message)
{
	SiProtoFeatures features = {SI_PRESENCE_INHERITED, SI_ENCODING_INHERITED};
	SiProtoField field = {.oneof = -1,.repeated = true};
	SiProtoMessage *entry;
	SiProtoWord key;
	SiProtoWord value;
	SiProtoWord name;
	SiProtoWord entry_name;

	if (!si_proto_expect(parser, '<') || !si_proto_parse_name(parser, false, &key) || !si_proto_expect(parser, ',') ||
		!si_proto_parse_name(parser, true, &value) || !si_proto_expect(parser, '>') ||
		!si_proto_parse_name(parser, false, &name) || !si_proto_expect(parser, '=') ||
		!si_proto_parse_number(parser, false, &field.number) || !si_proto_parse_options(parser, &features) ||
		!si_proto_expect(parser, ';'))
		return false;
	parser->builder->line = parser->scan.line;
	if (find_kind(&key) == SI_PROTO_UNRESOLVED)
		return si_proto_refuse_text(parser, "a map's key is of no scalar type");
	if (name.len > SI_PROTO_MAX_NAME - 10)
		return si_proto_refuse_text(parser, "a name is too long");
	make_entry_name(&name, &entry_name);
	if (message == NULL)
		return true;
	entry = si_proto_add_message(parser->builder, message, entry_name.data, entry_name.len);
	if (entry == NULL || !add_entry_field(parser, entry, "key", 1, &key) ||
		!add_entry_field(parser, entry, "value", 2, &value))
		return false;
	entry->map_entry = true;
	entry->of_field = true;
	return si_proto_copy_name(parser->builder, name.data, name.len, &field.name) &&
		si_proto_copy_name(parser->builder, entry_name.data, entry_name.len, &field.type_name) &&
		si_proto_add_field(parser->builder, message, &field, false, &features);
}

/* A group's name is that of its message; the field has it in lower case. */
static bool
set_group(SiProtoParser *parser, SiProtoField *field, SiProtoWord *name)
{
	size_t		i;

	field->kind = SI_PROTO_GROUP;
	if (!si_proto_copy_name(parser->builder, name->data, name->len, &field->type_name))
		return false;
	for (i = 0; i < name->len; i++)
	{
		if (name->data[i] >= 'A' && name->data[i] <= 'Z')
			name->data[i] = (char) (name->data[i] - 'A' + 'a');
	}
	return true;
}

/*
 * A field, or a group with its body.  message is NULL for a field of an
 * extension, which is passed over, though a group defines a message (in scope).
 */
static bool
parse_field(SiProtoParser *parser, SiProtoMessage *scope, SiProtoMessage *message, int oneof)
{
	SiProtoFeatures features = {SI_PRESENCE_INHERITED, SI_ENCODING_INHERITED};
	SiProtoField field = {.oneof = oneof};
	SiProtoMessage *group = NULL;
	bool		optional = false;
	SiProtoWord type;
	SiProtoWord name;

	if (si_proto_accept_word(parser, "repeated"))
		field.repeated = true;
	else if (si_proto_accept_word(parser, "optional"))
		optional = true;
	else
		(void) si_proto_accept_word(parser, "required");
	if (!si_proto_parse_name(parser, true, &type))
		return false;
	if (strcmp(type.data, "map") == 0 && si_proto_scan_is(&parser->scan, '<'))
		return parse_map(parser, message);
	if (!si_proto_parse_name(parser, false, &name) || !si_proto_expect(parser, '=') ||
		!si_proto_parse_number(parser, false, &field.number) || !si_proto_parse_options(parser, &features))
		return false;
	parser->builder->line = parser->scan.line;
	if (strcmp(type.data, "group") == 0)
	{
		group = si_proto_add_message(parser->builder, scope, name.data, name.len);
		if (group == NULL || !set_group(parser, &field, &name))
			return false;
		group->of_field = true;
	}
	else if (!set_type(parser, &type, &field))
		return false;
	if (!si_proto_copy_name(parser->builder, name.data, name.len, &field.name) ||
		(message != NULL &&
		 !si_proto_add_field(parser->builder, message, &field, optional, &features)))
		return false;
	if (group == NULL)
		return si_proto_expect(parser, ';');
	return si_proto_expect(parser, '{') && parse_body(parser, group, -1);
}

/* ---- statements ---- */

static bool
parse_message(SiProtoParser *parser, SiProtoMessage *parent)
{
	SiProtoMessage *message;
	SiProtoWord name;

	if (!si_proto_parse_name(parser, false, &name))
		return false;
	parser->builder->line = parser->scan.line;
	message = si_proto_add_message(parser->builder, parent, name.data, name.len);
	return message != NULL && si_proto_expect(parser, '{') && parse_body(parser, message, -1);
}

static bool
parse_enum(SiProtoParser *parser, SiProtoMessage *parent)
{
	SiProtoFeatures features = {SI_PRESENCE_INHERITED, SI_ENCODING_INHERITED};
	SiProtoEnum *values;
	SiProtoWord name;
	int			number;

	if (!si_proto_parse_name(parser, false, &name))
		return false;
	parser->builder->line = parser->scan.line;
	values = si_proto_add_enum(parser->builder, parent, name.data, name.len);
	if (values == NULL || !si_proto_expect(parser, '{'))
		return false;
	while (!si_proto_accept(parser, '}'))
	{
		bool		skipped = si_proto_scan_is_word(&parser->scan, "option") ||
			si_proto_scan_is_word(&parser->scan, "reserved");

		if (si_proto_accept(parser, ';'))
			continue;
		if (!si_proto_parse_name(parser, false, &name))
			return false;
		if (skipped && !si_proto_scan_is(&parser->scan, '='))
		{
			if (!si_proto_skip_statement(parser))
				return false;
			continue;
		}
		if (!si_proto_expect(parser, '=') || !si_proto_parse_number(parser, true, &number) ||
			!si_proto_parse_options(parser, &features) || !si_proto_expect(parser, ';') ||
			!si_proto_add_symbol(parser->builder, values, name.data, name.len, number))
			return false;
	}
	return true;
}

/* Fields that belong to another message: ours are skipped as unknown ones. */
static bool
parse_extend(SiProtoParser *parser, SiProtoMessage *scope)
{
	SiProtoWord extended;

	if (!si_proto_parse_name(parser, true, &extended) || !si_proto_expect(parser, '{'))
		return false;
	while (!si_proto_accept(parser, '}'))
	{
		if (si_proto_accept(parser, ';'))
			continue;
		if (!parse_field(parser, scope, NULL, -1))
			return false;
	}
	return true;
}

/* A type, which may stand in a file or a message. */
static bool
parse_type(SiProtoParser *parser, SiProtoMessage *parent, bool *found)
{
	*found = true;
	if (si_proto_accept_word(parser, "message"))
		return parse_message(parser, parent);
	if (si_proto_accept_word(parser, "enum"))
		return parse_enum(parser, parent);
	if (si_proto_accept_word(parser, "extend"))
		return parse_extend(parser, parent);
	*found = false;
	return true;
}

static bool
parse_oneof(SiProtoParser *parser, SiProtoMessage *message)
{
	SiProtoWord name;

	return si_proto_parse_name(parser, false, &name) && si_proto_expect(parser, '{') &&
		parse_body(parser, message, message->noneofs++);
}

/*
 * The word that a statement begins with, if it is this one and no type of a
 * field: what follows a field's type is a name and "=".
 */
static bool
begins_with(SiProtoParser *parser, const char *word)
{
	SiProtoScan ahead = parser->scan;

	if (!si_proto_scan_is_word(&parser->scan, word))
		return false;
	si_proto_scan_next(&ahead);
	if (ahead.kind == SI_TOKEN_WORD)
	{
		si_proto_scan_next(&ahead);
		return !(si_proto_scan_is(&ahead, '=') && strcmp(word, "option") != 0);
	}
	return !si_proto_scan_is(&ahead, '.');
}

/* A statement of a message, or of a oneof in it. */
static bool
parse_member(SiProtoParser *parser, SiProtoMessage *message, int oneof)
{
	bool		found = false;

	if (si_proto_accept(parser, ';'))
		return true;
	if (begins_with(parser, "option") || begins_with(parser, "reserved") ||
		begins_with(parser, "extensions"))
		return si_proto_skip_statement(parser);
	if (oneof < 0)
	{
		if (begins_with(parser, "export") || begins_with(parser, "local"))
			si_proto_scan_next(&parser->scan);
		if (begins_with(parser, "oneof"))
		{
			si_proto_scan_next(&parser->scan);
			return parse_oneof(parser, message);
		}
		if (begins_with(parser, "message") || begins_with(parser, "enum") ||
			begins_with(parser, "extend"))
			return parse_type(parser, message, &found);
	}
	return parse_field(parser, message, message, oneof);
}

/* The statements of a message or of a oneof in it, behind the opening brace. */
static bool
parse_body(SiProtoParser *parser, SiProtoMessage *message, int oneof)
{
	if (++parser->depth > SI_PROTO_MAX_NESTING)
	{
		parser->builder->line = parser->scan.line;
		return si_proto_refuse(parser->builder, "54000", "messages are nested too deeply", NULL, 0);
	}
	while (!si_proto_accept(parser, '}'))
	{
		if (parser->scan.kind == SI_TOKEN_END)
			return si_proto_refuse_text(parser, "the schema ends too early");
		if (!parse_member(parser, message, oneof))
			return false;
	}
	parser->depth--;
	return true;
}

/* syntax = "proto3"; or edition = "2023"; */
static bool
parse_syntax(SiProtoParser *parser, bool edition)
{
	SiProtoBuilder *builder = parser->builder;
	const SiProtoScan *scan = &parser->scan;

	if (!si_proto_expect(parser, '='))
		return false;
	if (scan->kind != SI_TOKEN_STRING)
		return si_proto_refuse_text(parser, "a string is missing");
	if (edition)
		builder->syntax = SI_PROTO_EDITION;
	else if (scan->len == 8 && memcmp(scan->token + 1, "proto2", 6) == 0)
		builder->syntax = SI_PROTO_2;
	else if (scan->len == 8 && memcmp(scan->token + 1, "proto3", 6) == 0)
		builder->syntax = SI_PROTO_3;
	else
		return si_proto_refuse_text(parser, "the syntax is neither \"proto2\" nor \"proto3\"");
	si_proto_scan_next(&parser->scan);
	return si_proto_expect(parser, ';');
}

static bool
parse_package(SiProtoParser *parser)
{
	SiProtoWord name;

	return si_proto_parse_name(parser, true, &name) && si_proto_expect(parser, ';') &&
		si_proto_copy_name(parser->builder, name.data, name.len, &parser->builder->package);
}

static bool
parse_statement(SiProtoParser *parser)
{
	bool		found;

	if (si_proto_accept(parser, ';'))
		return true;
	if (si_proto_accept_word(parser, "syntax"))
		return parse_syntax(parser, false);
	if (si_proto_accept_word(parser, "edition"))
		return parse_syntax(parser, true);
	if (si_proto_accept_word(parser, "package"))
		return parse_package(parser);
	if (si_proto_accept_word(parser, "import"))
		return si_proto_skip_statement(parser);
	if (si_proto_accept_word(parser, "option"))
		return si_proto_parse_option(parser, ";", &parser->builder->features) && si_proto_expect(parser, ';');
	if (si_proto_accept_word(parser, "service"))
		return si_proto_skip_to(parser, ";", true);
	if (!si_proto_accept_word(parser, "export"))
		(void) si_proto_accept_word(parser, "local");
	if (!parse_type(parser, NULL, &found))
		return false;
	return found || si_proto_refuse_text(parser, "this is no statement of .proto text");
}

bool
si_proto_read_text(SiProtoBuilder *builder, const char *data, size_t len)
{
	SiProtoParser parser = {.builder = builder};

	si_proto_begin_file(builder);
	si_proto_scan_begin(&parser.scan, data, len);
	while (parser.scan.kind != SI_TOKEN_END)
	{
		if (!parse_statement(&parser))
			return false;
	}
	builder->line = 0;
	return true;
}
