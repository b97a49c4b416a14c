/*-------------------------------------------------------------------------
 *
 * decode_json.c
 *	  JSON messages to records.
 *
 * The plan's paths become a tree of names, one for the value and one for the
 * key of a message, and a message is read once, front to back, by walking text
 * and tree together: a member that is in the tree is taken or entered, any
 * other is skipped, which checks it too.  Members mostly come in the order of
 * the message before, so each is first compared, quotes and all, with the one
 * that followed last time; only where that fails is its name read and looked up.
 *
 * Of equal keys the last wins, with all that is in it: entering a member again
 * first forgets everything that was taken from its predecessor.
 *
 * A document that the scanner refuses is given to jansson (json_verdict).  If
 * jansson accepts it, the document is walked again, as jansson writes it.
 *
 * Called through si_decoder_json, by decoder.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "format/connect_columns.h"
#include "format/decoder.h"
#include "format/json_rest.h"
#include "format/json_scan.h"
#include "format/json_verdict.h"
#include "format/path_tree.h"
#include "format/value_text.h"

typedef struct JsonDecoder
{
	SiPathTree	value;
	SiPathTree	key;
} JsonDecoder;

/* ---- one reading of a document ---- */

typedef struct Walk
{
	SiJsonScan	scan;
	SiPathTree *tree;
	SiArena    *arena;
	SiRecord   *record;
	SiValueKind top_kind;
	bool		out_of_memory;
	bool		nul_taken;		/* was a string with \u0000 taken? */
	SiJsonRest	rest;			/* members for "$rest" */
} Walk;

static bool decode_document(SiPathTree *tree, const char *data, size_t len,
							SiArena *arena, SiRecord *record,
							SiDecodeError *error);
static const char *walk_branch(Walk *walk, SiPathNode *node, const char *p,
							   SiJsonToken *token);

/* ---- the routine ---- */

static void
json_destroy(void *state)
{
	JsonDecoder *decoder = state;

	si_path_tree_free(&decoder->value);
	si_path_tree_free(&decoder->key);
	free(decoder);
}

static void *
json_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	JsonDecoder *decoder = calloc(1, sizeof(JsonDecoder));

	if (decoder == NULL)
		return NULL;
	if (!si_path_tree_build(&decoder->value, plan, false) ||
		!si_path_tree_build(&decoder->key, plan, true))
	{
		json_destroy(decoder);
		return NULL;
	}
	return decoder;
}

static bool
json_decode(void *state, const SiMessage *message, SiArena *arena,
			SiRecord *record, SiDecodeError *error)
{
	JsonDecoder *decoder = state;

	return decode_document(&decoder->value, message->value,
						   message->value_len, arena, record, error);
}

static bool
json_decode_key(void *state, const SiMessage *message, SiArena *arena,
				SiRecord *record, SiDecodeError *error)
{
	JsonDecoder *decoder = state;

	return decode_document(&decoder->key, message->key, message->key_len,
						   arena, record, error);
}

const SiDecoderRoutine si_decoder_json = {
	.format = "json",
	.called = "JSON",
	.options = SI_FORMAT_ENCODING | SI_FORMAT_WIRE | SI_FORMAT_RECORDS |
	SI_FORMAT_DELETED | SI_FORMAT_DEBEZIUM | SI_FORMAT_CONNECT,
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_JSON,
	.describe = si_connect_describe,
	.find_naming = si_connect_find_naming,
	.create = json_create,
	.decode = json_decode,
	.destroy = json_destroy,
	.decode_key = json_decode_key
};

/* ---- taking values ---- */

static void *
walk_alloc(Walk *walk, size_t size)
{
	void	   *memory = si_arena_alloc(walk->arena, size);

	if (memory == NULL)
		walk->out_of_memory = true;
	return memory;
}

/* Resolve a string's escapes, where it has any. */
static bool
resolve(Walk *walk, const SiJsonToken *token, const char **data, size_t *len)
{
	char	   *plain;

	*data = token->data;
	*len = token->len;
	if (!token->escaped)
		return true;
	plain = walk_alloc(walk, token->len);
	if (plain == NULL)
		return false;
	*len = si_json_unescape(token->data, token->len, plain);
	*data = plain;
	return true;
}

/*
 * A string with \u0000: as it is written, for those that read JSON, else only
 * marked, by a null pointer with its position as length: a later member of the
 * same key may still replace it.
 */
static void
take_string_with_nul(Walk *walk, const SiPathField *field, const SiJsonToken *token)
{
	SiValue    *value = &walk->record->fields[field->number];

	if (field->wanted->as_json)
	{
		value->kind = SI_VALUE_WRITTEN;
		value->data = token->data - 1;
		value->len = token->len + 2;
		return;
	}
	walk->nul_taken = true;
	value->kind = SI_VALUE_STRING;
	value->data = NULL;
	value->len = (size_t) (token->data - walk->scan.start);
}

/* Give a value to the fields at a node. */
static bool
take_value(Walk *walk, const SiPathNode *node, const SiJsonToken *token)
{
	const SiPathField *field = &walk->tree->fields[node->first_field];
	const SiPathField *end = &walk->tree->fields[node->end_own];
	SiValue		value;

	/* which a member that comes again makes again */
	if (end - field > 1 && !si_arena_work(walk->arena, (uint64_t) (end - field)))
		walk->out_of_memory = true;
	value.kind = token->kind;
	value.data = token->data;
	value.len = token->len;
	if (token->kind == SI_VALUE_STRING && token->escaped && field < end)
	{
		if (token->nul)
		{
			for (; field < end; field++)
				take_string_with_nul(walk, field, token);
			return !walk->out_of_memory;
		}
		if (!resolve(walk, token, &value.data, &value.len))
			return false;
	}
	for (; field < end; field++)
		walk->record->fields[field->number] = value;
	return !walk->out_of_memory;
}

/*
 * Forget what was taken at a node and below it, where members were entered: if the row
 * is there, also of its members that no field took.  A node comes before those
 * below it; the fields alone do not tell, since a node below may have all that the row
 * has.
 */
static void
forget_branch(Walk *walk, const SiPathNode *node)
{
	const SiPathNode *row = &walk->tree->nodes[walk->tree->watched];

	if (!si_arena_work(walk->arena, (uint64_t) (node->end_below - node->first_field)))
		walk->out_of_memory = true;
	si_path_tree_forget(walk->tree, node, walk->record);
	if (!walk->tree->watch || row < node || row->first_field < node->first_field ||
		row->end_below > node->end_below)
		return;
	memset(&walk->rest, 0, sizeof(walk->rest));
	memset(&walk->record->unknown, 0, sizeof(SiValue));
}

/* ---- walking a document ---- */

/* Does the key of a member stand at p, as most messages write it? */
static inline bool
begins_with_key(const char *p, const char *end, const SiPathMember *member)
{
	size_t		len = member->quoted_len;

	if ((size_t) (end - p) < len || len == 0)
		return false;
#ifdef __SSE2__
	/* names are too short, and too different in length, for memcmp */
	if (end - p >= 16)
	{
		__m128i		bytes = _mm_loadu_si128((const __m128i *) p);
		__m128i		wanted = _mm_loadu_si128((const __m128i *)
											 member->quoted);
		int			same = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted));

		if ((~same & member->first_bytes) != 0)
			return false;
		return len <= 16 || memcmp(p + 16, member->quoted + 16, len - 16) == 0;
	}
#endif
	return memcmp(p, member->quoted, len) == 0;
}

/*
 * Pass the key at p and set *found to the member it names, or -1.  *guess is
 * the member that is expected, and learns which one it was.
 */
static inline const char *
pass_key(Walk *walk, const SiPathNode *node, const char *p, int *guess, int *found,
		 SiJsonToken *key)
{
	SiJsonScan *scan = &walk->scan;
	const char *name;
	size_t		len;

	if (*guess >= 0)
	{
		const SiPathMember *member = &walk->tree->members[*guess];

		if (begins_with_key(p, scan->end, member))
		{
			*found = *guess;
			return p + member->quoted_len;
		}
	}
	p = si_json_read_key(scan, p, key);
	if (p == NULL || !resolve(walk, key, &name, &len))
		return NULL;
	*found = si_path_tree_find(walk->tree, node, name, len);
	if (*found >= 0)
		*guess = *found;
	return p;
}

/* Remember a top-level member that no field takes, and that ends at p. */
static bool
take_unclaimed(Walk *walk, const SiJsonToken *key, const char *p)
{
	SiValue    *unknown = &walk->record->unknown;
	const char *name;
	size_t		len;

	if (walk->tree->find_unknown)
	{
		if (unknown->kind != SI_VALUE_ABSENT)
			return true;
		unknown->kind = SI_VALUE_STRING;

		/* a name that no text can hold is reported as it was written */
		if (!key->nul)
			return resolve(walk, key, &unknown->data, &unknown->len);
		unknown->data = key->data;
		unknown->len = key->len;
		return true;
	}
	if (!resolve(walk, key, &name, &len))
		return false;
	if (si_json_rest_add(&walk->rest, walk->arena, name, len, key->data - 1, p))
		return true;
	walk->out_of_memory = true;
	return false;
}

/*
 * Read the value at p and give it to the fields at and below a node.
 */
static inline const char *
walk_node(Walk *walk, SiPathNode *node, const char *p, SiJsonToken *token)
{
	if (node->branch)
		return walk_branch(walk, node, p, token);
	p = si_json_read_value(&walk->scan, p, token);
	if (p == NULL || !take_value(walk, node, token))
		return NULL;
	return p;
}

/* Read the value of a member at p. */
static inline const char *
walk_member(Walk *walk, const SiPathMember *member, const char *p)
{
	SiJsonToken token;
	SiValue    *value;

	if (member->only_field < 0)
		return walk_node(walk, &walk->tree->nodes[member->node], p, &token);

	/* the usual case, without a look at the node */
	p = si_json_read_value(&walk->scan, p, &token);
	if (p == NULL)
		return NULL;
	if (token.escaped)
		return take_value(walk, &walk->tree->nodes[member->node], &token) ?
			p : NULL;
	value = &walk->record->fields[member->only_field];
	value->kind = token.kind;
	value->data = token.data;
	value->len = token.len;
	return p;
}

/* Walk through the object at p. */
static const char *
walk_object(Walk *walk, SiPathNode *node, const char *p)
{
	SiJsonScan *scan = &walk->scan;
	SiPathTree *tree = walk->tree;
	bool		watch = si_path_tree_watches(tree, node);
	int		   *guess = &node->first_seen;
	bool		more;

	p = si_json_enter(scan, p, '}', &more);
	while (p != NULL && more)
	{
		SiJsonToken key;
		SiJsonToken token;
		int			found;

		p = pass_key(walk, node, p, guess, &found, &key);
		if (p == NULL || (p = si_json_pass_colon(scan, p)) == NULL)
			return NULL;
		if (found >= 0)
		{
			p = walk_member(walk, &tree->members[found], p);
			guess = &tree->members[found].follower;
		}
		else
		{
			p = si_json_read_value(scan, p, &token);
			if (p != NULL && watch && !take_unclaimed(walk, &key, p))
				return NULL;
		}
		if (p != NULL)
			p = si_json_next(scan, p, '}', &more);
	}
	return p;
}

/* Walk through the array at p. */
static const char *
walk_array(Walk *walk, SiPathNode *node, const char *p)
{
	SiJsonScan *scan = &walk->scan;
	const SiPathElement *next = &walk->tree->elements[node->first_element];
	const SiPathElement *end = next + node->nelements;
	bool		more;
	int			index;

	p = si_json_enter(scan, p, ']', &more);
	for (index = 0; p != NULL && more; index += index < INT_MAX)
	{
		SiJsonToken token;

		while (next < end && next->index < index)
			next++;
		if (next < end && next->index == index)
			p = walk_node(walk, &walk->tree->nodes[next->node], p, &token);
		else
			p = si_json_read_value(scan, p, &token);
		if (p != NULL)
			p = si_json_next(scan, p, ']', &more);
	}
	return p;
}

/*
 * walk_node for a node that is looked into.  Recurses no deeper than paths and
 * document both are.
 */
static const char *
walk_branch(Walk *walk, SiPathNode *node, const char *p, SiJsonToken *token)
{
	const char *begin = p;
	char		c = p < walk->scan.end ? *p : '\0';

	if (node->visit == walk->tree->readings)
		forget_branch(walk, node);
	node->visit = walk->tree->readings;

	/* only the row can be of interest without having members */
	if (c == '{' && (node->nmembers > 0 || node == &walk->tree->nodes[walk->tree->watched]))
	{
		p = walk_object(walk, node, p);
		token->kind = SI_VALUE_OBJECT;
	}
	else if (c == '[' && node->nelements > 0)
	{
		p = walk_array(walk, node, p);
		token->kind = SI_VALUE_ARRAY;
	}
	else
	{
		p = si_json_read_value(&walk->scan, p, token);
		if (p == NULL || !take_value(walk, node, token))
			return NULL;
		return p;
	}
	if (p == NULL)
		return NULL;
	token->escaped = false;
	token->data = begin;
	token->len = (size_t) (p - begin);
	if (!take_value(walk, node, token))
		return NULL;
	return p;
}

/*
 * Read a whole document, from p.  False with the scan's fault set, or
 * out_of_memory.
 */
static bool
walk_document(Walk *walk, const char *p)
{
	SiJsonToken token;

	walk->tree->readings++;
	p = walk_node(walk, walk->tree->nodes, p, &token);
	if (p == NULL || !si_json_finish(&walk->scan, p))
		return false;
	walk->top_kind = token.kind;
	return true;
}

/* ---- what is left when a document is read ---- */

/* Refuse a document of which a string with \u0000 was taken, and stayed. */
static bool
check_nul(const Walk *walk, SiDecodeError *error)
{
	const SiPathTree *tree = walk->tree;
	int			i;

	for (i = 0; walk->nul_taken && i < tree->nfields; i++)
	{
		const SiValue *value = &walk->record->fields[tree->fields[i].number];
		size_t		line;
		size_t		column;

		if (value->kind != SI_VALUE_STRING || value->data != NULL)
			continue;
		si_json_locate(&walk->scan, walk->scan.start + value->len, &line,
					   &column);
		si_decoder_fail(error, "22P05",
						"%sunsupported Unicode escape sequence in the JSON "
						"string at line %zu, column %zu",
						tree->prefix, line, column);
		snprintf(error->detail, sizeof(error->detail),
				 "\\u0000 cannot be converted to text.");
		return false;
	}
	return true;
}

/*
 * Complete the record of a document that was read.  That it is no object
 * where names are asked for is what jsonb_populate_record calls 22023.
 */
static bool
finish_walk(Walk *walk, SiDecodeError *error)
{
	if (walk->tree->by_name && walk->top_kind != SI_VALUE_OBJECT)
		return si_decoder_fail(error, "22023",
							   "%sJSON value is %s, not an object with "
							   "named fields",
							   walk->tree->prefix, si_value_kind_name(walk->top_kind));
	if (!check_nul(walk, error))
		return false;
	if (walk->tree->rest_field >= 0 &&
		!si_json_rest_make(&walk->rest, walk->arena,
						   &walk->record->fields[walk->tree->rest_field]))
		return si_decoder_fail(error, "53200", "out of memory");
	return true;
}

/* Returns where to begin. */
static const char *
begin_walk(Walk *walk, SiPathTree *tree, const char *data, size_t len,
		   SiArena *arena, SiRecord *record)
{
	walk->tree = tree;
	walk->arena = arena;
	walk->record = record;
	walk->out_of_memory = false;
	walk->nul_taken = false;
	memset(&walk->rest, 0, sizeof(walk->rest));
	return si_json_begin(&walk->scan, data, len);
}

/*
 * Decide about a document that the scanner refused: if jansson accepts it,
 * walk through what jansson read.
 */
static bool
walk_again(const Walk *walk, SiDecodeError *error)
{
	Walk		again;
	const char *document;
	const char *p;
	size_t		len;

	if (!si_json_verdict(&walk->scan, walk->tree->prefix, walk->arena,
						 &document, &len, error))
		return false;

	si_path_tree_forget(walk->tree, walk->tree->nodes, walk->record);
	memset(&walk->record->unknown, 0, sizeof(SiValue));
	p = begin_walk(&again, walk->tree, document, len, walk->arena, walk->record);
	if (walk_document(&again, p))
		return finish_walk(&again, error);
	if (again.out_of_memory)
		return si_decoder_fail(error, "53200", "out of memory");

	/* positions are those of the message, not of jansson's text */
	return si_json_refuse_document(&walk->scan, walk->tree->prefix, error);
}

static bool
decode_document(SiPathTree *tree, const char *data, size_t len, SiArena *arena,
				SiRecord *record, SiDecodeError *error)
{
	Walk		walk;
	const char *p = begin_walk(&walk, tree, data, len, arena, record);

	if (walk_document(&walk, p))
		return finish_walk(&walk, error);
	if (walk.out_of_memory)
		return si_decoder_fail(error, "53200", "out of memory");
	return walk_again(&walk, error);
}
