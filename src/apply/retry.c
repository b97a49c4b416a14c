/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Trying dead letters again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply/apply.h"
#include "apply/retry.h"
#include "catalog/count_changes.h"
#include "options/insert_mode.h"

/* So many are in memory at a time. */
#define CHUNK	1000

/* A retry that is under way in this process; in the caller's stack. */
typedef struct Retry
{
	const struct Retry *outer;	/* whose statements called it */
	int32		subscription;
} Retry;

static const Retry *innermost = NULL;

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

/*
 * Remove the dead letters that were applied; the others get a new reason.  The batch
 * begins with letter `first`.
 */
static void
store_outcome(const SiSubscription *s, const SiOptions *options, const SiLetters *tried,
			  int first, const SiBatch *batch)
{
	SiPlace    *places = palloc(sizeof(SiPlace) * Max(batch->done, 1));
	SiDeadLetter *letters = palloc(sizeof(SiDeadLetter) * Max(batch->refused, 1));
	int			ngood = 0,
				nbad = 0;

	for (int i = 0; i < batch->done; i++)
	{
		const SiMessage *message = &batch->entries[i].message;
		const SiFailure *failure = batch->entries[i].failure;

		/* those to be removed come first */
		SiPlace    *place = &places[failure == NULL ? ngood++ : batch->done - 1 - nbad];

		place->partition = message->partition;
		place->offset = message->offset;
		place->former_log = tried->former_logs[first + i];
		if (failure == NULL)
			continue;
		letters[nbad].message = message;
		letters[nbad].failure = failure;
		letters[nbad].former_log = tried->former_logs[first + i];
		letters[nbad].retry_at = next_retry(options, failure, tried->attempts[first + i] + 1);
		nbad++;
	}
	if (si_dead_letter_count(s->id, s->topic, places, batch->done) != batch->done)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("dead letters of subscription \"%s\" were removed while they were being retried",
						NameStr(s->name)),
				 errdetail("A trigger, function or statement that the retry runs discards them.")));
	(void) si_dead_letter_remove(s->id, s->topic, places, ngood);
	if (nbad > 0)
		si_dead_letter_store(s->id, s->topic, letters, nbad);
}

/* Count what the retry did, where a worker that may be running is not disturbed. */
static void
change_counts(const SiSubscription *s, const SiBatch *batch)
{
	SiCounts	change = batch->counts;

	change.dead_letters = -(int64) (batch->done - batch->refused);
	if (change.dead_letters != 0)
		si_count_changes_add(s->id, &change);
}

/* One chunk; *after moves behind it.  Returns how many were tried. */
static int
retry_chunk(SiPlan *plan, const SiSubscription *s, const SiOptions *options,
			const SiDeadLetterFilter *filter, SiPlace *after, int64 *applied)
{
	SiLetters	letters;
	SiEntry    *entries;
	int			n;
	int			done = 0;

	si_dead_letter_read(filter, after, CHUNK, &letters);
	n = letters.n;
	if (n == 0)
		return 0;
	after->partition = letters.messages[n - 1].partition;
	after->offset = letters.messages[n - 1].offset;
	after->former_log = letters.former_logs[n - 1];

	entries = palloc0(sizeof(SiEntry) * n);
	for (int i = 0; i < n; i++)
		entries[i].message = letters.messages[i];
	while (done < n)
	{
		SiBatch		batch;

		si_apply_in_transaction(plan, entries + done, n - done, options->batch_size, &batch);
		store_outcome(s, options, &letters, done, &batch);
		change_counts(s, &batch);
		*applied += batch.done - batch.refused;
		done += batch.done;
	}
	return n;
}

/*
 * The plan of a retry.  Without a version it is not known whether the row that
 * exists came later than the dead letter, and a delete compares none.  So a retried
 * upsert only inserts, a retried delete does nothing, and where that is refused the
 * dead letter stays, with that reason.
 */
static SiPlan *
create_plan(const SiSubscription *subscription, const SiOptions *options)
{
	SiSubscription *inserting;
	SiOptions  *deleting_nothing = palloc(sizeof(SiOptions));

	*deleting_nothing = *options;
	deleting_nothing->deletes_nothing = true;

	/* what is stored may be damaged: the plan says so */
	if (subscription->insert_mode == SI_MODE_UNKNOWN ||
		!si_insert_modes[subscription->insert_mode].updates ||
		options->version_column != NULL)
		return si_plan_create(subscription, deleting_nothing, false);
	inserting = palloc(sizeof(SiSubscription));
	*inserting = *subscription;
	inserting->insert_mode = SI_INSERT;
	deleting_nothing->tombstones = SI_TOMBSTONES_ERROR;
	deleting_nothing->of_upsert = true;
	return si_plan_create(inserting, deleting_nothing, false);
}

/* Retry those of one topic, which may be one that the subscription had before. */
static int64
retry_topic(const SiSubscription *subscription, const SiOptions *options,
			const SiDeadLetterFilter *filter, char *topic)
{
	SiDeadLetterFilter of_topic = *filter;
	SiSubscription *s = palloc(sizeof(SiSubscription));
	SiPlan	   *plan;
	MemoryContext chunk_context,
				caller;
	SiPlace		after = {-1, -1, -1};
	int64		applied = 0;

	of_topic.topic = topic;
	*s = *subscription;
	s->topic = topic;
	plan = create_plan(s, options);
	chunk_context = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest retry",
										  ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(chunk_context);
	while (retry_chunk(plan, s, options, &of_topic, &after, &applied) > 0)
		MemoryContextReset(chunk_context);

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(chunk_context);
	si_plan_destroy(plan);
	return applied;
}

/* The work of si_retry_dead_letters. */
static int64
retry_topics(const SiSubscription *subscription, const SiOptions *options,
			 const SiDeadLetterFilter *filter)
{
	List	   *topics = si_dead_letter_topics(subscription->id);
	ListCell   *lc;
	int64		applied = 0;

	foreach(lc, topics)
	{
		char	   *topic = lfirst(lc);

		if (filter->topic == NULL || strcmp(filter->topic, topic) == 0)
			applied += retry_topic(subscription, options, filter, topic);
	}
	return applied;
}

/*
 * A trigger on the target may want to retry, too, while the dead letters are still
 * there that are being applied: it would apply them again.  They are passed over.
 */
int64
si_retry_dead_letters(const SiSubscription *subscription, const SiOptions *options,
					  const SiDeadLetterFilter *filter)
{
	Retry		this = {innermost, subscription->id};
	volatile int64 applied = 0;

	for (const Retry *outer = innermost; outer != NULL; outer = outer->outer)
	{
		if (outer->subscription == subscription->id)
			return 0;
	}
	innermost = &this;

	/* what is thrown may be caught by a user's function */
	PG_TRY();
	{
		applied = retry_topics(subscription, options, filter);
	}
	PG_FINALLY();
	{
		innermost = this.outer;
	}
	PG_END_TRY();
	return applied;
}

/*
 * Locks as a batch does: the target before the subscription, and for that it
 * does not wait.  So it cannot deadlock with a session that changes the
 * subscription and wants the target next.
 */
bool
si_retry_orphans(const SiSubscription *subscription, const SiOptions *options)
{
	SiDeadLetterFilter due = {subscription->id, NULL, -1, 0, PG_INT64_MAX, true};

	if (OidIsValid(subscription->target))
		LockRelationOid(subscription->target, RowExclusiveLock);
	if (!si_catalog_share(subscription->id, subscription->epoch, false))
		return false;
	(void) si_retry_dead_letters(subscription, options, &due);
	return true;
}
