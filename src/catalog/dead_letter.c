/*-------------------------------------------------------------------------
 *
 * dead_letter.c
 *	  Messages that could not be applied.
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
#include "utils/array.h"
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
};

#define FRESH_NCOLUMNS lengthof(fresh_columns)

static SiFixedSql store_sql = {
	"INSERT INTO stream_ingest.dead_letter AS d (subscription, topic, partition, message_offset, "
	" message_timestamp, key, value, header_names, header_values, sqlstate, error, detail, "
	" column_name, constraint_name, retry_at, reduced_from) "
	"SELECT $1, $2, f.partition, f.message_offset, f.message_timestamp, f.key, f.value, "
	" f.header_names, f.header_values, f.sqlstate, f.error, f.detail, f.column_name, "
	" f.constraint_name, f.retry_at, f.reduced_from FROM " FRESH_NAME " f "
	"ON CONFLICT (subscription, topic, partition, message_offset) DO UPDATE SET "
	" sqlstate = excluded.sqlstate, error = excluded.error, detail = excluded.detail, "
	" column_name = excluded.column_name, constraint_name = excluded.constraint_name, "
	" retry_at = excluded.retry_at, attempts = d.attempts + 1, failed_at = clock_timestamp()",
	2, {INT4OID, TEXTOID}, 0, true
};

static SiFixedSql known_sql = {
	"SELECT d.message_offset FROM stream_ingest.dead_letter d "
	"WHERE d.subscription = $1 AND d.topic = $2 AND d.partition = $3 "
	" AND d.message_offset BETWEEN $4 AND $5 ORDER BY d.message_offset",
	5, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID}
};

static SiFixedSql remove_sql = {
	"DELETE FROM stream_ingest.dead_letter d USING unnest($3, $4) AS u(partition, message_offset) "
	"WHERE d.subscription = $1 AND d.topic = $2 AND d.partition = u.partition "
	" AND d.message_offset = u.message_offset",
	4, {INT4OID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID}, 0, true
};

#define FILTER \
	"WHERE d.subscription = $1 AND d.topic = $2 AND ($3 < 0 OR d.partition = $3) " \
	" AND d.message_offset >= $4 AND d.message_offset < $5 " \
	" AND (NOT $6 OR d.retry_at <= clock_timestamp()) "

#define BEHIND "AND (d.partition, d.message_offset) > ($7, $8) "

/* As many as are wanted, but at most 16 MB of payload, and at least one. */
static SiFixedSql read_sql = {
	"SELECT d.partition, d.message_offset, d.message_timestamp, d.key, d.value, d.header_names, "
	" d.header_values, d.attempts, d.reduced_from FROM stream_ingest.dead_letter d " FILTER BEHIND
	"ORDER BY d.subscription, d.topic, d.partition, d.message_offset "
	"LIMIT GREATEST(1, (SELECT count(*) FROM ("
	"  SELECT sum(COALESCE(octet_length(d.key), 0) + COALESCE(octet_length(d.value), 0)) "
	"   OVER (ORDER BY d.subscription, d.topic, d.partition, d.message_offset) AS bytes "
	"  FROM stream_ingest.dead_letter d " FILTER BEHIND " LIMIT $9) AS s "
	" WHERE s.bytes <= 16777216)) FOR UPDATE",
	9, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, BOOLOID, INT4OID, INT8OID, INT8OID}, 0, true
};

static SiFixedSql discard_sql = {
	"DELETE FROM stream_ingest.dead_letter d " FILTER,
	6, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID, BOOLOID}, 0, true
};

static SiFixedSql delete_all_sql = {
	"DELETE FROM stream_ingest.dead_letter d WHERE d.subscription = $1",
	1, {INT4OID}, 0, true
};

static SiFixedSql delete_changes_sql = {
	"DELETE FROM stream_ingest.count_changes c WHERE c.subscription = $1",
	1, {INT4OID}
};

static SiFixedSql next_retry_sql = {
	"SELECT d.retry_at FROM stream_ingest.dead_letter d "
	"WHERE d.subscription = $1 AND d.retry_at IS NOT NULL ORDER BY d.retry_at LIMIT 1",
	1, {INT4OID}
};

static SiFixedSql change_counts_sql = {
	"INSERT INTO stream_ingest.count_changes (subscription, applied, inserted, updated, "
	" deleted, superseded, ignored, dead_letters) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	8, {INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID}
};

static SiFixedSql reset_counts_sql = {
	"INSERT INTO stream_ingest.count_changes (subscription, messages, bytes, batches, applied, "
	" inserted, updated, deleted, superseded, ignored, gap_messages) "
	"SELECT $1, sum(c.dead_letters) - sum(c.messages), - sum(c.bytes), - sum(c.batches), "
	" - sum(c.applied), - sum(c.inserted), - sum(c.updated), - sum(c.deleted), "
	" - sum(c.superseded), - sum(c.ignored), - sum(c.gap_messages) "
	"FROM (SELECT p.messages, p.bytes, p.batches, p.applied, p.inserted, p.updated, p.deleted, "
	"  p.superseded, p.ignored, p.dead_letters, p.gap_messages "
	"  FROM stream_ingest.progress p WHERE p.subscription = $1 "
	" UNION ALL SELECT p.messages, p.bytes, p.batches, p.applied, p.inserted, p.updated, p.deleted, "
	"  p.superseded, p.ignored, p.dead_letters, p.gap_messages "
	"  FROM stream_ingest.count_changes p WHERE p.subscription = $1) c HAVING count(*) > 0",
	1, {INT4OID}
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

/* Names or values of a message's headers, null where it has none. */
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
	values[9] = words_or_null(failure->detail ? failure->detail : failure->hint, &nulls[9]);
	values[10] = text_or_null(failure->column, &nulls[10]);
	values[11] = text_or_null(failure->constraint, &nulls[11]);
	values[12] = TimestampTzGetDatum(letter->retry_at);
	nulls[12] = (letter->retry_at == 0);
	values[13] = Int64GetDatum(message->value_len);
	nulls[13] = !si_message_is_reduced(message);
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
	(void) si_fixed_sql_run(&store_sql, values, NULL);
	si_fixed_sql_end();
	tuplestore_end(store);
}

/* ---- finding and removing ---- */

int64 *
si_dead_letter_known(int32 subscription, const char *topic, int32 partition, int64 from,
					 int64 to, int *n)
{
	Datum		values[5];
	int64	   *offsets;
	uint64		found;

	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(partition);
	values[3] = Int64GetDatum(from);
	values[4] = Int64GetDatum(to);

	si_fixed_sql_begin();
	found = si_fixed_sql_run(&known_sql, values, NULL);
	offsets = SPI_palloc(sizeof(int64) * Max(found, 1));
	for (uint64 i = 0; i < found; i++)
		offsets[i] = si_fixed_sql_int(i, 1, 0);
	si_fixed_sql_end();
	*n = (int) found;
	return offsets;
}

/* The places as two arrays. */
static void
place_arrays(const SiPlace *places, int n, Datum *partitions, Datum *offsets)
{
	Datum	   *p = palloc(sizeof(Datum) * n);
	Datum	   *o = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
	{
		p[i] = Int32GetDatum(places[i].partition);
		o[i] = Int64GetDatum(places[i].offset);
	}
	*partitions = PointerGetDatum(construct_array(p, n, INT4OID, sizeof(int32), true,
												  TYPALIGN_INT));
	*offsets = PointerGetDatum(construct_array(o, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
											   TYPALIGN_DOUBLE));
}

uint64
si_dead_letter_remove(int32 subscription, const char *topic, const SiPlace *places, int n)
{
	Datum		values[4];
	uint64		removed;

	if (n == 0)
		return 0;
	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	place_arrays(places, n, &values[2], &values[3]);

	si_fixed_sql_begin();
	removed = si_fixed_sql_run(&remove_sql, values, NULL);
	si_fixed_sql_end();
	return removed;
}

static void
filter_arguments(const SiDeadLetterFilter *filter, Datum *values)
{
	values[0] = Int32GetDatum(filter->subscription);
	values[1] = CStringGetTextDatum(filter->topic);
	values[2] = Int32GetDatum(filter->partition);
	values[3] = Int64GetDatum(filter->from);
	values[4] = Int64GetDatum(filter->to);
	values[5] = BoolGetDatum(filter->due);
}

uint64
si_dead_letter_discard(const SiDeadLetterFilter *filter)
{
	Datum		values[6];
	uint64		n;

	filter_arguments(filter, values);
	si_fixed_sql_begin();
	n = si_fixed_sql_run(&discard_sql, values, NULL);
	si_fixed_sql_end();
	return n;
}

uint64
si_dead_letter_delete_all(int32 subscription)
{
	Datum		value = Int32GetDatum(subscription);
	uint64		n;

	si_fixed_sql_begin();
	n = si_fixed_sql_run(&delete_all_sql, &value, NULL);
	(void) si_fixed_sql_run(&delete_changes_sql, &value, NULL);
	si_fixed_sql_end();
	return n;
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

static void
read_headers(uint64 row, SiMessage *message)
{
	bool		no_names,
				no_values;
	Datum		names = si_fixed_sql_datum(row, 6, &no_names);
	Datum		values = si_fixed_sql_datum(row, 7, &no_values);
	Datum	   *name_elements,
			   *value_elements;
	bool	   *nulls;
	SiHeader   *headers;
	int			n,
				nvalues;

	if (no_names || no_values)
		return;
	deconstruct_array(DatumGetArrayTypeP(names), BYTEAOID, -1, false, TYPALIGN_INT,
					  &name_elements, NULL, &n);
	deconstruct_array(DatumGetArrayTypeP(values), BYTEAOID, -1, false, TYPALIGN_INT,
					  &value_elements, &nulls, &nvalues);
	headers = palloc0(sizeof(SiHeader) * n);
	for (int i = 0; i < Min(n, nvalues); i++)
	{
		/* a name is text, and needs its NUL */
		headers[i].name = text_to_cstring((text *) DatumGetPointer(name_elements[i]));
		if (nulls[i])
			continue;
		headers[i].value = VARDATA_ANY(DatumGetPointer(value_elements[i]));
		headers[i].value_len = VARSIZE_ANY_EXHDR(DatumGetPointer(value_elements[i]));
	}
	message->headers = headers;
	message->nheaders = n;
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

SiMessage *
si_dead_letter_read(const SiDeadLetterFilter *filter, const SiPlace *after, int max, int *n,
					int **attempts)
{
	MemoryContext caller = CurrentMemoryContext;
	SiMessage  *messages;
	Datum		values[9];
	uint64		found;

	filter_arguments(filter, values);
	values[6] = Int32GetDatum(after->partition);
	values[7] = Int64GetDatum(after->offset);
	values[8] = Int64GetDatum(max);

	si_fixed_sql_begin();
	found = si_fixed_sql_run(&read_sql, values, NULL);
	MemoryContextSwitchTo(caller);
	messages = palloc(sizeof(SiMessage) * Max(found, 1));
	if (attempts != NULL)
		*attempts = palloc(sizeof(int) * Max(found, 1));
	for (uint64 i = 0; i < found; i++)
	{
		read_letter(i, &messages[i]);
		if (attempts != NULL)
			(*attempts)[i] = si_fixed_sql_int(i, 8, 1);
	}
	si_fixed_sql_end();
	MemoryContextSwitchTo(caller);
	*n = (int) found;
	return messages;
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

/* ---- counts ---- */

void
si_dead_letter_change_counts(int32 subscription, const SiCountChange *change)
{
	Datum		values[8];

	values[0] = Int32GetDatum(subscription);
	values[1] = Int64GetDatum(change->applied);
	values[2] = Int64GetDatum(change->inserted);
	values[3] = Int64GetDatum(change->updated);
	values[4] = Int64GetDatum(change->deleted);
	values[5] = Int64GetDatum(change->superseded);
	values[6] = Int64GetDatum(change->ignored);
	values[7] = Int64GetDatum(change->dead_letters);

	si_fixed_sql_begin();
	(void) si_fixed_sql_run(&change_counts_sql, values, NULL);
	si_fixed_sql_end();
}

void
si_dead_letter_reset_counts(int32 subscription)
{
	Datum		value = Int32GetDatum(subscription);

	si_fixed_sql_begin();
	(void) si_fixed_sql_run(&reset_counts_sql, &value, NULL);
	si_fixed_sql_end();
}
