/*-------------------------------------------------------------------------
 *
 * connect_type.c
 *	  Types of Kafka Connect's schemas, as its JSON converter writes them around a
 *	  message.
 *
 * A part of a schema that is not as Connect writes it says nothing: the values
 * there are taken as they are without a schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "format/connect_type.h"
#include "format/decimal.h"
#include "format/json_verdict.h"
#include "format/match_names.h"

#define NMEANINGS	(sizeof(meanings) / sizeof(meanings[0]))

/* What a type and its name mean; without a name, what any other name means. */
static const struct
{
	const char *type;
	const char *name;
	SiConnectMeaning meaning;
	SiConnectUnit unit;
}			meanings[] = {
	{"int32", "io.debezium.time.Date", SI_CONNECT_DATE},
	{"int32", "io.debezium.time.Time", SI_CONNECT_TIME, SI_CONNECT_MILLIS},
	{"int64", "io.debezium.time.MicroTime", SI_CONNECT_TIME, SI_CONNECT_MICROS},
	{"int64", "io.debezium.time.NanoTime", SI_CONNECT_TIME, SI_CONNECT_NANOS},
	{"int64", "io.debezium.time.Timestamp", SI_CONNECT_TIMESTAMP, SI_CONNECT_MILLIS},
	{"int64", "io.debezium.time.MicroTimestamp", SI_CONNECT_TIMESTAMP, SI_CONNECT_MICROS},
	{"int64", "io.debezium.time.NanoTimestamp", SI_CONNECT_TIMESTAMP, SI_CONNECT_NANOS},
	{"int64", "io.debezium.time.MicroDuration", SI_CONNECT_DURATION, SI_CONNECT_MICROS},
	{"int64", "io.debezium.time.NanoDuration", SI_CONNECT_DURATION, SI_CONNECT_NANOS},
	{"int32", "org.apache.kafka.connect.data.Date", SI_CONNECT_DATE},
	{"int32", "org.apache.kafka.connect.data.Time", SI_CONNECT_TIME, SI_CONNECT_MILLIS},
	{"int64", "org.apache.kafka.connect.data.Timestamp", SI_CONNECT_INSTANT, SI_CONNECT_MILLIS},
	{"bytes", "org.apache.kafka.connect.data.Decimal", SI_CONNECT_DECIMAL},
	{"struct", "io.debezium.data.VariableScaleDecimal", SI_CONNECT_VARIABLE_DECIMAL},
	{"string", "io.debezium.data.Json", SI_CONNECT_JSON},
	{"bytes", NULL, SI_CONNECT_BYTES},
	{"int8", NULL, SI_CONNECT_INTEGER},
	{"int16", NULL, SI_CONNECT_INTEGER},
	{"int32", NULL, SI_CONNECT_INTEGER},
	{"int64", NULL, SI_CONNECT_INTEGER}
};

typedef struct Parser
{
	SiArena    *memory;
	SiDecodeError *error;
	SiMatchNames match_names;
	int			ntypes;
	int			depth;
} Parser;

static bool parse_type(Parser *parser, const json_t *schema, const SiConnectType **result);

static bool
out_of_memory(Parser *parser)
{
	return si_decoder_fail(parser->error, "53200", "out of memory");
}

/* A decimal's scale, which Connect writes as a text. */
static bool
set_scale(Parser *parser, const json_t *schema, SiConnectType *type)
{
	const json_t *given = json_object_get(json_object_get(schema, "parameters"), "scale");
	const char *text = json_string_value(given);
	char	   *end = NULL;
	long		scale = text !=NULL ? strtol(text, &end, 10) : 0;

	if (text == NULL || end == text ||*end != '\0' ||
		scale < -SI_DECIMAL_MAX_SCALE || scale > SI_DECIMAL_MAX_SCALE)
		return si_decoder_fail(parser->error, "42P17",
							   "the schema in the message has a decimal without a scale that a number can have");
	type->scale = (int) scale;
	return true;
}

static bool
set_meaning(Parser *parser, const json_t *schema, SiConnectType *type)
{
	const char *base = json_string_value(json_object_get(schema, "type"));
	const char *name = json_string_value(json_object_get(schema, "name"));
	size_t		i;

	if (base == NULL)
		return true;
	for (i = 0; i < NMEANINGS; i++)
	{
		if (strcmp(meanings[i].type, base) == 0 &&
			(meanings[i].name == NULL || (name != NULL && strcmp(meanings[i].name, name) == 0)))
			break;
	}
	if (i == NMEANINGS)
		return true;
	type->meaning = meanings[i].meaning;
	type->unit = meanings[i].unit;
	return type->meaning != SI_CONNECT_DECIMAL || set_scale(parser, schema, type);
}

/* Of a name as match_names has it; 0 for one that no name matches. */
static uint32_t
hash_folded(SiMatchNames match_names, const char *name, size_t len)
{
	char		folded[SI_MATCH_ROOM];
	size_t		n = match_names == SI_MATCH_EXACT ? 0 :
		si_match_names_fold(match_names, name, len, folded);
	uint32_t	hash = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		hash = hash * 31 + (unsigned char) folded[i];
	return hash;
}

static int
compare_name(const SiConnectField *field, const char *name, size_t len)
{
	if (field->name_len != len)
		return field->name_len > len ? 1 : -1;
	return memcmp(field->name, name, len);
}

static int
compare_fields(const void *left, const void *right)
{
	const SiConnectField *a = *(const SiConnectField *const *) left;
	const SiConnectField *b = *(const SiConnectField *const *) right;
	int			result = compare_name(a, b->name, b->name_len);

	return result != 0 ? result : (a > b) - (a < b);
}

/* A document may have millions of members, and each is looked for. */
static bool
sort_fields(Parser *parser, SiConnectType *type)
{
	size_t		n = (size_t) type->nfields;
	size_t		i;

	if (n == 0)
		return true;
	type->sorted = si_arena_alloc(parser->memory, n * sizeof(SiConnectField *));
	if (type->sorted == NULL)
		return out_of_memory(parser);
	for (i = 0; i < n; i++)
		type->sorted[i] = &type->fields[i];
	qsort(type->sorted, n, sizeof(SiConnectField *), compare_fields);
	return true;
}

/* Read the fields of a struct. */
static bool
parse_fields(Parser *parser, const json_t *given, SiConnectType *type)
{
	size_t		n = json_array_size(given);
	SiConnectField *fields = si_arena_alloc(parser->memory, sizeof(SiConnectField) * n);
	size_t		i;

	if (fields == NULL)
		return out_of_memory(parser);
	type->fields = fields;
	for (i = 0; i < n; i++)
	{
		const json_t *name = json_object_get(json_array_get(given, i), "field");
		SiConnectField *field = &fields[type->nfields];
		char	   *copy;

		if (!json_is_string(name))
			continue;
		field->name_len = json_string_length(name);
		copy = si_arena_alloc(parser->memory, field->name_len);
		if (copy == NULL)
			return out_of_memory(parser);
		memcpy(copy, json_string_value(name), field->name_len);
		field->name = copy;
		field->folded = hash_folded(parser->match_names, copy, field->name_len);
		if (!parse_type(parser, json_array_get(given, i), &field->type))
			return false;
		type->nfields++;
		type->holds_meaning |= field->type->holds_meaning;
	}
	return sort_fields(parser, type);
}

/* Read what a type is made of. */
static bool
parse_parts(Parser *parser, const json_t *schema, SiConnectType *type)
{
	const json_t *items = json_object_get(schema, "items");

	if (items == NULL)
		items = json_object_get(schema, "values");
	if (items != NULL)
	{
		if (!parse_type(parser, items, &type->items))
			return false;
		type->holds_meaning |= type->items->holds_meaning;
	}
	return parse_fields(parser, json_object_get(schema, "fields"), type);
}

static bool
parse_type(Parser *parser, const json_t *schema, const SiConnectType **result)
{
	SiConnectType *type;
	bool		parsed;

	if (++parser->ntypes > SI_CONNECT_MAX_TYPES || parser->depth >= SI_CONNECT_MAX_DEPTH)
		return si_decoder_fail(parser->error, "54000",
							   "the schema in the message is too large or too deeply nested");
	type = si_arena_alloc(parser->memory, sizeof(SiConnectType));
	if (type == NULL)
		return out_of_memory(parser);
	memset(type, 0, sizeof(SiConnectType));
	*result = type;
	if (!set_meaning(parser, schema, type))
		return false;
	type->holds_meaning = type->meaning != SI_CONNECT_PLAIN && type->meaning != SI_CONNECT_INTEGER;
	parser->depth++;
	parsed = parse_parts(parser, schema, type);
	parser->depth--;
	return parsed;
}

bool
si_connect_type_parse(const char *text, size_t len, SiMatchNames match_names, SiArena *memory,
					  const SiConnectType **type, SiDecodeError *error)
{
	Parser		parser = {.memory = memory,.error = error,.match_names = match_names};
	json_error_t verdict;
	json_t	   *schema;
	bool		no_memory;
	bool		parsed;

	*type = NULL;
	if (len > SI_CONNECT_MAX_TEXT)
		return si_decoder_fail(error, "54000",
							   "the schema in the message is too large or too deeply nested");
	schema = si_json_load(text, len, JSON_ALLOW_NUL, &verdict, &no_memory);
	if (no_memory)
		return out_of_memory(&parser);
	if (schema == NULL)
		return si_decoder_fail(error, "42P17", "the schema in the message cannot be read");
	parsed = parse_type(&parser, schema, type);
	json_decref(schema);
	return parsed;
}

const SiConnectType *
si_connect_type_field(const SiConnectType *type, const char *name, size_t len)
{
	int			low = 0;
	int			high = type->nfields;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (compare_name(type->sorted[middle], name, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < type->nfields && compare_name(type->sorted[low], name, len) == 0 ?
		type->sorted[low]->type : NULL;
}

/* The type of the field that match_names finds by a name; the last one wins. */
static const SiConnectType *
find_folded(const SiConnectType *type, const SiPathStep *step, SiMatchNames match_names)
{
	char		wanted[SI_MATCH_ROOM];
	char		folded[SI_MATCH_ROOM];
	size_t		len = si_match_names_fold(match_names, step->key, step->key_len, wanted);
	uint32_t	hash = hash_folded(match_names, step->key, step->key_len);
	int			i;

	for (i = type->nfields - 1; len > 0 && i >= 0; i--)
	{
		const SiConnectField *field = &type->fields[i];

		if (field->folded == hash &&
			si_match_names_fold(match_names, field->name, field->name_len, folded) == len &&
			memcmp(folded, wanted, len) == 0)
			return field->type;
	}
	return NULL;
}

const SiConnectType *
si_connect_type_find(const SiConnectType *type, const SiPathStep *steps, int nsteps,
					 SiMatchNames match_names)
{
	int			i;

	for (i = 0; i < nsteps && type != NULL; i++)
	{
		const SiConnectType *found = NULL;

		if (type->items != NULL)
			found = type->items;
		else if (type->nfields == 0 && type->meaning != SI_CONNECT_PLAIN)
			return type;
		else if (steps[i].key != NULL)
			found = si_connect_type_field(type, steps[i].key, steps[i].key_len);
		if (found == NULL && match_names != SI_MATCH_EXACT && i == nsteps - 1 &&
			steps[i].key != NULL)
			found = find_folded(type, &steps[i], match_names);
		type = found;
	}
	return type;
}
