/*-------------------------------------------------------------------------
 *
 * views.c
 *	  Set-returning functions behind the views.
 *
 * They show what shared memory has of the current database, to those who may
 * see it: the privileges of a view's owner do not extend to the functions in
 * it, so each function filters by itself.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "consumer.h"
#include "options.h"
#include "slots.h"
#include "writer.h"

PG_FUNCTION_INFO_V1(si_sql_worker_slots);
PG_FUNCTION_INFO_V1(si_sql_partition_slots);
PG_FUNCTION_INFO_V1(si_sql_subscription_slot);
PG_FUNCTION_INFO_V1(si_sql_effective_options);
PG_FUNCTION_INFO_V1(si_sql_is_remote);
PG_FUNCTION_INFO_V1(si_sql_may_see);

/* May the current role see what belongs to this one? */
static bool
may_see(Oid owner)
{
	return has_privs_of_role(GetUserId(), owner) ||
		has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
}

Datum
si_sql_may_see(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(may_see(PG_GETARG_OID(0)));
}

static void
put_text(Datum *values, bool *nulls, int i, const char *text)
{
	nulls[i] = (text[0] == '\0');
	if (!nulls[i])
		values[i] = CStringGetTextDatum(text);
}

static void
put_time(Datum *values, bool *nulls, int i, TimestampTz time)
{
	nulls[i] = (time == 0);
	values[i] = TimestampTzGetDatum(time);
}

/* ---- worker_slots ---- */

static void
put_worker(ReturnSetInfo *rsinfo, const SiWorkerSlot *worker)
{
	Datum		values[16] = {0};
	bool		nulls[16] = {0};

	values[0] = Int32GetDatum(worker->subscription);
	values[1] = Int32GetDatum(worker->number);
	values[2] = Int32GetDatum(worker->pid);
	nulls[2] = (worker->pid == 0);
	values[3] = CStringGetTextDatum(si_slots_state_name(worker->state));
	put_text(values, nulls, 4, worker->reason);
	put_time(values, nulls, 5, worker->since);
	values[6] = Int32GetDatum(worker->partitions);
	values[7] = Float8GetDatum(worker->messages_per_second);
	values[8] = Int64GetDatum(worker->batch_messages);
	values[9] = Float8GetDatum(worker->batch_ms);
	put_text(values, nulls, 10, worker->last_error);
	nulls[11] = (worker->last_error_at == 0);
	if (!nulls[11])
		values[11] = CStringGetTextDatum(unpack_sql_state(worker->last_error_sqlstate));
	put_time(values, nulls, 12, worker->last_error_at);
	values[13] = Int64GetDatum(worker->retries);
	put_time(values, nulls, 14, worker->retry_at);
	values[15] = Int64GetDatum(worker->epoch);
	nulls[15] = (worker->epoch == 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
si_sql_worker_slots(PG_FUNCTION_ARGS)
{
	SiWorkerSlot *copy;
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (si_shared == NULL)
		return (Datum) 0;

	/* look at the slots under the lock, and make tuples without it */
	copy = palloc(sizeof(SiWorkerSlot) * si_guc_max_workers);
	si_slots_lock(LW_SHARED);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (worker->in_use && worker->database == MyDatabaseId)
			copy[n++] = *worker;
	}
	si_slots_unlock();

	for (int i = 0; i < n; i++)
	{
		if (may_see(copy[i].owner))
			put_worker((ReturnSetInfo *) fcinfo->resultinfo, &copy[i]);
	}
	return (Datum) 0;
}

/* ---- partition_slots ---- */

typedef struct PartitionCopy
{
	int32		subscription;
	int32		partition;
	Oid			owner;
	int64		low;
	int64		high;
	TimestampTz asked_at;
} PartitionCopy;

static int
copy_partitions(PartitionCopy *copy)
{
	int			n = 0;

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < si_guc_max_partitions; i++)
	{
		SiPartitionSlot *slot = si_slots_partition(i);
		SiSubscriptionSlot *subscription;

		if (!slot->in_use || slot->database != MyDatabaseId)
			continue;
		subscription = si_slots_find_subscription(slot->database, slot->subscription);
		if (subscription == NULL)
			continue;
		copy[n].subscription = slot->subscription;
		copy[n].partition = slot->partition;
		copy[n].owner = subscription->owner;
		copy[n].low = (int64) pg_atomic_read_u64(&slot->low);
		copy[n].high = (int64) pg_atomic_read_u64(&slot->high);
		copy[n].asked_at = (TimestampTz) pg_atomic_read_u64(&slot->asked_at);
		n++;
	}
	si_slots_unlock();
	return n;
}

Datum
si_sql_partition_slots(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PartitionCopy *copy;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (si_shared == NULL)
		return (Datum) 0;
	copy = palloc(sizeof(PartitionCopy) * si_guc_max_partitions);
	n = copy_partitions(copy);
	for (int i = 0; i < n; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {0};

		if (!may_see(copy[i].owner))
			continue;
		values[0] = Int32GetDatum(copy[i].subscription);
		values[1] = Int32GetDatum(copy[i].partition);
		values[2] = Int64GetDatum(copy[i].low);
		nulls[2] = (copy[i].low == SI_OFFSET_UNKNOWN);
		values[3] = Int64GetDatum(copy[i].high);
		nulls[3] = (copy[i].high == SI_OFFSET_UNKNOWN);
		put_time(values, nulls, 4, copy[i].asked_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- subscription_slot ---- */

/* Why a subscription has no worker yet, for everything but its own row. */
static const char *
missing_reason(const SiSubscriptionSlot *slot, int64 epoch)
{
	if (si_shared == NULL)
		return "stream_ingest is not in shared_preload_libraries";
	if (RecoveryInProgress())
		return "the server is a standby";
	if (!si_guc_enabled)
		return "stream_ingest.enabled is off";
	if (slot == NULL || slot->epoch < epoch)
		return "waiting to be noticed by the launcher";
	return slot->reason[0] ? slot->reason : "waiting for a worker";
}

Datum
si_sql_subscription_slot(PG_FUNCTION_ARGS)
{
	int32		id = PG_GETARG_INT32(0);
	int64		epoch = PG_GETARG_INT64(1);
	SiSubscriptionSlot copy;
	SiSubscriptionSlot *slot = NULL;
	bool		idle;
	TupleDesc	desc;
	Datum		values[3] = {0};
	bool		nulls[3] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (si_shared != NULL)
	{
		si_slots_lock(LW_SHARED);
		slot = si_slots_find_subscription(MyDatabaseId, id);
		if (slot != NULL)
			copy = *slot;
		si_slots_unlock();
		if (slot != NULL)
			slot = may_see(copy.owner) ? &copy : NULL;
	}

	/* nothing will start it where nothing runs */
	idle = (si_shared == NULL || RecoveryInProgress() || !si_guc_enabled);
	values[0] = CStringGetTextDatum(si_slots_state_name(idle ? SI_STATE_STOPPED
														: slot != NULL && slot->epoch >= epoch ? slot->state
														: SI_STATE_STARTING));
	values[1] = CStringGetTextDatum(missing_reason(slot, epoch));
	put_time(values, nulls, 2, slot ? slot->since : 0);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
si_sql_effective_options(PG_FUNCTION_ARGS)
{
	Jsonb	   *options = PG_GETARG_JSONB_P(0);
	char	   *text = JsonbToCString(NULL, &options->root, VARSIZE(options));

	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in,
										CStringGetDatum(si_options_effective(si_options_parse(text)))));
}

Datum
si_sql_is_remote(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(si_writer_is_remote(PG_GETARG_OID(0)));
}
