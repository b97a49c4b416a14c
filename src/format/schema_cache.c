/*-------------------------------------------------------------------------
 *
 * schema_cache.c
 *	  What was made of schemas, by their ids.
 *
 * Entries are in a list, the one used last first, and in the chains of a hash
 * table.  The entry at the front is looked at before the table: message follows
 * message with the same schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/schema_cache.h"

#define NCHAINS		256

typedef struct Entry
{
	SiSchemaId	id;
	void	   *value;
	struct Entry *next;			/* in the list */
	struct Entry *previous;
	struct Entry *chained;		/* in the table */
} Entry;

struct SiSchemaCache
{
	int			n;
	int			most;
	void		(*free_value) (void *);
	Entry	   *first;
	Entry	   *last;
	Entry	   *chains[NCHAINS];
};

static bool
same_id(const SiSchemaId *id, const SiSchemaId *other)
{
	return id->kind == other->kind && si_schema_id_matches(id, other);
}

static Entry **
chain_of(SiSchemaCache *cache, const SiSchemaId *id)
{
	uint64_t	hash = id->number + (uint64_t) id->kind;
	int			i;

	for (i = 0; i < SI_GUID_BYTES && id->kind == SI_SCHEMA_GUID; i++)
		hash = hash * 31 + id->guid[i];
	return &cache->chains[(hash ^ hash >> 32) % NCHAINS];
}

static void
unlink_entry(SiSchemaCache *cache, Entry *entry)
{
	*(entry->previous != NULL ? &entry->previous->next : &cache->first) = entry->next;
	*(entry->next != NULL ? &entry->next->previous : &cache->last) = entry->previous;
}

static void
link_first(SiSchemaCache *cache, Entry *entry)
{
	entry->previous = NULL;
	entry->next = cache->first;
	*(cache->first != NULL ? &cache->first->previous : &cache->last) = entry;
	cache->first = entry;
}

static void
drop_last(SiSchemaCache *cache)
{
	Entry	   *entry = cache->last;
	Entry	  **link = chain_of(cache, &entry->id);

	while (*link != entry)
		link = &(*link)->chained;
	*link = entry->chained;
	unlink_entry(cache, entry);
	cache->free_value(entry->value);
	free(entry);
	cache->n--;
}

SiSchemaCache *
si_schema_cache_create(int most, void (*free_value) (void *))
{
	SiSchemaCache *cache = calloc(1, sizeof(SiSchemaCache));

	if (cache == NULL)
		return NULL;
	cache->most = most;
	cache->free_value = free_value;
	return cache;
}

void *
si_schema_cache_find(SiSchemaCache *cache, const SiSchemaId *id)
{
	Entry	   *entry = cache->first;

	if (entry != NULL && same_id(&entry->id, id))
		return entry->value;
	entry = *chain_of(cache, id);
	while (entry != NULL && !same_id(&entry->id, id))
		entry = entry->chained;
	if (entry == NULL)
		return NULL;
	unlink_entry(cache, entry);
	link_first(cache, entry);
	return entry->value;
}

bool
si_schema_cache_add(SiSchemaCache *cache, const SiSchemaId *id, void *value)
{
	Entry	  **chain = chain_of(cache, id);
	Entry	   *entry;

	/* a value that the id has is at the front then */
	if (si_schema_cache_find(cache, id) != NULL)
	{
		cache->free_value(cache->first->value);
		cache->first->value = value;
		return true;
	}
	entry = malloc(sizeof(Entry));
	if (entry == NULL)
	{
		cache->free_value(value);
		return false;
	}
	if (cache->n >= cache->most)
		drop_last(cache);
	entry->id = *id;
	entry->value = value;
	entry->chained = *chain;
	*chain = entry;
	link_first(cache, entry);
	cache->n++;
	return true;
}

void
si_schema_cache_free(SiSchemaCache *cache)
{
	if (cache == NULL)
		return;
	while (cache->last != NULL)
		drop_last(cache);
	free(cache);
}
