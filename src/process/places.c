/*-------------------------------------------------------------------------
 *
 * places.c
 *	  How many workers each subscription may have.
 *
 * There are max_workers places, and subscriptions may want more.  Then
 *
 *	1. every subscription gets its first worker before any gets a second: a
 *	   second worker that runs is given up for a subscription that has none;
 *	2. if there are not even enough for that, the role with the fewest places
 *	   is served first, so that what is lacking is the role's that has most;
 *	3. second workers that run stay before others are started, and then go to
 *	   the role with the fewest places, too.
 *
 * In a tie, what runs stays.  The partitions of a subscription are dealt out
 * among the workers that it was granted, so none waits for one that was not.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "common/guc.h"
#include "process/places.h"
#include "shmem/slots.h"

/* A subscription that wants workers. */
typedef struct Claim
{
	SiSubscriptionSlot *slot;
	int			held;			/* places that it has now */
	int			role;			/* index of its owner's count */
} Claim;

/* Room for all, made once: nothing is allocated under the lock. */
static Claim *claims = NULL;
static int *role_places = NULL;
static Oid *roles = NULL;

static int	nclaims;
static int	nroles;

static void
make_room(void)
{
	Size		n = si_guc_max_subscriptions;

	if (claims != NULL)
		return;
	role_places = MemoryContextAlloc(TopMemoryContext, n * sizeof(int));
	roles = MemoryContextAlloc(TopMemoryContext, n * sizeof(Oid));
	claims = MemoryContextAlloc(TopMemoryContext, n * sizeof(Claim));
}

/* May workers of this database run? */
static bool
is_open(Oid database)
{
	SiDatabaseSlot *slot = si_slots_find_database(database, false);

	return si_guc_enabled && (slot == NULL || slot->suspensions == 0);
}

/* Find the subscriptions that want workers; returns how many they want. */
static int64
collect_claims(void)
{
	int64		wanted = 0;

	nclaims = 0;
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *slot = si_slots_subscription(i);

		slot->granted = 0;
		if (!slot->in_use || slot->workers == 0 || !is_open(slot->database))
			continue;
		claims[nclaims++].slot = slot;
		wanted += slot->workers;
	}
	return wanted;
}

/* Whose they are, and what they have. */
static void
complete_claims(void)
{
	nroles = 0;
	for (int i = 0; i < nclaims; i++)
	{
		Claim	   *claim = &claims[i];

		claim->held = 0;
		for (claim->role = 0; claim->role < nroles; claim->role++)
		{
			if (roles[claim->role] == claim->slot->owner)
				break;
		}
		if (claim->role < nroles)
			continue;
		roles[nroles] = claim->slot->owner;
		role_places[nroles++] = 0;
	}
	for (int w = 0; w < si_guc_max_workers; w++)
	{
		const SiWorkerSlot *worker = si_slots_worker(w);

		for (int i = 0; worker->in_use && i < nclaims; i++)
		{
			if (claims[i].slot->id == worker->subscription &&
				claims[i].slot->database == worker->database)
				claims[i].held++;
		}
	}
}

/* Does a have a better claim to a first worker than b? */
static bool
is_before_first(const Claim *a, const Claim *b)
{
	if (role_places[a->role] != role_places[b->role])
		return role_places[a->role] < role_places[b->role];
	return a->held > 0 && b->held == 0;
}

/* Does a have a better claim to one more worker than b? */
static bool
is_before_more(const Claim *a, const Claim *b)
{
	bool		a_runs = a->held > a->slot->granted;
	bool		b_runs = b->held > b->slot->granted;

	if (a_runs != b_runs)
		return a_runs;
	if (role_places[a->role] != role_places[b->role])
		return role_places[a->role] < role_places[b->role];
	return a->slot->granted < b->slot->granted;
}

/* The best claim to the next place: to a first worker, or to one more. */
static Claim *
best_claim(bool first)
{
	Claim	   *best = NULL;

	for (int i = 0; i < nclaims; i++)
	{
		Claim	   *claim = &claims[i];

		if (first ? claim->slot->granted > 0 : claim->slot->granted == 0 ||
			claim->slot->granted >= claim->slot->workers)
			continue;
		if (best == NULL ||
			(first ? is_before_first(claim, best) : is_before_more(claim, best)))
			best = claim;
	}
	return best;
}

void
si_places_allot(void)
{
	int			places = si_guc_max_workers;
	bool		first = true;

	make_room();
	if (collect_claims() <= places)
	{
		for (int i = 0; i < nclaims; i++)
			claims[i].slot->granted = claims[i].slot->workers;
		return;
	}
	complete_claims();
	while (places > 0)
	{
		Claim	   *claim = best_claim(first);

		if (claim == NULL && !first)
			break;
		if (claim == NULL)
		{
			first = false;
			continue;
		}
		claim->slot->granted++;
		role_places[claim->role]++;
		places--;
	}
}
