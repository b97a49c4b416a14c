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

#include "apply/applier.h"
#include "catalog/progress.h"
#include "functions/preview.h"
#include "functions/upcoming.h"

/* How often a deadlock may come. */
#define MAX_TRIES	3

typedef struct Trial
{
	SiApplier  *applier;
	SiMessage  *messages;
	int			n;
	SiFailure **failures;		/* by message; NULL if it would be applied */
	Datum	   *rows;			/* by message; 0 if it became none */
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
	si_applier_prepare(trial->applier);
}

/* All as one batch. */
static void
try_messages(Trial *trial)
{
	MemoryContext context = CurrentMemoryContext;
	SiOutcome	outcome;

	si_applier_apply_all(trial->applier, trial->messages, trial->n, &outcome);
	trial->ignored = outcome.ignored;
	for (int i = 0; i < trial->n; i++)
	{
		trial->failures[i] = NULL;
		if (outcome.failures[i] != NULL)
			trial->failures[i] = si_failure_copy(outcome.failures[i], context);
	}
	si_applier_show(trial->applier, trial->rows);
}

/* Did a message become a row, and was not refused? */
static bool
is_good_row(const Trial *trial, int i)
{
	return trial->failures[i] == NULL && trial->rows[i] != (Datum) 0;
}

/* The good rows one by one: those that would be ignored are none. */
static void
drop_ignored(Trial *trial)
{
	for (int i = 0; i < trial->n; i++)
	{
		SiOutcome	outcome;

		CHECK_FOR_INTERRUPTS();
		if (!is_good_row(trial, i))
			continue;
		si_applier_apply_all(trial->applier, &trial->messages[i], 1, &outcome);
		if (outcome.refused == 0 && outcome.ignored == 1)
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
		ignored -= (trial->failures[i] == NULL && trial->rows[i] == (Datum) 0);
	}
	if (ignored >= good)
	{
		for (int i = 0; i < trial->n; i++)
		{
			if (trial->failures[i] == NULL)
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
	trial->messages = palloc(sizeof(SiMessage) * Max(upcoming->nmessages, 1));
	for (int i = 0; i < upcoming->nmessages; i++)
	{
		if (!si_upcoming_skipped(upcoming, &upcoming->messages[i]))
			trial->messages[trial->n++] = upcoming->messages[i];
	}
	trial->failures = palloc0(sizeof(SiFailure *) * Max(trial->n, 1));
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
			previewed.failure = trial->failures[tried];
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
	Trial		trial = {si_applier_create(subscription, options)};
	SiUpcoming	upcoming;
	SiPreviewed *previewed;

	in_vain(&trial, check_plan);
	si_upcoming_read(subscription, options, max_messages, &upcoming);
	choose_messages(&trial, &upcoming);
	if (trial.n > 0)
		try_all(&trial);
	previewed = collect(subscription, &upcoming, &trial, n);
	si_applier_destroy(trial.applier);
	return previewed;
}
