/*-------------------------------------------------------------------------
 *
 * dead_letter.c
 *	  Messages that could not be applied; dead_letter_known.c has those that the
 *	  stream meets again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "catalog/dead_letter.h"
#include "catalog/fixed_sql.h"
#include "common/kafka_time.h"

/* So much of an error's text is stored, in bytes. */
#define MOST_WORDS	(1024 * 1024)

#define FRESH_NAME "fresh"		/* the ephemeral relation of
								 * si_dead_letter_store */

/* Columns of that relation. */
static const struct
{
	const char *name;
	Oid			type;
}			fresh_columns[] = {
	{"partition", INT4OID},
	{"message_offset", INT8OID},
	{"message_timestamp", TIMESTAMPTZOID},
	{"key", BYTEAOID},
	{"value", BYTEAOID},
	{"header_names", BYTEAARRAYOID},
	{"header_values", BYTEAARRAYOID},
	{"sqlstate", TEXTOID},
	{"error", TEXTOID},
	{"detail", TEXTOID},
	{"column_name", TEXTOID},
	{"constraint_name", TEXTOID},
	{"retry_at", TIMESTAMPTZOID},
	{"reduced_from", INT8OID},
	{"former_log", INT8OID},
};

#define FRESH_NCOLUMNS lengthof(fresh_columns)

static SiFixedSql store_sql = {
	"INSERT INTO stream_ingest.dead_letter AS d (subscription, topic, partition, message_offset, "
	" message_timestamp, key, value, header_names, header_values, sqlstate, error, detail, "
	" column_name, constraint_name, retry_at, reduced_from, former_log) "
	"SELECT $1, $2, f.partition, f.message_offset, f.message_timestamp, f.key, f.value, "
	" f.header_names, f.header_values, f.sqlstate, f.error, f.detail, f.column_name, "
	" f.constraint_name, f.retry_at, f.reduced_from, f.former_log FROM " FRESH_NAME " f "
	"ON CONFLICT (subscription, topic, partition, message_offset, former_log) DO UPDATE SET "
	" sqlstate = excluded.sqlstate, error = excluded.error, detail = excluded.detail, "
	" column_name = excluded.column_name, constraint_name = excluded.constraint_name, "
	" retry_at = excluded.retry_at, attempts = d.attempts + 1, failed_at = clock_timestamp()",
	2, {INT4OID, TEXTOID}, 0, true
};

static SiFixedSql remove_sql = {
	"DELETE FROM stream_ingest.dead_letter d "
	"USING unnest($3, $4, $5) AS u(partition, message_offset, former_log) "
	"WHERE d.subscription = $1 AND d.topic = $2 AND d.partition = u.partition "
	" AND d.message_offset = u.message_offset AND d.former_log = u.former_log",
	5, {INT4OID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}, 0, true
};

/* Those that are still there; the arguments are the same. */
static SiFixedSql left_sql = {
	"SELECT FROM stream_ingest.dead_letter d, unnest($3, $4, $5) AS u(partition, message_offset, former_log) "
	"WHERE d.subscription = $1 AND d.topic = $2 AND d.partition = u.partition "
	" AND d.message_offset = u.message_offset AND d.former_log = u.former_log",
	5, {INT4OID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
};

/*
 * Where the stream will be when it has carried out what it was told.  An offset
 * from there on is met again: applied before, it would be applied twice.
 */
#define AHEAD \
	"WITH ahead AS MATERIALIZED (SELECT p.topic, p.partition, " \
	"  CASE WHEN p.seek_position IS NULL THEN p.next_offset " \
	"   WHEN p.seek_position = 'latest' THEN 9223372036854775807 " \
	"   WHEN p.seek_position ~ '^[0-9]+$' THEN p.seek_position::pg_catalog.int8 ELSE 0 END AS from_offset " \
	"  FROM stream_ingest.progress p WHERE p.subscription = $1) "

#define NOT_AHEAD \
	"AND (d.former_log <> 0 OR NOT EXISTS (SELECT FROM ahead a WHERE a.topic = d.topic " \
	"  AND a.partition = d.partition AND d.message_offset >= a.from_offset)) "

#define FILTER \
	"WHERE d.subscription = $1 AND ($2 IS NULL OR d.topic = $2) AND ($3 < 0 OR d.partition = $3) " \
	" AND d.message_offset >= $4 AND d.message_offset < $5 " \
	" AND (NOT $6 OR d.retry_at <= clock_timestamp()) "

/* (the topic is named, so that the index serves) */
#define BEHIND "AND d.topic = $2 AND (d.partition, d.message_offset, d.former_log) > ($7, $8, $10) "

/* As many as are wanted, but at most 16 MB of payload, and at least one. */
#define READ \
	AHEAD \
	"SELECT d.partition, d.message_offset, d.message_timestamp, d.key, d.value, d.header_names, " \
	" d.header_values, d.attempts, d.reduced_from, d.former_log FROM stream_ingest.dead_letter d " \
	FILTER BEHIND NOT_AHEAD \
	"ORDER BY d.subscription, d.topic, d.partition, d.message_offset, d.former_log " \
	"LIMIT GREATEST(1, (SELECT count(*) FROM (" \
	"  SELECT sum(COALESCE(octet_length(d.key), 0) + COALESCE(octet_length(d.value), 0)) " \
	"   OVER (ORDER BY d.subscription, d.topic, d.partition, d.message_offset, d.former_log) AS bytes " \
	"  FROM stream_ingest.dead_letter d " FILTER BEHIND NOT_AHEAD " LIMIT $9) AS s " \
	" WHERE s.bytes <= 16777216)) FOR UPDATE OF d "

static SiFixedSql read_sql = {
	READ,
	10, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, BOOLOID, INT4OID, INT8OID, INT8OID, INT8OID}, 0, true,
	.writes_later = "dead_letter"
};

static SiFixedSql read_due_sql = {
	READ "SKIP LOCKED",
	10, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, BOOLOID, INT4OID, INT8OID, INT8OID, INT8OID}, 0, true,
	.writes_later = "dead_letter"
};

static SiFixedSql discard_sql = {
	"DELETE FROM stream_ingest.dead_letter d " FILTER,
	6, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, BOOLOID}, 0, true
};

static SiFixedSql delete_all_sql = {
	"DELETE FROM stream_ingest.dead_letter d WHERE d.subscription = $1",
	1, {INT4OID}, 0, true
};

static SiFixedSql next_retry_sql = {
	AHEAD
	"SELECT d.retry_at FROM stream_ingest.dead_letter d "
	"WHERE d.subscription = $1 AND d.retry_at IS NOT NULL " NOT_AHEAD
	"ORDER BY d.retry_at LIMIT 1",
	1, {INT4OID}
};

/* From each topic to the next one, since each may have many. */
static SiFixedSql topics_sql = {
	"WITH RECURSIVE t (topic) AS ("
	"  (SELECT d.topic FROM stream_ingest.dead_letter d WHERE d.subscription = $1 "
	"   ORDER BY d.subscription, d.topic LIMIT 1) "
	" UNION ALL "
	"  SELECT (SELECT d.topic FROM stream_ingest.dead_letter d "
	"   WHERE d.subscription = $1 AND d.topic > t.topic ORDER BY d.subscription, d.topic LIMIT 1) "
	"  FROM t WHERE t.topic IS NOT NULL) "
	"SELECT t.topic FROM t WHERE t.topic IS NOT NULL",
	1, {INT4OID},.writes_later = "dead_letter"
};

static SiFixedSql leave_log_sql = {
	"UPDATE stream_ingest.dead_letter d SET former_log = d.id "
	"WHERE d.subscription = $1 AND d.topic = $2 AND ($3 < 0 OR d.partition = $3) "
	" AND d.former_log = 0",
	3, {INT4OID, TEXTOID, INT4OID}
};

/* ---- making rows ---- */

static Datum
bytes_or_null(const char *data, size_t len, bool *isnull)
{
	bytea	   *result;

	*isnull = (data == NULL);
	if (*isnull)
		return (Datum) 0;
	result = palloc(len + VARHDRSZ);
	SET_VARSIZE(result, len + VARHDRSZ);
	memcpy(VARDATA(result), data, len);
	return PointerGetDatum(result);
}

static Datum
text_or_null(const char *value, bool *isnull)
{
	*isnull = (value == NULL);
	return *isnull ? (Datum) 0 : CStringGetTextDatum(value);
}

/* Words that may quote a whole payload, which is kept beside them. */
static Datum
words_or_null(const char *words, bool *isnull)
{
	*isnull = (words == NULL);
	if (*isnull)
		return (Datum) 0;
	return PointerGetDatum(cstring_to_text_with_len(words,
													pg_mbcliplen(words, strlen(words),
																 MOST_WORDS)));
}

/*
 * The message's time, null where it has none.  One that timestamptz cannot hold
 * is kept as an infinity, so that the message, tried again, is refused again.
 */
static Datum
timestamp_or_null(const SiMessage *message, bool *isnull)
{
	TimestampTz timestamp;

	(void) si_kafka_time_to_timestamptz(message->timestamp, &timestamp);
	*isnull = (message->timestamp == SI_KAFKA_NO_TIME);
	return TimestampTzGetDatum(timestamp);
}

/*
 * Names or values of a message's headers: null where it has none, and an empty array
 * where they cannot be read.
 */
static Datum
headers_or_null(const SiMessage *message, bool names, bool *isnull)
{
	int			n = message->nheaders;
	int			lbound = 1;
	Datum	   *elements;
	bool	   *nulls;

	*isnull = (n == 0);
	if (n == 0)
		return (Datum) 0;
	if (n == SI_UNREADABLE_HEADERS)
		return PointerGetDatum(construct_empty_array(BYTEAOID));
	elements = palloc(sizeof(Datum) * n);
	nulls = palloc(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
	{
		const SiHeader *header = &message->headers[i];

		elements[i] = names ? bytes_or_null(header->name, strlen(header->name), &nulls[i])
			: bytes_or_null(header->value, header->value_len, &nulls[i]);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &n, &lbound, BYTEAOID, -1,
											  false, TYPALIGN_INT));
}

static void
put_letter(Tuplestorestate *store, TupleDesc desc, const SiDeadLetter *letter)
{
	const SiMessage *message = letter->message;
	const SiFailure *failure = letter->failure;
	Datum		values[FRESH_NCOLUMNS];
	bool		nulls[FRESH_NCOLUMNS] = {0};

	values[0] = Int32GetDatum(message->partition);
	values[1] = Int64GetDatum(message->offset);
	values[2] = timestamp_or_null(message, &nulls[2]);
	values[3] = bytes_or_null(message->key, message->key_len, &nulls[3]);
	values[4] = bytes_or_null(message->value, message->value_len, &nulls[4]);
	values[5] = headers_or_null(message, true, &nulls[5]);
	values[6] = headers_or_null(message, false, &nulls[6]);
	values[7] = CStringGetTextDatum(unpack_sql_state(failure->sqlerrcode));
	values[8] = words_or_null(failure->message, &nulls[8]);
	values[9] = words_or_null(si_failure_detail(failure), &nulls[9]);
	values[10] = text_or_null(failure->column, &nulls[10]);
	values[11] = text_or_null(failure->constraint, &nulls[11]);
	values[12] = TimestampTzGetDatum(letter->retry_at);
	nulls[12] = (letter->retry_at == 0);
	values[13] = Int64GetDatum(message->value_len);
	nulls[13] = !si_message_is_reduced(message);
	values[14] = Int64GetDatum(letter->former_log);
	tuplestore_putvalues(store, desc, values, nulls);
}

static TupleDesc
fresh_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(FRESH_NCOLUMNS);

	for (int i = 0; i < FRESH_NCOLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, fresh_columns[i].name, fresh_columns[i].type, -1, 0);
	return desc;
}

void
si_dead_letter_store(int32 subscription, const char *topic, const SiDeadLetter *letters, int n)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));
	TupleDesc	desc = fresh_desc();
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	Datum		values[2] = {Int32GetDatum(subscription), CStringGetTextDatum(topic)};

	for (int i = 0; i < n; i++)
		put_letter(store, desc, &letters[i]);

	relation->md.name = FRESH_NAME;
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = n;
	relation->reldata = store;

	si_fixed_sql_begin();
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	if (si_fixed_sql_run(&store_sql, values, NULL) != n)
		si_fixed_sql_suppressed(&store_sql, "dead_letter");
	si_fixed_sql_end();
	tuplestore_end(store);
}

/* ---- removing ---- */

static Datum
int8_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* The places as three arrays. */
static void
place_arrays(const SiPlace *places, int n, Datum *arrays)
{
	Datum	   *p = palloc(sizeof(Datum) * n);
	Datum	   *o = palloc(sizeof(Datum) * n);
	Datum	   *f = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
	{
		p[i] = Int32GetDatum(places[i].partition);
		o[i] = Int64GetDatum(places[i].offset);
		f[i] = Int64GetDatum(places[i].former_log);
	}
	arrays[0] = PointerGetDatum(construct_array(p, n, INT4OID, sizeof(int32), true,
												TYPALIGN_INT));
	arrays[1] = int8_array(o, n);
	arrays[2] = int8_array(f, n);
}

/* The arguments of remove_sql and left_sql. */
static void
place_arguments(int32 subscription, const char *topic, const SiPlace *places, int n, Datum *values)
{
	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	place_arrays(places, n, &values[2]);
}

uint64
si_dead_letter_count(int32 subscription, const char *topic, const SiPlace *places, int n)
{
	Datum		values[5];

	place_arguments(subscription, topic, places, n, values);
	return si_fixed_sql_execute(&left_sql, values, NULL);
}

uint64
si_dead_letter_remove(int32 subscription, const char *topic, const SiPlace *places, int n)
{
	Datum		values[5];
	uint64		removed;

	if (n == 0)
		return 0;
	place_arguments(subscription, topic, places, n, values);

	si_fixed_sql_begin();
	removed = si_fixed_sql_run(&remove_sql, values, NULL);

	/*
	 * A letter that stays although its message was applied would be applied
	 * again.
	 */
	if (removed < n && si_fixed_sql_run(&left_sql, values, NULL) > 0)
		si_fixed_sql_suppressed(&remove_sql, "dead_letter");
	si_fixed_sql_end();
	return removed;
}

/* The arguments of FILTER; nulls has room for those of the statement. */
static void
filter_arguments(const SiDeadLetterFilter *filter, Datum *values, char *nulls)
{
	memset(nulls, ' ', SI_FIXED_SQL_MAX_ARGS);
	values[0] = Int32GetDatum(filter->subscription);
	values[1] = (filter->topic != NULL) ? CStringGetTextDatum(filter->topic) : (Datum) 0;
	nulls[1] = (filter->topic != NULL) ? ' ' : 'n';
	values[2] = Int32GetDatum(filter->partition);
	values[3] = Int64GetDatum(filter->from);
	values[4] = Int64GetDatum(filter->to);
	values[5] = BoolGetDatum(filter->due);
}

uint64
si_dead_letter_discard(const SiDeadLetterFilter *filter)
{
	Datum		values[6];
	char		nulls[SI_FIXED_SQL_MAX_ARGS];

	filter_arguments(filter, values, nulls);
	return si_fixed_sql_execute(&discard_sql, values, nulls);
}

uint64
si_dead_letter_delete_all(int32 subscription)
{
	return si_fixed_sql_execute_for(&delete_all_sql, subscription);
}

/* ---- reading them back ---- */

/* The bytes of a column, in the caller's context; NULL where null. */
static const char *
read_bytes(uint64 row, int column, size_t *len)
{
	bool		isnull;
	Datum		value = si_fixed_sql_datum(row, column, &isnull);
	bytea	   *bytes;

	*len = 0;
	if (isnull)
		return NULL;
	bytes = PG_DETOAST_DATUM(value);
	*len = VARSIZE_ANY_EXHDR(bytes);
	return VARDATA_ANY(bytes);
}

SiHeader *
si_dead_letter_headers(ArrayType *names, ArrayType *values, int *n)
{
	Datum	   *name_elements,
			   *value_elements;
	bool	   *nulls;
	SiHeader   *headers;
	int			nnames,
				nvalues;

	deconstruct_array(names, BYTEAOID, -1, false, TYPALIGN_INT, &name_elements, NULL, &nnames);
	deconstruct_array(values, BYTEAOID, -1, false, TYPALIGN_INT, &value_elements, &nulls,
					  &nvalues);
	*n = Min(nnames, nvalues);
	headers = palloc0(sizeof(SiHeader) * *n);
	for (int i = 0; i < *n; i++)
	{
		/* a name is text, and needs its NUL */
		headers[i].name = text_to_cstring((text *) DatumGetPointer(name_elements[i]));
		if (nulls[i])
			continue;
		headers[i].value = VARDATA_ANY(DatumGetPointer(value_elements[i]));
		headers[i].value_len = VARSIZE_ANY_EXHDR(DatumGetPointer(value_elements[i]));
	}
	return headers;
}

/* Fill in a message's headers from its row. */
static void
read_headers(uint64 row, SiMessage *message)
{
	bool		no_names,
				no_values;
	Datum		names = si_fixed_sql_datum(row, 6, &no_names);
	Datum		values = si_fixed_sql_datum(row, 7, &no_values);

	if (no_names || no_values)
		return;
	message->headers = si_dead_letter_headers(DatumGetArrayTypeP(names),
											  DatumGetArrayTypeP(values),
											  &message->nheaders);
	if (message->nheaders == 0)
		message->nheaders = SI_UNREADABLE_HEADERS;
}

static void
read_letter(uint64 row, SiMessage *message)
{
	bool		isnull;
	Datum		timestamp = si_fixed_sql_datum(row, 3, &isnull);

	memset(message, 0, sizeof(SiMessage));
	message->partition = si_fixed_sql_int(row, 1, 0);
	message->offset = si_fixed_sql_int(row, 2, 0);
	message->leader_epoch = -1;
	message->timestamp = isnull ? SI_KAFKA_NO_TIME
		: si_kafka_time_from_timestamptz(DatumGetTimestampTz(timestamp));
	message->key = read_bytes(row, 4, &message->key_len);
	message->value = read_bytes(row, 5, &message->value_len);
	if (message->value == NULL)
		message->value_len = si_fixed_sql_int(row, 9, 0);
	read_headers(row, message);
}

void
si_dead_letter_read(const SiDeadLetterFilter *filter, const SiPlace *after, int max,
					SiLetters *letters)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[10];
	char		nulls[SI_FIXED_SQL_MAX_ARGS];
	uint64		found;

	filter_arguments(filter, values, nulls);
	values[6] = Int32GetDatum(after->partition);
	values[7] = Int64GetDatum(after->offset);
	values[8] = Int64GetDatum(max);
	values[9] = Int64GetDatum(after->former_log);

	si_fixed_sql_begin();
	found = si_fixed_sql_run(filter->due ? &read_due_sql : &read_sql, values, nulls);
	MemoryContextSwitchTo(caller);
	letters->n = (int) found;
	letters->messages = palloc(sizeof(SiMessage) * Max(found, 1));
	letters->attempts = palloc(sizeof(int) * Max(found, 1));
	letters->former_logs = palloc(sizeof(int64) * Max(found, 1));
	for (uint64 i = 0; i < found; i++)
	{
		read_letter(i, &letters->messages[i]);
		letters->attempts[i] = si_fixed_sql_int(i, 8, 1);
		letters->former_logs[i] = si_fixed_sql_int(i, 10, 0);
	}
	si_fixed_sql_end();
	MemoryContextSwitchTo(caller);
}

List *
si_dead_letter_topics(int32 subscription)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = Int32GetDatum(subscription);
	List	   *topics = NIL;
	uint64		found;

	si_fixed_sql_begin();
	found = si_fixed_sql_run(&topics_sql, &value, NULL);
	for (uint64 i = 0; i < found; i++)
	{
		char	   *topic = si_fixed_sql_text(i, 1);
		MemoryContext old = MemoryContextSwitchTo(caller);

		topics = lappend(topics, topic);
		MemoryContextSwitchTo(old);
	}
	si_fixed_sql_end();
	return topics;
}

/* ---- another log ---- */

void
si_dead_letter_leave_log(int32 subscription, const char *topic, int32 partition)
{
	Datum		values[3];

	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(partition);

	(void) si_fixed_sql_execute(&leave_log_sql, values, NULL);
}

/* ---- trying again ---- */

TimestampTz
si_dead_letter_next_retry(int32 subscription)
{
	Datum		value = Int32GetDatum(subscription);
	TimestampTz at = 0;

	si_fixed_sql_begin();
	if (si_fixed_sql_read(&next_retry_sql, &value, NULL) > 0)
	{
		bool		isnull;

		at = DatumGetTimestampTz(si_fixed_sql_datum(0, 1, &isnull));
	}
	si_fixed_sql_end();
	return at;
}
