/*-------------------------------------------------------------------------
 *
 * worker_stream.c
 *	  The worker's phase STREAM: one turn of fetching and applying.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"

#include "process/worker_internal.h"

#define FAILING_CHECK_MS	2000	/* between questions about the topic while
									 * brokers or topic fail */

/* Has the topic that we read been replaced by another one of its name? */
static bool
reads_another_topic(const SiWorker *worker, const SiTopicInfo *info)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (worker->partitions[i].assigned &&
			si_position_another_topic(&worker->partitions[i].progress, info) != NULL)
			return true;
	}
	return false;
}

/*
 * Take what the brokers answered about the topic.  Partitions that were added, a topic
 * that was away, and another topic of the name need a new contact, by a new process,
 * which judges what is to become of the partitions.
 */
static void
take_topic_info(SiWorker *worker)
{
	SiTopicInfo info;

	if (!si_consumer_topic_answer(worker->consumer, &info))
		return;
	worker->contact.asked = false;
	worker->contact.next_check =
		TimestampTzPlusMilliseconds(si_clock_now(),
									info.valid ? SI_TOPIC_CHECK_MS : FAILING_CHECK_MS);
	if (!info.valid)
	{
		/* one that holds back its answers because of a quota is not away */
		if (info.broker_error.kind != SI_BROKER_ERROR_TIMEOUT || !si_consumer_throttled(worker->consumer))
			si_worker_report_broker_error(worker, &info.broker_error);
		return;
	}
	if (info.partitions != worker->contact.partitions || worker->contact.failing ||
		reads_another_topic(worker, &info))
		si_worker_leave(SI_SUCCESSOR_AT_ONCE);
}

/* Take what the consumer and the brokers report, and ask about the topic now and then. */
static void
check_brokers(SiWorker *worker)
{
	SiBrokerError broker_error;
	TimestampTz now = si_clock_now();

	if (si_consumer_broker_error(worker->consumer, &broker_error) && !worker->contact.failing)
	{
		/* is it one broker, or all? */
		worker->contact.next_check = now;
		if (broker_error.kind == SI_BROKER_ERROR_FATAL)
		{
			si_worker_report_broker_error(worker, &broker_error);
			si_worker_leave(SI_SUCCESSOR_DELAYED);
		}
		si_worker_set_error(ERRCODE_CONNECTION_FAILURE, broker_error.words);
	}
	take_topic_info(worker);
	if (!worker->contact.asked && now >= worker->contact.next_check)
	{
		si_helper_ask_topic(worker->consumer->helper);
		worker->contact.asked = true;
	}
}

/* How long there is nothing to do unless something happens. */
static long
idle_ms(SiWorker *worker, long batch_ms)
{
	long		ms = worker->contact.asked ? SI_TOPIC_CHECK_MS
		: TimestampDifferenceMilliseconds(si_clock_now(), worker->contact.next_check);

	if (worker->rate.per_second > 0)
		ms = Min(ms, 1000);
	if (batch_ms >= 0)
		ms = Min(ms, batch_ms);
	if (!worker->contact.failing)
		ms = Min(ms, si_publisher_wait_ms(&worker->publisher));
	if (worker->next_orphans != 0)
		ms = Min(ms, TimestampDifferenceMilliseconds(si_clock_now(),
													 worker->next_orphans));
	return ms;
}

/*
 * Leave because a partition cannot be read further.  What was fetched is given up:
 * the brokers still have it, and a new process begins at the stored offset.
 */
static void
abandon(SiWorker *worker)
{
	si_worker_set_error(ERRCODE_DATA_CORRUPTED, worker->intake.broken);
	si_worker_set_state(worker, SI_STATE_RETRYING, worker->intake.broken);
	si_worker_leave(SI_SUCCESSOR_DELAYED);
}

void
si_worker_stream(SiWorker *worker)
{
	bool		drained;
	long		batch_ms,
				run_ms;

	Assert(CurrentMemoryContext == worker->scratch);
	check_brokers(worker);
	si_worker_retry_orphans(worker);
	si_worker_publish_offsets(worker);
	drained = si_worker_fetch(worker);
	if (drained)
		si_worker_check_ends(worker);
	si_worker_stop_reading(worker);
	if (worker->intake.broken != NULL && worker->intake.first == worker->intake.n)
		abandon(worker);
	if (si_worker_batch_due(worker, drained, &batch_ms))
	{
		si_worker_apply(worker);
		return;
	}
	if (!drained && batch_ms < 0)
		return;
	si_worker_check_run(worker, &run_ms);
	if (!worker->contact.failing && !worker->run.arrived && si_worker_all_at_end(worker) && worker->npartitions > 0)
		si_worker_set_state(worker, SI_STATE_STREAMING, NULL);
	si_worker_update_rate(&worker->rate, 0);
	pgstat_report_activity(STATE_IDLE, NULL);
	si_worker_wait(worker, idle_ms(worker, run_ms >= 0 ? run_ms : batch_ms));
}
