/*-------------------------------------------------------------------------
 *
 * former_group.c
 *	  Offsets in Kafka that a subscription has left behind.
 *
 * The table is empty but for the moments between a change of a subscription
 * and the cleaner that follows it.  It is not dumped.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "fixed_sql.h"
#include "former_group.h"

static SiFixedSql note_sql = {
	"INSERT INTO stream_ingest.former_group "
	" (subscription, epoch, name, owner, server, topic, options, partitions, "
	"  system_identifier, database) "
	"SELECT s.id, s.epoch, s.name, s.owner, s.server, s.topic, s.options, p.partitions, "
	" s.system_identifier, s.database "
	"FROM stream_ingest.subscription s CROSS JOIN LATERAL "
	" (SELECT array_agg(p.partition ORDER BY p.partition) AS partitions "
	"  FROM stream_ingest.progress p "
	"  WHERE p.subscription = s.id AND p.topic = s.topic) p "
	"WHERE s.id = $1 AND p.partitions IS NOT NULL "
	" AND s.system_identifier = $2 AND s.database = $3 AND s.extension = $4",
	4, {INT4OID, INT8OID, OIDOID, OIDOID}
};

static SiFixedSql any_sql = {
	"SELECT f.id FROM stream_ingest.former_group f LIMIT 1",
	0
};

/* A copy of this database may have come into being with notes in it. */
static SiFixedSql forget_sql = {
	"DELETE FROM stream_ingest.former_group f "
	"WHERE f.system_identifier <> $1 OR f.database <> $2",
	2, {INT8OID, OIDOID}
};

static SiFixedSql take_sql = {
	"DELETE FROM stream_ingest.former_group f WHERE f.id = "
	" (SELECT g.id FROM stream_ingest.former_group g ORDER BY g.id LIMIT 1 "
	"  FOR UPDATE SKIP LOCKED) "
	"RETURNING f.subscription, f.epoch, f.name, f.owner, f.server, f.topic, f.options, "
	" f.partitions",
	0
};

void
si_former_group_note(int32 subscription, Oid extension)
{
	Datum		values[4];

	values[0] = Int32GetDatum(subscription);
	values[1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[2] = ObjectIdGetDatum(MyDatabaseId);
	values[3] = ObjectIdGetDatum(extension);
	si_fixed_sql_begin();
	(void) si_fixed_sql_run(&note_sql, values, NULL);
	si_fixed_sql_end();
}

bool
si_former_group_any(void)
{
	uint64		n;

	si_fixed_sql_begin();
	n = si_fixed_sql_read(&any_sql, NULL, NULL);
	si_fixed_sql_end();
	return n > 0;
}

/* The partitions of the row that was taken. */
static void
read_partitions(SiFormerGroup *former)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(si_fixed_sql_datum(0, 8, &isnull));

	former->npartitions = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	former->partitions = SPI_palloc(sizeof(int32) * Max(former->npartitions, 1));
	memcpy(former->partitions, ARR_DATA_PTR(array), sizeof(int32) * former->npartitions);
}

SiFormerGroup *
si_former_group_take(void)
{
	SiFormerGroup *former = NULL;
	Datum		here[2];

	here[0] = Int64GetDatum((int64) GetSystemIdentifier());
	here[1] = ObjectIdGetDatum(MyDatabaseId);
	si_fixed_sql_begin();
	(void) si_fixed_sql_run(&forget_sql, here, NULL);
	if (si_fixed_sql_run(&take_sql, NULL, NULL) > 0)
	{
		former = SPI_palloc(sizeof(SiFormerGroup));
		former->subscription = si_fixed_sql_int(0, 1, 0);
		former->epoch = si_fixed_sql_int(0, 2, 0);
		former->name = si_fixed_sql_text(0, 3);
		former->owner = si_fixed_sql_int(0, 4, 0);
		former->server = si_fixed_sql_text(0, 5);
		former->topic = si_fixed_sql_text(0, 6);
		former->options_text = si_fixed_sql_text(0, 7);
		read_partitions(former);
	}
	si_fixed_sql_end();
	return former;
}
