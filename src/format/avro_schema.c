/*-------------------------------------------------------------------------
 *
 * avro_schema.c
 *	  Avro schemas: JSON text in, a graph of types out.
 *
 * A schema that breaks the specification without harm to the reader is accepted:
 * unknown attributes, and logical types that are unknown or do not fit, are
 * ignored, and names need only be present.
 *
 * jansson's function json_object() must not be called: see json_verdict.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "format/avro_meaning.h"
#include "format/avro_schema.h"
#include "format/avro_text.h"
#include "format/decoder.h"

struct SiAvroSchema
{
	SiArena    *arena;			/* all types and names */
	const SiAvroType *root;
	int			ntypes;
};

typedef struct Parser
{
	SiAvroSchema *schema;
	json_t	   *named;			/* full name to the type's address */
	int			nesting;
	char		place[128];		/* where we are: fields[2].type.items */
	size_t		place_len;
	char		full[SI_AVRO_MAX_FULL_NAME + 1];	/* the last name looked up */
	SiDecodeError *error;
} Parser;

static const SiAvroType *parse_type(Parser *parser, const json_t *json,
									const char *namespace);

/* ---- errors and memory ---- */

/* Returns NULL, for callers that return a type. */
static void *
refuse(Parser *parser, const char *sqlstate, const char *words)
{
	si_decoder_fail(parser->error, sqlstate, "invalid Avro schema%s%s: %s",
					parser->place_len > 0 ? " at " : "", parser->place, words);
	return NULL;
}

/* The same with a name of the schema, of which so much is quoted. */
static void *
refuse_name(Parser *parser, const char *words, const char *name)
{
	refuse(parser, "42P17", words);
	snprintf(parser->error->detail, sizeof(parser->error->detail),
			 "The name is \"%.100s\".", name);
	return NULL;
}

static void *
out_of_memory(Parser *parser)
{
	si_decoder_fail(parser->error, "53200", "out of memory");
	return NULL;
}

static void *
allocate(Parser *parser, size_t count, size_t size)
{
	void	   *memory = si_arena_alloc(parser->schema->arena, count * size);

	if (memory == NULL)
		return out_of_memory(parser);
	memset(memory, 0, count * size);
	return memory;
}

/* A copy with a NUL behind it, in the arena. */
static const char *
copy_text(Parser *parser, const char *text, size_t len)
{
	char	   *copy = allocate(parser, len + 1, 1);

	return copy != NULL ? memcpy(copy, text, len) : NULL;
}

static bool
copy_name(Parser *parser, const json_t *json, SiAvroName *name)
{
	name->len = json_string_length(json);
	name->data = copy_text(parser, json_string_value(json), name->len);
	return name->data != NULL;
}

/* Go to a part of the schema; returns what leave() needs to come back. */
static size_t
__attribute__((format(printf, 2, 3)))
enter(Parser *parser, const char *format,...)
{
	size_t		before = parser->place_len;
	size_t		room = sizeof(parser->place) - before;
	va_list		arguments;
	int			len;

	va_start(arguments, format);
	len = vsnprintf(parser->place + before, room, format, arguments);
	va_end(arguments);
	if (len > 0)
		parser->place_len += (size_t) len < room ? (size_t) len : room - 1;
	return before;
}

static void
leave(Parser *parser, size_t before)
{
	parser->place_len = before;
	parser->place[before] = '\0';
}

/* Read the type that is a part of the one being parsed. */
static const SiAvroType *
parse_part(Parser *parser, const json_t *json, const char *namespace,
		   const char *part, int index)
{
	const char *dot = parser->place_len > 0 && part[0] != '\0' ? "." : "";
	size_t		before = index < 0 ? enter(parser, "%s%s", dot, part) :
		enter(parser, "%s%s[%d]", dot, part, index);
	const SiAvroType *type = parse_type(parser, json, namespace);

	/* an error has its place already */
	leave(parser, before);
	return type;
}

/* ---- types ---- */

static SiAvroType *
make_type(Parser *parser, SiAvroKind kind)
{
	SiAvroType *type;

	if (parser->schema->ntypes >= SI_AVRO_MAX_TYPES)
		return refuse(parser, "54000", "it has too many types");
	type = allocate(parser, 1, sizeof(SiAvroType));
	if (type == NULL)
		return NULL;
	type->kind = kind;
	type->number = parser->schema->ntypes++;
	return type;
}

/* A primitive type that means nothing beyond itself, or NULL. */
static const SiAvroType *
find_primitive(const char *name)
{
	static const struct
	{
		const char *name;
		SiAvroType	type;
	}			primitives[] = {
		{"null", {.kind = SI_AVRO_NULL,.number = -1}},
		{"boolean", {.kind = SI_AVRO_BOOLEAN,.number = -1}},
		{"int", {.kind = SI_AVRO_INT,.number = -1}},
		{"long", {.kind = SI_AVRO_LONG,.number = -1}},
		{"float", {.kind = SI_AVRO_FLOAT,.number = -1}},
		{"double", {.kind = SI_AVRO_DOUBLE,.number = -1}},
		{"bytes", {.kind = SI_AVRO_BYTES,.number = -1}},
		{"string", {.kind = SI_AVRO_STRING,.number = -1}},
	};
	size_t		i;

	for (i = 0; i < sizeof(primitives) / sizeof(primitives[0]); i++)
	{
		if (strcmp(primitives[i].name, name) == 0)
			return &primitives[i].type;
	}
	return NULL;
}

/* A name as the schema's table of names has it, in the parser until the next one is made. */
static char *
full_name(Parser *parser, const char *name, const char *namespace)
{
	size_t		len = strlen(name) + 1;
	size_t		prefix = strchr(name, '.') == NULL && namespace[0] != '\0' ?
		strlen(namespace) + 1 : 0;

	if (prefix + len > sizeof(parser->full))
		return refuse(parser, "54000", "a name is too long");
	if (prefix > 0)
	{
		memcpy(parser->full, namespace, prefix - 1);
		parser->full[prefix - 1] = '.';
	}
	memcpy(parser->full + prefix, name, len);
	return parser->full;
}

static const SiAvroType *
find_named(const Parser *parser, const char *name)
{
	const json_t *address = json_object_get(parser->named, name);

	return address == NULL ? NULL :
		(const SiAvroType *) (intptr_t) json_integer_value(address);
}

/*
 * The type of a name that is used: a primitive one, or one that was defined
 * before, in this namespace or in none.
 */
static const SiAvroType *
parse_reference(Parser *parser, const char *name, const char *namespace)
{
	const SiAvroType *type = find_primitive(name);
	char	   *full;

	if (type != NULL)
		return type;
	full = full_name(parser, name, namespace);
	if (full == NULL)
		return NULL;
	type = find_named(parser, full);
	if (type == NULL)
		type = find_named(parser, name);
	if (type == NULL)
		return refuse_name(parser, "a type is used that is not defined before", name);
	return type;
}

/*
 * Enter a record, enum or fixed into the table of names.  *namespace becomes
 * the one that names in it are in: that of its own full name.
 */
static bool
define(Parser *parser, const json_t *json, const SiAvroType *type,
	   const char **namespace)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	const char *own = json_string_value(json_object_get(json, "namespace"));
	char	   *full;
	char	   *dot;

	if (name == NULL || name[0] == '\0')
	{
		refuse(parser, "42P17", "a record, enum or fixed has no name");
		return false;
	}
	full = full_name(parser, name, own != NULL ? own : *namespace);
	if (full == NULL)
		return false;
	if (find_primitive(full) != NULL || find_named(parser, full) != NULL)
	{
		refuse_name(parser, "a name is defined twice", full);
		return false;
	}
	if (json_object_set_new(parser->named, full,
							json_integer((json_int_t) (intptr_t) type)) != 0)
	{
		out_of_memory(parser);
		return false;
	}
	dot = strrchr(full, '.');
	*namespace = "";
	if (dot != NULL)
		*namespace = copy_text(parser, full, (size_t) (dot - full));
	return *namespace != NULL;
}

static bool
set_meaning(Parser *parser, const json_t *json, SiAvroType *type)
{
	if (si_avro_set_meaning(json, type))
		return true;
	refuse(parser, "54000", "a decimal's scale is too large");
	return false;
}

/* ---- composite types ---- */

static int
compare_names(const void *left, const void *right)
{
	const SiAvroName *a = *(const SiAvroName *const *) left;
	const SiAvroName *b = *(const SiAvroName *const *) right;

	return strcmp(a->data, b->data);
}

/* Two fields of one name could not be distinguished. */
static bool
check_field_names(Parser *parser, const SiAvroType *record)
{
	size_t		n = (size_t) record->n;
	const SiAvroName **sorted = allocate(parser, n, sizeof(SiAvroName *));
	size_t		i;

	if (sorted == NULL)
		return false;
	for (i = 0; i < n; i++)
		sorted[i] = &record->fields[i].name;
	qsort(sorted, n, sizeof(SiAvroName *), compare_names);
	for (i = 1; i < n; i++)
	{
		if (compare_names(&sorted[i - 1], &sorted[i]) != 0)
			continue;
		refuse_name(parser, "a record has two fields of one name", sorted[i]->data);
		return false;
	}
	return true;
}

static bool
parse_field(Parser *parser, const json_t *json, const char *namespace,
			SiAvroField *field)
{
	const json_t *name = json_object_get(json, "name");
	const json_t *type = json_object_get(json, "type");

	if (json_string_length(name) == 0)
		return refuse(parser, "42P17", "a field has no name") != NULL;
	if (type == NULL)
		return refuse(parser, "42P17", "a field has no type") != NULL;
	if (!copy_name(parser, name, &field->name))
		return false;
	field->type = parse_part(parser, type, namespace, "type", -1);
	return field->type != NULL;
}

static const SiAvroType *
parse_record(Parser *parser, const json_t *json, const char *namespace)
{
	const json_t *fields = json_object_get(json, "fields");
	SiAvroType *type = make_type(parser, SI_AVRO_RECORD);
	size_t		n = json_array_size(fields);
	size_t		i;

	if (type == NULL || !define(parser, json, type, &namespace))
		return NULL;
	if (!json_is_array(fields))
		return refuse(parser, "42P17", "a record has no fields");
	type->fields = allocate(parser, n, sizeof(SiAvroField));
	if (type->fields == NULL)
		return NULL;
	type->n = (int) n;
	for (i = 0; i < n; i++)
	{
		size_t		before = enter(parser, "%sfields[%zu]",
								   parser->place_len > 0 ? "." : "", i);

		if (!parse_field(parser, json_array_get(fields, i), namespace,
						 &type->fields[i]))
			return NULL;
		leave(parser, before);
	}
	return check_field_names(parser, type) && set_meaning(parser, json, type) ? type : NULL;
}

static const SiAvroType *
parse_enum(Parser *parser, const json_t *json, const char *namespace)
{
	const json_t *symbols = json_object_get(json, "symbols");
	SiAvroType *type = make_type(parser, SI_AVRO_ENUM);
	size_t		n = json_array_size(symbols);
	size_t		i;

	if (type == NULL || !define(parser, json, type, &namespace))
		return NULL;
	if (!json_is_array(symbols))
		return refuse(parser, "42P17", "an enum has no symbols");
	type->symbols = allocate(parser, n, sizeof(SiAvroName));
	if (type->symbols == NULL)
		return NULL;
	type->n = (int) n;
	for (i = 0; i < n; i++)
	{
		const json_t *symbol = json_array_get(symbols, i);

		if (!json_is_string(symbol))
			return refuse(parser, "42P17", "an enum's symbol is no string");
		if (!copy_name(parser, symbol, &type->symbols[i]))
			return NULL;
	}
	return type;
}

static const SiAvroType *
parse_fixed(Parser *parser, const json_t *json, const char *namespace)
{
	const json_t *size = json_object_get(json, "size");
	SiAvroType *type = make_type(parser, SI_AVRO_FIXED);

	if (type == NULL || !define(parser, json, type, &namespace))
		return NULL;
	if (!json_is_integer(size) || json_integer_value(size) < 0 ||
		json_integer_value(size) > INT32_MAX)
		return refuse(parser, "42P17", "a fixed has no valid size");
	type->size = (size_t) json_integer_value(size);
	return set_meaning(parser, json, type) ? type : NULL;
}

/* An array, whose attribute is "items", or a map, whose is "values". */
static const SiAvroType *
parse_collection(Parser *parser, const json_t *json, const char *namespace,
				 SiAvroKind kind)
{
	const char *attribute = kind == SI_AVRO_ARRAY ? "items" : "values";
	const json_t *items = json_object_get(json, attribute);
	SiAvroType *type = make_type(parser, kind);

	if (type == NULL)
		return NULL;
	if (items == NULL)
		return refuse(parser, "42P17", "an array has no items, or a map no values");
	type->items = parse_part(parser, items, namespace, attribute, -1);
	return type->items != NULL ? type : NULL;
}

static const SiAvroType *
parse_union(Parser *parser, const json_t *json, const char *namespace)
{
	SiAvroType *type = make_type(parser, SI_AVRO_UNION);
	size_t		n = json_array_size(json);
	size_t		i;

	if (type == NULL)
		return NULL;
	type->branches = allocate(parser, n, sizeof(SiAvroType *));
	if (type->branches == NULL)
		return NULL;
	type->n = (int) n;
	for (i = 0; i < n; i++)
	{
		type->branches[i] = parse_part(parser, json_array_get(json, i),
									   namespace, "", (int) i);
		if (type->branches[i] == NULL)
			return NULL;
		if (type->branches[i]->kind == SI_AVRO_UNION)
			return refuse(parser, "42P17", "a union is a branch of another");
	}
	return type;
}

/* A primitive type with attributes, or a name where a definition could be. */
static const SiAvroType *
parse_plain(Parser *parser, const json_t *json, const char *name,
			const char *namespace)
{
	const SiAvroType *plain = parse_reference(parser, name, namespace);
	SiAvroType *type;

	if (plain == NULL || plain->number >= 0)
		return plain;
	type = make_type(parser, plain->kind);
	if (type == NULL || !set_meaning(parser, json, type))
		return NULL;
	return type->meaning == SI_AVRO_PLAIN ? plain : type;
}

static const SiAvroType *
parse_object(Parser *parser, const json_t *json, const char *namespace)
{
	const json_t *type = json_object_get(json, "type");
	const char *name = json_string_value(type);

	/* some writers wrap a type in another object, or a union */
	if (json_is_object(type) || json_is_array(type))
		return parse_part(parser, type, namespace, "type", -1);
	if (name == NULL)
		return refuse(parser, "42P17", "an object has no attribute \"type\"");
	if (strcmp(name, "record") == 0 || strcmp(name, "error") == 0)
		return parse_record(parser, json, namespace);
	if (strcmp(name, "enum") == 0)
		return parse_enum(parser, json, namespace);
	if (strcmp(name, "fixed") == 0)
		return parse_fixed(parser, json, namespace);
	if (strcmp(name, "array") == 0)
		return parse_collection(parser, json, namespace, SI_AVRO_ARRAY);
	if (strcmp(name, "map") == 0)
		return parse_collection(parser, json, namespace, SI_AVRO_MAP);
	return parse_plain(parser, json, name, namespace);
}

static const SiAvroType *
parse_type(Parser *parser, const json_t *json, const char *namespace)
{
	const SiAvroType *type;

	if (parser->nesting >= SI_AVRO_MAX_NESTING)
		return refuse(parser, "54000", "it is nested too deeply");
	parser->nesting++;
	if (json_is_string(json))
		type = parse_reference(parser, json_string_value(json), namespace);
	else if (json_is_object(json))
		type = parse_object(parser, json, namespace);
	else if (json_is_array(json))
		type = parse_union(parser, json, namespace);
	else
		type = refuse(parser, "42P17", "a type is neither a string nor an object nor an array");
	parser->nesting--;
	return type;
}

/* ---- the schema as a whole ---- */

/* Read one text. */
static const SiAvroType *
parse_text(Parser *parser, const char *text)
{
	json_t	   *json = si_avro_text_load(text, parser->error);
	const SiAvroType *type = json != NULL ? parse_type(parser, json, "") : NULL;

	json_decref(json);
	return type;
}

SiAvroSchema *
si_avro_schema_parse(const SiSchemaTexts *texts, SiDecodeError *error)
{
	Parser		parser = {.error = error};
	const SiAvroType *type = NULL;
	int			i;

	parser.schema = calloc(1, sizeof(SiAvroSchema));
	parser.named = json_pack("{}");
	if (parser.schema != NULL)
		parser.schema->arena = si_arena_create();
	if (parser.schema == NULL || parser.schema->arena == NULL || parser.named == NULL)
		out_of_memory(&parser);
	else
	{
		for (i = 0; i < texts->n; i++)
		{
			type = parse_text(&parser, texts->texts[i]);
			if (type == NULL)
			{
				si_schema_texts_blame(texts, i, error);
				break;
			}
		}
	}
	json_decref(parser.named);
	if (type == NULL)
	{
		si_avro_schema_free(parser.schema);
		return NULL;
	}
	parser.schema->root = type;
	return parser.schema;
}

const SiAvroType *
si_avro_schema_root(const SiAvroSchema *schema)
{
	return schema->root;
}

int
si_avro_schema_ntypes(const SiAvroSchema *schema)
{
	return schema->ntypes;
}

void
si_avro_schema_free(SiAvroSchema *schema)
{
	if (schema == NULL)
		return;
	si_arena_destroy(schema->arena);
	free(schema);
}
