/*-------------------------------------------------------------------------
 *
 * path_tree.h
 *	  The paths that a plan wants out of a document, as a tree of names.
 *
 * decode_json walks a document and this tree together, decode_avro and
 * decode_protobuf compile it with a schema.  The tree also remembers which member
 * followed which in the message before: that is its only part that changes while
 * messages are read.
 * Pure C, no server: the memory is malloc's.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PATH_TREE_H
#define SI_PATH_TREE_H

#include <string.h>

#include "format/decoder.h"

/*
 * Where paths meet a schema, so many children of values may be looked at, one for each
 * field of each record: paths and schema may be large, but not all of both together.
 */
#define SI_PATH_MOST_CHILDREN	16000000

/* A named child of a node. */
typedef struct SiPathMember
{
	char	   *quoted;			/* within quotes, as most messages write it,
								 * with room for 16 bytes at least */
	size_t		quoted_len;		/* 0 if they would write it with escapes */
	int			first_bytes;	/* a set bit for each byte of it, of 16 */
	const char *name;			/* without its quotes, in quoted */
	size_t		name_len;
	uint32_t	hash;
	int			node;
	int			only_field;		/* in the plan, if a single field and nothing
								 * else takes it, else -1 */
	int			follower;		/* member that came next in the last message
								 * that had this one, -1 if not known */
} SiPathMember;

/* A numbered child of a node. */
typedef struct SiPathElement
{
	int			index;
	int			node;
} SiPathElement;

/*
 * A place in a document.  Nodes are in preorder and fields in the order of
 * their paths, so that the fields at a node and those below it are ranges.
 */
typedef struct SiPathNode
{
	const SiPathStep *step;		/* from the parent; NULL for the root */
	int			parent;
	int			first_field;	/* in the tree's fields */
	int			end_own;		/* the end of those at the node itself */
	int			end_below;		/* the end of those at and below it */
	int			first_member;	/* in the tree's members */
	int			nmembers;
	int			first_element;	/* in the tree's elements, ascending */
	int			nelements;
	int		   *slots;			/* hash table of the members, open addressing;
								 * -1 for a free slot */
	uint32_t	slot_mask;
	uint64_t	name_lengths;	/* a set bit for each length of a member's
								 * name, modulo 64 */
	int			first_seen;		/* member that came first in the last message,
								 * -1 if not known */
	bool		branch;			/* is it looked into? */
	uint64_t	visit;			/* last reading in which it was entered */
} SiPathNode;

typedef struct SiPathField
{
	const SiWantedField *wanted;
	int			number;			/* in the plan */
} SiPathField;

/* A member of the row by what match_names makes of its name. */
typedef struct SiPathFolded
{
	char	   *name;
	size_t		len;
	int			member;
} SiPathFolded;

typedef struct SiPathTree
{
	SiPathField *fields;
	int			nfields;
	SiPathNode *nodes;			/* the root first */
	int			nnodes;
	SiPathMember *members;
	SiPathElement *elements;
	int			rest_field;		/* the plan's, -1 in a key's tree */
	int			watched;		/* the node of the row, usually the root */
	bool		watch;			/* must the decoder report or collect members
								 * of it that no field takes? */
	bool		find_unknown;
	bool		of_event;		/* are the root's members parts of an event? */
	bool		by_name;		/* is anything asked for by name? */
	uint64_t	readings;		/* documents read so far */
	const char *prefix;			/* of messages */
	SiMatchNames match_names;
	SiPathFolded *folded;		/* ascending; of columns' own names */
	int			nfolded;
} SiPathTree;

/*
 * Build the tree of the plan's fields that look into the key of a message, or
 * into its value.  tree is zeroed, and freed by the caller also if this
 * returns false (out of memory).  The plan must outlive it.
 */
extern bool si_path_tree_build(SiPathTree *tree, const SiDecodePlan *plan, bool of_key);

/* Does it matter at this node which members no field takes? */
static inline bool
si_path_tree_watches(const SiPathTree *tree, const SiPathNode *node)
{
	return tree->watch && node == &tree->nodes[tree->watched];
}

/* Forget what a record has taken at a node and below it. */
static inline void
si_path_tree_forget(const SiPathTree *tree, const SiPathNode *node, SiRecord *record)
{
	for (int i = node->first_field; i < node->end_below; i++)
		memset(&record->fields[tree->fields[i].number], 0, sizeof(SiValue));
}

/* Free what a tree holds, but not the tree itself. */
extern void si_path_tree_free(SiPathTree *tree);

/*
 * The member of a node by its name, as an index of tree->members, or -1.  Where
 * no member of the row has the name, match_names applies.
 */
extern int	si_path_tree_find(const SiPathTree *tree, const SiPathNode *node,
							  const char *name, size_t len);

#endif							/* SI_PATH_TREE_H */
