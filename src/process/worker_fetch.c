/*-------------------------------------------------------------------------
 *
 * worker_fetch.c
 *	  Fetching: what the worker takes from its consumer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "apply/convert_batch.h"
#include "process/worker_internal.h"

/* Below this offset a partition has nothing but what was fetched. */
static void
pass_to(SiPartition *partition, int64 offset)
{
	partition->at_end = true;
	partition->expected = Max(partition->expected, Min(offset, partition->stop));
	if (partition->expected > partition->progress.next_offset)
		partition->end = partition->expected;
}

/* Take note of a fetched item; true if it is a message for a batch. */
static bool
take_item(SiWorker *worker, const SiFetched *item)
{
	SiPartition *partition = si_worker_find_partition(worker, item->message.partition);

	/* behind the end of the run not even an error matters */
	if (partition == NULL || si_worker_has_read_all(partition))
		return false;
	switch (item->kind)
	{
		case SI_FETCH_MESSAGE:
			/* the library may deliver again what it has delivered */
			if (item->message.offset < partition->expected)
				return false;
			if (item->message.offset >= partition->stop)
			{
				pass_to(partition, partition->stop);
				return false;
			}
			partition->expected = item->message.offset + 1;
			partition->at_end = si_worker_has_read_all(partition);
			return true;
		case SI_FETCH_END:
			pass_to(partition, item->message.offset);
			return false;
		case SI_FETCH_OUT_OF_RANGE:
		case SI_FETCH_CORRUPT:
			/* nothing behind it may be taken; see abandon */
			partition->expected = PG_INT64_MAX;
			worker->intake.broken =
				MemoryContextStrdup(worker->plan_context,
									psprintf("topic \"%s\", partition %d, offset " INT64_FORMAT ": %s",
											 worker->subscription->topic, item->message.partition,
											 item->message.offset, item->error));
			return false;
		case SI_FETCH_ERROR:
			si_worker_set_error(ERRCODE_CONNECTION_FAILURE, item->error);
			return false;
	}
	return false;
}

/* Move what was fetched to the front of the array. */
static void
compact_entries(SiWorker *worker)
{
	int			n = worker->intake.n - worker->intake.first;

	if (worker->intake.first == 0)
		return;
	memmove(worker->intake.entries, worker->intake.entries + worker->intake.first, sizeof(SiEntry) * n);
	worker->intake.first = 0;
	worker->intake.n = n;
}

/* Add a message to those fetched. */
static void
add_entry(SiWorker *worker, const SiMessage *message)
{
	SiEntry    *entry = &worker->intake.entries[worker->intake.n++];

	entry->message = *message;
	entry->memory = si_message_memory(message);
	worker->intake.bytes += entry->memory;
}

void
si_worker_release(SiWorker *worker, int n)
{
	SiEntry    *entries = worker->intake.entries + worker->intake.first;

	for (int i = n - 1; i >= 0; i--)
	{
		worker->intake.bytes -= entries[i].memory;
		si_consumer_release(worker->consumer, &entries[i].message);
	}
	worker->intake.first += n;
	if (worker->intake.first == worker->intake.n)
		worker->intake.first = worker->intake.n = 0;
}

/*
 * How many more messages to fetch: until a batch is full; a second one beside it
 * where that will be decoded ahead.
 */
static int
room_left(const SiWorker *worker)
{
	int			n = worker->intake.n;
	int			most = worker->options->batch_size;
	int64		most_bytes = worker->options->batch_bytes;

	if ((n >= most || worker->intake.bytes >= most_bytes) && si_convert_is_ahead(worker->plan, n))
	{
		most *= 2;
		most_bytes *= 2;
	}
	return worker->intake.bytes < most_bytes ? most - n : 0;
}

/*
 * Fetch until the batch is full or there is nothing more.  The descriptor
 * fires again only after the queue was found empty, so we must not stop before
 * and then wait.  Returns false if something may be left.
 */
bool
si_worker_fetch(SiWorker *worker)
{
	int			room;

	Assert(CurrentMemoryContext == worker->scratch);
	compact_entries(worker);
	while ((room = room_left(worker)) > 0)
	{
		int			n = si_consumer_fetch(worker->consumer, worker->intake.chunk,
										  Min(SI_FETCH_CHUNK, room));

		si_worker_check_interrupts();
		if (n == 0)
			return true;
		if (worker->intake.n == 0)
			worker->intake.oldest = si_clock_now();
		for (int i = 0; i < n; i++)
		{
			SiFetched  *item = &worker->intake.chunk[i];

			if (take_item(worker, item))
				add_entry(worker, &item->message);
			else
				si_consumer_release(worker->consumer, &item->message);
		}
	}
	return false;
}
