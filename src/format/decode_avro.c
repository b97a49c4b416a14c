/*-------------------------------------------------------------------------
 *
 * decode_avro.c
 *	  Avro messages to records.
 *
 * Each schema that messages name is compiled once, with the plan, into a
 * program (avro_program).  A message is then read once, front to back: what a node
 * takes goes straight into the record's fields, and whatever no node takes is
 * skipped.  A path enters records by field, maps by key and arrays by index; a
 * union is entered without a step, by whichever branch the message has.
 *
 * A record, array or map that is taken as a whole becomes JSON text, and is read
 * a second time where paths lead into it, too.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/avro_columns.h"
#include "format/avro_document.h"
#include "format/avro_program.h"
#include "format/avro_read.h"
#include "format/avro_schema.h"
#include "format/connect_value.h"
#include "format/decoder.h"
#include "format/path_tree.h"
#include "format/schema_cache.h"
#include "format/schema_store.h"
#include "format/value_text.h"

typedef struct AvroDecoder
{
	SiPathTree	tree;
	SiFormatOptions options;	/* where schemas come from */
	SiSchemaCache *programs;	/* by the ids of their schemas */
	const SiAvroNode *root;		/* of the program of the next message */
	SiTextBuffer document;		/* the value that is being made */
	SiTextBuffer rest;			/* $rest */
} AvroDecoder;

/* One reading of a message. */
typedef struct Walk
{
	SiAvroReader reader;
	AvroDecoder *decoder;
	SiRecord   *record;
	const SiAvroType *top;		/* what the value as a whole is */
} Walk;

static const char *walk_node(Walk *walk, const SiAvroNode *node, const char *p);

/* ---- taking values ---- */

/* A finished document becomes a value in the arena; p is behind it. */
static const char *
keep_document(Walk *walk, SiTextBuffer *out, SiValueKind kind, const char *p, SiValue *value)
{
	char	   *copy;

	if (out->fault == SI_TEXT_TOO_LONG)
		return si_avro_refuse(&walk->reader, p, SI_AVRO_LARGE_DOCUMENT);
	copy = out->fault == SI_TEXT_NO_FAULT ? si_arena_alloc(walk->reader.arena, out->len) : NULL;
	if (copy == NULL)
		return si_avro_refuse(&walk->reader, p, SI_AVRO_NO_MEMORY);
	memcpy(copy, out->data, out->len);
	value->kind = kind;
	value->data = copy;
	value->len = out->len;
	return p;
}

/*
 * What a taker that reads JSON gets instead of bytes, and instead of a string
 * with U+0000, which no text can hold: a JSON string.
 */
static const char *
make_written(Walk *walk, const char *p, SiValue *value)
{
	SiTextBuffer *out = &walk->decoder->document;

	if (value->kind != SI_VALUE_BYTES &&
		(value->kind != SI_VALUE_STRING || memchr(value->data, '\0', value->len) == NULL))
		return p;
	si_text_reset(out, si_arena_left(walk->reader.arena));
	si_text_append_value(out, value);
	return keep_document(walk, out, SI_VALUE_WRITTEN, p, value);
}

/* Give a value that ends before p to the fields at a node. */
static const char *
take(Walk *walk, const SiAvroNode *node, const SiValue *value, const char *p)
{
	const SiPathField *field = &walk->decoder->tree.fields[node->paths->first_field];
	const SiPathField *end = &walk->decoder->tree.fields[node->paths->end_own];
	SiValue		written = *value;

	SiValue		plain = *value;

	if (node->type->meaning == SI_AVRO_JSON)
	{
		si_connect_take_json(true, &written);
		si_connect_take_json(false, &plain);
	}
	if (node->as_json)
		p = make_written(walk, p, &written);
	for (; p != NULL && field < end; field++)
		walk->record->fields[field->number] = field->wanted->is_entered ? *value :
			field->wanted->as_json ? written : plain;
	return p;
}

static const char *
take_scalar(Walk *walk, const SiAvroNode *node, const char *p)
{
	SiValue		value = {SI_VALUE_ABSENT};

	if (node->only_field >= 0)
		return si_avro_read_scalar(&walk->reader, node->type, p,
								   &walk->record->fields[node->only_field]);
	if (!node->taken)
		return si_avro_skip(&walk->reader, node->type, p);
	p = si_avro_read_scalar(&walk->reader, node->type, p, &value);
	return p != NULL ? take(walk, node, &value, p) : NULL;
}

/* Take a record, array or map as a whole. */
static const char *
take_document(Walk *walk, const SiAvroNode *node, const char *p)
{
	SiTextBuffer *out = &walk->decoder->document;
	SiValue		value = {SI_VALUE_ABSENT};

	si_text_reset(out, si_arena_left(walk->reader.arena));
	p = si_avro_write_json(&walk->reader, node->type, p, out);
	if (p != NULL)
		p = keep_document(walk, out,
						  node->type->kind == SI_AVRO_ARRAY ? SI_VALUE_ARRAY : SI_VALUE_OBJECT,
						  p, &value);
	return p != NULL ? take(walk, node, &value, p) : NULL;
}

/* ---- walking a message ---- */

/* A top-level field that no column takes: its value is at p. */
static const char *
pass_unclaimed(Walk *walk, const char *name, size_t len, const SiAvroType *type, const char *p)
{
	const SiPathTree *tree = &walk->decoder->tree;
	SiTextBuffer *rest = &walk->decoder->rest;
	SiValue    *unknown = &walk->record->unknown;

	if (tree->rest_field >= 0)
	{
		si_text_append_byte(rest, rest->len == 0 ? '{' : ',');
		si_text_append_string(rest, name, len);
		si_text_append_byte(rest, ':');
		return si_avro_write_json(&walk->reader, type, p, rest);
	}
	if (tree->find_unknown && unknown->kind == SI_VALUE_ABSENT)
	{
		unknown->kind = SI_VALUE_STRING;
		unknown->data = name;
		unknown->len = len;
	}
	return si_avro_skip(&walk->reader, type, p);
}

static const char *
walk_record(Walk *walk, const SiAvroNode *node, const char *p)
{
	const SiAvroType *type = node->type;
	bool		watch = si_path_tree_watches(&walk->decoder->tree, node->paths);
	int			i;

	for (i = 0; i < type->n && p != NULL; i++)
	{
		const SiAvroField *field = &type->fields[i];

		if (node->children[i] != NULL)
			p = walk_node(walk, node->children[i], p);
		else if (watch)
			p = pass_unclaimed(walk, field->name.data, field->name.len, field->type, p);
		else
			p = si_avro_skip(&walk->reader, field->type, p);
	}
	return p;
}

static const char *
walk_array(Walk *walk, const SiAvroNode *node, const char *p)
{
	const SiPathElement *elements = &walk->decoder->tree.elements[node->paths->first_element];
	int			next = 0;
	uint64_t	index = 0;
	SiAvroBlock block;
	uint64_t	i;

	do
	{
		p = si_avro_read_block(&walk->reader, p, &block);
		for (i = 0; p != NULL && i < block.count; i++, index++)
		{
			/* an index below 0 is none that any array has */
			while (next < node->paths->nelements &&
				   (elements[next].index < 0 || (uint64_t) elements[next].index < index))
				next++;
			if (next < node->paths->nelements && (uint64_t) elements[next].index == index)
				p = walk_node(walk, node->children[next], p);
			else
				p = si_avro_skip(&walk->reader, node->type->items, p);
		}
		p = si_avro_end_block(&walk->reader, p, &block);
	} while (p != NULL && block.count > 0);
	return p;
}

/* A key of a map and what it has; of equal keys the last wins. */
static const char *
walk_entry(Walk *walk, const SiAvroNode *node, const char *p)
{
	const SiPathTree *tree = &walk->decoder->tree;
	bool		watch = si_path_tree_watches(tree, node->paths);
	const SiPathNode *paths;
	SiValue		key;
	int			member;

	p = si_avro_read_string(&walk->reader, p, &key);
	if (p == NULL)
		return NULL;
	member = si_path_tree_find(tree, node->paths, key.data, key.len);
	if (member < 0 && watch)
		return pass_unclaimed(walk, key.data, key.len, node->type->items, p);
	if (member < 0)
		return si_avro_skip(&walk->reader, node->type->items, p);
	paths = &tree->nodes[tree->members[member].node];

	/* once for each time that the map has the same key */
	if (!si_arena_work(walk->reader.arena, (uint64_t) (paths->end_below - paths->first_field)))
		return si_avro_refuse(&walk->reader, p, SI_AVRO_NO_MEMORY);
	si_path_tree_forget(tree, paths, walk->record);
	return walk_node(walk, node->children[member - node->paths->first_member], p);
}

static const char *
walk_map(Walk *walk, const SiAvroNode *node, const char *p)
{
	SiAvroBlock block;
	uint64_t	i;

	do
	{
		p = si_avro_read_block(&walk->reader, p, &block);
		for (i = 0; p != NULL && i < block.count; i++)
			p = walk_entry(walk, node, p);
		p = si_avro_end_block(&walk->reader, p, &block);
	} while (p != NULL && block.count > 0);
	return p;
}

/* Read a record, array or map at p, as a whole and by the paths into it. */
static const char *
walk_container(Walk *walk, const SiAvroNode *node, const char *p)
{
	const char *begin = p;

	if (node->taken)
	{
		p = take_document(walk, node, p);
		if (!node->entered || p == NULL)
			return p;
	}
	else if (!node->entered)
		return si_avro_skip(&walk->reader, node->type, p);
	if (!si_avro_enter(&walk->reader, begin))
		return NULL;
	switch (node->type->kind)
	{
		case SI_AVRO_RECORD:
			p = walk_record(walk, node, begin);
			break;
		case SI_AVRO_ARRAY:
			p = walk_array(walk, node, begin);
			break;
		default:
			p = walk_map(walk, node, begin);
			break;
	}
	si_avro_leave(&walk->reader);
	return p;
}

/*
 * Read the value at p and give it to the fields at and below a node.  Recurses
 * no deeper than paths are long, twice that with unions.
 */
static const char *
walk_node(Walk *walk, const SiAvroNode *node, const char *p)
{
	int			branch;

	if (node->type->kind == SI_AVRO_UNION)
	{
		p = si_avro_read_branch(&walk->reader, node->type, p, &branch);
		if (p == NULL)
			return NULL;
		node = node->children[branch];
	}
	if (node->paths == walk->decoder->tree.nodes)
		walk->top = node->type;
	if (node->type->kind >= SI_AVRO_ARRAY)
		return walk_container(walk, node, p);
	return take_scalar(walk, node, p);
}

/* ---- a message ---- */

static const char *
kind_name(SiAvroKind kind)
{
	static const char *const names[] = {
		[SI_AVRO_NULL] = "null",
		[SI_AVRO_BOOLEAN] = "a boolean",
		[SI_AVRO_INT] = "an int",
		[SI_AVRO_LONG] = "a long",
		[SI_AVRO_FLOAT] = "a float",
		[SI_AVRO_DOUBLE] = "a double",
		[SI_AVRO_BYTES] = "bytes",
		[SI_AVRO_STRING] = "a string",
		[SI_AVRO_FIXED] = "a fixed",
		[SI_AVRO_ENUM] = "an enum",
		[SI_AVRO_SCALED] = "a decimal",
		[SI_AVRO_ARRAY] = "an array",
		[SI_AVRO_MAP] = "a map",
		[SI_AVRO_UNION] = "a union",
		[SI_AVRO_RECORD] = "a record"
	};

	return names[kind];
}

/* Complete the record of a message that was read up to p. */
static const char *
finish(Walk *walk, const char *p)
{
	const SiPathTree *tree = &walk->decoder->tree;
	SiTextBuffer *rest = &walk->decoder->rest;

	if (p != walk->reader.end)
		return si_avro_refuse(&walk->reader, p, SI_AVRO_TRAILING_BYTES);
	if (tree->rest_field < 0)
		return p;
	if (rest->len == 0)
		si_text_append_byte(rest, '{');
	si_text_append_byte(rest, '}');
	return keep_document(walk, rest, SI_VALUE_OBJECT, p, &walk->record->fields[tree->rest_field]);
}

static bool
avro_decode(void *state, const SiMessage *message, SiArena *arena,
			SiRecord *record, SiDecodeError *error)
{
	AvroDecoder *decoder = state;
	Walk		walk;
	const char *p;

	walk.decoder = decoder;
	walk.record = record;
	walk.top = NULL;
	si_text_reset(&decoder->rest, si_arena_left(arena));
	p = si_avro_begin(&walk.reader, message->value, message->value_len, arena);
	p = walk_node(&walk, decoder->root, p);
	if (p != NULL)
		p = finish(&walk, p);
	if (p == NULL)
		return si_avro_report(&walk.reader, error);
	if (decoder->tree.by_name &&
		walk.top->kind != SI_AVRO_RECORD && walk.top->kind != SI_AVRO_MAP)
		return si_decoder_fail(error, "22023",
							   "Avro value is %s, not a record with named fields",
							   kind_name(walk.top->kind));
	return true;
}

/* ---- the routine ---- */

static void
avro_destroy(void *state)
{
	AvroDecoder *decoder = state;

	si_path_tree_free(&decoder->tree);
	si_schema_cache_free(decoder->programs);
	si_text_free(&decoder->document);
	si_text_free(&decoder->rest);
	free(decoder);
}

static void *
make_program(void *state, const SiSchemaTexts *texts, SiDecodeError *error)
{
	AvroDecoder *decoder = state;

	return si_avro_program_make(texts, &decoder->tree, error);
}

/* Take the program of the schema that the frame names. */
static bool
avro_select(void *state, SiFrame *frame, SiDecodeError *error)
{
	AvroDecoder *decoder = state;
	SiAvroProgram *program = si_schema_program(decoder->programs, &decoder->options, &frame->id,
											   make_program, decoder, error);

	if (program != NULL)
		decoder->root = si_avro_program_root(program);
	return program != NULL;
}

static AvroDecoder *
make_decoder(const SiDecodePlan *plan, const SiFormatOptions *options, bool of_key)
{
	AvroDecoder *decoder = calloc(1, sizeof(AvroDecoder));

	if (decoder == NULL)
		return NULL;
	if (options != NULL)
		decoder->options = of_key ? si_schema_key_options(options) : *options;
	decoder->programs = si_schema_cache_create(SI_SCHEMA_CACHE_MOST, si_avro_program_free);
	if (decoder->programs == NULL || !si_path_tree_build(&decoder->tree, plan, of_key))
	{
		avro_destroy(decoder);
		return NULL;
	}
	return decoder;
}

static void *
avro_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	return make_decoder(plan, options, false);
}

static void *
key_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	return make_decoder(plan, options, true);
}

static bool
key_decode(void *state, const SiMessage *message, SiArena *arena,
		   SiRecord *record, SiDecodeError *error)
{
	AvroDecoder *decoder = state;

	return si_decoder_read_key(&si_decoder_avro, decoder, decoder->options.wire_format,
							   decoder->tree.prefix, message, arena, record, error);
}

static bool
check_schema(const SiFormatOptions *options, const SiSchemaTexts *texts, SiDecodeError *error)
{
	SiAvroSchema *schema = si_avro_schema_parse(texts, error);

	(void) options;
	si_avro_schema_free(schema);
	return schema != NULL;
}

static bool
avro_check(const SiFormatOptions *options, SiDecodeError *error)
{
	return si_schema_check(options, "avro", check_schema, error);
}

static bool
avro_describe(const SiFormatOptions *options, const SiMessage *message, bool of_key,
			  SiArena *memory, SiSchemaColumns *columns, SiDecodeError *error)
{
	SiFormatOptions own = of_key ? si_schema_key_options(options) : *options;
	SiFrame		frame;
	SiAvroSchema *schema = NULL;
	SiSchemaTexts texts;
	bool		described;

	memset(columns, 0, sizeof(SiSchemaColumns));
	if (of_key && !options->key_by_id)
		return true;
	if (si_schema_of(&own, message, of_key, &frame, &texts, error))
		schema = si_avro_schema_parse(&texts, error);
	described = schema != NULL &&
		si_avro_describe(si_avro_schema_root(schema), of_key ? SI_ENVELOPE_NONE : own.envelope,
						 memory, columns, error);
	si_avro_schema_free(schema);
	return described;
}

const SiDecoderRoutine si_decoder_avro = {
	.format = "avro",
	.called = "Avro",
	.registry_type = "AVRO",
	.options = SI_FORMAT_SCHEMA | SI_FORMAT_SCHEMAS | SI_FORMAT_WIRE |
	SI_FORMAT_DELETED | SI_FORMAT_DEBEZIUM,
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_DECODED,
	.check = avro_check,
	.describe = avro_describe,
	.create = avro_create,
	.select = avro_select,
	.decode = avro_decode,
	.destroy = avro_destroy
};

const SiDecoderRoutine si_decoder_avro_key = {
	.format = "avro",
	.called = "Avro",
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_DECODED,
	.create = key_create,
	.destroy = avro_destroy,
	.decode_key = key_decode
};
