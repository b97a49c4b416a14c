/*-------------------------------------------------------------------------
 *
 * functions_wait.c
 *	  The SQL functions that wait until a subscription has come somewhere.
 *
 * Workers ring a bell when they have made progress (slots.h).  A look that is
 * not there yet sleeps until then, or for a short while for what else may
 * happen.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "common/clock.h"
#include "functions/arguments.h"

PG_FUNCTION_INFO_V1(si_sql_wait_until_caught_up);
PG_FUNCTION_INFO_V1(si_sql_wait_for_offset);

/*
 * Looks at the progress while waiting this often.  Workers ring a bell when
 * they have made some, so the latter is for what else may happen.
 */
#define ENDS_POLL_MS	10
#define OFFSET_POLL_MS	100

/* What wait_until_caught_up waits for: a partition's end. */
typedef struct End
{
	int32		partition;
	int64		offset;			/* SI_OFFSET_UNKNOWN until it was told */
} End;

/* Ask the workers of a subscription for fresh watermarks. */
static void
request_watermarks(int32 id)
{
	si_slots_lock(LW_EXCLUSIVE);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (!worker->in_use || worker->pid == 0 || worker->subscription != id ||
			worker->database != MyDatabaseId)
			continue;
		worker->refresh_watermarks = true;
		si_slots_wake(worker->pid);
	}
	si_slots_unlock();
}

/* Take what was told since then; false while an end is not known. */
static bool
take_ends(int32 id, TimestampTz since, End *ends, int n)
{
	bool		complete = true;

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < n; i++)
	{
		SiPartitionSlot *slot;
		SiWatermarks watermarks;

		if (ends[i].offset != SI_OFFSET_UNKNOWN)
			continue;
		slot = si_slots_find_partition(MyDatabaseId, id, ends[i].partition);
		if (slot != NULL)
		{
			watermarks = si_slots_watermarks(slot);
			if (watermarks.asked_at >= since)
				ends[i].offset = watermarks.high;
		}
		if (ends[i].offset == SI_OFFSET_UNKNOWN)
			complete = false;
	}
	si_slots_unlock();
	return complete;
}

/* Have all rows passed the ends, with no seek to be carried out? */
static bool
passed_ends(const SiProgress *rows, int nrows, const End *ends)
{
	for (int i = 0; i < nrows; i++)
	{
		if (si_progress_pending(&rows[i]) || rows[i].next_offset < ends[i].offset)
			return false;
	}
	return true;
}

/* The rows of the partitions that the subscription takes. */
static SiProgress *
load_taken(const SiSubscription *s, int *n)
{
	SiOptions  *options = si_options_parse(s->options_text);
	SiProgress *rows;
	int			nrows;

	rows = si_progress_load(s->id, s->topic, &nrows);
	*n = 0;
	for (int i = 0; i < nrows; i++)
	{
		if (si_options_takes(options, rows[i].partition))
			rows[(*n)++] = rows[i];
	}
	return rows;
}

/* A subscription that has finished goes nowhere: there is no point in waiting. */
static bool
has_finished(const SiSubscription *s)
{
	return s->stop_state != NULL &&
		strcmp(s->stop_state, si_slots_state_name(SI_STATE_FINISHED)) == 0;
}

/*
 * Did a run that has finished end where the partitions ended, asked for after
 * the call?  A short run is over before the worker publishes where they end.
 */
static bool
finished_at_ends(const SiSubscription *s, TimestampTz since)
{
	SiOptions  *options = si_options_parse(s->options_text);

	return s->run_since >= since && options->nstops == 1 && options->stops[0].partition < 0;
}

/*
 * Begin to listen for progress before looking for it: what comes in between is
 * not missed.  What is not there has a bell, too; the look then says so.
 */
static ConditionVariable *
listen_for_progress(const char *name)
{
	SiSubscription *s = si_catalog_find(name, false);
	ConditionVariable *bell = si_slots_bell(MyDatabaseId, s ? s->id : 0);

	ConditionVariablePrepareToSleep(bell);
	return bell;
}

/* The subscription as it is now; it may be dropped while we wait. */
static SiSubscription *
find_subscription(const char *name)
{
	SiSubscription *s = si_catalog_find(name, false);

	if (s == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", name)));
	return s;
}

/*
 * One look: has the subscription, as it is now, reached the ends of all its
 * partitions as they were at the call?  ends is made, in that context, once
 * there are partitions.  *over: what is not reached now never will be.
 */
static bool
caught_up(const char *name, TimestampTz since, End **ends, int *nends, MemoryContext context,
		  bool *over)
{
	SiSubscription *s = find_subscription(name);
	SiProgress *rows;
	int			n;

	*over = has_finished(s);
	if (*over && finished_at_ends(s, since))
		return true;
	if (s->first_partitions < 0)
		return false;
	rows = load_taken(s, &n);
	if (*ends == NULL || n != *nends)
	{
		*ends = MemoryContextAlloc(context, sizeof(End) * Max(n, 1));
		*nends = n;
		for (int i = 0; i < n; i++)
		{
			(*ends)[i].partition = rows[i].partition;
			(*ends)[i].offset = SI_OFFSET_UNKNOWN;
		}
		request_watermarks(s->id);
	}
	return take_ends(s->id, since, *ends, n) && passed_ends(rows, n, *ends);
}

/* Whose progress it is decides who may wait for it. */
static void
require_wait_rights(const char *name)
{
	SiSubscription *s = si_catalog_find(name, false);

	if (s != NULL && !has_privs_of_role(GetUserId(), s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of subscription \"%s\"", name)));
}

static TimestampTz
end_of_wait(TimestampTz start, Datum timeout)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(start), timeout));
}

/* Until the next look, and no longer than until the end. */
static long
ms_to_wait(TimestampTz until, long most)
{
	long		left = TimestampDifferenceMilliseconds(si_clock_now(), until);

	return Min(Max(left, 1), most);
}

Datum
si_sql_wait_until_caught_up(PG_FUNCTION_ARGS)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz until;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	ConditionVariable *bell;
	End		   *ends = NULL;
	int			nends = 0;
	bool		reached,
				over;

	si_slots_require();
	si_arguments_require(fcinfo, 0, "name");
	si_arguments_require(fcinfo, 1, "timeout");
	require_wait_rights(NameStr(*PG_GETARG_NAME(0)));
	until = end_of_wait(si_clock_now(), PG_GETARG_DATUM(1));

	scratch = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest wait",
									ALLOCSET_DEFAULT_SIZES);
	bell = listen_for_progress(NameStr(*PG_GETARG_NAME(0)));
	for (;;)
	{
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		reached = caught_up(NameStr(*PG_GETARG_NAME(0)), start, &ends, &nends, caller,
							&over);
		MemoryContextSwitchTo(caller);
		if (reached || over || si_clock_now() >= until)
			break;
		(void) ConditionVariableTimedSleep(bell, ms_to_wait(until, ENDS_POLL_MS),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	MemoryContextDelete(scratch);
	PG_RETURN_BOOL(reached);
}

/*
 * One look: is the message at an offset dealt with?  Not while a seek of the
 * partition has still to be carried out.  *over as in caught_up.
 */
static bool
offset_done(const char *name, int32 partition, int64 offset, bool *over)
{
	SiSubscription *s = find_subscription(name);
	SiProgress *rows;
	int			n;

	*over = has_finished(s);
	rows = si_progress_load(s->id, s->topic, &n);
	for (int i = 0; i < n; i++)
	{
		if (rows[i].partition == partition)
			return !si_progress_pending(&rows[i]) && rows[i].next_offset > offset;
	}
	return false;
}

Datum
si_sql_wait_for_offset(PG_FUNCTION_ARGS)
{
	TimestampTz until;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	ConditionVariable *bell;
	bool		done,
				over;

	si_slots_require();
	si_arguments_require(fcinfo, 0, "name");
	si_arguments_require(fcinfo, 1, "partition");
	si_arguments_require(fcinfo, 2, "message_offset");
	si_arguments_require(fcinfo, 3, "timeout");
	require_wait_rights(NameStr(*PG_GETARG_NAME(0)));
	until = end_of_wait(si_clock_now(), PG_GETARG_DATUM(3));
	scratch = AllocSetContextCreate(caller, "stream_ingest wait", ALLOCSET_DEFAULT_SIZES);
	bell = listen_for_progress(NameStr(*PG_GETARG_NAME(0)));
	for (;;)
	{
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		done = offset_done(NameStr(*PG_GETARG_NAME(0)), PG_GETARG_INT32(1), PG_GETARG_INT64(2),
						   &over);
		MemoryContextSwitchTo(caller);
		if (done || over || si_clock_now() >= until)
			break;
		(void) ConditionVariableTimedSleep(bell, ms_to_wait(until, OFFSET_POLL_MS),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	MemoryContextDelete(scratch);
	PG_RETURN_BOOL(done);
}
