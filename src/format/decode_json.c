/*-------------------------------------------------------------------------
 *
 * decode_json.c
 *	  JSON messages to records.
 *
 * The plan's paths become a tree of names, one for the value and one for the
 * key of a message, and a message is read once, front to back, by walking text
 * and tree together: a member that is in the tree is taken or entered, any
 * other is passed over, which checks it all the same.  Members mostly come in
 * the order of the message before, so each is first compared, quotes and all,
 * with the one that followed last time; only where that fails is its name read
 * and looked up.
 *
 * Of equal keys the last wins, with all that is in it: entering a member again
 * first forgets everything that was taken from its predecessor.
 *
 * No message is called bad on the scanner's word alone.  What it refuses is
 * given to jansson: its verdict words the error, and if it accepts the
 * document, its reading counts.  Where the two are known to differ:
 *
 * - Integers beyond 64 bits and numbers beyond double (1e400): the scanner
 *	 accepts them, digit for digit; jansson refuses the document, which is
 *	 therefore only asked about what the scanner refused.
 * - \u0000: accepted by both, but jansson refuses it in a key.  Where a string
 *	 that holds it is taken as a text it is an error (22P05), for no text can
 *	 hold it.  In a value that nobody takes it does no harm.  In a string, an
 *	 object or an array that is taken as JSON it is left to the type that reads
 *	 it: json takes it, jsonb does not.
 * - A NUL byte behind a number or a word: jansson (2.14) overlooks it, so that
 *	 "1<NUL>" is 1 to it.  No JSON has NUL bytes, nor could the server take
 *	 them: where the scanner meets one, jansson is not asked.
 * - Depth: the scanner ends at 1,000, jansson at 2,048.  Its reading of a
 *	 document between the two is scanned in turn, and refused for its depth.
 *
 * So where jansson objects to something that the scanner does not mind, while
 * the scanner objects to something else, the scanner's words are used.
 *
 * jansson's function json_object() must not be called: the server exports a
 * function of that name, which would be run instead.
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
#include <jansson.h>

#include "format/decoder.h"
#include "format/json_scan.h"
#include "format/path_tree.h"

typedef struct JsonDecoder
{
	SiPathTree	value;
	SiPathTree	key;
} JsonDecoder;

/* ---- one reading of a document ---- */

/* A top-level member for $rest. */
typedef struct RestMember
{
	const char *key;			/* escapes resolved */
	size_t		key_len;
	const char *written;		/* key, colon and value */
	size_t		written_len;
	bool		superseded;		/* by a later one of the same key */
} RestMember;

typedef struct Walk
{
	SiJsonScan	scan;
	SiPathTree *tree;
	SiArena    *arena;
	SiRecord   *record;
	SiValueKind top_kind;
	bool		out_of_memory;
	bool		nul_taken;		/* was a string with \u0000 taken? */
	RestMember *rest;
	size_t		nrest;
	size_t		rest_room;
} Walk;

static bool decode_document(SiPathTree *tree, const char *data, size_t len,
							SiArena *arena, SiRecord *record,
							SiDecodeError *error);
static const char *walk_branch(Walk *walk, SiPathNode *node, const char *p,
							   SiJsonToken *token);
static bool finish_walk(Walk *walk, SiDecodeError *error);
static bool ask_jansson(Walk *walk, SiDecodeError *error);

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
	.options = SI_FORMAT_ENCODING,
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_JSON,
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

	value.kind = token->kind;
	value.data = token->data;
	value.len = token->len;
	if (token->kind == SI_VALUE_STRING && token->escaped && field < end)
	{
		if (token->nul)
		{
			for (; field < end; field++)
				take_string_with_nul(walk, field, token);
			return true;
		}
		if (!resolve(walk, token, &value.data, &value.len))
			return false;
	}
	for (; field < end; field++)
		walk->record->fields[field->number] = value;
	return true;
}

/* Forget what was taken at a node and below it. */
static void
forget_values(Walk *walk, const SiPathNode *node)
{
	int			i;

	for (i = node->first_field; i < node->end_below; i++)
		memset(&walk->record->fields[walk->tree->fields[i].number], 0,
			   sizeof(SiValue));
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
	RestMember *member;
	SiValue    *unknown = &walk->record->unknown;

	if (walk->tree->find_unknown)
	{
		if (unknown->kind != SI_VALUE_ABSENT)
			return true;
		unknown->kind = SI_VALUE_STRING;

		/* a name that no text can hold is told as it was written */
		if (!key->nul)
			return resolve(walk, key, &unknown->data, &unknown->len);
		unknown->data = key->data;
		unknown->len = key->len;
		return true;
	}
	if (walk->nrest == walk->rest_room)
	{
		size_t		room = walk->rest_room > 0 ? walk->rest_room * 2 : 16;
		RestMember *larger = walk_alloc(walk, room * sizeof(RestMember));

		if (larger == NULL)
			return false;
		if (walk->nrest > 0)
			memcpy(larger, walk->rest, walk->nrest * sizeof(RestMember));
		walk->rest = larger;
		walk->rest_room = room;
	}
	member = &walk->rest[walk->nrest++];
	member->written = key->data - 1;
	member->written_len = (size_t) (p - member->written);
	member->superseded = false;
	return resolve(walk, key, &member->key, &member->key_len);
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
	bool		watch = tree->watch && node == tree->nodes;
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
		forget_values(walk, node);
	node->visit = walk->tree->readings;

	/* only the root can be of interest without having members */
	if (c == '{' && (node->nmembers > 0 || node == walk->tree->nodes))
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

/* By key, and equal ones in the order of the document. */
static int
compare_rest(const void *left, const void *right)
{
	const RestMember *a = *(RestMember *const *) left;
	const RestMember *b = *(RestMember *const *) right;
	int			result;

	if (a->key_len != b->key_len)
		return a->key_len > b->key_len ? 1 : -1;
	result = memcmp(a->key, b->key, a->key_len);
	if (result != 0)
		return result;
	return (a->written > b->written) - (a->written < b->written);
}

/* Mark the members that a later one of the same key replaces. */
static bool
mark_superseded(Walk *walk)
{
	RestMember **sorted;
	size_t		i;

	if (walk->nrest < 2)
		return true;
	sorted = walk_alloc(walk, walk->nrest * sizeof(RestMember *));
	if (sorted == NULL)
		return false;
	for (i = 0; i < walk->nrest; i++)
		sorted[i] = &walk->rest[i];
	qsort(sorted, walk->nrest, sizeof(RestMember *), compare_rest);
	for (i = 1; i < walk->nrest; i++)
	{
		if (sorted[i - 1]->key_len == sorted[i]->key_len &&
			memcmp(sorted[i - 1]->key, sorted[i]->key,
				   sorted[i]->key_len) == 0)
			sorted[i - 1]->superseded = true;
	}
	return true;
}

/* Make the object that "$rest" is. */
static bool
make_rest(Walk *walk)
{
	SiValue    *value = &walk->record->fields[walk->tree->rest_field];
	size_t		size = 2;
	char	   *begin;
	char	   *out;
	size_t		i;

	if (!mark_superseded(walk))
		return false;
	for (i = 0; i < walk->nrest; i++)
		size += walk->rest[i].written_len + 1;
	begin = out = walk_alloc(walk, size);
	if (begin == NULL)
		return false;
	*out++ = '{';
	for (i = 0; i < walk->nrest; i++)
	{
		if (walk->rest[i].superseded)
			continue;
		if (out > begin + 1)
			*out++ = ',';
		memcpy(out, walk->rest[i].written, walk->rest[i].written_len);
		out += walk->rest[i].written_len;
	}
	*out++ = '}';
	value->kind = SI_VALUE_OBJECT;
	value->data = begin;
	value->len = (size_t) (out - begin);
	return true;
}

static const char *
kind_name(SiValueKind kind)
{
	switch (kind)
	{
		case SI_VALUE_NULL:
			return "null";
		case SI_VALUE_TRUE:
		case SI_VALUE_FALSE:
			return "a boolean";
		case SI_VALUE_NUMBER:
			return "a number";
		case SI_VALUE_STRING:
			return "a string";
		case SI_VALUE_ARRAY:
			return "an array";
		case SI_VALUE_OBJECT:
			return "an object";
		default:
			return "something else";
	}
}

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
							   walk->tree->prefix, kind_name(walk->top_kind));
	if (!check_nul(walk, error))
		return false;
	if (walk->tree->rest_field >= 0 && !make_rest(walk))
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
	walk->rest = NULL;
	walk->nrest = 0;
	walk->rest_room = 0;
	return si_json_begin(&walk->scan, data, len);
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
	return ask_jansson(&walk, error);
}

/* ---- the second opinion ---- */

static bool
refuse_document(const SiPathTree *tree, SiJsonFault fault, size_t line,
				size_t column, SiDecodeError *error)
{
	const char *sqlstate = "22P02";
	const char *words = "invalid JSON";

	switch (fault)
	{
		case SI_JSON_INCOMPLETE:
			words = "incomplete JSON";
			break;
		case SI_JSON_BAD_UTF8:
			sqlstate = "22021";
			words = "invalid UTF-8 in JSON";
			break;
		case SI_JSON_TOO_DEEP:
			sqlstate = "54001";
			words = "JSON is nested too deeply";
			break;
		default:
			break;
	}
	si_decoder_fail(error, sqlstate, "%s%s at line %zu, column %zu",
					tree->prefix, words, line, column);
	if (fault == SI_JSON_TOO_DEEP)
		snprintf(error->detail, sizeof(error->detail),
				 "At most %d levels are supported.", SI_JSON_MAX_DEPTH);
	return false;
}

/* Refuse a document in the words of the scanner. */
static bool
refuse_as_scanned(const Walk *walk, SiDecodeError *error)
{
	size_t		line;
	size_t		column;

	si_json_locate(&walk->scan, walk->scan.fault_pos, &line, &column);
	return refuse_document(walk->tree, walk->scan.fault, line, column, error);
}

/*
 * Refuse a document with jansson's verdict.  Its text quotes the document, so
 * that it may only be the detail.
 */
static bool
refuse_as_judged(const Walk *walk, const json_error_t *verdict,
				 SiDecodeError *error)
{
	SiJsonFault fault;
	size_t		column;

	/* without a word, it is memory that jansson lacked */
	if (verdict->text[0] == '\0')
		return si_decoder_fail(error, "53200", "out of memory");
	switch (json_error_code(verdict))
	{
		case json_error_out_of_memory:
			return si_decoder_fail(error, "53200", "out of memory");
		case json_error_premature_end_of_input:
			fault = SI_JSON_INCOMPLETE;
			break;
		case json_error_invalid_utf8:
			fault = SI_JSON_BAD_UTF8;
			break;
		case json_error_stack_overflow:
			fault = SI_JSON_TOO_DEEP;
			break;
		case json_error_invalid_syntax:
		case json_error_end_of_input_expected:
			fault = SI_JSON_BAD_SYNTAX;
			break;
		default:

			/* such as a large number, which the scanner accepted */
			return refuse_as_scanned(walk, error);
	}

	/* jansson counts the characters that it has read */
	column = verdict->column > 0 ? (size_t) verdict->column : 1;
	refuse_document(walk->tree, fault, (size_t) verdict->line, column, error);
	snprintf(error->detail, sizeof(error->detail),
			 "The JSON library says: %s.", verdict->text);
	return false;
}

/* A document of jansson's as text in the arena; NULL when out of memory. */
static char *
canonical_text(const json_t *json, SiArena *arena, size_t *len)
{
	const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT |
		JSON_REAL_PRECISION(17);
	char	   *document;

	*len = json_dumpb(json, NULL, 0, flags);
	if (*len == 0)
		return NULL;
	document = si_arena_alloc(arena, *len);
	if (document != NULL && json_dumpb(json, document, *len, flags) != *len)
		return NULL;
	return document;
}

/* Decide about a document that the scanner refused. */
static bool
ask_jansson(Walk *walk, SiDecodeError *error)
{
	Walk		again;
	json_error_t verdict;
	json_t	   *json;
	char	   *document;
	const char *p;
	size_t		len;

	if (walk->scan.fault_pos < walk->scan.end &&
		*walk->scan.fault_pos == '\0')
		return refuse_as_scanned(walk, error);
	json = json_loadb(walk->scan.start,
					  (size_t) (walk->scan.end - walk->scan.start),
					  JSON_DECODE_ANY | JSON_ALLOW_NUL, &verdict);
	if (json == NULL)
		return refuse_as_judged(walk, &verdict, error);
	document = canonical_text(json, walk->arena, &len);
	json_decref(json);
	if (document == NULL)
		return si_decoder_fail(error, "53200", "out of memory");

	forget_values(walk, walk->tree->nodes);
	memset(&walk->record->unknown, 0, sizeof(SiValue));
	p = begin_walk(&again, walk->tree, document, len, walk->arena, walk->record);
	if (walk_document(&again, p))
		return finish_walk(&again, error);
	if (again.out_of_memory)
		return si_decoder_fail(error, "53200", "out of memory");

	/* positions are those of the message, not of jansson's text */
	return refuse_as_scanned(walk, error);
}
