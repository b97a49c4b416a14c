/*-------------------------------------------------------------------------
 *
 * preview.c
 *	  What the next messages of a subscription would become.
 *
 * All of them are applied as one batch, in the way of retry_dead_letters, in a
 * subtransaction that is then rolled back: with it go locks, messages that a
 * trigger has produced, notifications, and what setting constraints and firing
 * the caller's pending triggers has changed.
 *
 * Of a batch only the sum of what was written is known.  Where that is some
 * rows but not all, another subtransaction tries the good messages one by one.
 *
 * A worker may be reading the same messages meanwhile.  What it has dealt with
 * by the end is left out, or rows that it has written would look like
 * duplicates.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/jsonb.h"

#include "apply/apply.h"
#include "catalog/progress.h"
#include "common/subtransaction.h"
#include "functions/preview.h"
#include "functions/upcoming.h"

/* How often a deadlock may come. */
#define MAX_TRIES	3

typedef struct Trial
{
	SiPlan	   *plan;
	SiEntry    *entries;		/* the failures are ours */
	int			n;
	Datum	   *rows;			/* by entry; 0 if it became none */
	int64		unwritten;		/* rows of good messages, in all */
	bool		any_written;
} Trial;

/*
 * Run work in a subtransaction that is then rolled back, and throw its error.
 * A worker that writes the same messages, of several partitions in another
 * order, may cause a deadlock, which is over then.
 */
static void
run_and_roll_back(Trial *trial, SiSubtransactionWork work)
{
	for (int tries = 1;; tries++)
	{
		ErrorData  *edata = si_subtransaction_run(work, trial, false);

		if (edata == NULL)
			return;
		if (tries == MAX_TRIES || !si_failure_retry_at_once(edata->sqlerrcode))
			ReThrowError(edata);
		FreeErrorData(edata);
	}
}

/* Check the plan, before the brokers are asked. */
static void
check_plan(void *arg)
{
	Trial	   *trial = arg;

	si_plan_check(trial->plan);
}

/* Apply the messages from this one on as one batch; returns how many there were. */
static int
try_batch(Trial *trial, int first, MemoryContext context)
{
	SiEntry    *entries = trial->entries + first;
	SiBatch		batch;

	si_apply_in_transaction(trial->plan, entries, trial->n - first, INT_MAX, &batch);
	trial->any_written |= batch.written > 0;
	trial->unwritten -= batch.written;
	for (int row = 0; row < batch.rows->nrows; row++)
		trial->unwritten += entries[batch.rows->entries[row]].failure == NULL;
	for (int i = 0; i < batch.done; i++)
	{
		if (entries[i].failure != NULL)
			entries[i].failure = si_failure_copy(entries[i].failure, context);
	}
	si_apply_show(trial->plan, &batch, trial->rows + first);
	return batch.done;
}

/* Apply all messages; one batch takes them all unless they become too large. */
static void
try_messages(void *arg)
{
	Trial	   *trial = arg;
	MemoryContext context = CurrentMemoryContext;

	trial->any_written = false;
	trial->unwritten = 0;
	for (int done = 0; done < trial->n;)
		done += try_batch(trial, done, context);
}

/* Did a message become a row, or several, and was not refused? */
static bool
is_good_row(const Trial *trial, int i)
{
	Jsonb	   *row;

	if (trial->entries[i].failure != NULL || trial->rows[i] == (Datum) 0)
		return false;
	row = DatumGetJsonbP(trial->rows[i]);
	return !JB_ROOT_IS_ARRAY(row) || JB_ROOT_COUNT(row) > 0;
}

/* The good rows one by one: those that would be ignored are none. */
static void
drop_ignored(void *arg)
{
	Trial	   *trial = arg;

	for (int i = 0; i < trial->n; i++)
	{
		SiEntry		alone = trial->entries[i];
		SiBatch		batch;

		CHECK_FOR_INTERRUPTS();
		if (!is_good_row(trial, i))
			continue;
		si_apply_in_transaction(trial->plan, &alone, 1, INT_MAX, &batch);
		if (batch.refused == 0 && batch.written == 0)
			trial->rows[i] = (Datum) 0;
	}
}

static void
try_all(Trial *trial)
{
	run_and_roll_back(trial, try_messages);
	if (trial->any_written && trial->unwritten > 0)
		run_and_roll_back(trial, drop_ignored);
	for (int i = 0; i < trial->n && !trial->any_written; i++)
	{
		if (is_good_row(trial, i))
			trial->rows[i] = (Datum) 0;
	}
}

/* The messages to be tried: all but those that skip() named. */
static void
choose_messages(Trial *trial, const SiUpcoming *upcoming)
{
	trial->entries = palloc0(sizeof(SiEntry) * Max(upcoming->nmessages, 1));
	for (int i = 0; i < upcoming->nmessages; i++)
	{
		if (!si_upcoming_skipped(upcoming, &upcoming->messages[i]))
			trial->entries[trial->n++].message = upcoming->messages[i];
	}
	trial->rows = palloc0(sizeof(Datum) * Max(trial->n, 1));
}

/* What became of each, but for those that a worker has dealt with meanwhile. */
static SiPreviewed *
collect(const SiSubscription *subscription, const SiUpcoming *upcoming, const Trial *trial,
		int *n)
{
	SiPreviewed *all = palloc(sizeof(SiPreviewed) * Max(upcoming->nmessages, 1));
	int			nnow;
	SiProgress *now = si_progress_load(subscription->id, subscription->topic, &nnow);
	int			tried = 0;

	*n = 0;
	for (int i = 0; i < upcoming->nmessages; i++)
	{
		const SiMessage *message = &upcoming->messages[i];
		SiPreviewed previewed = {message->partition, message->offset};

		if (si_upcoming_skipped(upcoming, message))
			previewed.failure = &si_failure_skipped;
		else
		{
			previewed.row = trial->rows[tried];
			previewed.failure = trial->entries[tried].failure;
			tried++;
		}
		if (!si_upcoming_passed(upcoming, message, now, nnow))
			all[(*n)++] = previewed;
	}
	return all;
}

SiPreviewed *
si_preview(const SiSubscription *subscription, const SiOptions *options, int max_messages,
		   int *n)
{
	SiOptions	adding_nothing = *options;
	Trial		trial;
	SiUpcoming	upcoming;
	SiPreviewed *previewed;

	/* what the worker would add a column for has none here */
	if (options->unknown_fields == SI_UNKNOWN_ADD_COLUMNS)
		adding_nothing.unknown_fields = SI_UNKNOWN_IGNORE;
	memset(&trial, 0, sizeof(Trial));
	trial.plan = si_plan_create(subscription, &adding_nothing, false);
	run_and_roll_back(&trial, check_plan);
	si_upcoming_read(subscription, options, max_messages, &upcoming);
	choose_messages(&trial, &upcoming);
	if (trial.n > 0)
		try_all(&trial);
	previewed = collect(subscription, &upcoming, &trial, n);
	si_plan_destroy(trial.plan);
	return previewed;
}
