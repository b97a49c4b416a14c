/*-------------------------------------------------------------------------
 *
 * path_tree.c
 *	  Building the tree of wanted paths, and finding a name in it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/json_scan.h"
#include "format/match_names.h"
#include "format/path_tree.h"

/* Any total order does; that of elements must be ascending. */
static int
compare_steps(const SiPathStep *a, const SiPathStep *b)
{
	if (a->key == NULL || b->key == NULL)
	{
		if (a->key != NULL || b->key != NULL)
			return a->key != NULL ? 1 : -1;
		return (a->index > b->index) - (a->index < b->index);
	}
	if (a->key_len != b->key_len)
		return a->key_len > b->key_len ? 1 : -1;
	return memcmp(a->key, b->key, a->key_len);
}

/* How many steps do two paths share? */
static int
shared_steps(const SiWantedField *a, const SiWantedField *b)
{
	int			n = 0;

	while (n < a->nsteps && n < b->nsteps &&
		   compare_steps(&a->steps[n], &b->steps[n]) == 0)
		n++;
	return n;
}

/* A path comes before those that begin with it. */
static int
compare_fields(const void *left, const void *right)
{
	const SiPathField *a = left;
	const SiPathField *b = right;
	int			shared = shared_steps(a->wanted, b->wanted);

	if (shared < a->wanted->nsteps && shared < b->wanted->nsteps)
		return compare_steps(&a->wanted->steps[shared],
							 &b->wanted->steps[shared]);
	if (a->wanted->nsteps != b->wanted->nsteps)
		return a->wanted->nsteps > b->wanted->nsteps ? 1 : -1;
	return (a->number > b->number) - (a->number < b->number);
}

/* Collect and sort the fields that look into the key, or into the value. */
static bool
collect_fields(SiPathTree *tree, const SiDecodePlan *plan, bool of_key)
{
	int			i;

	tree->fields = calloc((size_t) plan->nfields + 1, sizeof(SiPathField));
	if (tree->fields == NULL)
		return false;
	for (i = 0; i < plan->nfields; i++)
	{
		if (i == plan->rest_field || plan->fields[i].of_key != of_key)
			continue;
		tree->fields[tree->nfields].wanted = &plan->fields[i];
		tree->fields[tree->nfields].number = i;
		tree->nfields++;
	}
	qsort(tree->fields, (size_t) tree->nfields, sizeof(SiPathField),
		  compare_fields);
	return true;
}

static int
add_node(SiPathTree *tree, int parent, const SiPathStep *step, int field)
{
	SiPathNode *node = &tree->nodes[tree->nnodes];

	node->step = step;
	node->parent = parent;
	node->first_field = field;
	node->end_own = field;
	node->first_seen = -1;
	return tree->nnodes++;
}

/*
 * Make the nodes, in preorder.  path is the way from the root to the field
 * before, as nodes.
 */
static bool
make_nodes(SiPathTree *tree)
{
	size_t		nsteps = 0;
	int		   *path;
	int			i;

	for (i = 0; i < tree->nfields; i++)
		nsteps += (size_t) tree->fields[i].wanted->nsteps;
	tree->nodes = calloc(nsteps + 1, sizeof(SiPathNode));
	path = calloc(nsteps + 1, sizeof(int));
	if (tree->nodes == NULL || path == NULL)
	{
		free(path);
		return false;
	}
	path[0] = add_node(tree, -1, NULL, 0);
	for (i = 0; i < tree->nfields; i++)
	{
		const SiWantedField *wanted = tree->fields[i].wanted;
		int			depth = 0;

		if (i > 0)
			depth = shared_steps(tree->fields[i - 1].wanted, wanted);
		for (; depth < wanted->nsteps; depth++)
			path[depth + 1] = add_node(tree, path[depth],
									   &wanted->steps[depth], i);
		tree->nodes[path[depth]].end_own = i + 1;
		for (; depth >= 0; depth--)
			tree->nodes[path[depth]].end_below = i + 1;
	}
	free(path);
	return true;
}

/* Eight bytes at a time: names are short and differ anywhere. */
static uint32_t
hash_name(const char *name, size_t len)
{
	const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
	uint64_t	hash = len * factor;
	uint64_t	word;

	for (; len >= 8; len -= 8, name += 8)
	{
		memcpy(&word, name, 8);
		hash = (hash ^ word) * factor;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, name, len);
	hash = (hash ^ word) * factor;
	return (uint32_t) (hash >> 32);
}

/* Can this name stand between quotes as it is? */
static bool
is_plain(const char *name, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		if ((unsigned char) name[i] < ' ' || name[i] == '"' ||
			name[i] == '\\')
			return false;
	}
	return si_json_is_utf8(name, len);
}

static bool
make_member(SiPathMember *member, const SiPathStep *step, int node)
{
	size_t		quoted_len = step->key_len + 2;

	member->quoted = calloc(1, quoted_len < 16 ? 16 : quoted_len);
	if (member->quoted == NULL)
		return false;
	member->quoted[0] = '"';
	memcpy(member->quoted + 1, step->key, step->key_len);
	member->quoted[quoted_len - 1] = '"';
	member->name = member->quoted + 1;
	member->name_len = step->key_len;
	if (is_plain(step->key, step->key_len))
		member->quoted_len = quoted_len;
	member->first_bytes = quoted_len < 16 ? (1 << quoted_len) - 1 : 0xFFFF;
	member->hash = hash_name(step->key, step->key_len);
	member->node = node;
	member->follower = -1;
	return true;
}

/* Give every node its members and elements, which are ranges of two arrays. */
static bool
make_children(SiPathTree *tree)
{
	int			nmembers = 0;
	int			nelements = 0;
	int			i;

	tree->members = calloc((size_t) tree->nnodes, sizeof(SiPathMember));
	tree->elements = calloc((size_t) tree->nnodes, sizeof(SiPathElement));
	if (tree->members == NULL || tree->elements == NULL)
		return false;
	for (i = 1; i < tree->nnodes; i++)
	{
		SiPathNode *parent = &tree->nodes[tree->nodes[i].parent];

		if (tree->nodes[i].step->key != NULL)
			parent->nmembers++;
		else
			parent->nelements++;
	}
	for (i = 0; i < tree->nnodes; i++)
	{
		SiPathNode *node = &tree->nodes[i];

		node->first_member = nmembers;
		nmembers += node->nmembers;
		node->nmembers = 0;
		node->first_element = nelements;
		nelements += node->nelements;
		node->nelements = 0;
	}
	for (i = 1; i < tree->nnodes; i++)
	{
		const SiPathStep *step = tree->nodes[i].step;
		SiPathNode *parent = &tree->nodes[tree->nodes[i].parent];

		if (step->key == NULL)
		{
			SiPathElement *element = &tree->elements[parent->first_element +
													 parent->nelements++];

			element->index = step->index;
			element->node = i;
		}
		else if (!make_member(&tree->members[parent->first_member +
											 parent->nmembers++], step, i))
			return false;
	}
	return true;
}

/* Make the hash table of a node's members. */
static bool
make_slots(const SiPathTree *tree, SiPathNode *node)
{
	size_t		nslots = 4;
	size_t		i;
	int			m;

	while (nslots < (size_t) node->nmembers * 2)
		nslots *= 2;
	node->slots = malloc(nslots * sizeof(int));
	if (node->slots == NULL)
		return false;
	node->slot_mask = (uint32_t) (nslots - 1);
	for (i = 0; i < nslots; i++)
		node->slots[i] = -1;
	for (m = node->first_member; m < node->first_member + node->nmembers; m++)
	{
		uint32_t	slot = tree->members[m].hash & node->slot_mask;

		while (node->slots[slot] >= 0)
			slot = (slot + 1) & node->slot_mask;
		node->slots[slot] = m;
		node->name_lengths |=
			UINT64_C(1) << (tree->members[m].name_len & 63);
	}
	return true;
}

static void
set_only_fields(SiPathTree *tree)
{
	int			i;

	for (i = 0; i < tree->nnodes && tree->members[i].quoted != NULL; i++)
	{
		const SiPathNode *node = &tree->nodes[tree->members[i].node];
		bool		only = !node->branch &&
			node->end_own == node->first_field + 1;

		tree->members[i].only_field =
			only ? tree->fields[node->first_field].number : -1;
	}
}

/* The node that the plan's row is at; the root if no field leads there. */
static int
find_row(const SiPathTree *tree, const SiDecodePlan *plan)
{
	int			node = 0;
	int			i;

	for (i = 0; i < plan->nrow; i++)
	{
		int			member = si_path_tree_find(tree, &tree->nodes[node],
											   plan->row[i].key, plan->row[i].key_len);

		if (member < 0)
			return 0;
		node = tree->members[member].node;
	}
	return node;
}

/* Does a column take the whole of the row? */
static bool
is_row_taken(const SiPathTree *tree, const SiDecodePlan *plan)
{
	const SiPathNode *row = &tree->nodes[tree->watched];
	int			i;

	for (i = row->first_field; i < row->end_own; i++)
	{
		if (tree->fields[i].number < plan->nfields - plan->nown)
			return true;
	}
	return false;
}

static int
compare_folded(const void *left, const void *right)
{
	const SiPathFolded *a = left;
	const SiPathFolded *b = right;

	if (a->len != b->len)
		return a->len > b->len ? 1 : -1;
	return memcmp(a->name, b->name, a->len);
}

/* Does a column take the field at a node by its own name? */
static bool
is_own_name(const SiPathTree *tree, const SiPathNode *node)
{
	int			i;

	for (i = node->first_field; i < node->end_own; i++)
	{
		if (tree->fields[i].wanted->own_name)
			return true;
	}
	return false;
}

/* Make the list of columns' own names as match_names has them. */
static bool
make_folded(SiPathTree *tree)
{
	const SiPathNode *row = &tree->nodes[tree->watched];
	char		name[SI_MATCH_ROOM];
	int			m;

	tree->folded = calloc((size_t) row->nmembers + 1, sizeof(SiPathFolded));
	if (tree->folded == NULL)
		return false;
	for (m = row->first_member; m < row->first_member + row->nmembers; m++)
	{
		SiPathFolded *folded = &tree->folded[tree->nfolded];
		const SiPathMember *member = &tree->members[m];

		if (!is_own_name(tree, &tree->nodes[member->node]))
			continue;
		folded->len = si_match_names_fold(tree->match_names, member->name, member->name_len, name);
		if (folded->len == 0)
			continue;
		folded->name = malloc(folded->len);
		if (folded->name == NULL)
			return false;
		memcpy(folded->name, name, folded->len);
		folded->member = m;
		tree->nfolded++;
	}
	qsort(tree->folded, (size_t) tree->nfolded, sizeof(SiPathFolded), compare_folded);
	return true;
}

bool
si_path_tree_build(SiPathTree *tree, const SiDecodePlan *plan, bool of_key)
{
	const SiPathNode *root;
	SiPathNode *row;
	int			i;

	tree->prefix = of_key ? "message key: " : "";
	tree->rest_field = of_key ? -1 : plan->rest_field;
	if (!collect_fields(tree, plan, of_key) || !make_nodes(tree) ||
		!make_children(tree))
		return false;
	for (i = 0; i < tree->nnodes; i++)
	{
		SiPathNode *node = &tree->nodes[i];

		node->branch = node->nmembers > 0 || node->nelements > 0;
		if (!make_slots(tree, node))
			return false;
	}
	set_only_fields(tree);
	tree->watched = find_row(tree, plan);
	tree->of_event = !of_key && plan->of_event;
	tree->match_names = plan->match_names;
	if (tree->match_names != SI_MATCH_EXACT && !make_folded(tree))
		return false;

	/* nothing is unknown if a field takes the whole or the rest */
	root = &tree->nodes[0];
	row = &tree->nodes[tree->watched];
	tree->find_unknown = !of_key && plan->find_unknown &&
		tree->rest_field < 0 && !is_row_taken(tree, plan);
	tree->watch = tree->find_unknown || tree->rest_field >= 0;
	row->branch |= tree->watch;
	tree->by_name = root->nmembers > 0 || tree->rest_field >= 0;
	return true;
}

void
si_path_tree_free(SiPathTree *tree)
{
	int			i;

	/* every member but the unused ones behind the last belongs to a node */
	for (i = 0; tree->members != NULL && i < tree->nnodes; i++)
		free(tree->members[i].quoted);
	for (i = 0; i < tree->nnodes; i++)
		free(tree->nodes[i].slots);
	for (i = 0; i < tree->nfolded; i++)
		free(tree->folded[i].name);
	free(tree->folded);
	free(tree->members);
	free(tree->elements);
	free(tree->nodes);
	free(tree->fields);
}

/* The member of the row that match_names finds, or -1. */
static int
find_folded(const SiPathTree *tree, const char *name, size_t len)
{
	char		room[SI_MATCH_ROOM];
	SiPathFolded key = {.name = room};
	const SiPathFolded *found;

	key.len = si_match_names_fold(tree->match_names, name, len, room);
	found = bsearch(&key, tree->folded, (size_t) tree->nfolded, sizeof(SiPathFolded),
					compare_folded);
	return found == NULL ? -1 : found->member;
}

/* The member of a node that has exactly this name, or -1. */
static inline int
find_exact(const SiPathTree *tree, const SiPathNode *node, const char *name, size_t len)
{
	uint32_t	hash;
	uint32_t	slot;

	if ((node->name_lengths >> (len & 63) & 1) == 0)
		return -1;
	hash = hash_name(name, len);
	for (slot = hash & node->slot_mask; node->slots[slot] >= 0;
		 slot = (slot + 1) & node->slot_mask)
	{
		const SiPathMember *member = &tree->members[node->slots[slot]];

		if (member->hash == hash && member->name_len == len &&
			memcmp(member->name, name, len) == 0)
			return node->slots[slot];
	}
	return -1;
}

int
si_path_tree_find(const SiPathTree *tree, const SiPathNode *node, const char *name, size_t len)
{
	int			found = find_exact(tree, node, name, len);

	if (found < 0 && tree->nfolded > 0 && node == &tree->nodes[tree->watched])
		found = find_folded(tree, name, len);
	return found;
}
