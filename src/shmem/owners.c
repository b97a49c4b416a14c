/*-------------------------------------------------------------------------
 *
 * owners.c
 *	  Which roles own subscriptions in which databases, disabled ones included.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shmem/owners.h"

/* The entry of this role in this database, or a free one; NULL if there is none. */
static SiOwner *
find_entry(Oid database, Oid owner)
{
	SiOwner    *free_entry = NULL;

	for (int i = 0; i < SI_MAX_OWNERS; i++)
	{
		SiOwner    *entry = &si_shared->owners[i];

		if (entry->database == database && entry->owner == owner)
			return entry;
		if (free_entry == NULL && entry->database == InvalidOid)
			free_entry = entry;
	}
	return free_entry;
}

void
si_owners_replace(Oid database, const Oid *owners, int n)
{
	for (int i = 0; i < SI_MAX_OWNERS; i++)
	{
		if (si_shared->owners[i].database == database)
			memset(&si_shared->owners[i], 0, sizeof(SiOwner));
	}
	for (int i = 0; i < n; i++)
	{
		SiOwner    *entry = find_entry(database, owners[i]);

		if (entry == NULL)
			continue;
		entry->database = database;
		entry->owner = owners[i];
		entry->subscriptions++;
	}
}

int
si_owners_find(Oid owner, SiOwner *found)
{
	int			n = 0;

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < SI_MAX_OWNERS; i++)
	{
		const SiOwner *entry = &si_shared->owners[i];

		if (entry->database != InvalidOid && entry->owner == owner)
			found[n++] = *entry;
	}
	si_slots_unlock();
	return n;
}
