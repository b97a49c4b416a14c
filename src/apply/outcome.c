/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  What follows from an applied batch: dead letters, counts, progress.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "apply/outcome.h"
#include "catalog/dead_letter.h"
#include "common/kafka_time.h"

/* When an orphan is tried again for the first time. */
#define FIRST_RETRY_MS	1000

/* ---- dead letters ---- */

/* The last offset of a partition in the batch; -1 if there is none. */
static int64
last_offset(const SiBatch *batch, int32 partition)
{
	for (int i = batch->n - 1; i >= 0; i--)
	{
		if (batch->entries[i].message.partition == partition)
			return batch->entries[i].message.offset;
	}
	return -1;
}

/* Mark the entries of a partition whose offsets are among those known, sorted. */
static void
mark_partition(SiBatch *batch, int32 partition, const int64 *known, int nknown)
{
	int			k = 0;

	for (int i = 0; i < batch->n && k < nknown; i++)
	{
		SiEntry    *entry = &batch->entries[i];

		if (entry->message.partition != partition)
			continue;
		while (k < nknown && known[k] < entry->message.offset)
			k++;
		entry->already_dead = (k < nknown && known[k] == entry->message.offset);
	}
}

bool
si_outcome_mark_already_dead(const SiPlan *plan, SiBatch *batch)
{
	const SiSubscription *s = plan->subscription;

	batch->met = 0;
	for (int i = 0; i < batch->n; i++)
		batch->entries[i].already_dead = false;
	for (int i = 0; i < batch->npartitions; i++)
	{
		const SiProgress *progress = batch->progress[i];
		int64	   *known;
		int64		others;
		int			nknown;

		if (progress->next_offset > progress->last_dead_letter)
			continue;
		known = si_dead_letter_known(s->id, s->topic, progress->partition,
									 progress->next_offset,
									 last_offset(batch, progress->partition), &nknown, &others);
		if (others >= 0)
		{
			batch->awaited.partition = progress->partition;
			batch->awaited.offset = others;
			return false;
		}
		mark_partition(batch, progress->partition, known, nknown);
		batch->met += nknown;
	}
	return true;
}

/* When an orphan is tried again by itself; 0 for what is no orphan. */
static TimestampTz
first_retry(const SiPlan *plan, const SiFailure *failure)
{
	if (plan->options->fk_retries == 0 ||
		failure->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION)
		return 0;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FIRST_RETRY_MS);
}

/* A copy of a message as a dead letter keeps it: with headers, not too large. */
static SiMessage *
message_to_keep(const SiPlan *plan, const SiBatch *batch, const SiMessage *message)
{
	SiMessage  *kept = palloc(sizeof(SiMessage));

	*kept = *message;
	if (kept->headers == NULL && batch->consumer != NULL &&
		!si_held_read_headers(&batch->consumer->held, kept))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	si_message_reduce(kept, plan->options->max_message_bytes);
	return kept;
}

/* Store what was refused. */
static void
store_dead_letters(const SiPlan *plan, const SiBatch *batch)
{
	SiDeadLetter *letters = palloc(sizeof(SiDeadLetter) * Max(batch->refused, 1));
	int			n = 0;

	for (int i = 0; i < batch->done; i++)
	{
		const SiEntry *entry = &batch->entries[i];

		if (entry->failure == NULL)
			continue;
		letters[n].message = message_to_keep(plan, batch, &entry->message);
		letters[n].failure = entry->failure;
		letters[n].former_log = 0;
		letters[n].retry_at = first_retry(plan, entry->failure);
		n++;
	}
	if (n > 0)
		si_dead_letter_store(plan->subscription->id, plan->subscription->topic, letters, n);
}

/*
 * Remove the dead letters of messages that are now applied or, if refused
 * messages are ignored, settled.
 */
static int64
remove_dead_letters(const SiPlan *plan, SiBatch *batch, bool ignore)
{
	SiPlace    *places = palloc(sizeof(SiPlace) * Max(batch->done, 1));
	int			n = 0;

	for (int i = 0; i < batch->done; i++)
	{
		const SiEntry *entry = &batch->entries[i];

		if (!entry->already_dead || (entry->failure != NULL && !ignore))
			continue;
		places[n].partition = entry->message.partition;
		places[n].offset = entry->message.offset;
		places[n].former_log = 0;
		n++;
	}
	return si_dead_letter_remove(plan->subscription->id, plan->subscription->topic, places, n);
}

/* Messages refused that were no dead letters before. */
static int
count_new_refusals(const SiBatch *batch)
{
	int			n = 0;

	for (int i = 0; i < batch->done; i++)
		n += batch->entries[i].failure != NULL && !batch->entries[i].already_dead;
	return n;
}

void
si_outcome_store(const SiPlan *plan, SiBatch *batch, SiOnError on_error)
{
	/*
	 * What the batch's own triggers have discarded counts as ignored since:
	 * if it was refused again it is a new one, and its message counts once
	 * more.
	 */
	if (batch->met > 0 && !si_outcome_mark_already_dead(plan, batch))
		elog(ERROR, "another session has locked dead letters that a batch has locked");
	if (on_error == SI_ON_ERROR_DEAD_LETTER)
	{
		store_dead_letters(plan, batch);
		batch->new_dead_letters = count_new_refusals(batch);
	}
	if (on_error == SI_ON_ERROR_IGNORE)
		batch->counts.ignored += batch->refused;
	batch->counts.dead_letters = batch->new_dead_letters -
		remove_dead_letters(plan, batch, on_error == SI_ON_ERROR_IGNORE);
}

/* ---- progress ---- */

/* The index of a partition in the batch's rows of progress. */
static int
find_partition(const SiBatch *batch, int32 partition)
{
	int			low = 0,
				high = batch->npartitions - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (batch->progress[middle]->partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	Assert(batch->progress[low]->partition == partition);
	return low;
}

/* The latest time of an advance and of a message, if that has one. */
static void
note_time(SiAdvance *advance, const SiMessage *message)
{
	TimestampTz timestamp;

	if (!si_kafka_time_to_timestamptz(message->timestamp, &timestamp))
		return;
	if (advance->last_message_at == 0 || timestamp > advance->last_message_at)
		advance->last_message_at = timestamp;
}

/* Count the messages of each partition, but those that were counted before. */
static void
count_messages(const SiBatch *batch, SiAdvance *advances)
{
	int			row = 0;

	for (int i = 0; i < batch->done; i++)
	{
		const SiMessage *message = &batch->entries[i].message;
		SiAdvance  *advance;

		if (batch->progress[row]->partition != message->partition)
			row = find_partition(batch, message->partition);
		advance = &advances[row];
		advance->next_offset = message->offset + 1;
		advance->leader_epoch = message->leader_epoch;
		if (!batch->entries[i].already_dead)
		{
			advance->counts.messages++;
			advance->counts.bytes += message->key_len + message->value_len;
		}
		note_time(advance, message);
	}
}

/*
 * Counts of the whole batch stand in the row of its first partition: what a
 * statement over several partitions did cannot be told apart, and what is
 * promised is the sum.
 */
SiAdvance *
si_outcome_advances(const SiBatch *batch)
{
	SiAdvance  *advances = palloc0(sizeof(SiAdvance) * batch->npartitions);

	for (int i = 0; i < batch->npartitions; i++)
	{
		advances[i].next_offset = batch->progress[i]->next_offset;
		advances[i].leader_epoch = batch->progress[i]->leader_epoch;
	}
	advances[0].counts = batch->counts;
	advances[0].counts.batches = batch->done > 0 ? 1 : 0;
	advances[0].rejected = batch->new_dead_letters;
	count_messages(batch, advances);
	if (batch->done == batch->n)
	{
		for (int i = 0; i < batch->npartitions; i++)
			advances[i].next_offset = Max(advances[i].next_offset, batch->ends[i]);
	}
	return advances;
}

void
si_outcome_update_progress(SiBatch *batch, const SiAdvance *advances)
{
	for (int i = 0; i < batch->npartitions; i++)
	{
		batch->progress[i]->row = advances[i].row;
		batch->progress[i]->next_offset = advances[i].next_offset;
		batch->progress[i]->leader_epoch = advances[i].leader_epoch;
	}
	for (int i = 0; i < batch->done; i++)
	{
		const SiEntry *entry = &batch->entries[i];
		SiProgress *progress;

		if (entry->failure == NULL)
			continue;
		progress = batch->progress[find_partition(batch, entry->message.partition)];
		progress->last_dead_letter = Max(progress->last_dead_letter, entry->message.offset);
	}
}
