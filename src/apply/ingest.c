/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  One batch, one transaction: apply its messages, dead letters, progress.
 *
 * Locks are taken in one order: the target, then the rows of progress, and for
 * those it does not wait.  So a worker that waits for somebody's ALTER TABLE,
 * or for the end of a change of the subscription, holds nothing that this
 * somebody may want to change next.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply/applier.h"
#include "apply/ingest.h"
#include "catalog/dead_letter.h"
#include "catalog/transaction.h"
#include "common/kafka_time.h"

/* When an orphan is tried again for the first time. */
#define FIRST_RETRY_MS	1000

struct SiIngest
{
	const SiSubscription *subscription;
	const SiOptions *options;
	SiApplier  *applier;
	MemoryContext batch_context;	/* the applier's */
	SiOnError	on_error;		/* what becomes of those refused */
	bool		committing;		/* an error now is the commit's */
};

/* ---- life ---- */

SiIngest *
si_ingest_create(const SiSubscription *subscription, const SiOptions *options)
{
	SiIngest   *ingest = palloc0(sizeof(SiIngest));

	ingest->subscription = subscription;
	ingest->options = options;
	ingest->applier = si_applier_create(subscription, options);
	return ingest;
}

void
si_ingest_destroy(SiIngest *ingest)
{
	si_applier_destroy(ingest->applier);
	pfree(ingest);
}

void
si_ingest_check(SiIngest *ingest)
{
	si_applier_prepare(ingest->applier);
}

bool
si_ingest_plan_failed(const SiIngest *ingest)
{
	return si_applier_plan_failed(ingest->applier);
}

bool
si_ingest_commit_failed(const SiIngest *ingest)
{
	return ingest->committing;
}

bool
si_ingest_wants_headers(const SiIngest *ingest)
{
	return si_applier_wants_headers(ingest->applier);
}

/* ---- dead letters ---- */

/* Of a partition's messages; -1 if it has none. */
static int64
last_offset(const SiBatchRequest *request, int32 partition)
{
	for (int i = request->nmessages - 1; i >= 0; i--)
	{
		if (request->messages[i].partition == partition)
			return request->messages[i].offset;
	}
	return -1;
}

/*
 * By message: is it a dead letter already, met again after a seek?  Somebody
 * who is just discarding it is waited for, and what he did then counts.
 */
static bool *
find_met_again(SiIngest *ingest, const SiBatchRequest *request)
{
	bool	   *met = palloc0(sizeof(bool) * Max(request->nmessages, 1));

	for (int row = 0; row < request->nrows; row++)
	{
		const SiProgress *progress = request->rows[row];
		int64	   *known;
		int			nknown,
					k = 0;

		if (progress->next_offset > progress->last_dead_letter)
			continue;
		known = si_dead_letter_known(ingest->subscription->id, ingest->subscription->topic,
									 progress->partition, progress->next_offset,
									 last_offset(request, progress->partition), &nknown);
		for (int i = 0; i < request->nmessages && k < nknown; i++)
		{
			const SiMessage *message = &request->messages[i];

			if (message->partition != progress->partition)
				continue;
			while (k < nknown && known[k] < message->offset)
				k++;
			met[i] = (k < nknown && known[k] == message->offset);
		}
	}
	return met;
}

/* When an orphan is tried again by itself; 0 for what is no orphan. */
static TimestampTz
first_retry(SiIngest *ingest, const SiFailure *failure)
{
	if (ingest->options->fk_retries == 0 ||
		failure->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION)
		return 0;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FIRST_RETRY_MS);
}

/* Store what was refused. */
static void
store_dead_letters(SiIngest *ingest, const SiBatchRequest *request, const SiOutcome *outcome)
{
	SiDeadLetter *letters = palloc(sizeof(SiDeadLetter) * Max(outcome->refused, 1));
	int			n = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		SiMessage  *message;

		if (outcome->failures[i] == NULL)
			continue;
		message = palloc(sizeof(SiMessage));
		*message = request->messages[i];
		if (message->headers == NULL && request->consumer != NULL &&
			!si_held_read_headers(&request->consumer->held, message))
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		si_message_reduce(message, ingest->options->max_message_bytes);
		letters[n].message = message;
		letters[n].failure = outcome->failures[i];
		letters[n].former_log = 0;
		letters[n].retry_at = first_retry(ingest, outcome->failures[i]);
		n++;
	}
	if (n > 0)
		si_dead_letter_store(ingest->subscription->id, ingest->subscription->topic, letters, n);
}

/* Take away the dead letters of messages that are now done with. */
static int64
remove_dead_letters(SiIngest *ingest, const SiBatchRequest *request, const SiOutcome *outcome,
					const bool *met)
{
	SiPlace    *places = palloc(sizeof(SiPlace) * Max(outcome->done, 1));
	bool		ignore = (ingest->on_error == SI_ON_ERROR_IGNORE);
	int			n = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		if (!met[i] || (outcome->failures[i] != NULL && !ignore))
			continue;
		places[n].partition = request->messages[i].partition;
		places[n].offset = request->messages[i].offset;
		places[n].former_log = 0;
		n++;
	}
	return si_dead_letter_remove(ingest->subscription->id, ingest->subscription->topic,
								 places, n);
}

/* ---- progress ---- */

/* Index of a partition's row among the request's. */
static int
row_of_partition(const SiBatchRequest *request, int32 partition)
{
	int			low = 0,
				high = request->nrows - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (request->rows[middle]->partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	Assert(request->rows[low]->partition == partition);
	return low;
}

/* The latest of an advance and a message, if that has a time. */
static void
note_time(SiAdvance *advance, const SiMessage *message)
{
	TimestampTz timestamp;

	if (!si_kafka_time_to_timestamptz(message->timestamp, &timestamp))
		return;
	if (advance->last_message_at == 0 || timestamp > advance->last_message_at)
		advance->last_message_at = timestamp;
}

/*
 * Where the messages dealt with lead each row.  A message that was a dead
 * letter before has been counted.
 */
static SiAdvance *
count_messages(const SiBatchRequest *request, const SiOutcome *outcome, const bool *met)
{
	SiAdvance  *advances = palloc0(sizeof(SiAdvance) * request->nrows);
	int			row = 0;

	for (int i = 0; i < request->nrows; i++)
	{
		advances[i].next_offset = request->rows[i]->next_offset;
		advances[i].leader_epoch = request->rows[i]->leader_epoch;
	}
	for (int i = 0; i < outcome->done; i++)
	{
		const SiMessage *message = &request->messages[i];
		SiAdvance  *advance;

		if (request->rows[row]->partition != message->partition)
			row = row_of_partition(request, message->partition);
		advance = &advances[row];
		advance->next_offset = message->offset + 1;
		advance->leader_epoch = message->leader_epoch;
		advance->messages += met[i] ? 0 : 1;
		advance->bytes += met[i] ? 0 : message->key_len + message->value_len;
		note_time(advance, message);
	}
	if (outcome->done == request->nmessages)
	{
		for (int i = 0; i < request->nrows; i++)
			advances[i].next_offset = Max(advances[i].next_offset, request->ends[i]);
	}
	return advances;
}

/* Messages refused that were no dead letters before. */
static int64
count_new_refusals(const SiOutcome *outcome, const bool *met)
{
	int64		n = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		if (outcome->failures[i] != NULL && !met[i])
			n++;
	}
	return n;
}

/*
 * Counts of the whole batch stand in the row of its first partition: what a
 * statement over several partitions did cannot be told apart, and what is
 * promised is the sum.
 */
static void
count_batch(SiIngest *ingest, const SiOutcome *outcome, int64 fresh, int64 removed,
			SiAdvance *first)
{
	first->batches = 1;
	first->applied = outcome->applied;
	first->inserted = outcome->inserted;
	first->updated = outcome->updated;
	first->deleted = outcome->deleted;
	first->superseded = outcome->superseded;
	first->ignored = outcome->ignored;
	first->dead_letters = -removed;
	if (ingest->on_error == SI_ON_ERROR_IGNORE)
		first->ignored += outcome->refused;
	else
	{
		first->dead_letters += fresh;
		first->rejected = fresh;
	}
}

/* ---- a batch ---- */

/* After the commit: the rows of progress are what was written. */
static void
update_rows(SiIngest *ingest, SiBatchRequest *request, const SiBatchResult *result,
			const SiAdvance *advances)
{
	for (int i = 0; i < request->nrows; i++)
	{
		request->rows[i]->row = advances[i].row;
		request->rows[i]->next_offset = advances[i].next_offset;
		request->rows[i]->leader_epoch = advances[i].leader_epoch;
	}
	for (int i = 0; i < result->done; i++)
	{
		const SiMessage *message = &request->messages[i];
		SiProgress *row;

		if (result->failures[i] == NULL)
			continue;
		row = request->rows[row_of_partition(request, message->partition)];
		row->last_dead_letter = Max(row->last_dead_letter, message->offset);
	}
}

/* Apply a request's messages, and what follows from that but the progress. */
static SiAdvance *
apply_request(SiIngest *ingest, SiBatchRequest *request, SiBatchResult *result)
{
	SiOnError	on_error = request->skip ? SI_ON_ERROR_DEAD_LETTER : ingest->options->on_error;
	bool	   *met = find_met_again(ingest, request);
	SiOutcome	outcome;
	SiAdvance  *advances;
	int64		fresh,
				removed;

	ingest->on_error = on_error;
	if (request->refusal != NULL)
	{
		Assert(request->nmessages == 1);
		si_applier_refuse(ingest->applier, request->messages, request->refusal, &outcome);
	}
	else
		si_applier_apply(ingest->applier, request->messages, request->nmessages,
						 on_error == SI_ON_ERROR_STOP, &outcome);

	if (on_error == SI_ON_ERROR_DEAD_LETTER)
		store_dead_letters(ingest, request, &outcome);
	removed = remove_dead_letters(ingest, request, &outcome, met);
	fresh = count_new_refusals(&outcome, met);
	advances = count_messages(request, &outcome, met);
	if (outcome.done > 0)
		count_batch(ingest, &outcome, fresh, removed, &advances[0]);

	result->done = outcome.done;
	result->failures = outcome.failures;
	result->met = met;
	result->dead_letters = (on_error == SI_ON_ERROR_DEAD_LETTER) ? fresh : 0;
	return advances;
}

/* The part of a batch inside its transaction; only SI_BATCH_DONE is committed. */
static SiBatchEnd
run_batch(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
		  SiBatchResult *result, SiAdvance **advances)
{
	static const SiOutcome nothing = {0};

	MemoryContextSwitchTo(ingest->batch_context);
	if (request->nmessages > 0)
		si_applier_prepare(ingest->applier);
	if (!si_progress_lock(key, request->rows, request->nrows, false))
		return SI_BATCH_FENCED;
	*advances = request->nmessages > 0 ? apply_request(ingest, request, result)
		: count_messages(request, &nothing, NULL);

	/* we hold the rows since they were locked, so nobody else can have */
	if (!si_progress_advance(key, request->rows, *advances, request->nrows))
		return SI_BATCH_CHANGED_ITSELF;
	if (result->dead_letters > 0 && ingest->options->reject_limit.count > 0)
		result->rejected = si_progress_rejected(key->subscription);
	return SI_BATCH_DONE;
}

/* What a batch is, and where it is, for whatever is reported meanwhile. */
typedef struct Whereabouts
{
	const SiIngest *ingest;
	const SiBatchRequest *request;
} Whereabouts;

static void
tell_whereabouts(void *arg)
{
	const Whereabouts *at = arg;
	const SiSubscription *s = at->ingest->subscription;
	const SiMessage *message = si_applier_at(at->ingest->applier);

	if (at->ingest->committing)
		errcontext("committing a batch of subscription \"%s\": %d messages of topic \"%s\"",
				   NameStr(s->name), at->request->nmessages, s->topic);
	else if (message == NULL)
		errcontext("a batch of subscription \"%s\": %d messages of topic \"%s\"",
				   NameStr(s->name), at->request->nmessages, s->topic);
	else
		errcontext("applying a batch of subscription \"%s\": topic \"%s\", partition %d, offset %lld",
				   NameStr(s->name), s->topic, message->partition, (long long) message->offset);
}

/* Apply a batch in a transaction of its own, which is committed if it is done. */
static SiBatchEnd
run_transaction(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
				SiBatchResult *result, SiAdvance **advances)
{
	MemoryContext caller = si_transaction_begin();
	SiBatchEnd	end = run_batch(ingest, key, request, result, advances);

	if (end != SI_BATCH_DONE)
	{
		si_transaction_abort(caller);
		return end;
	}
	ingest->committing = true;
	si_transaction_commit(caller);
	ingest->committing = false;
	return end;
}

void
si_ingest_batch(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
				SiBatchResult *result)
{
	Whereabouts at = {ingest, request};
	ErrorContextCallback callback = {error_context_stack, tell_whereabouts, &at};
	SiAdvance  *advances = NULL;

	memset(result, 0, sizeof(SiBatchResult));
	ingest->committing = false;
	ingest->batch_context = si_applier_begin(ingest->applier);

	error_context_stack = &callback;
	result->end = run_transaction(ingest, key, request, result, &advances);
	error_context_stack = callback.previous;
	if (result->end != SI_BATCH_DONE)
		return;
	update_rows(ingest, request, result, advances);
	if (result->done < request->nmessages && result->failures[result->done] != NULL)
		result->end = SI_BATCH_STOPPED;
}
