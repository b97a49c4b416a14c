/*-------------------------------------------------------------------------
 *
 * avro_program.c
 *	  An Avro schema and a plan, compiled into a program.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/avro_program.h"
#include "format/avro_schema.h"

struct SiAvroProgram
{
	const SiPathTree *tree;
	SiAvroSchema *schema;
	SiArena    *memory;			/* of the nodes */
	SiAvroNode **of_type;		/* lists of nodes, by the type's number */
	uint64_t	nchildren;		/* room for so many was made, or searched */
	SiAvroNode *root;
};

static SiAvroNode *compile(SiAvroProgram *program, const SiAvroType *type, SiPathNode *paths);

/* The tree's node for a name below a node, or NULL. */
static SiPathNode *
find_paths(SiAvroProgram *program, const SiPathNode *paths, const SiAvroName *name)
{
	int			member = si_path_tree_find(program->tree, paths, name->data, name->len);

	return member < 0 ? NULL :
		&program->tree->nodes[program->tree->members[member].node];
}

/* How many children a node has room for. */
static int
count_children(const SiAvroNode *node)
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
describe_child(SiAvroProgram *program, const SiAvroNode *node, int i, const SiAvroType **type)
{
	const SiPathTree *tree = program->tree;
	SiPathNode *paths = node->paths;

	*type = node->type->items;
	switch (node->type->kind)
	{
		case SI_AVRO_RECORD:
			*type = node->type->fields[i].type;
			return find_paths(program, paths, &node->type->fields[i].name);
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
compile_children(SiAvroProgram *program, SiAvroNode *node)
{
	int			n = count_children(node);
	int			i;

	program->nchildren += (uint64_t) n;
	if (n == 0)
		return true;
	if (program->nchildren > SI_PATH_MOST_CHILDREN)
		return false;
	node->children = si_arena_alloc(program->memory, (size_t) n * sizeof(SiAvroNode *));
	if (node->children == NULL)
		return false;
	memset(node->children, 0, (size_t) n * sizeof(SiAvroNode *));
	for (i = 0; i < n; i++)
	{
		const SiAvroType *type;
		SiPathNode *paths = describe_child(program, node, i, &type);

		if (paths == NULL)
			continue;
		node->children[i] = compile(program, type, paths);
		if (node->children[i] == NULL)
			return false;
	}
	return true;
}

static void
set_takers(const SiAvroProgram *program, SiAvroNode *node)
{
	const SiPathTree *tree = program->tree;
	const SiPathNode *paths = node->paths;
	bool		container = node->type->kind >= SI_AVRO_ARRAY;
	int			i;

	node->taken = paths->end_own > paths->first_field;
	for (i = paths->first_field; i < paths->end_own; i++)
		node->as_json |= tree->fields[i].wanted->as_json;
	node->entered = paths->nmembers > 0 || paths->nelements > 0 ||
		si_path_tree_watches(tree, paths);
	node->only_field = -1;
	if (!container && !node->as_json && node->type->meaning != SI_AVRO_JSON &&
		paths->end_own == paths->first_field + 1)
		node->only_field = tree->fields[paths->first_field].number;
}

/*
 * Make the node, or find it: a type may come to the same node of the tree by
 * several branches.  NULL when out of memory, or with too many children.  Recurses no
 * deeper than paths are long, but for unions, which are never within one another.
 */
static SiAvroNode *
compile(SiAvroProgram *program, const SiAvroType *type, SiPathNode *paths)
{
	SiAvroNode *node;

	for (node = type->number >= 0 ? program->of_type[type->number] : NULL;
		 node != NULL; node = node->next)
	{
		if (node->paths == paths)
			return node;
		program->nchildren++;
	}
	node = si_arena_alloc(program->memory, sizeof(SiAvroNode));
	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(SiAvroNode));
	node->type = type;
	node->paths = paths;
	set_takers(program, node);
	if (type->number >= 0)
	{
		node->next = program->of_type[type->number];
		program->of_type[type->number] = node;
	}
	return compile_children(program, node) ? node : NULL;
}

void
si_avro_program_free(void *program)
{
	SiAvroProgram *old = program;

	if (old == NULL)
		return;
	si_avro_schema_free(old->schema);
	si_arena_destroy(old->memory);
	free(old->of_type);
	free(old);
}

static bool
make_nodes(SiAvroProgram *program, SiPathTree *tree)
{
	program->tree = tree;
	program->memory = si_arena_create();
	program->of_type = calloc((size_t) si_avro_schema_ntypes(program->schema) + 1,
							  sizeof(SiAvroNode *));
	if (program->memory == NULL || program->of_type == NULL)
		return false;
	program->root = compile(program, si_avro_schema_root(program->schema), tree->nodes);
	return program->root != NULL;
}

SiAvroProgram *
si_avro_program_make(const SiSchemaTexts *schema, SiPathTree *tree, SiDecodeError *error)
{
	SiAvroProgram *program = calloc(1, sizeof(SiAvroProgram));

	if (program == NULL)
	{
		si_decoder_fail(error, "53200", "out of memory");
		return NULL;
	}
	program->schema = si_avro_schema_parse(schema, error);
	if (program->schema != NULL && make_nodes(program, tree))
		return program;
	if (program->schema != NULL && program->nchildren > SI_PATH_MOST_CHILDREN)
		si_decoder_fail(error, "54000", "the schema is too large for the paths that lead into it");
	else if (program->schema != NULL)
		si_decoder_fail(error, "53200", "out of memory");
	si_avro_program_free(program);
	return NULL;
}

const SiAvroNode *
si_avro_program_root(const SiAvroProgram *program)
{
	return program->root;
}
