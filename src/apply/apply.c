/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Applying a batch of messages.
 *
 * Locks are taken in one order: the target, then the rows of progress, then dead
 * letters that are met again, and for the last two a batch does not wait.  So a
 * worker that waits for another session's ALTER TABLE, for a change of the
 * subscription to be committed, or for what becomes of a dead letter holds nothing
 * that this session may want to lock next.
 *
 * An error is a message's fault only if not all messages of a large batch fail
 * alike; else it is the plan's, and thrown.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "apply/apply.h"
#include "apply/convert_batch.h"
#include "apply/new_columns.h"
#include "apply/outcome.h"
#include "apply/protect.h"
#include "apply/schemas.h"
#include "apply/show.h"
#include "apply/write.h"
#include "catalog/transaction.h"

/* ---- within a transaction ---- */

/* No outcome yet. */
static void
begin_batch(SiPlan *plan, SiBatch *batch, int reach)
{
	Assert(CurrentMemoryContext == plan->batch_context);
	for (int i = 0; i < batch->n; i++)
		batch->entries[i].failure = NULL;
	batch->reach = reach;
	batch->converted = 0;
	batch->probed = false;
	batch->rows = si_writer_new_rows(plan->writer, reach);
}

/* Rows of the messages dealt with that were not refused. */
static int64
good_rows(const SiBatch *batch)
{
	const SiRows *rows = batch->rows;
	int64		n = 0;

	for (int i = 0; i < si_rows_messages(rows); i++)
	{
		int			first = si_rows_first(rows, i);

		if (rows->entries[first] < batch->done &&
			batch->entries[rows->entries[first]].failure == NULL)
			n += si_rows_first(rows, i + 1) - first;
	}
	return n;
}

/*
 * Messages that were not refused and did nothing, where messages may have many
 * rows: what a filter or the insert mode has ignored of these is not known by
 * message, so only those count that have no records at all.
 */
static int64
count_without_records(const SiBatch *batch)
{
	const SiRows *rows = batch->rows;
	int			message = 0;
	int64		n = 0;

	for (int i = 0; i < batch->done; i++)
	{
		bool		has_rows = message < rows->nmessages &&
			rows->entries[rows->firsts[message]] == i;

		message += has_rows;
		n += !has_rows && batch->entries[i].failure == NULL &&
			batch->entries[i].message.value == NULL;
	}
	return n;
}

/* Complete the counts of what was written: what else is good was ignored. */
static void
count_entries(SiBatch *batch)
{
	SiCounts   *counts = &batch->counts;
	bool		several = batch->rows->firsts != NULL && batch->rows->of_records;
	int64		good;

	for (int i = 0; i < batch->done; i++)
		batch->refused += batch->entries[i].failure != NULL;
	good = batch->done - batch->refused;
	counts->inserted = Min(counts->inserted, several ? good_rows(batch) : good);
	counts->applied += counts->inserted + counts->updated + counts->deleted +
		counts->superseded;
	batch->written = counts->applied;
	if (several)
		counts->applied = good - count_without_records(batch);
	counts->ignored = good - counts->applied;
}

/* Apply the batch, up to where its limits end it. */
static void
apply_entries(SiPlan *plan, SiBatch *batch)
{
	int			reach = batch->columns_reach;

	if (batch->max_writes != INT_MAX)
		reach = Min(reach, Max(si_isolate_reach(&plan->fault_rate, batch->max_writes),
							   2 * SI_BATCH_IS_LARGE));
	begin_batch(plan, batch, reach);
	si_convert_batch(plan, batch);
	si_write_batch(plan, batch);
	si_plan_check_target(plan);

	/* the message that everything stops at is not dealt with */
	if (batch->stop_at_first && batch->done > 0 &&
		batch->entries[batch->done - 1].failure != NULL)
		batch->done--;
	count_entries(batch);
}

/*
 * Refuse the only entry without trying it: it was COMMIT that refused it, where
 * nothing can be isolated but by a transaction of its own, or a user wants it
 * skipped.
 */
static void
refuse_entry(SiPlan *plan, SiBatch *batch)
{
	Assert(batch->n == 1);
	begin_batch(plan, batch, 1);
	batch->entries[0].failure = si_failure_copy(batch->refusal, plan->batch_context);
	batch->done = 1;
	count_entries(batch);
}

/*
 * The first failure if all failures are of one kind and they are many, else
 * NULL.  by_row: the failures of the rows, of which none may be good; else of
 * the entries, of which good ones are passed over.
 */
static const SiFailure *
many_alike(const SiBatch *batch, bool by_row)
{
	int			n = by_row ? si_rows_messages(batch->rows) : batch->reach;
	const SiFailure *first = NULL;
	int			found = 0;

	for (int i = 0; i < n; i++)
	{
		int			entry = by_row ? batch->rows->entries[si_rows_first(batch->rows, i)] : i;
		const SiFailure *failure = batch->entries[entry].failure;

		if (failure == NULL && by_row)
			return NULL;
		if (failure == NULL)
			continue;
		if (first == NULL)
			first = failure;
		if (failure->sqlerrcode != first->sqlerrcode)
			return NULL;
		found++;
	}
	return found >= SI_BATCH_IS_LARGE ? first : NULL;
}

/*
 * If all rows of a large batch are refused alike, it is the table that is
 * wrong, and no message; if no message even becomes a row, the mapping.  What
 * asks for no row (a tombstone) and the few that are bad anyway say nothing of
 * either.
 */
static void
throw_if_all_alike(SiPlan *plan, const SiBatch *batch)
{
	int			nrows = si_rows_messages(batch->rows);
	const SiFailure *failure = many_alike(batch, nrows > 0);

	if (failure == NULL)
		return;
	plan->at_fault = true;
	if (nrows > 0)
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("all %d rows were refused alike, so the table or the mapping is wrong: %s",
						nrows, si_failure_words(failure))));
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("none of %d messages became a row, so the format or the mapping is wrong: %s",
					batch->reach, si_failure_words(failure))));
}

/* ---- a batch in its own transaction ---- */

/* Apply the batch's messages, and what follows from that but the progress. */
static void
apply_and_store(SiPlan *plan, SiBatch *batch)
{
	SiOnError	on_error = batch->skip ? SI_ON_ERROR_DEAD_LETTER : plan->options->on_error;

	batch->stop_at_first = (on_error == SI_ON_ERROR_STOP);
	batch->max_writes = SI_ISOLATE_MAX_WRITES;
	batch->breaker = plan->options->breaker;
	batch->max_rows = plan->options->batch_size;
	if (batch->refusal != NULL)
		refuse_entry(plan, batch);
	else
	{
		apply_entries(plan, batch);
		if (!batch->stop_at_first && batch->done == batch->reach)
			throw_if_all_alike(plan, batch);
	}
	si_outcome_store(plan, batch, on_error);
}

/* The part of a batch inside its transaction; only SI_BATCH_DONE is committed. */
static SiBatchEnd
run_batch(SiPlan *plan, const SiProgressKey *key, SiBatch *batch, SiAdvance **advances)
{
	MemoryContextSwitchTo(plan->batch_context);
	if (batch->n > 0)
		si_plan_check(plan);
	if (batch->n > 0 && batch->refusal == NULL &&
		plan->options->unknown_fields == SI_UNKNOWN_ADD_COLUMNS)
	{
		batch->columns_reach = si_new_columns_reach(plan, batch);
		if (batch->columns_reach == 0)
			return SI_BATCH_LACKS_COLUMNS;
	}
	if (!si_progress_lock(key, batch->progress, batch->npartitions, false))
		return SI_BATCH_FENCED;
	if (batch->n > 0)
	{
		if (!si_outcome_mark_already_dead(plan, batch))
			return SI_BATCH_AT_DEAD_LETTER;
		apply_and_store(plan, batch);
	}
	*advances = si_outcome_advances(batch);

	/* the rows have been locked since, so no other session has changed them */
	if (!si_progress_advance(key, batch->progress, *advances, batch->npartitions))
	{
		/* without messages, nothing that could change them has run */
		if (batch->n == 0)
			si_progress_throw_suppressed();
		return SI_BATCH_CHANGED_ITSELF;
	}
	if (batch->new_dead_letters > 0 && plan->options->reject_limit.count > 0)
		batch->rejected = si_progress_rejected(key->subscription);
	return SI_BATCH_DONE;
}

/* Apply a batch in a transaction, which is committed if the batch is done. */
static SiBatchEnd
run_transaction(SiPlan *plan, const SiProgressKey *key, SiBatch *batch, SiAdvance **advances)
{
	MemoryContext caller = si_transaction_begin();
	SiBatchEnd	end = run_batch(plan, key, batch, advances);

	if (end != SI_BATCH_DONE)
	{
		si_transaction_abort(caller);
		return end;
	}
	plan->committing = true;
	si_transaction_commit(caller);
	plan->committing = false;
	return end;
}

typedef struct ApplyErrorArg
{
	const SiPlan *plan;
	const SiBatch *batch;
} ApplyErrorArg;

/* Error context: which subscription, topic, partition and offset we are at. */
static void
apply_error_callback(void *arg)
{
	const SiPlan *plan = ((ApplyErrorArg *) arg)->plan;
	const SiBatch *batch = ((ApplyErrorArg *) arg)->batch;
	const SiSubscription *s = plan->subscription;
	const SiMessage *message;

	if (plan->committing)
		errcontext("committing a batch of subscription \"%s\": %d messages of topic \"%s\"",
				   NameStr(s->name), batch->n, s->topic);
	else if (batch->current < 0)
		errcontext("a batch of subscription \"%s\": %d messages of topic \"%s\"",
				   NameStr(s->name), batch->n, s->topic);
	else
	{
		message = &batch->entries[batch->current].message;
		errcontext("applying a batch of subscription \"%s\": topic \"%s\", partition %d, offset %lld",
				   NameStr(s->name), s->topic, message->partition, (long long) message->offset);
	}
}

/* Forget the outcome of a try before. */
static void
clear_outcome(SiBatch *batch)
{
	batch->current = -1;
	batch->record = 0;
	batch->rows = NULL;
	batch->columns_reach = batch->n;
	batch->done = 0;
	batch->written = 0;
	batch->refused = 0;
	memset(&batch->counts, 0, sizeof(SiCounts));
	batch->new_dead_letters = 0;
	batch->rejected = 0;
}

void
si_apply_batch(SiPlan *plan, const SiProgressKey *key, SiBatch *batch)
{
	ApplyErrorArg arg = {plan, batch};
	ErrorContextCallback callback = {error_context_stack, apply_error_callback, &arg};
	SiAdvance  *advances = NULL;

	si_plan_begin_batch(plan);
	clear_outcome(batch);

	error_context_stack = &callback;
	batch->end = run_transaction(plan, key, batch, &advances);
	error_context_stack = callback.previous;
	si_convert_let_release(plan, batch);
	if (batch->end != SI_BATCH_DONE)
		return;
	si_outcome_update_progress(batch, advances);
	if (batch->done < batch->n && batch->entries[batch->done].failure != NULL)
		batch->end = SI_BATCH_STOPPED;
}

/* ---- messages in the caller's transaction ---- */

/*
 * Rethrow the current error, in our own words unless it is the plan's or one of
 * the server's about the session: what a trigger says may quote a payload.
 */
static void
rethrow_without_payload(SiPlan *plan)
{
	ErrorData  *edata = CopyErrorData();
	const char *from = edata->funcname ? edata->funcname : "";

	if (plan->at_fault || strcmp(from, "ProcessInterrupts") == 0 ||
		strcmp(from, "DeadLockReport") == 0)
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(edata->sqlerrcode),
			 errmsg("%s", si_failure_describe(si_failure_from_error(edata),
											  plan->subscription->topic, NULL))));
}

/*
 * Deferred constraints must not wait for the end of the caller's transaction,
 * or a message's fault would become the whole transaction's.  What the caller
 * has pending is fired first, as the caller.
 */
void
si_apply_in_transaction(SiPlan *plan, SiEntry *entries, int n, int max_rows, SiBatch *batch)
{
	MemoryContext caller = CurrentMemoryContext;

	memset(batch, 0, sizeof(SiBatch));
	batch->entries = entries;
	batch->n = n;
	batch->max_writes = INT_MAX;
	batch->max_rows = max_rows;
	clear_outcome(batch);
	si_plan_begin_batch(plan);

	MemoryContextSwitchTo(plan->batch_context);
	si_write_set_constraints(false);
	plan->settings = si_session_settings_for(plan->subscription->owner);
	MemoryContextSwitchTo(caller);
	si_plan_check(plan);
	si_schemas_await(&plan->format, entries, n, plan->subscription->format,
					 plan->subscription->server, plan->subscription->owner);

	/* what is thrown reaches the server's log with the caller's statement */
	PG_TRY();
	{
		MemoryContextSwitchTo(plan->batch_context);
		apply_entries(plan, batch);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		rethrow_without_payload(plan);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

typedef struct ShownRows
{
	const SiBatch *batch;
	MemoryContext context;
	Datum	   *rows;			/* by row */
	bool		escape_nul;
} ShownRows;

/* The work of si_protect_run. */
static void
show_rows(SiPlan *plan, void *arg)
{
	ShownRows  *shown = arg;

	si_show_rows(plan->mapping, plan->writer->delete_key, shown->batch->rows, shown->context,
				 shown->rows, shown->escape_nul);
}

/*
 * The rows of each message as an array, an empty one where it has no records; the
 * row of a tombstone by itself, and where there are no records any single row.
 */
static void
gather_rows(const SiBatch *batch, const Datum *shown, Datum *rows)
{
	const SiRows *of = batch->rows;
	int			message = 0;

	for (int i = 0; i < batch->done; i++)
	{
		int			first = of->nrows;
		int			n = 0;

		if (message < of->nmessages && of->entries[of->firsts[message]] == i)
		{
			first = of->firsts[message++];
			n = of->firsts[message] - first;
		}
		if (of->of_records ? batch->entries[i].message.value != NULL &&
			(n > 0 || batch->entries[i].failure == NULL) : n > 1)
			rows[i] = si_show_array(shown + first, n);
		else if (n > 0)
			rows[i] = shown[first];
	}
}

void
si_apply_show(SiPlan *plan, const SiBatch *batch, Datum *rows)
{
	ShownRows	shown = {batch, CurrentMemoryContext, NULL, false};
	int			nrows = batch->rows->nrows;
	SiFailure  *failure;

	shown.rows = palloc0(sizeof(Datum) * Max(nrows, 1));
	failure = si_protect_run(plan, show_rows, &shown);
	if (failure != NULL && failure->sqlerrcode == ERRCODE_UNTRANSLATABLE_CHARACTER)
	{
		shown.escape_nul = true;
		failure = si_protect_run(plan, show_rows, &shown);
	}
	if (failure != NULL)
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("could not show rows as JSON: %s", si_failure_words(failure))));

	memset(rows, 0, sizeof(Datum) * batch->n);
	if (batch->rows->firsts != NULL)
		gather_rows(batch, shown.rows, rows);
	for (int row = 0; row < nrows && batch->rows->firsts == NULL; row++)
		rows[batch->rows->entries[row]] = shown.rows[row];
	pfree(shown.rows);
}
