/*-------------------------------------------------------------------------
 *
 * consumer_fetch.c
 *	  Assigning partitions to a consumer, and fetching their messages.
 *
 * By the main thread alone.  An ERROR is raised only after the library's call
 * has returned and every message taken from it is held (held.c).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/committer.h"
#include "kafka/consumer.h"
#include "kafka/held.h"
#include "kafka/helper.h"

/* ---- assigning ---- */

/* Pass the change to the library, update our own list, and free the argument. */
static void
change_assignment(SiConsumer *consumer, rd_kafka_topic_partition_list_t *list,
				  bool add)
{
	rd_kafka_error_t *error = NULL;
	char		words[256];
	int			i;

	if (list->cnt > 0)
		error = add ? rd_kafka_incremental_assign(consumer->rk, list) :
			rd_kafka_incremental_unassign(consumer->rk, list);
	for (i = 0; error == NULL && i < list->cnt; i++)
	{
		if (add)
			rd_kafka_topic_partition_list_add(consumer->assigned,
											  list->elems[i].topic,
											  list->elems[i].partition);
		else
			rd_kafka_topic_partition_list_del(consumer->assigned,
											  list->elems[i].topic,
											  list->elems[i].partition);
	}
	rd_kafka_topic_partition_list_destroy(list);
	if (error == NULL)
		return;

	si_words_copy(words, sizeof(words), rd_kafka_error_string(error));
	rd_kafka_error_destroy(error);
	ereport(ERROR,
			(errcode(ERRCODE_SYSTEM_ERROR),
			 errmsg("could not change the partitions read from topic \"%s\": %s",
					consumer->topic, words)));
}

void
si_consumer_unassign(SiConsumer *consumer, const int32_t *partitions, int n)
{
	rd_kafka_topic_partition_list_t *list;
	int			i;

	list = rd_kafka_topic_partition_list_new(n);
	for (i = 0; i < n; i++)
	{
		if (rd_kafka_topic_partition_list_find(consumer->assigned,
											   consumer->topic,
											   partitions[i]) != NULL)
			rd_kafka_topic_partition_list_add(list, consumer->topic,
											  partitions[i]);
	}
	change_assignment(consumer, list, false);
}

/*
 * A partition that is assigned already is unassigned first: the library demands
 * it, and it drops what is queued of the partition, so that no message from
 * before a move backwards follows it.
 */
void
si_consumer_assign(SiConsumer *consumer, const int32_t *partitions,
				   const int64_t *offsets, const int32_t *leader_epochs,
				   int n)
{
	rd_kafka_topic_partition_list_t *list;
	int			i;

	/* without a valid offset the library would use the group's */
	for (i = 0; i < n; i++)
	{
		if (offsets[i] < 0 && offsets[i] != SI_OFFSET_BEGINNING &&
			offsets[i] != SI_OFFSET_END)
			elog(ERROR, "unexpected offset %lld", (long long) offsets[i]);
	}

	si_consumer_unassign(consumer, partitions, n);
	list = rd_kafka_topic_partition_list_new(n);
	for (i = 0; i < n; i++)
	{
		rd_kafka_topic_partition_t *partition;

		partition = rd_kafka_topic_partition_list_add(list, consumer->topic,
													  partitions[i]);
		partition->offset = offsets[i];
#ifdef SI_RDKAFKA_HAS_LEADER_EPOCH
		if (leader_epochs != NULL)
			rd_kafka_topic_partition_set_leader_epoch(partition,
													  leader_epochs[i]);
#endif
	}
	change_assignment(consumer, list, true);
}

/* ---- fetching ---- */

/* The kind of item that one of the library's error codes stands for. */
static SiFetchKind
fetch_kind(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR_NO_ERROR:
			return SI_FETCH_MESSAGE;
		case RD_KAFKA_RESP_ERR__PARTITION_EOF:
			return SI_FETCH_END;
		case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
			return SI_FETCH_OUT_OF_RANGE;

			/* after these the library continues behind the unreadable data */
		case RD_KAFKA_RESP_ERR__BAD_MSG:
		case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
		case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
			return SI_FETCH_CORRUPT;
		default:
			return SI_FETCH_ERROR;
	}
}

/* Report the error of a message, if it concerns more than its partition. */
static void
note_message_error(SiConsumer *consumer, const rd_kafka_message_t *rkmessage)
{
	SiBrokerErrorKind kind = si_broker_error_kind(rkmessage->err);
	const char *text;

	if (fetch_kind(rkmessage->err) != SI_FETCH_ERROR)
		return;
	text = rd_kafka_message_errstr(rkmessage);

	if (rkmessage->rkt == NULL && kind == SI_BROKER_ERROR_CONNECTION)
		si_committer_note_error(&consumer->committer, rkmessage->err, text);
	else if (kind != SI_BROKER_ERROR_CONNECTION)
		si_broker_error_note(si_helper_broker_errors(consumer->helper), kind, text);
}

/* Hold a message and fill in its item; false if out of memory for headers. */
static bool
fill_item(SiConsumer *consumer, rd_kafka_message_t *rkmessage, SiFetched *item)
{
	SiMessage  *message = &item->message;

	item->kind = fetch_kind(rkmessage->err);
	item->error = NULL;
	memset(message, 0, sizeof(SiMessage));
	message->partition = rkmessage->partition;
	message->leader_epoch = -1;
	message->offset = rkmessage->offset;
	message->timestamp = -1;
	message->handle = si_held_keep(&consumer->held, rkmessage);
	if (item->kind != SI_FETCH_MESSAGE)
	{
		if (item->kind != SI_FETCH_END)
			item->error = si_held_words(&consumer->held, message->handle,
										rd_kafka_message_errstr(rkmessage));
		return true;
	}
#ifdef SI_RDKAFKA_HAS_LEADER_EPOCH
	message->leader_epoch = rd_kafka_message_leader_epoch(rkmessage);
#endif
	message->timestamp = rd_kafka_message_timestamp(rkmessage, NULL);
	message->key = rkmessage->key;
	message->key_len = rkmessage->key_len;
	message->value = rkmessage->payload;
	message->value_len = rkmessage->len;
	consumer->taken_messages++;
	consumer->taken_bytes += rkmessage->len;
	return !consumer->want_headers ||
		si_held_read_headers(&consumer->held, message);
}

/*
 * Make items of the library's messages; returns how many.  No ERROR before every
 * message is held: a lost one would make the library's destruction hang.
 */
static int
take_chunk(SiConsumer *consumer, int got, SiFetched *items)
{
	bool		complete = true;
	int			n = 0;
	int			i;

	for (i = 0; i < got; i++)
	{
		rd_kafka_message_t *rkmessage = consumer->chunk[i];

		if (rkmessage->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			note_message_error(consumer, rkmessage);
		if (rkmessage->rkt == NULL)
		{
			rd_kafka_message_destroy(rkmessage);	/* of no partition */
			continue;
		}
		complete &= fill_item(consumer, rkmessage, &items[n++]);
	}
	if (!complete)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return n;
}

/*
 * Before 2.2 a thread of the library that finds the queue full sleeps for a
 * second and does not notice that we emptied it, which costs nine tenths of the
 * speed.  Any request to its broker wakes it; the cheapest is one for offsets
 * whose response is ignored.  One per crossing of the low-water mark suffices;
 * with more, requests pile up behind a broker that is down.
 */
static void
wake_fetchers(SiConsumer *consumer)
{
	rd_kafka_topic_partition_list_t *list;
	int64_t		queued;
	int64_t		queued_bytes;
	int			i;

	if (consumer->low_messages == 0 || consumer->assigned->cnt == 0 ||
		(consumer->taken_messages < consumer->low_messages &&
		 consumer->taken_bytes < consumer->low_bytes))
		return;
	queued = rd_kafka_queue_length(consumer->messages);
	queued_bytes = queued * (consumer->taken_bytes / consumer->taken_messages);
	if (queued >= consumer->low_messages || queued_bytes >= consumer->low_bytes)
		return;

	list = rd_kafka_topic_partition_list_copy(consumer->assigned);
	for (i = 0; i < list->cnt; i++)
		list->elems[i].offset = SI_OFFSET_END;
	(void) rd_kafka_offsets_for_times(consumer->rk, list, 0);
	rd_kafka_topic_partition_list_destroy(list);
	consumer->taken_messages = 0;
	consumer->taken_bytes = 0;
}

int
si_consumer_fetch(SiConsumer *consumer, SiFetched *items, int max)
{
	int			n = 0;

	si_consumer_serve_events(consumer);
	while (n < max)
	{
		int			want = Min(max - n, SI_FETCH_CHUNK);
		ssize_t		got;

		si_held_reserve(&consumer->held, want);
		got = rd_kafka_consume_batch_queue(consumer->messages, 0,
										   consumer->chunk, want);
		if (got > 0)
			n += take_chunk(consumer, got, items + n);

		/*
		 * A message that arrived while the library found its queue empty may
		 * not have written to the descriptor.
		 */
		if (got < 0 ||
			(got < want && rd_kafka_queue_length(consumer->messages) == 0))
			break;
	}
	if (n > 0 && items[n - 1].kind <= SI_FETCH_END)
		si_broker_error_forget_failure(si_helper_broker_errors(consumer->helper));
	wake_fetchers(consumer);
	return n;
}

int64_t
si_consumer_high_watermark(SiConsumer *consumer, int32_t partition)
{
	int64_t		low,
				high;

	if (rd_kafka_get_watermark_offsets(consumer->rk, consumer->topic, partition, &low, &high) !=
		RD_KAFKA_RESP_ERR_NO_ERROR)
		return SI_OFFSET_UNKNOWN;
	return high;
}

void
si_consumer_release(SiConsumer *consumer, SiMessage *message)
{
	si_held_release(&consumer->held, message->handle);
	message->handle = NULL;
}
