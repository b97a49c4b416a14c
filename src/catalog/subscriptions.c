/*-------------------------------------------------------------------------
 *
 * subscriptions.c
 *	  Subscriptions as stored.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "catalog/count_changes.h"
#include "catalog/dead_letter.h"
#include "catalog/fixed_sql.h"
#include "catalog/progress.h"
#include "catalog/subscription_columns.h"
#include "catalog/subscriptions.h"
#include "format/decoder.h"
#include "options/server_options.h"

/* Completed by subscription_columns.c when they are first used. */
static SiFixedSql get_sql = {NULL, 1, {INT4OID}};
static SiFixedSql find_sql = {NULL, 1, {NAMEOID}};
static SiFixedSql find_locked_sql = {NULL, 1, {NAMEOID},.writes_later = "subscription"};
static SiFixedSql hold_sql = {NULL, 2, {INT4OID, INT8OID},.writes_later = "subscription"};
static SiFixedSql list_sql = {NULL, 0};
static SiFixedSql insert_sql;
static SiFixedSql update_sql;

static SiFixedSql delete_sql = {
	"DELETE FROM stream_ingest.subscription s WHERE s.id = $1",
	1, {INT4OID}
};

static SiFixedSql delete_gaps_sql = {
	"DELETE FROM stream_ingest.gap g WHERE g.subscription = $1",
	1, {INT4OID}
};

static SiFixedSql delete_marker_sql = {
	"DELETE FROM stream_ingest.crash_marker m WHERE m.subscription = $1",
	1, {INT4OID}
};

static SiFixedSql stop_sql = {
	"UPDATE stream_ingest.subscription s SET stop_state = $3, stop_reason = $4, "
	" stop_sqlstate = $5, stopped_at = clock_timestamp(), adopt_log = false "
	"WHERE s.id = $1 AND s.epoch = $2 AND s.stop_state IS NULL",
	5, {INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID}
};

static SiFixedSql share_sql = {
	"SELECT s.id FROM stream_ingest.subscription s WHERE s.id = $1 AND s.epoch = $2 "
	"FOR KEY SHARE",
	2, {INT4OID, INT8OID}
};

static SiFixedSql try_share_sql = {
	"SELECT s.id FROM stream_ingest.subscription s WHERE s.id = $1 AND s.epoch = $2 "
	"FOR KEY SHARE SKIP LOCKED",
	2, {INT4OID, INT8OID}
};

static SiFixedSql first_partitions_sql = {
	"UPDATE stream_ingest.subscription s SET first_partitions = COALESCE(s.first_partitions, $2), "
	" pending_position = NULL, adopt_log = false WHERE s.id = $1",
	2, {INT4OID, INT4OID}
};

static SiFixedSql run_since_sql = {
	"UPDATE stream_ingest.subscription s SET run_since = $2 WHERE s.id = $1",
	2, {INT4OID, TIMESTAMPTZOID}
};

static SiFixedSql counts_since_sql = {
	"UPDATE stream_ingest.subscription s SET counts_since = clock_timestamp() WHERE s.id = $1",
	1, {INT4OID}
};

/* A row that is locked is being changed, or gets its turn by the next scan. */
static SiFixedSql follow_owners_sql = {
	"UPDATE stream_ingest.subscription s SET owner_name = l.rolname "
	"FROM (SELECT l.id, r.rolname FROM stream_ingest.subscription l, pg_catalog.pg_roles r "
	"  WHERE r.oid = l.owner AND r.rolname <> l.owner_name FOR NO KEY UPDATE OF l SKIP LOCKED) l "
	"WHERE s.id = l.id",
	0
};

static SiFixedSql follow_target_sql = {
	"UPDATE stream_ingest.subscription s SET target_name = $3 "
	"FROM (SELECT l.id FROM stream_ingest.subscription l "
	"  WHERE l.id = $1 AND l.target = $2 FOR NO KEY UPDATE OF l SKIP LOCKED) l "
	"WHERE s.id = l.id",
	3, {INT4OID, OIDOID, TEXTOID}
};

/* A row that is locked is being changed. */
static SiFixedSql add_columns_sql = {
	"UPDATE stream_ingest.subscription s SET added_columns = s.added_columns + $3 "
	"FROM (SELECT l.id FROM stream_ingest.subscription l "
	"  WHERE l.id = $1 AND l.epoch = $2 AND l.stop_state IS NULL FOR NO KEY UPDATE OF l SKIP LOCKED) l "
	"WHERE s.id = l.id RETURNING s.added_columns",
	3, {INT4OID, INT8OID, INT4OID}
};

static SiFixedSql forget_columns_sql = {
	"UPDATE stream_ingest.subscription s SET added_columns = 0 WHERE s.id = $1 AND s.added_columns <> 0",
	1, {INT4OID}
};

static SiFixedSql count_sql = {
	"SELECT count(*) FROM stream_ingest.subscription s WHERE s.owner = $1",
	1, {OIDOID}
};

static SiFixedSql gap_sql = {
	"INSERT INTO stream_ingest.gap (subscription, topic, partition, from_offset, to_offset, reason) "
	"VALUES ($1, $2, $3, $4, $5, $6) "
	"ON CONFLICT (subscription, topic, partition, from_offset, reason) "
	"DO UPDATE SET to_offset = excluded.to_offset, found_at = excluded.found_at",
	6, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTOID}
};

Oid
si_catalog_extension(void)
{
	return get_extension_oid("stream_ingest", true);
}

Oid
si_catalog_lock_extension(void)
{
	Oid			extension = si_catalog_extension();
	LOCKTAG		tag;

	if (!OidIsValid(extension))
		return InvalidOid;

	/*
	 * DROP EXTENSION locks it first, so with the lock we are safe.  But any
	 * role can lock it: by ALTER FUNCTION ... DEPENDS ON EXTENSION, in a
	 * transaction that it leaves open.  So this does not wait.  Without the
	 * lock an extension that is being dropped makes the caller's next
	 * statement wait for its tables, and fail when they are gone.  (Older
	 * minor releases have no ConditionalLockDatabaseObject().)
	 */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 0);
	(void) LockAcquire(&tag, AccessShareLock, false, true);
	AcceptInvalidationMessages();
	return si_catalog_extension();
}

/* What no subscription that we have stored can look like, or NULL. */
static const char *
find_damage(const SiSubscription *s)
{
	if (s->pinned_lost)
		return "not all of its pinned settings are there";
	if (si_decoder_find(s->format) == NULL)
		return "its format is unknown";
	if (s->insert_mode == SI_MODE_UNKNOWN)
		return "its insert_mode is unknown";
	if (OidIsValid(s->target) == (s->apply != NULL))
		return "it has not exactly one of target and apply";
	if (!si_server_is_topic(s->topic))
		return "its topic's name is not valid";
	return NULL;
}

void
si_catalog_check_damage(const SiSubscription *subscription)
{
	if (subscription->damage != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the stored definition of subscription \"%s\" is not valid: %s",
						NameStr(subscription->name), subscription->damage),
				 errhint("Use stream_ingest.alter_subscription to correct it.")));
}

/* Make a struct of a row with all columns. */
static SiSubscription *
read_row(uint64 row)
{
	SiSubscription *s = SPI_palloc(sizeof(SiSubscription));

	memset(s, 0, sizeof(SiSubscription));
	si_subscription_read(s, row);
	s->damage = find_damage(s);
	return s;
}

/* The first row of a statement's result, or NULL. */
static SiSubscription *
read_one(SiFixedSql *statement, Datum *arguments, bool read_only)
{
	SiSubscription *result = NULL;
	uint64		n;

	si_fixed_sql_begin();
	n = read_only ? si_fixed_sql_read(statement, arguments, NULL)
		: si_fixed_sql_run(statement, arguments, NULL);
	if (n > 0)
		result = read_row(0);
	si_fixed_sql_end();
	return result;
}

SiSubscription *
si_catalog_get(int32 id)
{
	Datum		argument = Int32GetDatum(id);

	si_subscription_select(&get_sql, "WHERE s.id = $1");
	return read_one(&get_sql, &argument, true);
}

SiSubscription *
si_catalog_find(const char *name, bool lock)
{
	NameData	value;
	Datum		argument;

	namestrcpy(&value, name);
	argument = NameGetDatum(&value);
	si_subscription_select(&find_sql, "WHERE s.name = $1");
	si_subscription_select(&find_locked_sql, "WHERE s.name = $1 FOR UPDATE");
	return read_one(lock ? &find_locked_sql : &find_sql, &argument, !lock);
}

List *
si_catalog_list(void)
{
	List	   *result = NIL;
	MemoryContext context = CurrentMemoryContext;
	uint64		n;

	si_subscription_select(&list_sql, "ORDER BY s.id");
	si_fixed_sql_begin();
	n = si_fixed_sql_read(&list_sql, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		SiSubscription *subscription = read_row(i);
		MemoryContext old = MemoryContextSwitchTo(context);

		result = lappend(result, subscription);
		MemoryContextSwitchTo(old);
	}
	si_fixed_sql_end();
	return result;
}

int64
si_catalog_count(Oid owner)
{
	Datum		argument = ObjectIdGetDatum(owner);
	int64		n;

	si_fixed_sql_begin();
	(void) si_fixed_sql_read(&count_sql, &argument, NULL);
	n = si_fixed_sql_int(0, 1, 0);
	si_fixed_sql_end();
	return n;
}

/* A text argument that may be NULL. */
static Datum
text_or_null(const char *value, char *null)
{
	*null = (value == NULL) ? 'n' : ' ';
	return (value == NULL) ? (Datum) 0 : CStringGetTextDatum(value);
}

void
si_catalog_insert(SiSubscription *subscription)
{
	Datum		values[SI_FIXED_SQL_MAX_ARGS];
	char		nulls[SI_FIXED_SQL_MAX_ARGS];
	uint64		n;

	si_subscription_insert(&insert_sql);
	si_subscription_arguments(subscription, values, nulls);
	si_fixed_sql_begin();
	n = si_fixed_sql_run(&insert_sql, values, nulls);
	if (n > 0)
		subscription->id = si_fixed_sql_int(0, 1, 0);
	si_fixed_sql_end();

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("subscription \"%s\" already exists", NameStr(subscription->name))));
}

void
si_catalog_update(SiSubscription *subscription)
{
	Datum		values[SI_FIXED_SQL_MAX_ARGS];
	char		nulls[SI_FIXED_SQL_MAX_ARGS];

	si_subscription_update(&update_sql);
	si_subscription_arguments(subscription, values, nulls);
	si_fixed_sql_begin();
	if (si_fixed_sql_run(&update_sql, values, nulls) != 1)
		elog(ERROR, "subscription %d is not locked", subscription->id);
	subscription->epoch = si_fixed_sql_int(0, 1, 0);
	si_fixed_sql_end();

	si_progress_fence(subscription->id, subscription->epoch);
}

uint64
si_catalog_delete(int32 id, uint64 *dead_letters)
{
	Datum		argument = Int32GetDatum(id);
	uint64		gaps;

	si_progress_delete(id);
	si_count_changes_delete(id);
	*dead_letters = si_dead_letter_delete_all(id);
	si_fixed_sql_begin();
	gaps = si_fixed_sql_run(&delete_gaps_sql, &argument, NULL);
	(void) si_fixed_sql_run(&delete_marker_sql, &argument, NULL);
	(void) si_fixed_sql_run(&delete_sql, &argument, NULL);
	si_fixed_sql_end();
	return gaps;
}

bool
si_catalog_stop(int32 id, int64 epoch, const char *state, const char *reason,
				const char *sqlstate)
{
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};

	values[0] = Int32GetDatum(id);
	values[1] = Int64GetDatum(epoch);
	values[2] = CStringGetTextDatum(state);
	values[3] = text_or_null(reason, &nulls[3]);
	values[4] = text_or_null(sqlstate, &nulls[4]);

	return si_fixed_sql_execute(&stop_sql, values, nulls) > 0;
}

SiSubscription *
si_catalog_hold(int32 id, int64 epoch)
{
	Datum		values[2] = {Int32GetDatum(id), Int64GetDatum(epoch)};

	si_subscription_select(&hold_sql, "WHERE s.id = $1 AND s.epoch = $2 FOR NO KEY UPDATE");
	return read_one(&hold_sql, values, false);
}

bool
si_catalog_share(int32 id, int64 epoch, bool wait)
{
	Datum		values[2] = {Int32GetDatum(id), Int64GetDatum(epoch)};

	return si_fixed_sql_execute(wait ? &share_sql : &try_share_sql, values, NULL) > 0;
}

void
si_catalog_set_first_partitions(int32 id, int partitions)
{
	Datum		values[2] = {Int32GetDatum(id), Int32GetDatum(partitions)};

	(void) si_fixed_sql_execute(&first_partitions_sql, values, NULL);
}

void
si_catalog_set_run_since(int32 id, TimestampTz since)
{
	Datum		values[2] = {Int32GetDatum(id), TimestampTzGetDatum(since)};

	(void) si_fixed_sql_execute(&run_since_sql, values, NULL);
}

void
si_catalog_set_counts_since(int32 id)
{
	(void) si_fixed_sql_execute_for(&counts_since_sql, id);
}

void
si_catalog_follow_owner_names(void)
{
	(void) si_fixed_sql_execute(&follow_owners_sql, NULL, NULL);
}

int
si_catalog_add_columns(int32 id, int64 epoch, int n)
{
	Datum		values[3];
	int			added = -1;

	values[0] = Int32GetDatum(id);
	values[1] = Int64GetDatum(epoch);
	values[2] = Int32GetDatum(n);
	si_fixed_sql_begin();
	if (si_fixed_sql_run(&add_columns_sql, values, NULL) > 0)
		added = (int) si_fixed_sql_int(0, 1, 0);
	si_fixed_sql_end();
	return added;
}

void
si_catalog_forget_columns(int32 id)
{
	(void) si_fixed_sql_execute_for(&forget_columns_sql, id);
}

char *
si_catalog_target_name(Oid target)
{
	char	   *relation = get_rel_name(target);
	char	   *schema = get_namespace_name(get_rel_namespace(target));

	if (relation == NULL || schema == NULL)
		return NULL;
	return quote_qualified_identifier(schema, relation);
}

void
si_catalog_follow_target_name(int32 id, Oid target, const char *name)
{
	Datum		values[3];

	values[0] = Int32GetDatum(id);
	values[1] = ObjectIdGetDatum(target);
	values[2] = CStringGetTextDatum(name);
	(void) si_fixed_sql_execute(&follow_target_sql, values, NULL);
}

void
si_catalog_add_gap(int32 id, const char *topic, int32 partition, int64 from, int64 to,
				   const char *reason)
{
	Datum		values[6];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};

	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(partition);
	values[3] = Int64GetDatum(from);
	values[4] = Int64GetDatum(to);
	nulls[4] = (to < 0) ? 'n' : ' ';
	values[5] = CStringGetTextDatum(reason);

	(void) si_fixed_sql_execute(&gap_sql, values, nulls);
}
