/*-------------------------------------------------------------------------
 *
 * progress_change.c
 *	  Changes of progress other than a batch's: new rows, moves, seeks, skips,
 *	  the ends of runs, and the fence.
 *
 * As in progress.c, rows are locked in the order of partitions.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "catalog/fixed_sql.h"
#include "catalog/progress.h"

static SiFixedSql insert_sql = {
	"INSERT INTO stream_ingest.progress (subscription, topic, partition, epoch, next_offset, "
	" cluster_id, topic_id, first_offset) SELECT $1, $2, $3, $4, $5, $6, $7, $5 "
	"WHERE NOT EXISTS (SELECT FROM stream_ingest.progress p WHERE p.subscription = $1 "
	" AND p.topic = $2 AND p.partition = $3)",
	7, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTOID, TEXTOID}
};

static SiFixedSql move_sql = {
	"UPDATE stream_ingest.progress p SET next_offset = $5, leader_epoch = -1, "
	" gap_messages = p.gap_messages + $6, cluster_id = $7, topic_id = $8, seek_position = NULL, "
	"first_offset = LEAST(p.first_offset, $5) "
	"WHERE p.subscription = $1 AND p.topic = $2 AND p.partition = $3 AND p.epoch = $4 "
	" AND p.next_offset = $9",
	9, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, INT8OID}
};

/* A row that is locked is in another worker's batch, and gets its turn by the next contact. */
static SiFixedSql identify_sql = {
	"UPDATE stream_ingest.progress p SET cluster_id = $5, topic_id = $6 "
	"FROM (SELECT l.subscription, l.topic, l.partition FROM stream_ingest.progress l "
	"  WHERE l.subscription = $1 AND l.topic = $2 AND l.partition = $3 AND l.epoch = $4 "
	"  FOR NO KEY UPDATE SKIP LOCKED) l "
	"WHERE p.subscription = l.subscription AND p.topic = l.topic AND p.partition = l.partition",
	6, {INT4OID, TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID}
};

static SiFixedSql stop_sql = {
	"UPDATE stream_ingest.progress p SET stop_offset = $5 "
	"WHERE p.subscription = $1 AND p.topic = $2 AND p.partition = $3 AND p.epoch = $4",
	5, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID}
};

static SiFixedSql forget_stops_sql = {
	"UPDATE stream_ingest.progress p SET stop_offset = NULL "
	"WHERE p.subscription = $1 AND p.stop_offset IS NOT NULL",
	1, {INT4OID}
};

static SiFixedSql forget_first_sql = {
	"UPDATE stream_ingest.progress p SET first_offset = p.next_offset "
	"WHERE p.subscription = $1 AND p.first_offset <> p.next_offset",
	1, {INT4OID}
};

static SiFixedSql seek_sql = {
	"UPDATE stream_ingest.progress p SET seek_position = $4, skips = NULL "
	"WHERE p.subscription = $1 AND p.topic = $2 AND ($3 < 0 OR p.partition = $3)",
	4, {INT4OID, TEXTOID, INT4OID, TEXTOID}
};

static SiFixedSql skip_sql = {
	"UPDATE stream_ingest.progress p SET skips = "
	" (SELECT array_agg(DISTINCT x) FROM unnest(p.skips || $4) x WHERE x >= p.next_offset) "
	"WHERE p.subscription = $1 AND p.topic = $2 AND p.partition = $3 AND p.next_offset <= $4",
	4, {INT4OID, TEXTOID, INT4OID, INT8OID}
};

static SiFixedSql rejected_sql = {
	"SELECT COALESCE(sum(p.rejected), 0)::int8 FROM stream_ingest.progress p "
	"WHERE p.subscription = $1",
	1, {INT4OID}
};

static SiFixedSql forget_rejected_sql = {
	"UPDATE stream_ingest.progress p SET rejected = 0 WHERE p.subscription = $1 AND p.rejected <> 0",
	1, {INT4OID}
};

#define ADD_OF_SUM(name)	", " #name " = p." #name " + s." #name
#define SUM_OF(name)		", sum(c." #name ") AS " #name

/* Where there is no row to fold into, the changes stay as they are. */
static SiFixedSql fold_sql = {
	"WITH c AS (DELETE FROM stream_ingest.count_changes c WHERE c.subscription = $1 "
	"  AND EXISTS (SELECT FROM stream_ingest.progress p WHERE p.subscription = $1) RETURNING c.*), "
	" s AS (SELECT sum(c.gap_messages) AS gap_messages" SI_COUNT_COLUMNS(SUM_OF)
	"   FROM c HAVING count(*) > 0) "
	"UPDATE stream_ingest.progress p SET gap_messages = p.gap_messages + s.gap_messages"
	SI_COUNT_COLUMNS(ADD_OF_SUM) " "
	"FROM s WHERE p.subscription = $1 AND (p.topic, p.partition) = "
	" (SELECT q.topic, q.partition FROM stream_ingest.progress q WHERE q.subscription = $1 "
	"  ORDER BY q.topic, q.partition LIMIT 1)",
	1, {INT4OID}
};

static SiFixedSql fence_sql = {
	"WITH locked AS MATERIALIZED (SELECT p.topic, p.partition FROM stream_ingest.progress p "
	" WHERE p.subscription = $1 ORDER BY p.topic, p.partition FOR NO KEY UPDATE) "
	"UPDATE stream_ingest.progress p SET epoch = $2 FROM locked l "
	"WHERE p.subscription = $1 AND p.topic = l.topic AND p.partition = l.partition",
	2, {INT4OID, INT8OID}
};

static SiFixedSql delete_sql = {
	"WITH locked AS MATERIALIZED (SELECT p.topic, p.partition FROM stream_ingest.progress p "
	" WHERE p.subscription = $1 ORDER BY p.topic, p.partition FOR UPDATE) "
	"DELETE FROM stream_ingest.progress p USING locked l "
	"WHERE p.subscription = $1 AND p.topic = l.topic AND p.partition = l.partition",
	1, {INT4OID}
};

/* Rows that a fence or, with $2 null, a deletion left as they were. */
static SiFixedSql left_sql = {
	"SELECT FROM stream_ingest.progress p "
	"WHERE p.subscription = $1 AND p.epoch IS DISTINCT FROM $2 LIMIT 1",
	2, {INT4OID, INT8OID}
};

void
si_progress_insert(const SiProgressKey *key, int32 partition, int64 next_offset,
				   const char *cluster_id, const char *topic_id)
{
	Datum		values[7];

	values[0] = Int32GetDatum(key->subscription);
	values[1] = CStringGetTextDatum(key->topic);
	values[2] = Int32GetDatum(partition);
	values[3] = Int64GetDatum(key->epoch);
	values[4] = Int64GetDatum(next_offset);
	values[5] = CStringGetTextDatum(cluster_id);
	values[6] = CStringGetTextDatum(topic_id);

	(void) si_fixed_sql_execute(&insert_sql, values, NULL);
}

bool
si_progress_move(const SiProgressKey *key, const SiProgress *row, int64 next_offset,
				 int64 gap_messages, const char *cluster_id, const char *topic_id)
{
	Datum		values[9];

	values[0] = Int32GetDatum(key->subscription);
	values[1] = CStringGetTextDatum(key->topic);
	values[2] = Int32GetDatum(row->partition);
	values[3] = Int64GetDatum(key->epoch);
	values[4] = Int64GetDatum(next_offset);
	values[5] = Int64GetDatum(gap_messages);
	values[6] = CStringGetTextDatum(cluster_id);
	values[7] = CStringGetTextDatum(topic_id);
	values[8] = Int64GetDatum(row->next_offset);

	return si_fixed_sql_execute(&move_sql, values, NULL) == 1;
}

void
si_progress_identify(const SiProgressKey *key, const SiProgress *row, const char *cluster_id,
					 const char *topic_id)
{
	bool		knows_cluster = row->cluster_id[0] != '\0';
	bool		knows_topic = row->topic_id[0] != '\0';
	Datum		values[6];

	if ((knows_cluster || cluster_id[0] == '\0') && (knows_topic || topic_id[0] == '\0'))
		return;
	values[0] = Int32GetDatum(key->subscription);
	values[1] = CStringGetTextDatum(key->topic);
	values[2] = Int32GetDatum(row->partition);
	values[3] = Int64GetDatum(key->epoch);
	values[4] = CStringGetTextDatum(knows_cluster ? row->cluster_id : cluster_id);
	values[5] = CStringGetTextDatum(knows_topic ? row->topic_id : topic_id);

	(void) si_fixed_sql_execute(&identify_sql, values, NULL);
}

void
si_progress_set_stop(const SiProgressKey *key, int32 partition, int64 stop_offset)
{
	Datum		values[5];

	values[0] = Int32GetDatum(key->subscription);
	values[1] = CStringGetTextDatum(key->topic);
	values[2] = Int32GetDatum(partition);
	values[3] = Int64GetDatum(key->epoch);
	values[4] = Int64GetDatum(stop_offset);

	(void) si_fixed_sql_execute(&stop_sql, values, NULL);
}

uint64
si_progress_set_seek(int32 subscription, const char *topic, int32 partition,
					 const char *position)
{
	Datum		values[4];

	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(partition);
	values[3] = CStringGetTextDatum(position);

	return si_fixed_sql_execute(&seek_sql, values, NULL);
}

int64
si_progress_rejected(int32 subscription)
{
	Datum		value = Int32GetDatum(subscription);
	int64		rejected;

	si_fixed_sql_begin();
	(void) si_fixed_sql_run(&rejected_sql, &value, NULL);
	rejected = si_fixed_sql_int(0, 1, 0);
	si_fixed_sql_end();
	return rejected;
}

void
si_progress_forget_rejected(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&forget_rejected_sql, subscription);
}

void
si_progress_forget_stops(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&forget_stops_sql, subscription);
}

void
si_progress_forget_first(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&forget_first_sql, subscription);
}

void
si_progress_fold(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&fold_sql, subscription);
}

bool
si_progress_add_skip(int32 subscription, const char *topic, int32 partition, int64 offset)
{
	Datum		values[4];

	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(partition);
	values[3] = Int64GetDatum(offset);

	return si_fixed_sql_execute(&skip_sql, values, NULL) > 0;
}

/*
 * Fence or delete all rows.  One that stayed as it was would let a batch of the
 * former definition be committed, or give another server former offsets.
 */
static void
change_all(SiFixedSql *statement, Datum *values, const char *nulls)
{
	si_fixed_sql_begin();
	(void) si_fixed_sql_run(statement, values, nulls);
	if (si_fixed_sql_run(&left_sql, values, nulls) > 0)
		si_fixed_sql_suppressed(statement, "progress");
	si_fixed_sql_end();
}

void
si_progress_fence(int32 subscription, int64 epoch)
{
	Datum		values[2] = {Int32GetDatum(subscription), Int64GetDatum(epoch)};

	change_all(&fence_sql, values, NULL);
}

void
si_progress_delete(int32 subscription)
{
	Datum		values[2] = {Int32GetDatum(subscription), (Datum) 0};

	change_all(&delete_sql, values, " n");
}
