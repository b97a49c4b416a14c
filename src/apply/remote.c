/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  Whether rows of a target are stored elsewhere.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"

#include "apply/remote.h"

bool
si_target_is_remote(Oid target)
{
	char		kind = OidIsValid(target) ? get_rel_relkind(target) : '\0';
	ListCell   *lc;

	if (kind == RELKIND_FOREIGN_TABLE)
		return true;
	if (kind != RELKIND_PARTITIONED_TABLE)
		return false;
	foreach(lc, find_all_inheritors(target, NoLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}
