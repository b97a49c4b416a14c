/*-------------------------------------------------------------------------
 *
 * worker_partitions.c
 *	  A worker's partitions: how far they were read, and telling that to others.
 *
 * Watermarks and offsets are shown in shared memory, for the views, and published
 * under the consumer group, for Kafka's own tools.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/clock.h"
#include "process/worker_internal.h"

/* While the state is not streaming, the ends of partitions are checked this often. */
#define CHECK_ENDS_MS	1000

/* ---- how far they were read ---- */

SiPartition *
si_worker_find_partition(SiWorker *worker, int32 number)
{
	int			low = 0,
				high = worker->npartitions - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		SiPartition *partition = &worker->partitions[middle];

		if (partition->progress.partition == number)
			return partition;
		if (partition->progress.partition < number)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

bool
si_worker_has_read_all(const SiPartition *partition)
{
	return partition->expected >= partition->stop;
}

bool
si_worker_has_read_run(const SiWorker *worker)
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
	if (worker->intake.first < worker->intake.n)
		return false;
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!worker->partitions[i].at_end)
			return false;
	}
	return true;
}

/*
 * The library tells of an end only when a fetch is empty, and with steady traffic none is.
 * So a partition is also at its end when the worker has fetched up to the high watermark of
 * the last response, or beyond that of the check before: behind the last message there
 * may be a transaction's marker, which no consumer is given.
 */
void
si_worker_check_ends(SiWorker *worker)
{
	TimestampTz now = si_clock_now();
	bool		recent;

	if (worker->streaming || !TimestampDifferenceExceeds(worker->ends_checked_at, now, CHECK_ENDS_MS))
		return;
	recent = !TimestampDifferenceExceeds(worker->ends_checked_at, now, 2 * CHECK_ENDS_MS);
	worker->ends_checked_at = now;
	for (int i = 0; i < worker->npartitions; i++)
	{
		SiPartition *partition = &worker->partitions[i];
		int64		high = si_consumer_high_watermark(worker->consumer, partition->progress.partition);

		if ((high >= 0 && partition->expected >= high) ||
			(recent && partition->high >= 0 && partition->expected >= partition->high))
			partition->at_end = true;
		partition->high = high;
	}
}

void
si_worker_stop_reading(SiWorker *worker)
{
	int32	   *partitions = palloc(sizeof(int32) * Max(worker->npartitions, 1));
	int			n = 0;

	for (int i = 0; i < worker->npartitions; i++)
	{
		SiPartition *partition = &worker->partitions[i];

		if (!partition->assigned || !si_worker_has_read_all(partition))
			continue;
		partition->assigned = false;
		partitions[n++] = partition->progress.partition;
	}
	if (n > 0)
		si_consumer_unassign(worker->consumer, partitions, n);
	pfree(partitions);
}

/* ---- telling others ---- */

void
si_worker_watch_watermarks(SiWorker *worker)
{
	SiWatermarkSink *sinks = palloc(sizeof(SiWatermarkSink) * Max(worker->npartitions, 1));
	int			n = 0;

	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->partitions = worker->npartitions;
	for (int i = 0; i < worker->npartitions; i++)
	{
		int32		partition = worker->partitions[i].progress.partition;
		SiPartitionSlot *slot = si_slots_make_partition(MyDatabaseId, worker->subscription->id,
														partition, si_worker_my_slot);

		if (slot == NULL)
			break;
		worker->partitions[i].shown_offset = &slot->next_offset;
		pg_atomic_write_u64(&slot->next_offset, worker->partitions[i].progress.next_offset);
		pg_atomic_write_u64(&slot->stop_offset, worker->partitions[i].stop);
		if (worker->partitions[i].missing)
		{
			/* no broker knows it, and it has no end to wait for */
			pg_atomic_write_u64(&slot->low, 0);
			pg_atomic_write_u64(&slot->high, 0);
			pg_atomic_write_u64(&slot->asked_at, DT_NOEND);
			continue;
		}
		sinks[n].partition = partition;
		sinks[n].low = &slot->low;
		sinks[n].high = &slot->high;
		sinks[n].asked_at = &slot->asked_at;
		n++;
	}
	si_slots_unlock();
	si_helper_watch(worker->consumer->helper, sinks, n, SI_WATERMARK_MS);
	pfree(sinks);
}

void
si_worker_show_offsets(SiWorker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		const SiPartition *partition = &worker->partitions[i];

		if (partition->in_batch && partition->shown_offset != NULL)
			pg_atomic_write_u64(partition->shown_offset, partition->progress.next_offset);
	}
}

void
si_worker_publish_offsets(SiWorker *worker)
{
	int			n = worker->npartitions;
	int32	   *partitions;
	int64	   *offsets;
	char	   *failure = si_publisher_failure(&worker->publisher);

	if (failure != NULL)
	{
		si_worker_set_error(ERRCODE_CONNECTION_FAILURE, failure);
		ereport(LOG,
				(errmsg("subscription \"%s\": %s", NameStr(worker->subscription->name), failure)));
	}
	if (worker->contact.failing)
		return;
	if (si_publisher_due(&worker->publisher))
	{
		partitions = palloc(sizeof(int32) * n);
		offsets = palloc(sizeof(int64) * n);
		n = 0;
		for (int i = 0; i < worker->npartitions; i++)
		{
			if (worker->partitions[i].missing)
				continue;
			partitions[n] = worker->partitions[i].progress.partition;
			offsets[n++] = worker->partitions[i].progress.next_offset;
		}
		si_publisher_hand_in(&worker->publisher, partitions, offsets, n);
	}
	si_publisher_send(&worker->publisher);
}
