/*-------------------------------------------------------------------------
 *
 * arbiter.c
 *	  Whether ON CONFLICT can ask the indexes that it would ask.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_index.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "apply/arbiter.h"

/* Can an index refuse a row, but only later than the row is written? */
static bool
is_deferrable(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = (form->indisunique || form->indisexclusion) && !form->indimmediate;
	ReleaseSysCache(tuple);
	return result;
}

/* The first that is deferrable, or InvalidOid. */
static Oid
find_deferrable(const List *indexes)
{
	ListCell   *lc;

	foreach(lc, indexes)
	{
		if (is_deferrable(lfirst_oid(lc)))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/*
 * The same of a table.  One that a partition alone has is asked for rows of that
 * partition only: these are refused.
 */
static Oid
find_deferrable_of(Oid table)
{
	Relation	relation = relation_open(table, AccessShareLock);
	Oid			found = find_deferrable(RelationGetIndexList(relation));

	relation_close(relation, AccessShareLock);
	return found;
}

void
si_arbiter_check(const PlannedStmt *plan, const char *mode)
{
	const ModifyTable *modify;
	bool		by_key;
	Oid			table,
				index;

	if (plan == NULL || !IsA(plan->planTree, ModifyTable))
		return;
	modify = (const ModifyTable *) plan->planTree;
	by_key = modify->arbiterIndexes != NIL;
	table = rt_fetch(linitial_int(modify->resultRelations), plan->rtable)->relid;
	index = by_key ? find_deferrable(modify->arbiterIndexes) : find_deferrable_of(table);
	if (!OidIsValid(index))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("insert_mode \"%s\" cannot be used with deferrable constraint \"%s\" of \"%s\"", mode,
					get_rel_name(index), get_rel_name(table)),
			 by_key ? errdetail("It is on the columns of the key, whose own index is not deferrable.") :
			 errdetail("Without \"key_columns\" the mode asks all constraints whether a row is there."),
			 by_key ? errhint("Drop the constraint: the key's index forbids what it does.") :
			 errhint("Name the columns of a unique index that is not deferrable in \"key_columns\".")));
}
