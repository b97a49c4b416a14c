/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  Reading progress, and what a batch does to it; progress_change.c has the
 *	  other changes.
 *
 * All statements lock rows in the order of partitions, so that batches and
 * fences cannot deadlock.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "catalog/fixed_sql.h"
#include "catalog/progress.h"
#include "kafka/consumer_values.h"

static SiFixedSql load_sql = {
	"SELECT p.partition, p.ctid, p.next_offset, p.leader_epoch, "
	" (SELECT max(d.message_offset) FROM stream_ingest.dead_letter d "
	"   WHERE d.subscription = $1 AND d.topic = $2 AND d.partition = p.partition "
	"    AND d.former_log = 0), "
	" p.cluster_id, p.topic_id, p.seek_position, "
	" (SELECT array_agg(x ORDER BY x) FROM unnest(p.skips) x WHERE x >= p.next_offset), "
	" p.stop_offset "
	"FROM stream_ingest.progress p WHERE p.subscription = $1 AND p.topic = $2 "
	" AND p.partition >= 0 ORDER BY p.partition",
	2, {INT4OID, TEXTOID}
};

/*
 * The join goes by ctid: si_session_elevate keeps the planner from anything
 * but a nested loop, and the addition of zero from the primary key, which
 * would be walked through all dead versions of the row.
 *
 * Where a row was, another one of the same subscription may be after a rewrite
 * (VACUUM FULL, CLUSTER), even with the same offset: so the whole key is
 * compared, or one partition's batch would advance another.
 *
 * The guessed length of an array would make the server plan this and the
 * update below again for every batch, with the same result.
 */
#define IS_ROW_OF_KEY(subscription, topic) \
	"p.ctid = u.tid AND p.subscription + 0 = " subscription \
	" AND p.topic || '' = " topic " AND p.partition + 0 = u.partition "

static SiFixedSql lock_sql = {
	"SELECT u.n FROM unnest($1, $2, $5) WITH ORDINALITY AS u(tid, next_offset, partition, n), "
	" stream_ingest.progress p "
	"WHERE " IS_ROW_OF_KEY("$3", "$6") "AND p.epoch = $4 "
	" AND p.next_offset = u.next_offset "
	"ORDER BY u.n FOR NO KEY UPDATE OF p SKIP LOCKED",
	6, {TIDARRAYOID, INT8ARRAYOID, INT4OID, INT8OID, INT4ARRAYOID, TEXTOID},
	CURSOR_OPT_GENERIC_PLAN,.writes_later = "progress"
};

static SiFixedSql lock_by_key_sql = {
	"SELECT p.partition, p.ctid, p.next_offset, p.epoch "
	"FROM stream_ingest.progress p WHERE p.subscription = $1 AND p.topic = $2 "
	" AND p.partition = ANY ($3) ORDER BY p.partition FOR NO KEY UPDATE",
	3, {INT4OID, TEXTOID, INT4ARRAYOID},.writes_later = "progress"
};

static SiFixedSql try_lock_by_key_sql = {
	"SELECT p.partition, p.ctid, p.next_offset, p.epoch "
	"FROM stream_ingest.progress p WHERE p.subscription = $1 AND p.topic = $2 "
	" AND p.partition = ANY ($3) ORDER BY p.partition FOR NO KEY UPDATE SKIP LOCKED",
	3, {INT4OID, TEXTOID, INT4ARRAYOID},.writes_later = "progress"
};

/* The counts that are added to. */
#define ADD_OF_BATCH(name)	", " #name " = p." #name " + u." #name
#define NAME_OF(name)		", " #name
#define TYPE_OF(name)		INT8ARRAYOID,

static SiFixedSql advance_sql = {
	"UPDATE stream_ingest.progress p SET "
	" next_offset = u.new_offset, leader_epoch = u.leader_epoch"
	SI_COUNT_COLUMNS(ADD_OF_BATCH) ", rejected = p.rejected + u.rejected, "
	" last_message_at = COALESCE(u.last_message_at, p.last_message_at), "
	" applied_at = CASE WHEN u.messages > 0 THEN clock_timestamp() ELSE p.applied_at END "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $19) "
	" WITH ORDINALITY AS u(tid, old_offset, new_offset, leader_epoch"
	SI_COUNT_COLUMNS(NAME_OF) ", rejected, last_message_at, partition, n) "
	"WHERE " IS_ROW_OF_KEY("$17", "$20") "AND p.epoch = $18 "
	" AND p.next_offset = u.old_offset "
	"RETURNING u.n, p.ctid",
	20, {TIDARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID,
		SI_COUNT_COLUMNS(TYPE_OF) INT8ARRAYOID, TIMESTAMPTZARRAYOID,
	INT4OID, INT8OID, INT4ARRAYOID, TEXTOID},
	CURSOR_OPT_GENERIC_PLAN
};

/*
 * An unlogged table is empty after a crash, and what is read again then would be
 * applied twice.
 */
void
si_progress_check_table(void)
{
	Oid			table = get_relname_relid("progress", get_namespace_oid("stream_ingest", false));

	/* like what a statement on the table throws */
	si_fixed_sql_begin();
	if (OidIsValid(table) && get_rel_persistence(table) != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table stream_ingest.progress is unlogged, so a crash of the server empties it"),
				 errhint("Use ALTER TABLE stream_ingest.progress SET LOGGED.")));
	si_fixed_sql_end();
}

/*
 * The topic's id in a column of the i-th row, empty if it is not known.  Earlier
 * versions stored zero when a broker gave none.
 */
static char *
read_topic_id(uint64 i, int column)
{
	char	   *id = si_fixed_sql_text(i, column);

	if (strcmp(id, SI_ZERO_TOPIC_ID) == 0)
		id[0] = '\0';
	return id;
}

/* The offsets in a column of the i-th row of the result. */
static void
read_skips(SiProgress *row, uint64 i, int column)
{
	ArrayType  *array;
	bool		isnull;
	Datum		skips = si_fixed_sql_datum(i, column, &isnull);

	row->skips = NULL;
	row->nskips = 0;
	if (isnull)
		return;

	/* reading the array may have made a copy that goes with the connection */
	array = DatumGetArrayTypeP(skips);
	row->nskips = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	row->skips = SPI_palloc(sizeof(int64) * Max(row->nskips, 1));
	memcpy(row->skips, ARR_DATA_PTR(array), sizeof(int64) * row->nskips);
}

bool
si_progress_pending(const SiProgress *row)
{
	return row->seek_position != NULL ||
		(row->nskips > 0 && row->skips[row->nskips - 1] >= row->next_offset);
}

bool
si_progress_stopped(const SiProgress *row)
{
	return row->stop_offset >= 0 && row->next_offset >= row->stop_offset;
}

SiProgress *
si_progress_load(int32 subscription, const char *topic, int *n)
{
	Datum		values[2] = {Int32GetDatum(subscription), CStringGetTextDatum(topic)};
	SiProgress *rows;
	uint64		found;

	si_fixed_sql_begin();
	found = si_fixed_sql_read(&load_sql, values, NULL);
	rows = SPI_palloc(sizeof(SiProgress) * Max(found, 1));
	for (uint64 i = 0; i < found; i++)
	{
		SiProgress *row = &rows[i];
		bool		isnull;

		row->partition = si_fixed_sql_int(i, 1, 0);
		row->row = *(ItemPointer) DatumGetPointer(si_fixed_sql_datum(i, 2, &isnull));
		row->next_offset = si_fixed_sql_int(i, 3, 0);
		row->leader_epoch = si_fixed_sql_int(i, 4, -1);
		row->last_dead_letter = si_fixed_sql_int(i, 5, -1);
		row->cluster_id = si_fixed_sql_text(i, 6);
		row->topic_id = read_topic_id(i, 7);
		row->seek_position = si_fixed_sql_text(i, 8);
		read_skips(row, i, 9);
		row->stop_offset = si_fixed_sql_int(i, 10, -1);
	}
	si_fixed_sql_end();
	*n = (int) found;
	return rows;
}

/* ---- arrays as arguments ---- */

/* An array of the values that get() gives for 0 .. n-1. */
typedef Datum (*element_getter) (void *arg, int i, bool *isnull);

static Datum
make_array(Oid type, int len, bool byval, char align, element_getter get, void *arg, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc0(sizeof(bool) * n);
	int			lbound = 1;

	for (int i = 0; i < n; i++)
		elements[i] = get(arg, i, &nulls[i]);
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &n, &lbound, type, len,
											  byval, align));
}

static Datum
get_tid(void *arg, int i, bool *isnull)
{
	return PointerGetDatum(&((SiProgress **) arg)[i]->row);
}

static Datum
get_next_offset(void *arg, int i, bool *isnull)
{
	return Int64GetDatum(((SiProgress **) arg)[i]->next_offset);
}

static Datum
get_partition(void *arg, int i, bool *isnull)
{
	return Int32GetDatum(((SiProgress **) arg)[i]->partition);
}

static Datum
get_leader_epoch(void *arg, int i, bool *isnull)
{
	return Int32GetDatum(((SiAdvance *) arg)[i].leader_epoch);
}

static Datum
get_last_message_at(void *arg, int i, bool *isnull)
{
	TimestampTz at = ((SiAdvance *) arg)[i].last_message_at;

	*isnull = (at == 0);
	return TimestampTzGetDatum(at);
}

/* One of the int64 members of an array of SiAdvance. */
typedef struct MemberColumn
{
	SiAdvance  *advances;
	size_t		member;			/* its offset */
} MemberColumn;

static Datum
get_member(void *arg, int i, bool *isnull)
{
	MemberColumn *column = arg;

	return Int64GetDatum(*(int64 *) ((char *) &column->advances[i] + column->member));
}

static Datum
int64_array(SiAdvance *advances, size_t member, int n)
{
	MemberColumn column = {advances, member};

	return make_array(INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, get_member,
					  &column, n);
}

static Datum
tid_array(SiProgress **rows, int n)
{
	return make_array(TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT, get_tid, rows, n);
}

static Datum
next_offset_array(SiProgress **rows, int n)
{
	return make_array(INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  get_next_offset, rows, n);
}

static Datum
partition_array(SiProgress **rows, int n)
{
	return make_array(INT4OID, sizeof(int32), true, TYPALIGN_INT, get_partition, rows, n);
}

/* ---- the batch's two statements ---- */

/*
 * The rows are not where they were: look them up by key, once.  A table
 * rewrite moves rows without changing them.
 */
static bool
lock_by_key(const SiProgressKey *key, SiProgress **rows, int n, bool wait)
{
	SiFixedSql *statement = wait ? &lock_by_key_sql : &try_lock_by_key_sql;
	Datum		values[3];
	bool		as_expected;

	values[0] = Int32GetDatum(key->subscription);
	values[1] = CStringGetTextDatum(key->topic);
	values[2] = partition_array(rows, n);

	si_fixed_sql_begin();
	as_expected = (si_fixed_sql_run(statement, values, NULL) == n);
	for (int i = 0; as_expected && i < n; i++)
	{
		bool		isnull;

		as_expected = si_fixed_sql_int(i, 1, -1) == rows[i]->partition &&
			si_fixed_sql_int(i, 3, -1) == rows[i]->next_offset &&
			si_fixed_sql_int(i, 4, -1) == key->epoch;
		rows[i]->row = *(ItemPointer) DatumGetPointer(si_fixed_sql_datum(i, 2, &isnull));
	}
	si_fixed_sql_end();
	return as_expected;
}

bool
si_progress_lock(const SiProgressKey *key, SiProgress **rows, int n, bool wait)
{
	Datum		values[6];
	uint64		locked;

	if (wait)
		return lock_by_key(key, rows, n, true);
	values[0] = tid_array(rows, n);
	values[1] = next_offset_array(rows, n);
	values[2] = Int32GetDatum(key->subscription);
	values[3] = Int64GetDatum(key->epoch);
	values[4] = partition_array(rows, n);
	values[5] = CStringGetTextDatum(key->topic);

	si_fixed_sql_begin();
	locked = si_fixed_sql_run(&lock_sql, values, NULL);
	si_fixed_sql_end();
	return locked == n || lock_by_key(key, rows, n, false);
}

#define OFFSET_OF(name) offsetof(SiAdvance, counts.name),

bool
si_progress_advance(const SiProgressKey *key, SiProgress **rows, SiAdvance *advances, int n)
{
	static const size_t counts[] = {SI_COUNT_COLUMNS(OFFSET_OF)};
	Datum		values[20];
	uint64		advanced;

	values[0] = tid_array(rows, n);
	values[1] = next_offset_array(rows, n);
	values[2] = int64_array(advances, offsetof(SiAdvance, next_offset), n);
	values[3] = make_array(INT4OID, sizeof(int32), true, TYPALIGN_INT, get_leader_epoch,
						   advances, n);
	for (int i = 0; i < lengthof(counts); i++)
		values[4 + i] = int64_array(advances, counts[i], n);
	values[14] = int64_array(advances, offsetof(SiAdvance, rejected), n);
	values[15] = make_array(TIMESTAMPTZOID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
							get_last_message_at, advances, n);
	values[16] = Int32GetDatum(key->subscription);
	values[17] = Int64GetDatum(key->epoch);
	values[18] = partition_array(rows, n);
	values[19] = CStringGetTextDatum(key->topic);

	si_fixed_sql_begin();
	advanced = si_fixed_sql_run(&advance_sql, values, NULL);
	for (uint64 i = 0; i < advanced; i++)
	{
		int64		ordinal = si_fixed_sql_int(i, 1, 0);
		bool		isnull;

		advances[ordinal - 1].row =
			*(ItemPointer) DatumGetPointer(si_fixed_sql_datum(i, 2, &isnull));
	}
	si_fixed_sql_end();
	return advanced == n;
}

void
si_progress_throw_suppressed(void)
{
	si_fixed_sql_begin();
	si_fixed_sql_suppressed(&advance_sql, "progress");
	pg_unreachable();
}
