/*-------------------------------------------------------------------------
 *
 * count_changes.c
 *	  Changes of a subscription's counts beside its progress.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "catalog/count_changes.h"
#include "catalog/fixed_sql.h"

#define NAME_OF(name)		", " #name
#define COLUMN_OF_P(name)	", p." #name
#define TYPE_OF(name)		INT8OID,

static SiFixedSql change_counts_sql = {
	"INSERT INTO stream_ingest.count_changes (subscription" SI_COUNT_COLUMNS(NAME_OF) ") "
	"VALUES ($11, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
	11, {SI_COUNT_COLUMNS(TYPE_OF) INT4OID}
};

static SiFixedSql reset_counts_sql = {
	"INSERT INTO stream_ingest.count_changes (subscription, messages, bytes, batches, applied, "
	" inserted, updated, deleted, superseded, ignored, gap_messages) "
	"SELECT $1, sum(c.dead_letters) - sum(c.messages), - sum(c.bytes), - sum(c.batches), "
	" - sum(c.applied), - sum(c.inserted), - sum(c.updated), - sum(c.deleted), "
	" - sum(c.superseded), - sum(c.ignored), - sum(c.gap_messages) "
	"FROM (SELECT p.gap_messages" SI_COUNT_COLUMNS(COLUMN_OF_P)
	"  FROM stream_ingest.progress p WHERE p.subscription = $1 "
	" UNION ALL SELECT p.gap_messages" SI_COUNT_COLUMNS(COLUMN_OF_P)
	"  FROM stream_ingest.count_changes p WHERE p.subscription = $1) c HAVING count(*) > 0",
	1, {INT4OID}
};

static SiFixedSql begin_counts_sql = {
	"WITH old AS (DELETE FROM stream_ingest.count_changes c WHERE c.subscription = $1) "
	"INSERT INTO stream_ingest.count_changes (subscription, messages, dead_letters) "
	"SELECT $1, count(*), count(*) FROM stream_ingest.dead_letter d WHERE d.subscription = $1 "
	"HAVING count(*) > 0",
	1, {INT4OID}
};

static SiFixedSql delete_changes_sql = {
	"DELETE FROM stream_ingest.count_changes c WHERE c.subscription = $1",
	1, {INT4OID}
};

#define VALUE_OF(name) Int64GetDatum(change->name),

void
si_count_changes_add(int32 subscription, const SiCounts *change)
{
	Datum		values[] = {SI_COUNT_COLUMNS(VALUE_OF) Int32GetDatum(subscription)};

	(void) si_fixed_sql_execute(&change_counts_sql, values, NULL);
}

void
si_count_changes_reset(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&reset_counts_sql, subscription);
}

void
si_count_changes_begin(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&begin_counts_sql, subscription);
}

void
si_count_changes_delete(int32 subscription)
{
	(void) si_fixed_sql_execute_for(&delete_changes_sql, subscription);
}
