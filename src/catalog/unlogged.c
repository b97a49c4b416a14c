/*-------------------------------------------------------------------------
 *
 * unlogged.c
 *	  What a crash takes from targets that are unlogged.
 *
 * The marker is made for logged targets, too: they may become unlogged later,
 * and a crash may come before the next batch would have noticed.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog/fixed_sql.h"
#include "catalog/progress.h"
#include "catalog/unlogged.h"
#include "catalog/view_below.h"

static SiFixedSql mark_sql = {
	"INSERT INTO stream_ingest.crash_marker (subscription) VALUES ($1) ON CONFLICT DO NOTHING",
	1, {INT4OID}
};

/* Progress of version 1.0 had no marker; where it began is not known. */
static SiFixedSql first_mark_sql = {
	"UPDATE stream_ingest.progress p SET first_offset = 0 "
	"WHERE p.subscription = $1 AND p.first_offset IS NULL",
	1, {INT4OID}
};

static SiFixedSql lost_sql = {
	"INSERT INTO stream_ingest.gap (subscription, topic, partition, from_offset, to_offset, reason) "
	"SELECT p.subscription, p.topic, p.partition, p.first_offset, p.next_offset, $2 "
	"FROM stream_ingest.progress p "
	"WHERE p.subscription = $1 AND p.first_offset < p.next_offset "
	"ON CONFLICT (subscription, topic, partition, from_offset, reason) "
	"DO UPDATE SET to_offset = excluded.to_offset, found_at = excluded.found_at",
	2, {INT4OID, TEXTOID}
};

/* The table that writes to a target reach, through automatically updatable views, or InvalidOid. */
static Oid
table_below(Oid target)
{
	List	   *passed = NIL;

	while (get_rel_relkind(target) == RELKIND_VIEW)
	{
		Relation	view = try_relation_open(target, AccessShareLock);

		if (view == NULL)
			return InvalidOid;
		target = si_view_below(view, &passed);
		relation_close(view, AccessShareLock);
	}
	return target;
}

/* Which part of a target a crash empties, in the words of the gap, or NULL. */
static const char *
what_is_unlogged(Oid target)
{
	char		kind;
	ListCell   *lc;

	target = table_below(target);
	kind = get_rel_relkind(target);
	if (kind == RELKIND_RELATION && get_rel_persistence(target) == RELPERSISTENCE_UNLOGGED)
		return "unlogged target was emptied by a crash";
	if (kind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	foreach(lc, find_all_inheritors(target, NoLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION &&
			get_rel_persistence(lfirst_oid(lc)) == RELPERSISTENCE_UNLOGGED)
			return "unlogged partitions of the target were emptied by a crash";
	}
	return NULL;
}

static void
record_loss(const SiSubscription *subscription, const char *reason)
{
	Datum		values[2];

	values[0] = Int32GetDatum(subscription->id);
	values[1] = CStringGetTextDatum(reason);

	if (si_fixed_sql_execute(&lost_sql, values, NULL) == 0)
		return;
	si_progress_forget_first(subscription->id);
	ereport(LOG,
			(errmsg("subscription \"%s\": %s; the view stream_ingest.gaps has what was lost",
					NameStr(subscription->name), reason)));
}

void
si_unlogged_check(const SiSubscription *subscription)
{
	const char *reason = NULL;

	if (si_fixed_sql_execute_for(&mark_sql, subscription->id) == 0)
		return;
	if (OidIsValid(subscription->target))
		reason = what_is_unlogged(subscription->target);
	if (reason != NULL)
		record_loss(subscription, reason);
	(void) si_fixed_sql_execute_for(&first_mark_sql, subscription->id);
}

void
si_unlogged_mark(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&mark_sql, subscription);
}
