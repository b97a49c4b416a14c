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
 * Of a batch only the sum of what was ignored is known.  Where that is some
 * rows but not all, another subtransaction tries the good ones one by one.
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

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "apply/apply.h"
#include "catalog/progress.h"
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
	int64		ignored;		/* messages in all */
} Trial;

typedef void (*TrialWork) (Trial *trial);

/* Do something in a subtransaction, and undo it.  Returns its error, or NULL. */
static ErrorData *
try_in_vain(Trial *trial, TrialWork work)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *edata = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(trial);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();

	/* also after an error: who catches it ends his own one only */
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return edata;
}

/*
 * The same with errors thrown.  A worker that writes the same messages, of
 * several partitions in another order, may cause a deadlock, which is over then.
 */
static void
in_vain(Trial *trial, TrialWork work)
{
	for (int tries = 1;; tries++)
	{
		ErrorData  *edata = try_in_vain(trial, work);

		if (edata == NULL)
			return;
		if (tries == MAX_TRIES || !si_failure_retry_at_once(edata->sqlerrcode))
			ReThrowError(edata);
		FreeErrorData(edata);
	}
}

/* Is there a plan at all?  Known before the brokers are asked. */
static void
check_plan(Trial *trial)
{
	si_plan_check(trial->plan);
}

/* All as one batch. */
static void
try_messages(Trial *trial)
{
	MemoryContext context = CurrentMemoryContext;
	SiBatch		batch;

	si_apply_in_transaction(trial->plan, trial->entries, trial->n, &batch);
	trial->ignored = batch.counts.ignored;
	for (int i = 0; i < trial->n; i++)
	{
		if (trial->entries[i].failure != NULL)
			trial->entries[i].failure = si_failure_copy(trial->entries[i].failure, context);
	}
	si_apply_show(trial->plan, &batch, trial->rows);
}

/* Did a message become a row, and was not refused? */
static bool
is_good_row(const Trial *trial, int i)
{
	return trial->entries[i].failure == NULL && trial->rows[i] != (Datum) 0;
}

/* The good rows one by one: those that would be ignored are none. */
static void
drop_ignored(Trial *trial)
{
	for (int i = 0; i < trial->n; i++)
	{
		SiEntry		alone = trial->entries[i];
		SiBatch		batch;

		CHECK_FOR_INTERRUPTS();
		if (!is_good_row(trial, i))
			continue;
		si_apply_in_transaction(trial->plan, &alone, 1, &batch);
		if (batch.refused == 0 && batch.counts.ignored == 1)
			trial->rows[i] = (Datum) 0;
	}
}

static void
try_all(Trial *trial)
{
	int64		ignored;
	int			good = 0;

	in_vain(trial, try_messages);

	/* of those ignored, some never became a row */
	ignored = trial->ignored;
	for (int i = 0; i < trial->n; i++)
	{
		good += is_good_row(trial, i);
		ignored -= (trial->entries[i].failure == NULL && trial->rows[i] == (Datum) 0);
	}
	if (ignored >= good)
	{
		for (int i = 0; i < trial->n; i++)
		{
			if (trial->entries[i].failure == NULL)
				trial->rows[i] = (Datum) 0;
		}
	}
	else if (ignored > 0)
		in_vain(trial, drop_ignored);
}

/* The messages to be tried: all that nobody wants skipped. */
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
	Trial		trial = {si_plan_create(subscription, options)};
	SiUpcoming	upcoming;
	SiPreviewed *previewed;

	in_vain(&trial, check_plan);
	si_upcoming_read(subscription, options, max_messages, &upcoming);
	choose_messages(&trial, &upcoming);
	if (trial.n > 0)
		try_all(&trial);
	previewed = collect(subscription, &upcoming, &trial, n);
	si_plan_destroy(trial.plan);
	return previewed;
}
