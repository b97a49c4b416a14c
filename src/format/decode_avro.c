/*-------------------------------------------------------------------------
 *
 * decode_avro.c
 *	  Avro messages to records.
 *
 * Schema and plan are compiled once into a program: a node for each place where
 * a type of the schema meets a node of the plan's tree of paths.  A message is
 * then read once, front to back: what a node takes goes straight into the
 * record's fields, and whatever no node takes is skipped.  A path enters
 * records by field, maps by key and arrays by index; a union is entered without
 * a step, by whichever branch the message has.
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

#include "format/avro_document.h"
#include "format/avro_read.h"
#include "format/avro_schema.h"
#include "format/decoder.h"
#include "format/path_tree.h"
#include "format/value_text.h"

/* A type of the schema where it meets a node of the tree. */
typedef struct Node
{
	const SiAvroType *type;
	SiPathNode *paths;
	bool		taken;			/* do fields take the value as a whole? */
	bool		as_json;		/* does one of them read JSON? */
	bool		entered;		/* is there a path that leads into it? */
	int			only_field;		/* that takes the value, and nothing else, as
								 * it is; or -1 */

	/*
	 * Of a record by field, NULL where no field takes it; of a union by
	 * branch; of an array by element and of a map by member of the tree.
	 */
	struct Node **children;
	struct Node *next;			/* of the same type */
} Node;

typedef struct AvroDecoder
{
	SiPathTree	tree;
	SiAvroSchema *schema;		/* NULL: no value is ever decoded */
	SiArena    *memory;			/* of the program */
	Node	  **of_type;		/* lists of nodes, by the type's number */
	Node	   *program;
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

static Node *compile(AvroDecoder *decoder, const SiAvroType *type, SiPathNode *paths);
static const char *walk_node(Walk *walk, const Node *node, const char *p);

/* ---- compiling ---- */

/* The tree's node for a name below a node, or NULL. */
static SiPathNode *
find_paths(AvroDecoder *decoder, const SiPathNode *paths, const SiAvroName *name)
{
	int			member = si_path_tree_find(&decoder->tree, paths, name->data, name->len);

	return member < 0 ? NULL :
		&decoder->tree.nodes[decoder->tree.members[member].node];
}

/* How many children a node has room for. */
static int
count_children(const Node *node)
{
	switch (node->type->kind)
	{
		case SI_AVRO_RECORD:
		case SI_AVRO_UNION:
			return node->type->n;
		case SI_AVRO_ARRAY:
			return node->paths->nelements;
		case SI_AVRO_MAP:
			return node->paths->nmembers;
		default:
			return 0;
	}
}

/*
 * The type and the tree's node that a child stands for; the node is NULL where
 * no field takes the child.
 */
static SiPathNode *
describe_child(AvroDecoder *decoder, const Node *node, int i, const SiAvroType **type)
{
	const SiPathTree *tree = &decoder->tree;
	SiPathNode *paths = node->paths;

	*type = node->type->items;
	switch (node->type->kind)
	{
		case SI_AVRO_RECORD:
			*type = node->type->fields[i].type;
			return find_paths(decoder, paths, &node->type->fields[i].name);
		case SI_AVRO_UNION:
			*type = node->type->branches[i];
			return paths;
		case SI_AVRO_ARRAY:
			return &tree->nodes[tree->elements[paths->first_element + i].node];
		default:
			return &tree->nodes[tree->members[paths->first_member + i].node];
	}
}

static bool
compile_children(AvroDecoder *decoder, Node *node)
{
	int			n = count_children(node);
	int			i;

	if (n == 0)
		return true;
	node->children = si_arena_alloc(decoder->memory, (size_t) n * sizeof(Node *));
	if (node->children == NULL)
		return false;
	memset(node->children, 0, (size_t) n * sizeof(Node *));
	for (i = 0; i < n; i++)
	{
		const SiAvroType *type;
		SiPathNode *paths = describe_child(decoder, node, i, &type);

		if (paths == NULL)
			continue;
		node->children[i] = compile(decoder, type, paths);
		if (node->children[i] == NULL)
			return false;
	}
	return true;
}

static void
set_takers(const AvroDecoder *decoder, Node *node)
{
	const SiPathTree *tree = &decoder->tree;
	const SiPathNode *paths = node->paths;
	bool		container = node->type->kind >= SI_AVRO_ARRAY;
	int			i;

	node->taken = paths->end_own > paths->first_field;
	for (i = paths->first_field; i < paths->end_own; i++)
		node->as_json |= tree->fields[i].wanted->as_json;
	node->entered = paths->nmembers > 0 || paths->nelements > 0 ||
		si_path_tree_watches(tree, paths);
	node->only_field = -1;
	if (!container && !node->as_json && paths->end_own == paths->first_field + 1)
		node->only_field = tree->fields[paths->first_field].number;
}

/*
 * Make the node, or find it: a type may come to the same node of the tree by
 * several branches.  NULL when out of memory.  Recurses no deeper than paths are
 * long, but for unions, which are never within one another.
 */
static Node *
compile(AvroDecoder *decoder, const SiAvroType *type, SiPathNode *paths)
{
	Node	   *node;

	for (node = type->number >= 0 ? decoder->of_type[type->number] : NULL;
		 node != NULL; node = node->next)
	{
		if (node->paths == paths)
			return node;
	}
	node = si_arena_alloc(decoder->memory, sizeof(Node));
	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(Node));
	node->type = type;
	node->paths = paths;
	set_takers(decoder, node);
	if (type->number >= 0)
	{
		node->next = decoder->of_type[type->number];
		decoder->of_type[type->number] = node;
	}
	return compile_children(decoder, node) ? node : NULL;
}

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
	si_text_reset(out);
	si_text_append_value(out, value);
	return keep_document(walk, out, SI_VALUE_WRITTEN, p, value);
}

/* Give a value that ends before p to the fields at a node. */
static const char *
take(Walk *walk, const Node *node, const SiValue *value, const char *p)
{
	const SiPathField *field = &walk->decoder->tree.fields[node->paths->first_field];
	const SiPathField *end = &walk->decoder->tree.fields[node->paths->end_own];
	SiValue		written = *value;

	if (node->as_json)
		p = make_written(walk, p, &written);
	for (; p != NULL && field < end; field++)
		walk->record->fields[field->number] = field->wanted->as_json ? written : *value;
	return p;
}

static const char *
take_scalar(Walk *walk, const Node *node, const char *p)
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
take_document(Walk *walk, const Node *node, const char *p)
{
	SiTextBuffer *out = &walk->decoder->document;
	SiValue		value = {SI_VALUE_ABSENT};

	si_text_reset(out);
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
walk_record(Walk *walk, const Node *node, const char *p)
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
walk_array(Walk *walk, const Node *node, const char *p)
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
walk_entry(Walk *walk, const Node *node, const char *p)
{
	const SiPathTree *tree = &walk->decoder->tree;
	bool		watch = si_path_tree_watches(tree, node->paths);
	const SiPathNode *paths;
	SiValue		key;
	int			member;
	int			i;

	p = si_avro_read_string(&walk->reader, p, &key);
	if (p == NULL)
		return NULL;
	member = si_path_tree_find(tree, node->paths, key.data, key.len);
	if (member < 0 && watch)
		return pass_unclaimed(walk, key.data, key.len, node->type->items, p);
	if (member < 0)
		return si_avro_skip(&walk->reader, node->type->items, p);
	paths = &tree->nodes[tree->members[member].node];
	for (i = paths->first_field; i < paths->end_below; i++)
		memset(&walk->record->fields[tree->fields[i].number], 0, sizeof(SiValue));
	return walk_node(walk, node->children[member - node->paths->first_member], p);
}

static const char *
walk_map(Walk *walk, const Node *node, const char *p)
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
walk_container(Walk *walk, const Node *node, const char *p)
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
walk_node(Walk *walk, const Node *node, const char *p)
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

	if (decoder->program == NULL)
		return si_decoder_fail(error, "22023", "there is no schema for the message");
	walk.decoder = decoder;
	walk.record = record;
	walk.top = NULL;
	si_text_reset(&decoder->rest);
	p = si_avro_begin(&walk.reader, message->value, message->value_len, arena);
	p = walk_node(&walk, decoder->program, p);
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
	si_avro_schema_free(decoder->schema);
	si_arena_destroy(decoder->memory);
	free(decoder->of_type);
	si_text_free(&decoder->document);
	si_text_free(&decoder->rest);
	free(decoder);
}

/* Read the schema, which was checked before, and compile it with the plan. */
static bool
make_program(AvroDecoder *decoder, const char *schema)
{
	SiDecodeError error;

	decoder->schema = si_avro_schema_parse(schema, strlen(schema), &error);
	decoder->memory = si_arena_create();
	if (decoder->schema == NULL || decoder->memory == NULL)
		return false;
	decoder->of_type = calloc((size_t) si_avro_schema_ntypes(decoder->schema) + 1,
							  sizeof(Node *));
	if (decoder->of_type == NULL)
		return false;
	decoder->program = compile(decoder, si_avro_schema_root(decoder->schema),
							   decoder->tree.nodes);
	return decoder->program != NULL;
}

static void *
avro_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	AvroDecoder *decoder = calloc(1, sizeof(AvroDecoder));

	if (decoder == NULL)
		return NULL;
	if (!si_path_tree_build(&decoder->tree, plan, false) ||
		(options != NULL && options->schema != NULL &&
		 !make_program(decoder, options->schema)))
	{
		avro_destroy(decoder);
		return NULL;
	}
	return decoder;
}

static bool
avro_check(const SiFormatOptions *options, SiDecodeError *error)
{
	SiAvroSchema *schema;

	if (options->schema == NULL)
		return si_decoder_fail(error, "22023", "format \"avro\" needs the option \"schema\"");
	schema = si_avro_schema_parse(options->schema, strlen(options->schema), error);
	si_avro_schema_free(schema);
	return schema != NULL;
}

const SiDecoderRoutine si_decoder_avro = {
	.format = "avro",
	.called = "Avro",
	.options = SI_FORMAT_SCHEMA | SI_FORMAT_DELETED | SI_FORMAT_DEBEZIUM,
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_DECODED,
	.check = avro_check,
	.create = avro_create,
	.decode = avro_decode,
	.destroy = avro_destroy
};
