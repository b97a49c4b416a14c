/*-------------------------------------------------------------------------
 *
 * worker_apply.c
 *	  Building batches of what was fetched, applying them, and handling those
 *	  that fail.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_inherits.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "apply/new_columns.h"
#include "apply/retry.h"
#include "catalog/fixed_sql.h"
#include "catalog/transaction.h"
#include "process/worker_internal.h"
#include "shmem/lock_wait.h"

#define RETRY_MAX_MS		60000

/* So often a batch is tried again at once; then it is not mere contention. */
#define RETRIES_AT_ONCE		10

/* How long columns wait for a session that is changing the subscription. */
#define FENCED_MS			100

/* When orphans are looked at again after that has failed. */
#define ORPHANS_ERROR_MS	60000

/* Is this message to be skipped? */
static bool
is_skipped(SiWorker *worker, const SiMessage *message)
{
	const SiProgress *progress = &si_worker_find_partition(worker, message->partition)->progress;

	for (int i = 0; i < progress->nskips; i++)
	{
		if (progress->skips[i] == message->offset)
			return true;
	}
	return false;
}

/*
 * Messages of a batch of at most n, so that one to be skipped stands alone;
 * *skip tells whether it is that.
 */
static int
up_to_skip(SiWorker *worker, int n, bool *skip)
{
	for (int i = 0; worker->intake.skips > 0 && i < n; i++)
	{
		if (!is_skipped(worker, &worker->intake.entries[worker->intake.first + i].message))
			continue;
		*skip = (i == 0);
		return Max(i, 1);
	}
	return n;
}

/*
 * The size of the next batch: as many messages as its limits allow.  *skip: it is
 * one message, which a user wants skipped.
 */
static int
batch_messages(SiWorker *worker, bool *skip)
{
	int			n = worker->intake.n - worker->intake.first;
	int64		bytes = 0;

	*skip = false;
	n = Min(n, worker->intake.limit);
	n = Min(n, worker->rate.allowed);
	n = up_to_skip(worker, n, skip);
	if (worker->intake.bytes <= worker->options->batch_bytes)
		return n;
	for (int i = 0; i < n; i++)
	{
		bytes += worker->intake.entries[worker->intake.first + i].memory;
		if (bytes > worker->options->batch_bytes)
			return Max(i, 1);
	}
	return n;
}

/* Mark the partitions that a batch touches; all: it takes all that was fetched. */
static void
mark_partitions(SiWorker *worker, const SiBatch *batch, bool all)
{
	int			last = -1;

	for (int i = 0; i < worker->npartitions; i++)
		worker->partitions[i].in_batch = all && worker->partitions[i].end >= 0;
	for (int i = 0; i < batch->n; i++)
	{
		int32		partition = batch->entries[i].message.partition;

		if (partition != last)
			si_worker_find_partition(worker, partition)->in_batch = true;
		last = partition;
	}
}

/* A batch of the next n messages, with the rows of progress that it touches. */
static void
make_batch(SiWorker *worker, int n, SiBatch *batch)
{
	bool		all = (n == worker->intake.n - worker->intake.first);

	memset(batch, 0, sizeof(SiBatch));
	batch->entries = worker->intake.entries + worker->intake.first;
	batch->n = n;
	batch->nbehind = worker->intake.n - worker->intake.first - n;
	batch->consumer = worker->consumer;
	batch->progress = palloc(sizeof(SiProgress *) * worker->npartitions);
	batch->ends = palloc(sizeof(int64) * worker->npartitions);
	mark_partitions(worker, batch, all);
	for (int i = 0; i < worker->npartitions; i++)
	{
		SiPartition *partition = &worker->partitions[i];

		if (!partition->in_batch)
			continue;
		batch->progress[batch->npartitions] = &partition->progress;
		batch->ends[batch->npartitions] = all ? partition->end : -1;
		batch->npartitions++;
	}
}

/* Show what a batch did in status, and wake the sessions that wait for it. */
static void
report_batch(SiWorker *worker, int messages, instr_time duration)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->batch_messages = messages;
	si_slots_worker(si_worker_my_slot)->batch_ms = INSTR_TIME_GET_MILLISEC(duration);
	si_slots_worker(si_worker_my_slot)->direct = (worker->plan->writer->direct != NULL);
	si_slots_unlock();
	si_worker_update_rate(&worker->rate, messages);
	si_worker_show_offsets(worker);
	ConditionVariableBroadcast(si_slots_bell(MyDatabaseId, worker->subscription->id));

	/* the collector never learns of our rows otherwise, nor does autovacuum */
	pgstat_report_stat(false);
	worker->retry_ms = 0;
	worker->retries_at_once = 0;
}

/* ---- errors of a batch ---- */

typedef void (*batch_work) (SiWorker *worker, void *arg);

/*
 * Run a batch.  Returns NULL, or what it threw, in the scratch context, with
 * its transaction undone.
 */
static SiFailure *
try_batch(SiWorker *worker, batch_work work, void *arg)
{
	SiFailure  *volatile failure = NULL;

	Assert(CurrentMemoryContext == worker->scratch);

	/*
	 * nothing has happened then, and the messages are kept: they are tried
	 * again
	 */
	PG_TRY();
	{
		work(worker, arg);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(worker->scratch);
		failure = si_failure_from_error(CopyErrorData());
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(worker->scratch);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return failure;
}

/*
 * COMMIT refused the batch, or what it ran has changed the subscription: that
 * does not tell which message is at fault, so the batch is split into
 * transactions until that message stands alone.
 */
static void
split_batch(SiWorker *worker, const SiFailure *failure, int n)
{
	worker->intake.limit = Max(n / 2, 1);
	if (n > 1)
		return;
	if (worker->intake.refusal != NULL || !worker->plan->committing ||
		worker->options->on_error == SI_ON_ERROR_STOP)
	{
		si_worker_stop_at_message(worker, failure);
		return;
	}
	MemoryContextReset(worker->intake.refusal_context);
	worker->intake.refusal = si_failure_copy(failure, worker->intake.refusal_context);
}

/*
 * A batch of n messages was undone by an error that is no message's.  Its
 * messages are kept, and it is tried again: by halves if it is too large for
 * the server, at once if another transaction was in the way, else after a
 * while.  Of a temporary error the text is not shown: it may come from a user's
 * function and quote a payload.
 */
static void
retry_batch(SiWorker *worker, SiFailure *failure, int n)
{
	bool		plan = worker->plan->at_fault;
	char	   *text;

	failure->safe = plan;
	text = plan ? si_failure_words(failure) : si_failure_describe(failure, NULL, NULL);

	si_worker_set_error(failure->sqlerrcode, text);
	if (si_failure_of_resources(failure->sqlerrcode) && n > 1)
	{
		worker->intake.limit = n / 2;
		return;
	}
	si_worker_show_failure(worker, failure, text);
	if (si_failure_retry_at_once(failure->sqlerrcode) &&
		worker->retries_at_once++ < RETRIES_AT_ONCE)
	{
		si_worker_set_retry_at(0);
		si_worker_wait(worker, 10 + pg_prng_uint64_range(&pg_global_prng_state, 0, 100));
	}
	else
		si_worker_back_off(worker, RETRY_MAX_MS);
	si_worker_leave_if_changed(worker);
}

/*
 * A batch of n messages threw.  If it was a statement on our own tables, the
 * messages wait until that is repaired.  What it cannot have thrown by its
 * messages or by its plan either ends the worker.
 */
static void
handle_failure(SiWorker *worker, SiFailure *failure, int n)
{
	if (si_worker_show_own_failure(worker, failure))
	{
		si_worker_back_off(worker, RETRY_MAX_MS);
		si_worker_leave_if_changed(worker);
	}
	else if (si_failure_kind(failure->sqlerrcode) == SI_ERROR_TEMPORARY ||
			 worker->plan->at_fault)
		retry_batch(worker, failure, n);
	else if (worker->plan->committing && n > 0)
		split_batch(worker, failure, n);
	else
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("%s", si_failure_describe(failure, worker->subscription->topic, NULL))));
}

/* ---- orphans ---- */

/*
 * The work of si_worker_retry_orphans.  *arg (bool) tells whether a change of
 * the subscription goes first, and nothing has happened.
 */
static void
retry_orphans(SiWorker *worker, void *arg)
{
	bool	   *fenced = arg;
	MemoryContext caller = si_transaction_begin();
	TimestampTz soon = TimestampTzPlusMilliseconds(si_clock_now(), SI_RETRY_MIN_MS);

	*fenced = !si_retry_orphans(worker->subscription, worker->options);
	if (*fenced)
	{
		si_transaction_abort(caller);
		worker->next_orphans = soon;
		return;
	}
	worker->next_orphans =
		si_clock_from_wall(si_dead_letter_next_retry(worker->subscription->id));

	/* what is due still is locked by another session */
	if (worker->next_orphans != 0)
		worker->next_orphans = Max(worker->next_orphans, soon);
	si_transaction_commit(caller);
}

/*
 * The transaction is fenced like a batch.  If it fails, the stream does not wait
 * for the orphans: what is wrong, if anything is, will show with the next batch.
 */
void
si_worker_retry_orphans(SiWorker *worker)
{
	SiFailure  *failure;
	bool		fenced = false;

	if (worker->next_orphans == 0 || si_clock_now() < worker->next_orphans)
		return;
	failure = try_batch(worker, retry_orphans, &fenced);
	if (fenced)
		si_worker_leave_if_changed(worker);
	if (failure == NULL)
		return;
	worker->next_orphans = TimestampTzPlusMilliseconds(si_clock_now(),
													   ORPHANS_ERROR_MS);
	si_worker_set_error(failure->sqlerrcode,
						psprintf("dead letters could not be tried again: %s",
								 si_failure_describe(failure, worker->subscription->topic, NULL)));
}

/* ---- waiting for what a batch needs ---- */

/*
 * The fence refused the batch.  Wait for the session that is changing the
 * subscription, holding no other lock; if nothing has changed then, the batch is
 * tried again.
 */
static void
wait_for_change(SiWorker *worker, SiBatch *batch)
{
	MemoryContext caller = si_transaction_begin();
	bool		as_before;

	as_before = si_progress_lock(&worker->key, batch->progress, batch->npartitions, true);
	si_transaction_commit(caller);
	if (as_before)
		return;
	si_worker_leave_if_changed(worker);

	/* the epoch is ours: progress was moved by hand; start again, but slowly */
	si_worker_set_error(ERRCODE_T_R_SERIALIZATION_FAILURE, "progress was changed by another session");
	si_worker_leave(SI_SUCCESSOR_DELAYED);
}

/*
 * The batch meets a dead letter that another session is discarding or trying
 * again.  Wait for that session, holding no other lock.
 */
static void
wait_for_dead_letter(SiWorker *worker, const SiBatch *batch)
{
	MemoryContext caller = si_transaction_begin();

	si_dead_letter_await(worker->subscription->id, worker->subscription->topic, &batch->awaited);
	si_transaction_commit(caller);
	si_worker_leave_if_changed(worker);
}

/* The work of try_batch for columns that a schema asks for; *arg (bool): fenced. */
static void
add_columns(SiWorker *worker, void *arg)
{
	*(bool *) arg = si_new_columns_add(worker->plan, &worker->key) == SI_NEW_COLUMNS_FENCED;
}

/* The lock on the target or a partition that was not to be had, and who holds it. */
static char *
describe_target_lock(SiWorker *worker)
{
	MemoryContext caller = si_transaction_begin();
	Oid			target = worker->subscription->target;
	char	   *words = NULL;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(target, NoLock, NULL))
	{
		words = si_lock_wait_holders(lfirst_oid(lc), AccessExclusiveLock);
		if (words != NULL)
			break;
	}
	words = MemoryContextStrdup(caller, words ? words : "another session had locked it");
	si_transaction_commit(caller);
	return words;
}

/*
 * Add the columns that the schema of the next message asks for.  While the target is
 * locked the messages are kept, and others can use it between two tries.
 */
static void
give_columns(SiWorker *worker, SiBatch *batch)
{
	bool		fenced = false;
	SiFailure  *failure;

	pgstat_report_activity(STATE_RUNNING, "adding columns for a new schema");
	failure = try_batch(worker, add_columns, &fenced);
	if (failure == NULL && !fenced)
		return;
	if (fenced)
	{
		wait_for_change(worker, batch);

		/* who has locked the subscription need not have locked progress */
		si_worker_wait(worker, FENCED_MS);
	}
	else if (failure->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
			 si_fixed_sql_take_failure() == SI_FIXED_SQL_DID_NOT_FAIL)
	{
		char	   *reason = si_reason(SI_REASON_COLUMNS_LOCK, describe_target_lock(worker));

		si_worker_set_error(failure->sqlerrcode, reason);
		si_worker_set_state(worker, SI_STATE_RETRYING, reason);
		si_worker_back_off(worker, RETRY_MAX_MS);
		si_worker_leave_if_changed(worker);
	}
	else
		handle_failure(worker, failure, batch->n);
}

/* The failure of a batch whose statements change its own subscription. */
static SiFailure changed_itself = {
	.sqlerrcode = ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
	.message = "a trigger, function or statement that the batch runs changes the batch's own subscription",
	.safe = true
};

/* The work of try_batch for messages. */
static void
apply_batch(SiWorker *worker, void *arg)
{
	si_apply_batch(worker->plan, &worker->key, arg);
}

/*
 * Messages have been dealt with, and that is committed.  A limit that was
 * lowered grows again: what was too large may be so still.
 */
static void
finish_batch(SiWorker *worker, const SiBatch *batch, instr_time duration)
{
	for (int i = 0; i < batch->npartitions && batch->done == batch->n; i++)
	{
		if (batch->ends[i] >= 0)
			si_worker_find_partition(worker, batch->progress[i]->partition)->end = -1;
	}
	si_publisher_progressed(&worker->publisher, XactLastCommitEnd);
	worker->rate.tokens -= batch->done;
	report_batch(worker, batch->done, duration);
	si_worker_check_limits(worker, batch);
	si_worker_release(worker, batch->done);
	worker->intake.limit = Min(worker->intake.limit + worker->intake.limit / 2 + 1, worker->options->batch_size);
	worker->intake.refusal = NULL;
	if (batch->end == SI_BATCH_STOPPED)
		si_worker_stop_at_message(worker, batch->entries[batch->done].failure);
}

/* What the partitions have come to after a batch of n messages. */
static void
show_state(SiWorker *worker, int n)
{
	if (worker->contact.failing)
		return;

	/* a worker at the end is behind again only if a whole batch was waiting */
	if (si_worker_all_at_end(worker))
		si_worker_set_state(worker, SI_STATE_STREAMING, NULL);
	else if (n >= worker->options->batch_size || !worker->streaming)
		si_worker_set_state(worker, SI_STATE_CATCHING_UP, NULL);
}

/*
 * Say which messages the batch has: the server logs this if the batch crashes it,
 * and then nothing else tells.
 */
static void
report_activity(const SiBatch *batch)
{
	const SiMessage *first = &batch->entries[0].message;
	char		activity[128];

	if (batch->n == 0)
	{
		pgstat_report_activity(STATE_RUNNING, "applying a batch");
		return;
	}
	snprintf(activity, sizeof(activity),
			 "applying a batch of %d messages, the first at partition %d, offset %lld",
			 batch->n, first->partition, (long long) first->offset);
	pgstat_report_activity(STATE_RUNNING, activity);
}

void
si_worker_apply(SiWorker *worker)
{
	bool		skip;
	int			n = batch_messages(worker, &skip);
	SiBatch		batch;
	SiFailure  *failure;
	instr_time	start,
				duration;

	Assert(CurrentMemoryContext == worker->scratch);
	if (n > 0 && !skip)
	{
		n = si_worker_with_schemas(worker, n);
		if (n == 0)
			return;
	}
	make_batch(worker, n, &batch);
	batch.refusal = skip ? &si_failure_skipped : worker->intake.refusal;
	batch.skip = skip;
	report_activity(&batch);
	INSTR_TIME_SET_CURRENT(start);
	failure = try_batch(worker, apply_batch, &batch);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	if (failure != NULL)
		handle_failure(worker, failure, n);
	else if (batch.end == SI_BATCH_FENCED)
		wait_for_change(worker, &batch);
	else if (batch.end == SI_BATCH_AT_DEAD_LETTER)
		wait_for_dead_letter(worker, &batch);
	else if (batch.end == SI_BATCH_LACKS_COLUMNS)
		give_columns(worker, &batch);
	else if (batch.end == SI_BATCH_CHANGED_ITSELF)
		split_batch(worker, &changed_itself, n);
	else
	{
		finish_batch(worker, &batch, duration);
		show_state(worker, n);
	}
}

bool
si_worker_batch_due(SiWorker *worker, bool drained, long *wait_ms)
{
	int			n = worker->intake.n - worker->intake.first;
	bool		full = !drained || n >= worker->intake.limit;
	long		age;

	*wait_ms = -1;
	if (n == 0)
	{
		for (int i = 0; i < worker->npartitions; i++)
		{
			if (worker->partitions[i].end > worker->partitions[i].progress.next_offset)
				return true;
		}
		return false;
	}
	worker->rate.allowed = si_worker_allowed_messages(&worker->rate, worker->options->rate_limit,
													  worker->team);
	if (worker->rate.allowed == 0)
	{
		*wait_ms = 1 + 1000L * worker->team / worker->options->rate_limit;
		return false;
	}
	if (full || worker->options->batch_interval == 0 || si_worker_has_read_run(worker))
		return true;
	age = TimestampDifferenceMilliseconds(worker->intake.oldest, si_clock_now());
	*wait_ms = worker->options->batch_interval - age;
	return *wait_ms <= 0;
}
