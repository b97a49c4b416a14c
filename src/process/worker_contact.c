/*-------------------------------------------------------------------------
 *
 * worker_contact.c
 *	  The worker's phase CONTACT: where each partition resumes.
 *
 * Asks the brokers about the topic, makes or moves the rows of progress, and
 * assigns our own partitions.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "catalog/dead_letter.h"
#include "catalog/event.h"
#include "catalog/session.h"
#include "catalog/transaction.h"
#include "process/worker_internal.h"

#define CONTACT_RETRY_MAX_MS 5000	/* brokers and topics come back
									 * unannounced */

/* Wait for what the brokers say of the topic; false if they say it is bad. */
static bool
ask_topic(SiWorker *worker, SiTopicInfo *info)
{
	worker->wait = SI_WAIT_FETCH;
	si_helper_ask_topic(worker->consumer->helper);
	while (!si_consumer_topic_answer(worker->consumer, info))
		si_worker_wait(worker, -1);
	if (!info->valid)
		si_worker_report_broker_error(worker, &info->broker_error);
	return info->valid;
}

/* The same for offsets. */
static bool
ask_offsets(SiWorker *worker, SiPositionQuestions *questions)
{
	si_helper_ask_offsets(worker->consumer->helper, questions->queries, questions->nqueries);
	while (!si_helper_offsets_answer(worker->consumer->helper, questions->queries, questions->nqueries))
		si_worker_wait(worker, -1);
	for (int i = 0; i < questions->nqueries; i++)
	{
		SiOffsetQuery *query = &questions->queries[i];
		SiBrokerError broker_error = {SI_BROKER_ERROR_CONNECTION};

		if (query->offset != SI_OFFSET_UNKNOWN)
			continue;
		snprintf(broker_error.words, sizeof(broker_error.words),
				 "could not get offsets of topic \"%s\", partition %d: %s",
				 worker->subscription->topic, query->partition, query->error);
		si_consumer_explain(worker->consumer, &broker_error);
		si_worker_report_broker_error(worker, &broker_error);
		return false;
	}
	return true;
}

/* What the brokers have to be asked to find the positions; in the scratch context. */
static SiPositionQuestions *
make_questions(SiWorker *worker, const SiTopicInfo *info)
{
	MemoryContext caller = si_transaction_begin();
	SiPositionQuestions *questions;

	MemoryContextSwitchTo(worker->scratch);
	questions = si_position_questions(worker->subscription, worker->options, info);
	si_transaction_commit(caller);
	return questions;
}

/* Make and move rows of progress; false to ask once more. */
static bool
resolve_positions(SiWorker *worker, const SiTopicInfo *info, SiPositionQuestions *answered)
{
	MemoryContext caller = si_transaction_begin();
	char	   *reason = NULL;
	SiPositionEnd end;

	end = si_position_resolve(worker->subscription, worker->options, &worker->key, info,
							  answered, &reason);
	if (end == SI_POSITION_STOP || end == SI_POSITION_GAP)
	{
		/* in this transaction: the gaps that it tells of are in it, too */
		reason = MemoryContextStrdup(worker->scratch, reason);
		(void) si_catalog_stop(worker->subscription->id, worker->key.epoch, "stopped", reason,
							   end == SI_POSITION_GAP ? SI_GAP_SQLSTATE : NULL);
		si_event_announce(worker->subscription->id, SI_STATE_STOPPED);
	}
	if (end == SI_POSITION_FENCED || end == SI_POSITION_AGAIN)
	{
		si_transaction_abort(caller);
		if (end == SI_POSITION_FENCED)
			si_worker_leave(SI_SUCCESSOR_AT_ONCE);
		return false;
	}
	si_transaction_commit(caller);

	if (end == SI_POSITION_STOP || end == SI_POSITION_GAP)
		si_worker_leave_stopped(worker, SI_STATE_STOPPED, reason);
	return true;
}

/*
 * Which partitions are ours: those that the subscription takes are dealt out
 * in turn, so that a partition that is added changes nothing for the others.
 */
static void
load_partitions(SiWorker *worker, int topic_partitions)
{
	MemoryContext caller = si_transaction_begin();
	MemoryContext old = MemoryContextSwitchTo(worker->plan_context);
	SiProgress *rows;
	int			nrows,
				rank = 0;

	rows = si_progress_load(worker->subscription->id, worker->subscription->topic, &nrows);
	worker->partitions = palloc0(sizeof(SiPartition) * Max(nrows, 1));
	worker->npartitions = 0;
	for (int i = 0; i < nrows; i++)
	{
		SiPartition *partition;

		if (!si_options_takes(worker->options, rows[i].partition))
			continue;
		if (rank++ % worker->team != worker->number)
			continue;
		partition = &worker->partitions[worker->npartitions++];
		partition->progress = rows[i];
		worker->intake.skips += rows[i].nskips;
		partition->expected = rows[i].next_offset;
		partition->stop = rows[i].stop_offset >= 0 ? rows[i].stop_offset : PG_INT64_MAX;
		partition->end = -1;
		partition->missing = (rows[i].partition >= topic_partitions);
		partition->at_end = partition->missing || si_worker_has_read_all(partition);
	}
	MemoryContextSwitchTo(old);
	worker->next_orphans =
		si_clock_from_wall(si_dead_letter_next_retry(worker->subscription->id));
	si_transaction_commit(caller);
}

/* Have the consumer read our partitions from their stored offsets. */
static void
assign_partitions(SiWorker *worker)
{
	int			most = Max(worker->npartitions, 1);
	int32	   *partitions = palloc(sizeof(int32) * most);
	int64	   *offsets = palloc(sizeof(int64) * most);
	int32	   *epochs = palloc(sizeof(int32) * most);
	int			n = 0;

	for (int i = 0; i < worker->npartitions; i++)
	{
		const SiProgress *progress = &worker->partitions[i].progress;

		if (worker->partitions[i].missing || si_worker_has_read_all(&worker->partitions[i]))
			continue;
		worker->partitions[i].assigned = true;
		partitions[n] = progress->partition;
		offsets[n] = progress->next_offset;
		epochs[n] = progress->leader_epoch;
		n++;
	}
	if (n > 0)
		si_consumer_assign(worker->consumer, partitions, offsets, epochs, n);
	pfree(partitions);
	pfree(offsets);
	pfree(epochs);
}

void
si_worker_contact(SiWorker *worker)
{
	MemoryContext old;
	SiTopicInfo info;
	SiPositionQuestions *questions;

	Assert(CurrentMemoryContext == worker->scratch);
	if (!worker->contact.failing)
		si_worker_set_state(worker, SI_STATE_CONNECTING, NULL);
	if (!ask_topic(worker, &info))
	{
		si_worker_back_off(worker, CONTACT_RETRY_MAX_MS);
		si_worker_leave_if_changed(worker);
		return;
	}
	questions = make_questions(worker, &info);
	if (!ask_offsets(worker, questions) || !resolve_positions(worker, &info, questions))
	{
		si_worker_back_off(worker, CONTACT_RETRY_MAX_MS);
		si_worker_leave_if_changed(worker);
		return;
	}
	load_partitions(worker, info.partitions);
	si_worker_watch_watermarks(worker);
	assign_partitions(worker);
	old = MemoryContextSwitchTo(worker->plan_context);
	si_publisher_start(&worker->publisher, worker->consumer, worker->options->publish_offsets,
					   worker->npartitions);
	MemoryContextSwitchTo(old);

	si_session_limit_lock_waits(0);
	worker->contact.partitions = info.partitions;
	worker->contact.failing = false;
	worker->retry_ms = 0;
	worker->contact.next_check =
		TimestampTzPlusMilliseconds(si_clock_now(), SI_TOPIC_CHECK_MS);
	worker->phase = SI_PHASE_STREAM;
	worker->wait = SI_WAIT_IDLE;
	si_worker_set_state(worker, worker->npartitions > 0 ? SI_STATE_CATCHING_UP : SI_STATE_STREAMING,
						worker->npartitions > 0 ? NULL : si_reason_fixed(SI_REASON_NO_PARTITION));
}
