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

/* A rate is that of the last seconds, or of as long as a batch takes. */
#define RATE_AGE_MS		5000

/* A worker, and what is known of the ends of its partitions. */
typedef struct WorkerCopy
{
	SiWorkerSlot slot;
	int			watched;		/* partitions that have a place for watermarks */
	int			unknown;		/* of these, without fresh ones */
	TimestampTz asked_at;		/* the oldest answer; 0: there is none */
} WorkerCopy;

/* What a worker that waits for a lock has told is not true any more. */
static double
current_rate(const SiWorkerSlot *worker, TimestampTz now)
{
	int			patience = RATE_AGE_MS + (int) Min(2 * worker->batch_ms, INT_MAX / 2);

	if (TimestampDifferenceExceeds(worker->rate_at, now, patience))
		return 0;
	return worker->messages_per_second;
}

/*
 * Why the lag of a worker that is otherwise well is not known; empty if it is.
 * Of one that has just begun, the brokers may be about to answer.
 */
static void
explain_unknown_lag(const WorkerCopy *worker, TimestampTz now, char *reason, size_t size)
{
	TimestampTz since = worker->asked_at != 0 ? worker->asked_at : worker->slot.started_at;

	reason[0] = '\0';
	if (worker->slot.pid == 0 || (worker->slot.state != SI_STATE_CATCHING_UP &&
								  worker->slot.state != SI_STATE_STREAMING))
		return;
	if (worker->unknown > 0 && !si_slots_watermarks_fresh(since, now))
		snprintf(reason, size,
				 "the lag of %d of %d partitions is not known: the brokers have not answered for %ld seconds",
				 worker->unknown, worker->slot.partitions,
				 TimestampDifferenceMilliseconds(since, now) / 1000);
	else if (worker->watched < worker->slot.partitions)
		snprintf(reason, size,
				 "the lag of %d of %d partitions is not known: all %d places of stream_ingest.max_partitions are in use",
				 worker->slot.partitions - worker->watched, worker->slot.partitions,
				 si_guc_max_partitions);
}

static void
put_worker(ReturnSetInfo *rsinfo, const WorkerCopy *copy, TimestampTz now)
{
	const SiWorkerSlot *worker = &copy->slot;
	char		reason[SI_REASON_LEN];
	Datum		values[16] = {0};
	bool		nulls[16] = {0};

	values[0] = Int32GetDatum(worker->subscription);
	values[1] = Int32GetDatum(worker->number);
	values[2] = Int32GetDatum(worker->pid);
	nulls[2] = (worker->pid == 0);
	values[3] = CStringGetTextDatum(si_slots_state_name(worker->state));
	explain_unknown_lag(copy, now, reason, sizeof(reason));
	put_text(values, nulls, 4, worker->reason[0] != '\0' ? worker->reason : reason);
	put_time(values, nulls, 5, worker->since);
	values[6] = Int32GetDatum(worker->partitions);
	values[7] = Float8GetDatum(current_rate(worker, now));
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

/* Count what is known of the partitions of the workers; lock held. */
static void
count_watermarks(WorkerCopy *copies, TimestampTz now)
{
	for (int i = 0; i < si_guc_max_partitions; i++)
	{
		SiPartitionSlot *slot = si_slots_partition(i);
		WorkerCopy *copy = &copies[slot->worker];
		TimestampTz asked_at;

		if (!slot->in_use || slot->database != MyDatabaseId)
			continue;
		copy->watched++;
		asked_at = (TimestampTz) pg_atomic_read_u64(&slot->asked_at);
		if (si_slots_watermarks_fresh(asked_at, now))
			continue;
		if (copy->unknown++ == 0 || asked_at < copy->asked_at)
			copy->asked_at = asked_at;
	}
}

Datum
si_sql_worker_slots(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	WorkerCopy *copies;

	InitMaterializedSRF(fcinfo, 0);
	if (si_shared == NULL)
		return (Datum) 0;

	/* look at the slots under the lock, and make tuples without it */
	copies = palloc0(sizeof(WorkerCopy) * si_guc_max_workers);
	si_slots_lock(LW_SHARED);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (worker->in_use && worker->database == MyDatabaseId)
			copies[i].slot = *worker;
	}
	count_watermarks(copies, now);
	si_slots_unlock();

	for (int i = 0; i < si_guc_max_workers; i++)
	{
		if (copies[i].slot.in_use && may_see(copies[i].slot.owner))
			put_worker((ReturnSetInfo *) fcinfo->resultinfo, &copies[i], now);
	}
	return (Datum) 0;
}

/* ---- partition_slots ---- */

typedef struct PartitionCopy
{
	int32		subscription;
	int32		partition;
	int			worker;
	Oid			owner;
	int64		low;			/* SI_OFFSET_UNKNOWN also if it is too old */
	int64		high;
	TimestampTz asked_at;
} PartitionCopy;

/* Watermarks as they can be believed: what is too old is not known. */
static void
copy_watermarks(SiPartitionSlot *slot, PartitionCopy *copy, TimestampTz now)
{
	copy->asked_at = (TimestampTz) pg_atomic_read_u64(&slot->asked_at);
	pg_read_barrier();
	copy->low = (int64) pg_atomic_read_u64(&slot->low);
	copy->high = (int64) pg_atomic_read_u64(&slot->high);
	if (!si_slots_watermarks_fresh(copy->asked_at, now))
		copy->low = copy->high = SI_OFFSET_UNKNOWN;
}

static int
copy_partitions(PartitionCopy *copy)
{
	TimestampTz now = GetCurrentTimestamp();
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
		copy[n].worker = si_slots_worker(slot->worker)->number;
		copy_watermarks(slot, &copy[n], now);
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
		Datum		values[6];
		bool		nulls[6] = {0};

		if (!may_see(copy[i].owner))
			continue;
		values[0] = Int32GetDatum(copy[i].subscription);
		values[1] = Int32GetDatum(copy[i].partition);
		values[2] = Int64GetDatum(copy[i].low);
		nulls[2] = (copy[i].low == SI_OFFSET_UNKNOWN);
		values[3] = Int64GetDatum(copy[i].high);
		nulls[3] = (copy[i].high == SI_OFFSET_UNKNOWN);
		put_time(values, nulls, 4, copy[i].asked_at);
		values[5] = Int32GetDatum(copy[i].worker);
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
