/*-------------------------------------------------------------------------
 *
 * json_rest.c
 *	  The field "$rest" of a JSON document: the top-level members that no other
 *	  field takes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/json_rest.h"

bool
si_json_rest_add(SiJsonRest *rest, SiArena *arena, const char *key,
				 size_t key_len, const char *begin, const char *end)
{
	SiJsonRestMember *member;

	if (rest->nmembers == rest->room)
	{
		size_t		room = rest->room > 0 ? rest->room * 2 : 16;
		SiJsonRestMember *larger = si_arena_alloc(arena, room * sizeof(SiJsonRestMember));

		if (larger == NULL)
			return false;
		if (rest->nmembers > 0)
			memcpy(larger, rest->members,
				   rest->nmembers * sizeof(SiJsonRestMember));
		rest->members = larger;
		rest->room = room;
	}
	member = &rest->members[rest->nmembers++];
	member->key = key;
	member->key_len = key_len;
	member->written = begin;
	member->written_len = (size_t) (end - begin);
	member->superseded = false;
	return true;
}

/* Order members by key, and equal keys as they stand in the document. */
static int
compare_rest(const void *left, const void *right)
{
	const SiJsonRestMember *a = *(SiJsonRestMember *const *) left;
	const SiJsonRestMember *b = *(SiJsonRestMember *const *) right;
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
mark_superseded(SiJsonRest *rest, SiArena *arena)
{
	SiJsonRestMember **sorted;
	size_t		i;

	if (rest->nmembers < 2)
		return true;
	sorted = si_arena_alloc(arena, rest->nmembers * sizeof(SiJsonRestMember *));
	if (sorted == NULL)
		return false;
	for (i = 0; i < rest->nmembers; i++)
		sorted[i] = &rest->members[i];
	qsort(sorted, rest->nmembers, sizeof(SiJsonRestMember *), compare_rest);
	for (i = 1; i < rest->nmembers; i++)
	{
		if (sorted[i - 1]->key_len == sorted[i]->key_len &&
			memcmp(sorted[i - 1]->key, sorted[i]->key,
				   sorted[i]->key_len) == 0)
			sorted[i - 1]->superseded = true;
	}
	return true;
}

bool
si_json_rest_make(SiJsonRest *rest, SiArena *arena, SiValue *value)
{
	size_t		size = 2;
	char	   *begin;
	char	   *out;
	size_t		i;

	if (!mark_superseded(rest, arena))
		return false;
	for (i = 0; i < rest->nmembers; i++)
		size += rest->members[i].written_len + 1;
	begin = out = si_arena_alloc(arena, size);
	if (begin == NULL)
		return false;
	*out++ = '{';
	for (i = 0; i < rest->nmembers; i++)
	{
		if (rest->members[i].superseded)
			continue;
		if (out > begin + 1)
			*out++ = ',';
		memcpy(out, rest->members[i].written, rest->members[i].written_len);
		out += rest->members[i].written_len;
	}
	*out++ = '}';
	value->kind = SI_VALUE_OBJECT;
	value->data = begin;
	value->len = (size_t) (out - begin);
	return true;
}
