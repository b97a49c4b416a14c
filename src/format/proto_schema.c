/*-------------------------------------------------------------------------
 *
 * proto_schema.c
 *	  Protobuf schemas: the names of what the readers found are resolved.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "format/proto_build.h"
#include "format/proto_schema.h"

/* A type by its full name. */
typedef struct Entry
{
	const SiProtoName *name;	/* NULL: the slot is free */
	SiProtoMessage *message;
	SiProtoEnum *values;
} Entry;

struct SiProtoSchema
{
	SiArena    *arena;			/* all types and names */
	Entry	   *entries;		/* hash table */
	size_t		nentries;
	uint64_t	seed;			/* of its hashes, which no schema can know */
	SiProtoMessage *first;		/* of the main file */
	int			ntypes;
};

/* ---- finding names ---- */

/* Continue a hash by a part of a name. */
static uint64_t
hash_part(uint64_t hash, const char *name, size_t len)
{
	while (len-- > 0)
		hash = (hash ^ (unsigned char) *name++) * UINT64_C(1099511628211);
	return hash;
}

/* The slot of a name, which is free if there is no such type. */
static Entry *
find_hashed(const SiProtoSchema *schema, uint64_t hash, const char *name, size_t len)
{
	size_t		slot = (hash * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (schema->nentries - 1);

	while (schema->entries[slot].name != NULL &&
		   (schema->entries[slot].name->len != len ||
			memcmp(schema->entries[slot].name->data, name, len) != 0))
		slot = (slot + 1) & (schema->nentries - 1);
	return &schema->entries[slot];
}

static Entry *
find_entry(const SiProtoSchema *schema, const char *name, size_t len)
{
	return find_hashed(schema, hash_part(schema->seed, name, len), name, len);
}

const SiProtoMessage *
si_proto_schema_find(const SiProtoSchema *schema, const char *name)
{
	if (*name == '.')
		name++;
	return find_entry(schema, name, strlen(name))->message;
}

const SiProtoMessage *
si_proto_schema_first(const SiProtoSchema *schema)
{
	return schema->first;
}

const SiProtoMessage *
si_proto_schema_only(const SiProtoSchema *schema)
{
	return schema->first != NULL && schema->first->next == NULL ? schema->first : NULL;
}

const SiProtoMessage *
si_proto_schema_at(const SiProtoSchema *schema, const int *indexes, int n)
{
	const SiProtoMessage *message = NULL;
	int			i;

	for (i = 0; i < n; i++)
	{
		int			left = indexes[i];

		message = i == 0 ? schema->first : message->first_nested;
		while (message != NULL && (message->of_field || left-- > 0))
			message = message->next;
		if (message == NULL || indexes[i] < 0)
			return NULL;
	}
	return message;
}

const SiProtoMessage *
si_proto_schema_named(const SiProtoSchema *schema, const char *name, size_t len)
{
	const SiProtoMessage *message;

	for (message = schema->first; message != NULL; message = message->next)
	{
		const char *end = message->name.data + message->name.len;

		if (message->name.len >= len && memcmp(end - len, name, len) == 0 &&
			(message->name.len == len || end[-(ptrdiff_t) len - 1] == '.'))
			return message;
	}
	return find_entry(schema, name, len)->message;
}

int
si_proto_schema_ntypes(const SiProtoSchema *schema)
{
	return schema->ntypes;
}

/* ---- resolving names ---- */

/*
 * Find the type that a field names: in the field's message, in those around it, in
 * the package and in those around that.  The slot is free if there is none.
 */
static const Entry *
find_type(const SiProtoSchema *schema, const SiProtoMessage *scope, const SiProtoName *name)
{
	char		full[2 * SI_PROTO_MAX_FULL_NAME + 2];
	uint64_t	hashes[SI_PROTO_MAX_FULL_NAME + 1]; /* of what is before a dot */
	uint64_t	hash = schema->seed;
	size_t		len = scope->name.len;
	size_t		i;

	if (name->len > 0 && name->data[0] == '.')
		return find_entry(schema, name->data + 1, name->len - 1);
	memcpy(full, scope->name.data, len);
	full[len] = '.';
	for (i = 0; i <= len; i++)
	{
		hash = hash_part(hash, full + i, 1);
		hashes[i] = hash;
	}
	for (;;)
	{
		const Entry *found;
		size_t		start = len > 0 ? len + 1 : 0;

		hash = len > 0 ? hashes[len] : schema->seed;
		memcpy(full + start, name->data, name->len);
		found = find_hashed(schema, hash_part(hash, name->data, name->len), full,
							start + name->len);
		if (found->name != NULL || len == 0)
			return found;
		while (len > 0 && full[--len] != '.')
			;
	}
}

/* Is this what a map's entries are? */
static bool
is_map_entry(const SiProtoMessage *message)
{
	const SiProtoField *key = message->first;

	return message->map_entry && message->nfields == 2 && key->number == 1 &&
		key->next->number == 2 && !key->repeated && !key->next->repeated &&
		key->kind != SI_PROTO_MESSAGE && key->kind != SI_PROTO_GROUP &&
		key->kind != SI_PROTO_UNRESOLVED;
}

static void
resolve_field(const SiProtoSchema *schema, const SiProtoMessage *message, SiProtoField *field)
{
	const Entry *found;

	if (field->type_name.len == 0)
		return;
	found = find_type(schema, message, &field->type_name);
	field->message = found->message;
	field->values = found->values;
	if (found->message != NULL)
	{
		bool		group = field->kind == SI_PROTO_GROUP ||
			(field->delimited && !found->message->map_entry && !message->map_entry);

		field->kind = group ? SI_PROTO_GROUP : SI_PROTO_MESSAGE;
		field->presence = !field->repeated;
		field->map = field->repeated && !group && is_map_entry(found->message);
	}
	else
		field->kind = found->values != NULL ? SI_PROTO_ENUM : SI_PROTO_UNRESOLVED;
}

/* ---- what messages mean ---- */

/* A type of the libraries, and the fields that make it one. */
typedef struct Known
{
	const char *name;
	SiProtoMeaning meaning;
	SiProtoKind kinds[4];		/* of fields 1 to 4 */
} Known;

static const Known known_types[] = {
	{"google.protobuf.Timestamp", SI_PROTO_TIMESTAMP, {SI_PROTO_INT64, SI_PROTO_INT32}},
	{"google.protobuf.Duration", SI_PROTO_DURATION, {SI_PROTO_INT64, SI_PROTO_INT32}},
	{"google.protobuf.DoubleValue", SI_PROTO_WRAPPER, {SI_PROTO_DOUBLE}},
	{"google.protobuf.FloatValue", SI_PROTO_WRAPPER, {SI_PROTO_FLOAT}},
	{"google.protobuf.Int64Value", SI_PROTO_WRAPPER, {SI_PROTO_INT64}},
	{"google.protobuf.UInt64Value", SI_PROTO_WRAPPER, {SI_PROTO_UINT64}},
	{"google.protobuf.Int32Value", SI_PROTO_WRAPPER, {SI_PROTO_INT32}},
	{"google.protobuf.UInt32Value", SI_PROTO_WRAPPER, {SI_PROTO_UINT32}},
	{"google.protobuf.BoolValue", SI_PROTO_WRAPPER, {SI_PROTO_BOOL}},
	{"google.protobuf.StringValue", SI_PROTO_WRAPPER, {SI_PROTO_STRING}},
	{"google.protobuf.BytesValue", SI_PROTO_WRAPPER, {SI_PROTO_BYTES}},
	{"google.type.Date", SI_PROTO_DATE, {SI_PROTO_INT32, SI_PROTO_INT32, SI_PROTO_INT32}},
	{"google.type.TimeOfDay", SI_PROTO_TIME_OF_DAY, {SI_PROTO_INT32, SI_PROTO_INT32, SI_PROTO_INT32, SI_PROTO_INT32}},
	{"confluent.type.Decimal", SI_PROTO_DECIMAL, {SI_PROTO_BYTES, SI_PROTO_UINT32, SI_PROTO_INT32}},
};

/* Is this the field of that number, name and kind? */
static bool
is_field(const SiProtoMessage *message, uint32_t number, const char *name, SiProtoKind kind)
{
	const SiProtoField *field = si_proto_find_field(message, number);

	return field != NULL && !field->repeated && field->kind == kind &&
		strcmp(field->name.data, name) == 0;
}

/*
 * Is this the message that Kafka Connect's converter makes of Debezium's struct of a
 * scale and bytes?  It is in the message of each row that has such a column.
 */
static bool
is_scaled(const SiProtoMessage *message)
{
	const char *dot = strrchr(message->name.data, '.');

	return strcmp(dot != NULL ? dot + 1 : message->name.data, "VariableScaleDecimal") == 0 &&
		message->nfields == 2 && is_field(message, 1, "scale", SI_PROTO_INT32) &&
		is_field(message, 2, "value", SI_PROTO_BYTES);
}

/* A message of that name with other fields is like any other. */
static void
set_meaning(SiProtoMessage *message)
{
	size_t		i;
	uint32_t	number;

	if (is_scaled(message))
		message->meaning = SI_PROTO_SCALED;
	for (i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++)
	{
		const Known *known = &known_types[i];
		bool		fits = strcmp(message->name.data, known->name) == 0;

		for (number = 1; fits && number <= 4 && known->kinds[number - 1] != 0; number++)
		{
			const SiProtoField *field = si_proto_find_field(message, number);

			fits = field != NULL && !field->repeated && field->kind == known->kinds[number - 1];
		}
		if (fits)
			message->meaning = known->meaning;
	}
}

/* ---- completing messages ---- */

static int
compare_numbers(const void *left, const void *right)
{
	const SiProtoField *a = *(const SiProtoField *const *) left;
	const SiProtoField *b = *(const SiProtoField *const *) right;

	return (a->number > b->number) - (a->number < b->number);
}

static int
compare_names(const void *left, const void *right)
{
	const SiProtoField *a = *(const SiProtoField *const *) left;
	const SiProtoField *b = *(const SiProtoField *const *) right;

	return strcmp(a->name.data, b->name.data);
}

/* Sort fields, by name and then by number; no two may have the same. */
static bool
sort_fields(SiProtoBuilder *builder, SiProtoMessage *message)
{
	const SiProtoField **sorted = message->sorted;
	int			i;

	qsort(sorted, (size_t) message->nfields, sizeof(SiProtoField *), compare_names);
	for (i = 1; i < message->nfields; i++)
	{
		if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
			return si_proto_refuse(builder, "42P17", "a message has two fields of one name",
								   sorted[i]->name.data, sorted[i]->name.len);
	}
	qsort(sorted, (size_t) message->nfields, sizeof(SiProtoField *), compare_numbers);
	for (i = 1; i < message->nfields; i++)
	{
		if (sorted[i - 1]->number == sorted[i]->number)
			return si_proto_refuse(builder, "42P17", "a message has two fields of one number",
								   message->name.data, message->name.len);
	}
	return true;
}

/* Make the message's arrays of its fields. */
static bool
index_fields(SiProtoBuilder *builder, SiProtoMessage *message)
{
	size_t		size = (size_t) message->nfields * sizeof(SiProtoField *);
	const SiProtoField *field;
	int			limit = message->nfields * 4 + 16;
	int			i = 0;

	message->fields = si_proto_alloc(builder, size);
	message->sorted = si_proto_alloc(builder, size);
	if (message->fields == NULL || message->sorted == NULL)
		return false;
	for (field = message->first; field != NULL; field = field->next)
		message->fields[i++] = field;
	memcpy(message->sorted, message->fields, size);
	if (!sort_fields(builder, message))
		return false;

	/* numbers below ndense are found at once: memory in proportion to fields */
	for (i = 0; i < message->nfields && message->sorted[i]->number < limit; i++)
		message->ndense = message->sorted[i]->number + 1;
	message->dense = si_proto_alloc(builder, (size_t) message->ndense * sizeof(SiProtoField *));
	if (message->dense == NULL)
		return false;
	for (i = 0; i < message->nfields && message->sorted[i]->number < message->ndense; i++)
		message->dense[message->sorted[i]->number] = message->sorted[i];
	return true;
}

static int
compare_symbols(const void *left, const void *right)
{
	const SiProtoSymbol *a = left;
	const SiProtoSymbol *b = right;

	if (a->number != b->number)
		return a->number > b->number ? 1 : -1;

	/* sort_symbols keeps the place there */
	return (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

/* Sort symbols by number, stably: of an enum's aliases the first is its name. */
static bool
sort_symbols(SiProtoBuilder *builder, SiProtoEnum *values)
{
	int			i;

	if (values->n == 0)
		return si_proto_refuse(builder, "42P17", "an enum has no values", values->name.data,
							   values->name.len);
	for (i = 0; i < values->n; i++)
		values->symbols[i].name.len = (size_t) i;
	qsort(values->symbols, (size_t) values->n, sizeof(SiProtoSymbol), compare_symbols);
	for (i = 0; i < values->n; i++)
		values->symbols[i].name.len = strlen(values->symbols[i].name.data);
	return true;
}

/* ---- the table of types ---- */

static bool
add_entry(SiProtoBuilder *builder, SiProtoSchema *schema, const SiProtoName *name,
		  SiProtoMessage *message, SiProtoEnum *values)
{
	Entry	   *entry = find_entry(schema, name->data, name->len);

	if (entry->name != NULL)
		return si_proto_refuse(builder, "42P17", "a name is defined twice", name->data, name->len);
	entry->name = name;
	entry->message = message;
	entry->values = values;
	return true;
}

static bool
make_table(SiProtoBuilder *builder, SiProtoSchema *schema)
{
	SiProtoMessage *message;
	SiProtoEnum *values;

	schema->nentries = 64;
	while (schema->nentries < (size_t) builder->ntypes * 2)
		schema->nentries *= 2;
	schema->entries = si_proto_alloc(builder, schema->nentries * sizeof(Entry));
	if (schema->entries == NULL)
		return false;
	for (message = builder->messages; message != NULL; message = message->next_made)
	{
		if (!add_entry(builder, schema, &message->name, message, NULL))
			return false;
	}
	for (values = builder->enums; values != NULL; values = values->next_made)
	{
		if (!sort_symbols(builder, values) ||
			!add_entry(builder, schema, &values->name, NULL, values))
			return false;
	}
	return true;
}

static bool
finish(SiProtoBuilder *builder, SiProtoSchema *schema)
{
	SiProtoMessage *message;
	SiProtoField *field;

	builder->line = 0;
	if (!make_table(builder, schema))
		return false;

	/* entries of maps first: is_map_entry() looks at the kind of their keys */
	for (message = builder->messages; message != NULL; message = message->next_made)
	{
		for (field = message->first; message->map_entry && field != NULL; field = field->next)
			resolve_field(schema, message, field);
	}
	for (message = builder->messages; message != NULL; message = message->next_made)
	{
		for (field = message->first; !message->map_entry && field != NULL; field = field->next)
			resolve_field(schema, message, field);
		if (!index_fields(builder, message))
			return false;
		set_meaning(message);
	}
	return true;
}

/* ---- sources ---- */

/*
 * Bytes of a base64 text, or NULL for any other: no .proto text is without a
 * brace or a semicolon.
 */
static char *
decode_base64(SiProtoBuilder *builder, const char *text, size_t text_len, size_t *len)
{
	char	   *out = si_proto_alloc(builder, text_len / 4 * 3 + 4);
	SiDigits	digits = {out, 0, 0};
	size_t		i;

	for (i = 0; out != NULL && i < text_len; i++)
	{
		char		c = text[i];

		if (c == '=' || c == ' ' || c == '\n' || c == '\r' || c == '\t')
			continue;
		if (!si_digits_add(&digits, 6, si_base64_digit(c, SI_BASE64_STANDARD | SI_BASE64_URL)))
			return NULL;
	}
	*len = (size_t) (digits.out - out);
	return out;
}

static bool
read_source(SiProtoBuilder *builder, const char *text)
{
	size_t		text_len = strlen(text);
	char	   *bytes;
	size_t		len;

	if (text_len > SI_PROTO_MAX_TEXT)
		return si_proto_refuse(builder, "54000", "it is too large", NULL, 0);
	bytes = decode_base64(builder, text, text_len, &len);
	if (bytes != NULL)
		return si_proto_read_descriptor(builder, bytes, len);
	return si_proto_read_text(builder, text, text_len);
}

/* Does a file of the schema have a type of this built-in one? */
static bool
is_given(const SiProtoMessage *given, const SiProtoMessage *builtin)
{
	for (; given != NULL; given = given->next_made)
	{
		if (strcmp(given->name.data, builtin->name.data) == 0)
			return true;
	}
	return false;
}

/* Read the built-in files; what the schema has itself goes before. */
static bool
add_builtin(SiProtoBuilder *builder)
{
	int			i;

	for (i = 0; si_proto_builtin[i] != NULL; i++)
	{
		SiProtoMessage *messages = builder->messages;
		SiProtoEnum *enums = builder->enums;
		int			ntypes = builder->ntypes;

		if (!si_proto_read_text(builder, si_proto_builtin[i], strlen(si_proto_builtin[i])))
			return false;
		if (!is_given(messages, builder->first_top))
			continue;
		builder->messages = messages;
		builder->enums = enums;
		builder->ntypes = ntypes;
	}
	return true;
}

SiProtoSchema *
si_proto_schema_parse(const SiSchemaTexts *texts, SiDecodeError *error)
{
	SiProtoSchema *schema = calloc(1, sizeof(SiProtoSchema));
	SiProtoBuilder builder = {0};
	bool		done;
	int			i;

	builder.error = error;

	/*
	 * a stranger's names that were made to have one hash would be searched
	 * one by one; of an address a stranger knows nothing
	 */
	if (schema != NULL)
		schema->seed = (uint64_t) (uintptr_t) schema * UINT64_C(0x9E3779B97F4A7C15);
	if (schema != NULL)
		schema->arena = builder.arena = si_arena_create();
	done = builder.arena != NULL || si_proto_out_of_memory(&builder);
	for (i = 0; done && i < texts->n; i++)
	{
		done = read_source(&builder, texts->texts[i]);
		if (!done)
			si_schema_texts_blame(texts, i, error);
	}
	if (done)
		schema->first = builder.first_top;
	done = done && add_builtin(&builder) && finish(&builder, schema);
	if (done)
	{
		schema->ntypes = builder.ntypes;
		return schema;
	}
	si_proto_schema_free(schema);
	return NULL;
}

void
si_proto_schema_free(SiProtoSchema *schema)
{
	if (schema == NULL)
		return;
	si_arena_destroy(schema->arena);
	free(schema);
}
