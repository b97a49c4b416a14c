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

#include "apply/remote.h"
#include "common/clock.h"
#include "kafka/consumer.h"
#include "options/options.h"
#include "shmem/lock_wait.h"
#include "shmem/slots.h"

PG_FUNCTION_INFO_V1(si_sql_worker_slots);
PG_FUNCTION_INFO_V1(si_sql_partition_slots);
PG_FUNCTION_INFO_V1(si_sql_write_path);
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

/* How far the partitions of a worker are behind, all together. */
typedef struct Lag
{
	int			watched;		/* partitions with a place for watermarks */
	int			unknown;		/* of these, without fresh ones */
	TimestampTz asked_at;		/* the oldest answer of those; 0: none */
	int64		offsets;		/* of the others */
} Lag;

/* What is shown of a worker. */
typedef struct WorkerCopy
{
	SiWorkerSlot slot;
	Lag			lag;
} WorkerCopy;

/* A growing array of them, made under the lock. */
typedef struct WorkerCopies
{
	WorkerCopy *copies;
	int			n;
	int			size;
} WorkerCopies;

static WorkerCopy *
add_copy(WorkerCopies *copies)
{
	if (copies->n == copies->size)
	{
		copies->size *= 2;
		copies->copies = repalloc(copies->copies, sizeof(WorkerCopy) * copies->size);
	}
	return &copies->copies[copies->n++];
}

/*
 * Of a subscription that has some of its workers, those that it lacks: the
 * others take their partitions.  One that has none is subscription_slot's.
 */
static void
add_lacking_workers(WorkerCopies *copies, const SiSubscriptionSlot *subscription)
{
	int			placed = 0;

	for (int i = 0; i < subscription->workers; i++)
	{
		if (si_slots_find_worker(MyDatabaseId, subscription->id, i) != NULL)
			placed++;
	}
	if (placed == 0 || placed == subscription->workers)
		return;
	for (int i = 0; i < subscription->workers; i++)
	{
		WorkerCopy *copy;

		if (si_slots_find_worker(MyDatabaseId, subscription->id, i) != NULL)
			continue;
		copy = add_copy(copies);
		memset(copy, 0, sizeof(WorkerCopy));
		copy->slot.subscription = subscription->id;
		copy->slot.number = i;
		copy->slot.owner = subscription->owner;
		copy->slot.state = SI_STATE_STARTING;
		copy->slot.since = subscription->since;
		strlcpy(copy->slot.reason, subscription->reason, SI_REASON_LEN);
	}
}

static void
add_lags(Lag *lags, TimestampTz now)
{
	for (int i = 0; i < si_guc_max_partitions; i++)
	{
		SiPartitionSlot *slot = si_slots_partition(i);
		Lag		   *lag = &lags[slot->worker];
		SiWatermarks watermarks;
		int64		end;

		if (!slot->in_use || slot->database != MyDatabaseId)
			continue;
		lag->watched++;
		watermarks = si_slots_watermarks(slot);
		if (!si_slots_watermarks_fresh(watermarks.asked_at, now))
		{
			if (lag->unknown++ == 0 || watermarks.asked_at < lag->asked_at)
				lag->asked_at = watermarks.asked_at;
			continue;
		}
		end = Min(watermarks.high, (int64) pg_atomic_read_u64(&slot->stop_offset));
		lag->offsets += Max(end - (int64) pg_atomic_read_u64(&slot->next_offset), 0);
	}
}

static void
copy_workers(WorkerCopies *copies, TimestampTz now)
{
	Lag		   *lags = palloc0(sizeof(Lag) * si_guc_max_workers);

	copies->n = 0;
	copies->size = si_guc_max_workers;
	copies->copies = palloc(sizeof(WorkerCopy) * copies->size);
	si_slots_lock(LW_SHARED);
	add_lags(lags, now);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);
		WorkerCopy *copy;

		if (!worker->in_use || worker->database != MyDatabaseId)
			continue;
		copy = add_copy(copies);
		copy->slot = *worker;
		copy->lag = lags[i];
	}
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *subscription = si_slots_subscription(i);

		if (subscription->in_use && subscription->database == MyDatabaseId &&
			subscription->workers > 1)
			add_lacking_workers(copies, subscription);
	}
	si_slots_unlock();
}

/* What a worker that waits for a lock has told is not true any more. */
static double
current_rate(const SiWorkerSlot *worker)
{
	int			patience = RATE_AGE_MS + (int) Min(2 * worker->batch_ms, INT_MAX / 2);

	if (TimestampDifferenceExceeds(worker->rate_at, si_clock_now(), patience))
		return 0;
	return worker->messages_per_second;
}

/*
 * Why the lag of a worker that is otherwise well is not known; NULL if it is.
 * Of one that has just begun, the brokers may be about to answer.
 */
static char *
describe_unknown_lag(const WorkerCopy *copy, TimestampTz now)
{
	const SiWorkerSlot *worker = &copy->slot;
	TimestampTz since = copy->lag.asked_at != 0 ? copy->lag.asked_at
		: si_clock_to_wall(worker->started_at);

	if (worker->pid == 0 || (worker->state != SI_STATE_CATCHING_UP &&
							 worker->state != SI_STATE_STREAMING))
		return NULL;
	if (copy->lag.unknown > 0 && !si_slots_watermarks_fresh(since, now))
		return si_reason(SI_REASON_NO_ANSWER, copy->lag.unknown, worker->partitions,
						 TimestampDifferenceMilliseconds(since, now) / 1000);
	if (copy->lag.watched < worker->partitions)
		return si_reason(SI_REASON_NO_WATERMARKS, worker->partitions - copy->lag.watched,
						 worker->partitions, si_guc_max_partitions);
	return NULL;
}

/*
 * Why a worker does what it does.  While it waits for a lock it cannot say so:
 * that is found out here.
 */
static void
put_worker_reason(Datum *values, bool *nulls, int i, const WorkerCopy *copy, TimestampTz now)
{
	const SiWorkerSlot *worker = &copy->slot;
	char	   *wait = worker->pid != 0 ? si_lock_wait_describe(worker->pid) : NULL;
	char	   *unknown = describe_unknown_lag(copy, now);
	const char *reason = wait ? wait : worker->reason;

	if (unknown != NULL)
		reason = reason[0] != '\0' ? psprintf("%s; %s", reason, unknown) : unknown;
	put_text(values, nulls, i, reason);
}

static void
put_worker(ReturnSetInfo *rsinfo, const WorkerCopy *copy, TimestampTz now)
{
	const SiWorkerSlot *worker = &copy->slot;
	Datum		values[17] = {0};
	bool		nulls[17] = {0};

	values[0] = Int32GetDatum(worker->subscription);
	values[1] = Int32GetDatum(worker->number);
	values[2] = Int32GetDatum(worker->pid);
	nulls[2] = (worker->pid == 0);
	values[3] = CStringGetTextDatum(si_slots_state_name(worker->state));
	put_worker_reason(values, nulls, 4, copy, now);
	put_time(values, nulls, 5, worker->since);
	values[6] = Int32GetDatum(worker->partitions);
	values[7] = Float8GetDatum(current_rate(worker));
	values[8] = Int64GetDatum(worker->batch_messages);
	values[9] = Float8GetDatum(worker->batch_ms);
	put_text(values, nulls, 10, worker->last_error);
	nulls[11] = (worker->last_error_at == 0);
	if (!nulls[11])
		values[11] = CStringGetTextDatum(unpack_sql_state(worker->last_error_sqlstate));
	put_time(values, nulls, 12, worker->last_error_at);
	values[13] = Int64GetDatum(worker->retries);
	put_time(values, nulls, 14, si_clock_to_wall(worker->retry_at));
	values[15] = Int64GetDatum(worker->epoch);
	nulls[15] = (worker->epoch == 0);
	values[16] = Int64GetDatum(copy->lag.offsets);
	nulls[16] = (copy->lag.unknown > 0 || copy->lag.watched < worker->partitions ||
				 worker->partitions == 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
si_sql_worker_slots(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	WorkerCopies all;

	InitMaterializedSRF(fcinfo, 0);
	if (si_shared == NULL)
		return (Datum) 0;

	/* look at the slots under the lock, and make tuples without it */
	copy_workers(&all, now);
	for (int i = 0; i < all.n; i++)
	{
		if (may_see(all.copies[i].slot.owner))
			put_worker((ReturnSetInfo *) fcinfo->resultinfo, &all.copies[i], now);
	}
	return (Datum) 0;
}

Datum
si_sql_write_path(PG_FUNCTION_ARGS)
{
	const SiWorkerSlot *worker = NULL;
	bool		direct = false;
	Oid			owner = InvalidOid;

	if (si_shared == NULL)
		PG_RETURN_NULL();
	si_slots_lock(LW_SHARED);
	worker = si_slots_find_worker(MyDatabaseId, PG_GETARG_INT32(0), PG_GETARG_INT32(1));
	if (worker != NULL)
	{
		direct = worker->direct;
		owner = worker->owner;
	}
	si_slots_unlock();
	if (worker == NULL || !may_see(owner))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(direct ? "direct" : "statement"));
}

/* ---- partition_slots ---- */

typedef struct PartitionCopy
{
	int32		subscription;
	int32		partition;
	Oid			owner;
	int64		low;			/* SI_OFFSET_UNKNOWN also if it is too old */
	int64		high;
	TimestampTz asked_at;
} PartitionCopy;

/* Watermarks as they can be believed: what is too old is not known. */
static void
copy_watermarks(SiPartitionSlot *slot, PartitionCopy *copy, TimestampTz now)
{
	SiWatermarks watermarks = si_slots_watermarks(slot);
	bool		fresh = si_slots_watermarks_fresh(watermarks.asked_at, now);

	copy->asked_at = watermarks.asked_at;
	copy->low = fresh ? watermarks.low : SI_OFFSET_UNKNOWN;
	copy->high = fresh ? watermarks.high : SI_OFFSET_UNKNOWN;
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

/* A subscription's state as far as others than its workers can tell. */
typedef struct Finding
{
	SiState		state;
	const char *reason;
	TimestampTz since;			/* 0: not known */
	TimestampTz retry_at;		/* 0: it is not checked again automatically */
} Finding;

/* Are all places for subscriptions taken?  Any lock mode. */
static bool
subscriptions_are_full(void)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		if (!si_slots_subscription(i)->in_use)
			return false;
	}
	return true;
}

/* A scan is asked for no more often than so. */
#define SCAN_AGE_MS		2000

/* What keeps a subscription from being known to the launcher as it is now. */
typedef struct Obstacles
{
	bool		launcher;		/* it runs */
	bool		no_process;		/* no scanner can start */
	bool		full;			/* all slots are taken */
	bool		overlooked;		/* the last scan, which is not young, did not
								 * see it */
	bool		lacking;		/* the last scan found too few for some */
	char		scan_error[SI_SCAN_ERROR_LEN];	/* what ended the last one */
} Obstacles;

/* Lock held; known: the subscription has a slot. */
static void
find_obstacles(Obstacles *obstacles, bool known)
{
	const SiDatabaseSlot *database = si_slots_find_database(MyDatabaseId, false);

	memset(obstacles, 0, sizeof(Obstacles));
	obstacles->launcher = (si_shared->launcher_pid != 0);
	obstacles->no_process = si_shared->no_worker_slot;
	obstacles->full = !known && subscriptions_are_full();
	obstacles->overlooked = !known;
	if (database == NULL)
		return;
	obstacles->lacking = !known && database->lacking > 0 &&
		database->requested == database->scanned;
	obstacles->overlooked = !known && database->lacking == 0 &&
		database->requested == database->scanned &&
		TimestampDifferenceExceeds(database->scanned_at, GetCurrentTimestamp(), SCAN_AGE_MS);
	strlcpy(obstacles->scan_error, database->scan_error, SI_SCAN_ERROR_LEN);
}

static char *
why_not_noticed(const Obstacles *obstacles)
{
	if (!obstacles->launcher)
		return si_reason(SI_REASON_NO_LAUNCHER);
	if (obstacles->no_process)
		return si_reason(SI_REASON_NO_PROCESS);
	if (obstacles->scan_error[0] != '\0')
		return si_reason(SI_REASON_NOT_SCANNED, obstacles->scan_error);
	if (obstacles->full)
		return si_reason(SI_REASON_TOO_MANY, si_guc_max_subscriptions);
	if (obstacles->lacking)
		return si_reason(SI_REASON_ROLE_HAS_TOO_MANY, si_slots_role_limit());
	return si_reason(SI_REASON_NOT_NOTICED);
}

/* What shared memory has of a subscription that has no worker. */
static void
look_up(Finding *finding, int32 id, int64 epoch, bool enabled)
{
	SiSubscriptionSlot *slot;
	SiSubscriptionSlot copy;
	Obstacles	obstacles;

	si_slots_lock(LW_SHARED);
	slot = si_slots_find_subscription(MyDatabaseId, id);
	if (slot != NULL)
		copy = *slot;
	find_obstacles(&obstacles, slot != NULL);
	si_slots_unlock();

	/* as when the table was filled by pg_restore, after its last scan */
	if (enabled && obstacles.overlooked)
		si_slots_request_scan(MyDatabaseId);
	if (slot != NULL && !may_see(copy.owner))
		slot = NULL;

	finding->state = SI_STATE_STARTING;
	finding->since = (slot != NULL) ? copy.since : 0;
	if (slot == NULL || copy.epoch < epoch)
	{
		finding->reason = why_not_noticed(&obstacles);
		return;
	}
	finding->state = copy.state;
	finding->retry_at = si_clock_to_wall(copy.recheck_at);
	finding->reason = copy.reason[0] ? pstrdup(copy.reason)
		: si_reason_fixed(obstacles.launcher ? SI_REASON_NO_WORKER_YET : SI_REASON_NO_LAUNCHER);
}

static void
examine(Finding *finding, int32 id, int64 epoch, bool enabled)
{
	if (!enabled)
	{
		if (si_shared != NULL)
			look_up(finding, id, epoch, false);
		finding->state = SI_STATE_DISABLED;
		finding->reason = si_reason_fixed(SI_REASON_DISABLED);
		finding->retry_at = 0;
		return;
	}

	/* nothing will start it where nothing runs */
	finding->state = SI_STATE_STOPPED;
	if (si_shared == NULL)
		finding->reason = si_reason_fixed(SI_REASON_NOT_PRELOADED);
	else if (RecoveryInProgress())
		finding->reason = si_reason_fixed(SI_REASON_STANDBY);
	else if (!si_guc_enabled)
		finding->reason = si_reason_fixed(SI_REASON_OFF);
	else
		look_up(finding, id, epoch, true);
}

Datum
si_sql_subscription_slot(PG_FUNCTION_ARGS)
{
	Finding		finding = {SI_STATE_STOPPED};
	TupleDesc	desc;
	Datum		values[4] = {0};
	bool		nulls[4] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	examine(&finding, PG_GETARG_INT32(0), PG_GETARG_INT64(1), PG_GETARG_BOOL(2));
	values[0] = CStringGetTextDatum(si_slots_state_name(finding.state));
	values[1] = CStringGetTextDatum(finding.reason);
	put_time(values, nulls, 2, finding.since);
	put_time(values, nulls, 3, finding.retry_at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
si_sql_effective_options(PG_FUNCTION_ARGS)
{
	Jsonb	   *stored = PG_GETARG_JSONB_P(0);
	char	   *why;
	SiOptions  *options = si_options_parse_stored(JsonbToCString(NULL, &stored->root,
																 VARSIZE(stored)), &why);

	/* status says what is wrong with them; the view shows the others' */
	if (options == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in,
										CStringGetDatum(si_options_effective(options))));
}

Datum
si_sql_is_remote(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(si_target_is_remote(PG_GETARG_OID(0)));
}
