/*-------------------------------------------------------------------------
 *
 * proto_program.c
 *	  Compiling a Protobuf schema and a plan.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/proto_frame.h"
#include "format/proto_program.h"

struct SiProtoProgram
{
	const SiPathTree *tree;
	SiProtoSchema *schema;
	const SiProtoMessage *named;	/* that all messages are, or NULL */
	SiArena    *memory;			/* of the nodes */
	SiProtoNode **roots;		/* by the number of their message */
	uint64_t	nchildren;		/* of all of them; see SI_PATH_MOST_CHILDREN */
};

typedef struct Compiler
{
	SiArena    *memory;
	const SiPathTree *tree;
	uint64_t	nchildren;		/* room for so many was made */
} Compiler;

static SiProtoNode *compile(Compiler *compiler, const SiProtoField *field,
							const SiProtoMessage *message, bool list, SiPathNode *paths);

/* Make a field of $rest of a field of the row that no path takes. */
static SiProtoNode *
compile_rest(Compiler *compiler, const SiProtoField *field)
{
	SiProtoNode *node = si_arena_alloc(compiler->memory, sizeof(SiProtoNode));

	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(SiProtoNode));
	node->field = field;
	node->rest = true;
	return node;
}

static bool
compile_fields(Compiler *compiler, SiProtoNode *node)
{
	const SiPathTree *tree = compiler->tree;
	int			i;

	for (i = 0; i < node->message->nfields; i++)
	{
		const SiProtoField *field = node->message->fields[i];
		int			member = si_path_tree_find(tree, node->paths, field->name.data,
											   field->name.len);
		bool		rest = tree->rest_field >= 0 && si_path_tree_watches(tree, node->paths);

		if (member < 0 && !rest)
			continue;
		node->children[i] = member < 0 ? compile_rest(compiler, field) :
			compile(compiler, field, field->message, field->repeated,
					&tree->nodes[tree->members[member].node]);
		if (node->children[i] == NULL)
			return false;
	}
	return true;
}

/* The paths that enter a list by number, or a map by key. */
static bool
compile_items(Compiler *compiler, SiProtoNode *node, int n)
{
	const SiPathTree *tree = compiler->tree;
	const SiProtoField *field = node->field;
	const SiPathNode *paths = node->paths;
	int			i;

	if (field->map)
		field = field->message->first->next;
	for (i = 0; i < n; i++)
	{
		int			child = node->field->map ? tree->members[paths->first_member + i].node :
			tree->elements[paths->first_element + i].node;

		node->children[i] = compile(compiler, field, field->message, false, &tree->nodes[child]);
		if (node->children[i] == NULL)
			return false;
	}
	return true;
}

static bool
compile_children(Compiler *compiler, SiProtoNode *node)
{
	int			n = 0;

	if (node->list)
		n = node->field->map ? node->paths->nmembers : node->paths->nelements;
	else if (node->message != NULL && node->entered)
		n = node->message->nfields;
	if (n == 0)
	{
		/* no path can lead into it */
		node->entered = node->entered && !node->list && node->message != NULL;
		if (!node->entered)
			return true;
	}
	compiler->nchildren += (uint64_t) n;
	if (compiler->nchildren > SI_PATH_MOST_CHILDREN)
		return false;
	node->children = si_arena_alloc(compiler->memory, (size_t) n * sizeof(SiProtoNode *));
	if (node->children == NULL)
		return false;
	memset(node->children, 0, (size_t) n * sizeof(SiProtoNode *));
	return node->list ? compile_items(compiler, node, n) : compile_fields(compiler, node);
}

/*
 * Make a node; NULL when out of memory, or with too many children.  Recurses as deep as
 * paths are long.
 */
static SiProtoNode *
compile(Compiler *compiler, const SiProtoField *field, const SiProtoMessage *message,
		bool list, SiPathNode *paths)
{
	const SiPathTree *tree = compiler->tree;
	SiProtoNode *node = si_arena_alloc(compiler->memory, sizeof(SiProtoNode));
	int			i;

	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(SiProtoNode));
	node->field = field;
	node->message = message;
	node->list = list;
	node->paths = paths;
	node->part = tree->of_event && paths->parent == 0;
	node->taken = paths->end_own > paths->first_field;
	for (i = paths->first_field; i < paths->end_own; i++)
		node->as_json |= tree->fields[i].wanted->as_json;
	node->entered = paths->nmembers > 0 || paths->nelements > 0 ||
		si_path_tree_watches(tree, paths);
	node->only_field = -1;
	if (message == NULL && !list && !node->as_json && paths->end_own == paths->first_field + 1)
		node->only_field = tree->fields[paths->first_field].number;
	return compile_children(compiler, node) ? node : NULL;
}

/* ---- the program ---- */

/* Find the message that all are; false with *error filled if there is none. */
static bool
set_named(SiProtoProgram *program, const char *name, SiDecodeError *error)
{
	if (si_proto_schema_first(program->schema) == NULL)
		return si_decoder_fail(error, "42P17", "invalid Protobuf schema: it has no message");
	if (name == NULL)
		return true;
	program->named = si_proto_schema_find(program->schema, name);
	return program->named != NULL ||
		si_decoder_fail(error, "22023", "the schema has no message of the name in option \"message\"");
}

SiProtoProgram *
si_proto_program_make(const SiSchemaTexts *texts, const SiPathTree *tree, const char *name,
					  SiDecodeError *error)
{
	SiProtoProgram *program = calloc(1, sizeof(SiProtoProgram));

	if (program == NULL)
	{
		si_decoder_fail(error, "53200", "out of memory");
		return NULL;
	}
	program->tree = tree;
	program->schema = si_proto_schema_parse(texts, error);
	if (program->schema != NULL && set_named(program, name, error))
		return program;
	si_proto_program_free(program);
	return NULL;
}

const SiProtoMessage *
si_proto_program_message(const SiProtoProgram *program, SiFrame *frame, SiDecodeError *error)
{
	return si_proto_frame_read(frame, program->schema, program->named, error);
}

/* Compile a message; NULL with *error filled. */
static SiProtoNode *
make_root(SiProtoProgram *program, const SiProtoMessage *message, SiDecodeError *error)
{
	Compiler	compiler = {.tree = program->tree,.nchildren = program->nchildren};
	SiProtoNode *root = NULL;

	if (program->memory == NULL)
		program->memory = si_arena_create();
	if (program->roots == NULL)
		program->roots = calloc((size_t) si_proto_schema_ntypes(program->schema) + 1,
								sizeof(SiProtoNode *));
	compiler.memory = program->memory;
	if (program->memory != NULL && program->roots != NULL)
		root = compile(&compiler, NULL, message, false, program->tree->nodes);
	program->nchildren = compiler.nchildren;
	if (root == NULL && compiler.nchildren > SI_PATH_MOST_CHILDREN)
		si_decoder_fail(error, "54000", "the schema is too large for the paths that lead into it");
	else if (root == NULL)
		si_decoder_fail(error, "53200", "out of memory");
	return root;
}

const SiProtoNode *
si_proto_program_root(SiProtoProgram *program, SiFrame *frame, SiDecodeError *error)
{
	const SiProtoMessage *message = si_proto_program_message(program, frame, error);
	SiProtoNode *root;

	if (message == NULL)
		return NULL;
	root = program->roots != NULL ? program->roots[message->number] : NULL;
	if (root != NULL)
		return root;
	root = make_root(program, message, error);
	if (root != NULL)
		program->roots[message->number] = root;
	return root;
}

void
si_proto_program_free(void *program)
{
	SiProtoProgram *old = program;

	if (old == NULL)
		return;
	si_proto_schema_free(old->schema);
	si_arena_destroy(old->memory);
	free(old->roots);
	free(old);
}
