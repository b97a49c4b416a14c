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
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "catalog/count_changes.h"
#include "catalog/dead_letter.h"
#include "catalog/fixed_sql.h"
#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "format/decoder.h"
#include "options/server_options.h"

#define COLUMNS \
	"s.id, s.name, s.owner, s.owner_name, s.server, s.topic, s.target, s.target_name, " \
	"s.apply, s.format, s.fields, s.mapping, s.insert_mode, s.key_columns, s.options, " \
	"s.pinned, s.enabled, s.epoch, s.stop_state, s.stop_reason, s.pending_position, " \
	"s.first_partitions, s.adopt_log, s.system_identifier, s.database, s.extension, s.stop_sqlstate, " \
	"s.run_since, s.server_oid"

static SiFixedSql get_sql = {
	"SELECT " COLUMNS " FROM stream_ingest.subscription s WHERE s.id = $1",
	1, {INT4OID}
};

static SiFixedSql find_sql = {
	"SELECT " COLUMNS " FROM stream_ingest.subscription s WHERE s.name = $1",
	1, {NAMEOID}
};

static SiFixedSql find_locked_sql = {
	"SELECT " COLUMNS " FROM stream_ingest.subscription s WHERE s.name = $1 FOR UPDATE",
	1, {NAMEOID}
};

static SiFixedSql list_sql = {
	"SELECT " COLUMNS " FROM stream_ingest.subscription s ORDER BY s.id",
	0
};

static SiFixedSql insert_sql = {
	"INSERT INTO stream_ingest.subscription AS s (name, owner, owner_name, server, topic, "
	" target, target_name, apply, format, fields, mapping, insert_mode, key_columns, options, "
	" pinned, enabled, stop_state, stop_reason, pending_position, first_partitions, adopt_log, "
	" system_identifier, database, extension, server_oid) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14::jsonb, $15, "
	" $16, $17, $18, $19, $20, $21, $22, $23, $24, $25) "
	"ON CONFLICT (name) DO NOTHING RETURNING s.id",
	25, {NAMEOID, OIDOID, NAMEOID, NAMEOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, NAMEARRAYOID, TEXTOID, TEXTARRAYOID, BOOLOID, TEXTOID,
	TEXTOID, TEXTOID, INT4OID, BOOLOID, INT8OID, OIDOID, OIDOID, OIDOID}
};

static SiFixedSql update_sql = {
	"UPDATE stream_ingest.subscription s SET owner = $2, owner_name = $3, server = $4, "
	" topic = $5, target = $6, target_name = $7, apply = $8, format = $9, fields = $10, "
	" mapping = $11::jsonb, insert_mode = $12, key_columns = $13, options = $14::jsonb, "
	" pinned = $15, enabled = $16, stop_state = $17, stop_reason = $18, "
	" stop_sqlstate = CASE WHEN $17 IS NOT NULL THEN s.stop_sqlstate END, "
	" stopped_at = CASE WHEN $17 IS NOT NULL THEN s.stopped_at END, "
	" pending_position = $19, first_partitions = $20, adopt_log = $21, "
	" system_identifier = $22, database = $23, extension = $24, server_oid = $25, "
	" epoch = s.epoch + 1 "
	"WHERE s.name = $1 RETURNING s.epoch",
	25, {NAMEOID, OIDOID, NAMEOID, NAMEOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, NAMEARRAYOID, TEXTOID, TEXTARRAYOID, BOOLOID, TEXTOID,
	TEXTOID, TEXTOID, INT4OID, BOOLOID, INT8OID, OIDOID, OIDOID, OIDOID}
};

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

static SiFixedSql hold_sql = {
	"SELECT s.id FROM stream_ingest.subscription s WHERE s.id = $1 AND s.epoch = $2 "
	"FOR NO KEY UPDATE",
	2, {INT4OID, INT8OID}
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

/*
 * The pinned settings.  Missing ones are empty, so that nobody who only moves
 * the row about stumbles over them.
 */
static void
read_pinned(SiSubscription *s, uint64 row)
{
	bool		isnull;
	Datum		pinned = si_fixed_sql_datum(row, 16, &isnull);
	Datum	   *elements = NULL;
	bool	   *nulls = NULL;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(pinned), TEXTOID, -1, false, TYPALIGN_INT,
						  &elements, &nulls, &n);
	s->pinned_lost = (n != SI_NPINNED);
	for (int i = 0; i < SI_NPINNED; i++)
	{
		char	   *value = (i >= n || nulls[i]) ? "" : TextDatumGetCString(elements[i]);

		/* only a search_path can be empty */
		s->pinned_lost |= (value[0] == '\0' && i != SI_PINNED_SEARCH_PATH);
		s->pinned[i] = SPI_palloc(strlen(value) + 1);
		strcpy(s->pinned[i], value);
	}
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

/* Make a struct of a row that COLUMNS selected. */
static SiSubscription *
read_row(uint64 row)
{
	SiSubscription *s = SPI_palloc(sizeof(SiSubscription));
	bool		isnull;
	Datum		run_since;

	memset(s, 0, sizeof(SiSubscription));
	s->id = si_fixed_sql_int(row, 1, 0);
	namestrcpy(&s->name, si_fixed_sql_text(row, 2));
	s->owner = si_fixed_sql_int(row, 3, 0);
	s->owner_name = si_fixed_sql_text(row, 4);
	s->server = si_fixed_sql_text(row, 5);
	s->topic = si_fixed_sql_text(row, 6);
	s->target = si_fixed_sql_int(row, 7, InvalidOid);
	s->target_name = si_fixed_sql_text(row, 8);
	s->apply = si_fixed_sql_text(row, 9);
	s->format = si_fixed_sql_text(row, 10);
	s->fields = si_fixed_sql_text(row, 11);
	s->mapping = si_fixed_sql_text(row, 12);
	s->unknown_mode = si_fixed_sql_text(row, 13);
	s->insert_mode = si_insert_mode_parse(s->unknown_mode);
	s->key_columns = si_fixed_sql_datum(row, 14, &isnull);
	if (isnull)
		s->key_columns = (Datum) 0;
	s->options_text = si_fixed_sql_text(row, 15);

	read_pinned(s, row);
	s->enabled = si_fixed_sql_int(row, 17, 0);
	s->epoch = si_fixed_sql_int(row, 18, 0);
	s->stop_state = si_fixed_sql_text(row, 19);
	s->stop_reason = si_fixed_sql_text(row, 20);
	s->pending_position = si_fixed_sql_text(row, 21);
	s->first_partitions = si_fixed_sql_int(row, 22, -1);
	s->adopt_log = si_fixed_sql_int(row, 23, 0);
	s->system_identifier = si_fixed_sql_int(row, 24, 0);
	s->database = si_fixed_sql_int(row, 25, 0);
	s->extension = si_fixed_sql_int(row, 26, 0);
	s->stop_sqlstate = si_fixed_sql_text(row, 27);
	run_since = si_fixed_sql_datum(row, 28, &isnull);
	s->run_since = isnull ? 0 : DatumGetTimestampTz(run_since);
	s->server_oid = si_fixed_sql_int(row, 29, InvalidOid);
	s->damage = find_damage(s);
	return s;
}

/* The first row of a statement's result, or NULL. */
static SiSubscription *
read_one(SiFixedSql *statement, Datum argument, bool read_only)
{
	SiSubscription *result = NULL;
	uint64		n;

	si_fixed_sql_begin();
	n = read_only ? si_fixed_sql_read(statement, &argument, NULL)
		: si_fixed_sql_run(statement, &argument, NULL);
	if (n > 0)
		result = read_row(0);
	si_fixed_sql_end();
	return result;
}

SiSubscription *
si_catalog_get(int32 id)
{
	return read_one(&get_sql, Int32GetDatum(id), true);
}

SiSubscription *
si_catalog_find(const char *name, bool lock)
{
	NameData	value;

	namestrcpy(&value, name);
	return read_one(lock ? &find_locked_sql : &find_sql, NameGetDatum(&value), !lock);
}

List *
si_catalog_list(void)
{
	List	   *result = NIL;
	MemoryContext context = CurrentMemoryContext;
	uint64		n;

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

/* Arguments of insert_sql and update_sql, which are the same. */
static void
fill_arguments(SiSubscription *s, Datum *values, char *nulls)
{
	NameData   *owner_name = palloc(sizeof(NameData));
	NameData   *server = palloc(sizeof(NameData));
	Datum		pinned[SI_NPINNED];

	for (int i = 0; i < SI_NPINNED; i++)
		pinned[i] = CStringGetTextDatum(s->pinned[i]);
	namestrcpy(owner_name, s->owner_name);
	namestrcpy(server, s->server);

	memset(nulls, ' ', SI_FIXED_SQL_MAX_ARGS);
	values[0] = NameGetDatum(&s->name);
	values[1] = ObjectIdGetDatum(s->owner);
	values[2] = NameGetDatum(owner_name);
	values[3] = NameGetDatum(server);
	values[4] = CStringGetTextDatum(s->topic);
	values[5] = ObjectIdGetDatum(s->target);
	nulls[5] = OidIsValid(s->target) ? ' ' : 'n';
	values[6] = text_or_null(s->target_name, &nulls[6]);
	values[7] = text_or_null(s->apply, &nulls[7]);
	values[8] = CStringGetTextDatum(s->format);
	values[9] = text_or_null(s->fields, &nulls[9]);
	values[10] = text_or_null(s->mapping, &nulls[10]);
	values[11] = CStringGetTextDatum(s->insert_mode == SI_MODE_UNKNOWN ? s->unknown_mode
									 : si_insert_modes[s->insert_mode].name);
	values[12] = s->key_columns;
	nulls[12] = (s->key_columns == (Datum) 0) ? 'n' : ' ';
	values[13] = CStringGetTextDatum(s->options_text);
	values[14] = PointerGetDatum(construct_array(pinned, SI_NPINNED, TEXTOID, -1, false,
												 TYPALIGN_INT));
	values[15] = BoolGetDatum(s->enabled);
	values[16] = text_or_null(s->stop_state, &nulls[16]);
	values[17] = text_or_null(s->stop_reason, &nulls[17]);
	values[18] = text_or_null(s->pending_position, &nulls[18]);
	values[19] = Int32GetDatum(s->first_partitions);
	nulls[19] = (s->first_partitions < 0) ? 'n' : ' ';
	values[20] = BoolGetDatum(s->adopt_log);
	values[21] = Int64GetDatum(s->system_identifier);
	values[22] = ObjectIdGetDatum(s->database);
	values[23] = ObjectIdGetDatum(s->extension);
	values[24] = ObjectIdGetDatum(s->server_oid);
	nulls[24] = OidIsValid(s->server_oid) ? ' ' : 'n';
}

void
si_catalog_insert(SiSubscription *subscription)
{
	Datum		values[SI_FIXED_SQL_MAX_ARGS];
	char		nulls[SI_FIXED_SQL_MAX_ARGS];
	uint64		n;

	fill_arguments(subscription, values, nulls);
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

	fill_arguments(subscription, values, nulls);
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

/* Run one of the statements that lock a subscription's row by id and epoch. */
static bool
lock_row(SiFixedSql *statement, int32 id, int64 epoch)
{
	Datum		values[2] = {Int32GetDatum(id), Int64GetDatum(epoch)};

	return si_fixed_sql_execute(statement, values, NULL) > 0;
}

bool
si_catalog_hold(int32 id, int64 epoch)
{
	return lock_row(&hold_sql, id, epoch);
}

bool
si_catalog_share(int32 id, int64 epoch, bool wait)
{
	return lock_row(wait ? &share_sql : &try_share_sql, id, epoch);
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
	Datum		value = Int32GetDatum(id);

	(void) si_fixed_sql_execute(&counts_since_sql, &value, NULL);
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
