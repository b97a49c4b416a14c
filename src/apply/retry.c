/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Dead letters, tried again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply/applier.h"
#include "apply/retry.h"
#include "options/insert_mode.h"

/* So many are held in memory at a time. */
#define CHUNK	1000

/* When an orphan that has failed so often is tried again by itself; 0: never. */
static TimestampTz
next_retry(const SiOptions *options, const SiFailure *failure, int attempts)
{
	static const int seconds[] = {1, 10, 60};

	if (failure->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION || attempts > options->fk_retries)
		return 0;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   seconds[Min(attempts, (int) lengthof(seconds)) - 1] * 1000);
}

/* Put away what was tried: the good are gone, the bad have a new reason. */
static void
store_outcome(const SiSubscription *s, const SiOptions *options, const SiMessage *messages,
			  const int *attempts, const SiOutcome *outcome)
{
	SiPlace    *places = palloc(sizeof(SiPlace) * Max(outcome->done, 1));
	SiDeadLetter *letters = palloc(sizeof(SiDeadLetter) * Max(outcome->refused, 1));
	int			ngood = 0,
				nbad = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		if (outcome->failures[i] == NULL)
		{
			places[ngood].partition = messages[i].partition;
			places[ngood].offset = messages[i].offset;
			ngood++;
			continue;
		}
		letters[nbad].message = &messages[i];
		letters[nbad].failure = outcome->failures[i];
		letters[nbad].retry_at = next_retry(options, outcome->failures[i], attempts[i] + 1);
		nbad++;
	}
	(void) si_dead_letter_remove(s->id, s->topic, places, ngood);
	if (nbad > 0)
		si_dead_letter_store(s->id, s->topic, letters, nbad);
}

static void
change_counts(const SiSubscription *s, const SiOutcome *outcome)
{
	SiCountChange change = {0};

	change.applied = outcome->applied;
	change.inserted = outcome->inserted;
	change.updated = outcome->updated;
	change.deleted = outcome->deleted;
	change.superseded = outcome->superseded;
	change.ignored = outcome->ignored;
	change.dead_letters = -(int64) (outcome->done - outcome->refused);
	if (change.dead_letters != 0)
		si_dead_letter_change_counts(s->id, &change);
}

/* One chunk; *after moves behind it.  Returns how many were tried. */
static int
retry_chunk(SiApplier *applier, const SiSubscription *s, const SiOptions *options,
			const SiDeadLetterFilter *filter, SiPlace *after, int64 *applied)
{
	SiMessage  *messages;
	SiOutcome	outcome;
	int		   *attempts;
	int			n;

	messages = si_dead_letter_read(filter, after, CHUNK, &n, &attempts);
	if (n == 0)
		return 0;
	after->partition = messages[n - 1].partition;
	after->offset = messages[n - 1].offset;

	si_applier_apply_all(applier, messages, n, &outcome);
	store_outcome(s, options, messages, attempts, &outcome);
	change_counts(s, &outcome);
	*applied += outcome.done - outcome.refused;
	return n;
}

/*
 * The plan of a retry.  Without a version nobody can tell whether the row that
 * is there came later than the dead letter.  So a retried upsert only inserts,
 * a retried delete does nothing, and where that is refused the dead letter
 * stays, with that reason.
 */
static SiApplier *
create_plan(const SiSubscription *subscription, const SiOptions *options)
{
	const SiInsertMode *mode = si_insert_mode_find(subscription->insert_mode);
	SiSubscription *inserting;
	SiOptions  *deleting_nothing;

	/* what is stored may be damaged: the plan says so */
	if (mode == NULL || !mode->updates || options->version_column != NULL)
		return si_applier_create(subscription, options);
	inserting = palloc(sizeof(SiSubscription));
	*inserting = *subscription;
	inserting->insert_mode = pstrdup(si_insert_modes[SI_INSERT].name);
	deleting_nothing = palloc(sizeof(SiOptions));
	*deleting_nothing = *options;
	deleting_nothing->tombstones = SI_TOMBSTONES_ERROR;
	return si_applier_create(inserting, deleting_nothing);
}

int64
si_retry_dead_letters(const SiSubscription *subscription, const SiOptions *options,
					  const SiDeadLetterFilter *filter)
{
	SiApplier  *applier = create_plan(subscription, options);
	MemoryContext chunk_context = AllocSetContextCreate(CurrentMemoryContext,
														"stream_ingest retry",
														ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(chunk_context);
	SiPlace		after = {-1, -1};
	int64		applied = 0;

	while (retry_chunk(applier, subscription, options, filter, &after, &applied) > 0)
		MemoryContextReset(chunk_context);

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(chunk_context);
	si_applier_destroy(applier);
	return applied;
}
