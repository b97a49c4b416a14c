/*-------------------------------------------------------------------------
 *
 * worker_apply.c
 *	  What a worker makes a batch of, and applies; and what becomes of a batch
 *	  that fails.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "apply/retry.h"
#include "catalog/transaction.h"
#include "process/worker_internal.h"

#define RETRY_MAX_MS		60000

/* So often a batch is tried again at once; then it is not mere contention. */
#define RETRIES_AT_ONCE		10

/* When orphans are looked at again after that has failed. */
#define ORPHANS_ERROR_MS	60000

/*
 * How many messages rate_limit allows now: each worker has its share, and what
 * it does not use within a second is lost.
 */
static int
allowed_messages(SiWorker *worker)
{
	double		share = (double) worker->options->rate_limit / worker->team;
	TimestampTz now = GetCurrentTimestamp();

	if (worker->options->rate_limit == 0)
		return INT_MAX;
	worker->tokens += share * (now - worker->tokens_at) / USECS_PER_SEC;
	worker->tokens = Min(worker->tokens, Max(share, 1));
	worker->tokens_at = now;
	return Max((int) worker->tokens, 0);
}

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
	for (int i = 0; worker->skips > 0 && i < n; i++)
	{
		if (!is_skipped(worker, &worker->messages[worker->first + i]))
			continue;
		*skip = (i == 0);
		return Max(i, 1);
	}
	return n;
}

/*
 * Messages of the next batch: as many as its limits allow.  *skip: it is one
 * that somebody wants skipped.
 */
int
si_worker_batch_messages(SiWorker *worker, bool *skip)
{
	int			n = worker->nitems - worker->first;
	int64		bytes = 0;

	*skip = false;
	n = Min(n, worker->limit);
	n = Min(n, worker->allowed);
	n = up_to_skip(worker, n, skip);
	if (worker->bytes <= worker->options->batch_bytes)
		return n;
	for (int i = 0; i < n; i++)
	{
		const SiMessage *message = &worker->messages[worker->first + i];

		bytes += message->key_len + message->value_len;
		if (bytes > worker->options->batch_bytes)
			return Max(i, 1);
	}
	return n;
}

/* The rows of progress that a batch of n messages touches. */
static void
make_request(SiWorker *worker, int n, SiBatchRequest *request)
{
	bool		all = (n == worker->nitems - worker->first);
	int			last = -1;

	request->consumer = worker->consumer;
	request->messages = worker->messages + worker->first;
	request->nmessages = n;
	request->rows = palloc(sizeof(SiProgress *) * worker->npartitions);
	request->ends = palloc(sizeof(int64) * worker->npartitions);
	request->nrows = 0;

	for (int i = 0; i < worker->npartitions; i++)
		worker->partitions[i].in_batch = all && worker->partitions[i].end >= 0;
	for (int i = 0; i < n; i++)
	{
		if (request->messages[i].partition != last)
			si_worker_find_partition(worker, request->messages[i].partition)->in_batch = true;
		last = request->messages[i].partition;
	}
	for (int i = 0; i < worker->npartitions; i++)
	{
		SiPartition *partition = &worker->partitions[i];

		if (!partition->in_batch)
			continue;
		request->rows[request->nrows] = &partition->progress;
		request->ends[request->nrows] = all ? partition->end : -1;
		request->nrows++;
	}
}

/* Let go of the first n messages in hand. */
static void
release_messages(SiWorker *worker, int n)
{
	for (int i = worker->first; i < worker->first + n; i++)
		worker->bytes -= worker->messages[i].key_len + worker->messages[i].value_len;
	si_consumer_release(worker->consumer, worker->items + worker->first, n);
	worker->first += n;
	if (worker->first == worker->nitems)
		worker->first = worker->nitems = 0;
}

/* The messages per second of the last second or more. */
void
si_worker_update_rate(SiWorker *worker, int64 messages)
{
	TimestampTz now = GetCurrentTimestamp();
	long		ms = TimestampDifferenceMilliseconds(worker->rate_since, now);

	worker->rate_messages += messages;
	if (ms < 1000)
		return;
	worker->rate = worker->rate_messages * 1000.0 / ms;
	worker->rate_messages = 0;
	worker->rate_since = now;
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->messages_per_second = worker->rate;
	si_slots_worker(si_worker_my_slot)->rate_at = now;
	si_slots_unlock();
}

/* Has all been read that this run is to read, in all our partitions? */
static bool
has_read_run(const SiWorker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!si_worker_has_read_all(&worker->partitions[i]))
			return false;
	}
	return true;
}

bool
si_worker_all_at_end(const SiWorker *worker)
{
	if (worker->first < worker->nitems)
		return false;
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!worker->partitions[i].at_end)
			return false;
	}
	return true;
}

/* How far we are, for the views to tell how long it will take. */
static void
show_offsets(SiWorker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		const SiPartition *partition = &worker->partitions[i];

		if (partition->in_batch && partition->shown_offset != NULL)
			pg_atomic_write_u64(partition->shown_offset, partition->progress.next_offset);
	}
}

/* What went on after a batch. */
static void
report_batch(SiWorker *worker, int messages, instr_time duration)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->batch_messages = messages;
	si_slots_worker(si_worker_my_slot)->batch_ms = INSTR_TIME_GET_MILLISEC(duration);
	si_slots_unlock();
	si_worker_update_rate(worker, messages);
	show_offsets(worker);
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

	/* nothing has happened then, and the messages are still here: try again */
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
 * COMMIT refused the batch, or what it ran has changed the subscription: no
 * message could be told by that, so the batch is split into transactions until
 * the message at fault stands alone.
 */
static void
split_batch(SiWorker *worker, const SiFailure *failure, int n)
{
	worker->limit = Max(n / 2, 1);
	if (n > 1)
		return;
	if (worker->refusal != NULL || !si_ingest_commit_failed(worker->ingest) ||
		worker->options->on_error == SI_ON_ERROR_STOP)
	{
		si_worker_stop_at_message(worker, failure);
		return;
	}
	MemoryContextReset(worker->refusal_context);
	worker->refusal = si_failure_copy(failure, worker->refusal_context);
}

/*
 * A batch of n messages was undone by an error that is no message's.  Its
 * messages are kept, and it is tried again: by halves if it is too large for
 * the server, at once if another transaction was in the way, else after a
 * while.  Of a passing error the text is not shown: it may come from a user's
 * function and quote a payload.
 */
static void
retry_batch(SiWorker *worker, SiFailure *failure, int n)
{
	bool		plan = si_ingest_plan_failed(worker->ingest);
	char	   *text;

	failure->safe = plan;
	text = plan ? si_failure_words(failure) : si_failure_describe(failure, NULL, NULL);

	si_worker_set_error(failure->sqlerrcode, text);
	if (si_failure_of_resources(failure->sqlerrcode) && n > 1)
	{
		worker->limit = n / 2;
		return;
	}
	si_worker_show_failure(worker, failure, text);
	if (si_failure_retry_at_once(failure->sqlerrcode) &&
		worker->retries_at_once++ < RETRIES_AT_ONCE)
	{
		si_worker_set_retry_at(0);
		si_worker_wait_for_something(worker, 10 + pg_prng_uint64_range(&pg_global_prng_state, 0, 100));
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
	else if (si_failure_kind(failure->sqlerrcode) == SI_ERROR_PASSING ||
			 si_ingest_plan_failed(worker->ingest))
		retry_batch(worker, failure, n);
	else if (si_ingest_commit_failed(worker->ingest) && n > 0)
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

	*fenced = !si_retry_orphans(worker->subscription, worker->options);
	if (*fenced)
	{
		AbortCurrentTransaction();
		MemoryContextSwitchTo(caller);
		worker->next_orphans = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   SI_RETRY_MIN_MS);
		return;
	}
	worker->next_orphans = si_dead_letter_next_retry(worker->subscription->id);
	si_transaction_commit(caller);
}

/*
 * Try orphans again whose time has come: their parents may have arrived by
 * another topic.  In a transaction of its own that touches no progress, but is
 * fenced like a batch.  If it fails, the stream does not wait for them, and what
 * is wrong with it, if it is, will show with the next batch.
 */
void
si_worker_retry_orphans(SiWorker *worker)
{
	SiFailure  *failure;
	bool		fenced = false;

	if (worker->next_orphans == 0 || GetCurrentTimestamp() < worker->next_orphans)
		return;
	failure = try_batch(worker, retry_orphans, &fenced);
	if (fenced)
		si_worker_leave_if_changed(worker);
	if (failure == NULL)
		return;
	worker->next_orphans = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   ORPHANS_ERROR_MS);
	si_worker_set_error(failure->sqlerrcode,
						psprintf("dead letters could not be tried again: %s",
								 si_failure_describe(failure, worker->subscription->topic, NULL)));
}

/* ---- a batch ---- */

/*
 * The batch was refused as a whole by the fence.  Wait for whoever is changing
 * the subscription, with no other lock in hand; if nothing has changed then,
 * the batch is tried again.
 */
static void
step_aside(SiWorker *worker, SiBatchRequest *request)
{
	MemoryContext caller = si_transaction_begin();
	bool		as_before;

	as_before = si_progress_lock(&worker->key, request->rows, request->nrows, true);
	si_transaction_commit(caller);
	if (as_before)
		return;
	si_worker_leave_if_changed(worker);

	/* the epoch is ours: somebody else moved the rows; begin anew, but slowly */
	si_worker_set_error(ERRCODE_T_R_SERIALIZATION_FAILURE, "progress was changed by somebody else");
	si_worker_leave(false);
}

/* What ran in a batch must not change what the batch runs for. */
static SiFailure changed_itself = {
	.sqlerrcode = ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
	.message = "a trigger, function or statement that the batch runs changes the batch's own subscription",
	.safe = true
};

/* A batch that is applied, and what became of it. */
typedef struct Work
{
	SiBatchRequest request;
	SiBatchResult result;
} Work;

static void
apply_batch(SiWorker *worker, void *arg)
{
	Work	   *work = arg;

	si_ingest_batch(worker->ingest, &worker->key, &work->request, &work->result);
}

/*
 * Messages have been dealt with, and that is committed.  A limit that was
 * lowered grows again: what was too large may be so still.
 */
static void
finish_batch(SiWorker *worker, const Work *work, instr_time duration)
{
	const SiBatchRequest *request = &work->request;
	const SiBatchResult *result = &work->result;

	for (int i = 0; i < request->nrows && result->done == request->nmessages; i++)
	{
		if (request->ends[i] >= 0)
			si_worker_find_partition(worker, request->rows[i]->partition)->end = -1;
	}
	si_publisher_progressed(&worker->publisher, XactLastCommitEnd);
	worker->tokens -= result->done;
	report_batch(worker, result->done, duration);
	si_worker_check_limits(worker, result);
	release_messages(worker, result->done);
	worker->limit = Min(worker->limit + worker->limit / 2 + 1, worker->options->batch_size);
	worker->refusal = NULL;
	if (result->end == SI_BATCH_STOPPED)
		si_worker_stop_at_message(worker, result->failures[result->done]);
}

void
si_worker_apply(SiWorker *worker)
{
	bool		skip;
	int			n = si_worker_batch_messages(worker, &skip);
	Work		work;
	SiFailure  *failure;
	instr_time	start,
				duration;

	make_request(worker, n, &work.request);
	work.request.refusal = skip ? &si_failure_skipped : worker->refusal;
	work.request.skip = skip;
	pgstat_report_activity(STATE_RUNNING, "applying a batch");
	INSTR_TIME_SET_CURRENT(start);
	failure = try_batch(worker, apply_batch, &work);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	if (failure != NULL)
	{
		handle_failure(worker, failure, n);
		return;
	}
	if (work.result.end == SI_BATCH_FENCED)
	{
		step_aside(worker, &work.request);
		return;
	}
	if (work.result.end == SI_BATCH_CHANGED_ITSELF)
	{
		split_batch(worker, &changed_itself, n);
		return;
	}
	finish_batch(worker, &work, duration);
	if (worker->has_broker_error)
		return;

	/* who was at the end is behind again only if a whole batch was waiting */
	if (si_worker_all_at_end(worker))
		si_worker_set_state(worker, SI_STATE_STREAMING, NULL);
	else if (n >= worker->options->batch_size || !worker->streaming)
		si_worker_set_state(worker, SI_STATE_CATCHING_UP, NULL);
}

/* Is there something to apply, and is it time? */
bool
si_worker_batch_due(SiWorker *worker, bool drained, long *wait_ms)
{
	int			n = worker->nitems - worker->first;
	bool		full = !drained || n >= worker->limit;
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
	worker->allowed = allowed_messages(worker);
	if (worker->allowed == 0)
	{
		*wait_ms = 1 + 1000L * worker->team / worker->options->rate_limit;
		return false;
	}
	if (full || worker->options->batch_interval == 0 || has_read_run(worker))
		return true;
	age = TimestampDifferenceMilliseconds(worker->oldest, GetCurrentTimestamp());
	*wait_ms = worker->options->batch_interval - age;
	return *wait_ms <= 0;
}
