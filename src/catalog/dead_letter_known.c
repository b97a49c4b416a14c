/*-------------------------------------------------------------------------
 *
 * dead_letter_known.c
 *	  Dead letters that the stream meets again.
 *
 * Who meets them has locked much by then, and the session that has locked one of
 * them may want that next.  So they are locked without waiting, and waited for one
 * by one in a transaction that has locked nothing else.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "catalog/dead_letter.h"
#include "catalog/fixed_sql.h"

#define KNOWN \
	"SELECT d.message_offset FROM stream_ingest.dead_letter d " \
	"WHERE d.subscription = $1 AND d.topic = $2 AND d.partition = $3 " \
	" AND d.message_offset BETWEEN $4 AND $5 AND d.former_log = 0 " \
	"ORDER BY d.message_offset "

static SiFixedSql known_sql = {
	KNOWN,
	5, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID},.writes_later = "dead_letter"
};

static SiFixedSql lock_known_sql = {
	KNOWN "FOR UPDATE SKIP LOCKED",
	5, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID}
};

static SiFixedSql await_known_sql = {
	KNOWN "FOR UPDATE",
	5, {INT4OID, TEXTOID, INT4OID, INT8OID, INT8OID},.writes_later = "dead_letter"
};

/* The arguments of KNOWN. */
static void
known_arguments(int32 subscription, const char *topic, int32 partition, int64 from, int64 to,
				Datum *values)
{
	values[0] = Int32GetDatum(subscription);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(partition);
	values[3] = Int64GetDatum(from);
	values[4] = Int64GetDatum(to);
}

/*
 * Lock those that were read just now, without waiting.  Returns the first that
 * another session has locked, or has taken away by now, or -1.
 */
static int64
lock_known(Datum *values, const int64 *offsets, uint64 n)
{
	uint64		locked = si_fixed_sql_run(&lock_known_sql, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		if (i >= locked || si_fixed_sql_int(i, 1, -1) != offsets[i])
			return offsets[i];
	}
	return -1;
}

int64 *
si_dead_letter_known(int32 subscription, const char *topic, int32 partition, int64 from,
					 int64 to, int *n, int64 *others)
{
	Datum		values[5];
	int64	   *offsets;
	uint64		found;

	known_arguments(subscription, topic, partition, from, to, values);

	si_fixed_sql_begin();
	found = si_fixed_sql_run(&known_sql, values, NULL);
	offsets = SPI_palloc(sizeof(int64) * Max(found, 1));
	for (uint64 i = 0; i < found; i++)
		offsets[i] = si_fixed_sql_int(i, 1, 0);
	*others = (found > 0) ? lock_known(values, offsets, found) : -1;
	si_fixed_sql_end();
	*n = (int) found;
	return offsets;
}

void
si_dead_letter_await(int32 subscription, const char *topic, const SiPlace *place)
{
	Datum		values[5];

	known_arguments(subscription, topic, place->partition, place->offset, place->offset, values);
	(void) si_fixed_sql_execute(&await_known_sql, values, NULL);
}
