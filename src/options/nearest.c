/*-------------------------------------------------------------------------
 *
 * nearest.c
 *	  The name that a user may have meant.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "options/nearest.h"

/* How far a misspelt name may be from the one that is suggested. */
#define NEAREST_MAX_DISTANCE	4

const char *
si_nearest_name(const char *name, const char *const *candidates, int n)
{
	int			len = strlen(name);
	int			best = Min(NEAREST_MAX_DISTANCE, len / 2);
	const char *nearest = NULL;

	/* a longer text is no name, and comparing it would take long */
	if (len >= NAMEDATALEN)
		return NULL;

	for (int i = 0; i < n; i++)
	{
		int			distance;

		if (pg_strcasecmp(name, candidates[i]) == 0)
			return candidates[i];
		distance = varstr_levenshtein_less_equal(name, len, candidates[i],
												 strlen(candidates[i]),
												 1, 1, 1, best, true);
		if (distance <= best)
		{
			nearest = candidates[i];
			best = distance - 1;
		}
	}
	return nearest;
}
