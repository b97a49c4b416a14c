/*-------------------------------------------------------------------------
 *
 * publisher.c
 *	  When a worker tells Kafka how far it is.
 *
 * Every few seconds if there is progress, and every now and then if there is
 * none: Kafka forgets the offsets of a group without members a week after the
 * last commit (offsets.retention.minutes), and a topic may be silent for
 * longer.  Where the credentials may not commit, it is tried more and more
 * rarely, since rights can be granted while a worker runs.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/timestamp.h"

#include "common/clock.h"
#include "process/publisher.h"

#define INTERVAL_MS			5000
#define INTERVAL_MAX_MS		60000	/* while it fails */
#define REPEAT_MS			(60 * 60 * 1000)
#define DURABLE_MS			200 /* as often as the WAL writer flushes */

void
si_publisher_start(SiPublisher *publisher, SiConsumer *consumer, bool enabled, int n)
{
	memset(publisher, 0, sizeof(SiPublisher));
	if (!enabled || n == 0)
		return;
	publisher->consumer = consumer;
	publisher->interval_ms = INTERVAL_MS;
	publisher->pending = true;
	publisher->partitions = palloc(sizeof(int32) * n);
	publisher->offsets = palloc(sizeof(int64) * n);

	/* a predecessor's last commit, which we have read, may not be durable yet */
	publisher->commit = GetXLogInsertRecPtr();
}

void
si_publisher_progressed(SiPublisher *publisher, XLogRecPtr commit)
{
	publisher->pending = true;
	publisher->last_commit = commit;
	publisher->commit = commit;
}

/* Has what was sent last come back, and how? */
static void
note_outcome(SiPublisher *publisher)
{
	SiPublishState state = si_consumer_publish_state(publisher->consumer);

	if (!publisher->sent || state == SI_PUBLISH_UNDER_WAY)
		return;
	publisher->sent = false;
	if (state == SI_PUBLISH_DONE)
	{
		publisher->interval_ms = INTERVAL_MS;
		return;
	}
	publisher->pending = true;
	publisher->interval_ms = Min(publisher->interval_ms * 2, INTERVAL_MAX_MS);
}

bool
si_publisher_due(SiPublisher *publisher)
{
	TimestampTz now = si_clock_now();

	if (publisher->consumer == NULL)
		return false;
	note_outcome(publisher);
	return publisher->n == 0 && now >= publisher->next &&
		(publisher->pending || now >= publisher->repeat_at);
}

void
si_publisher_hand_in(SiPublisher *publisher, const int32 *partitions, const int64 *offsets, int n)
{
	memcpy(publisher->partitions, partitions, sizeof(int32) * n);
	memcpy(publisher->offsets, offsets, sizeof(int64) * n);
	publisher->n = n;
	publisher->durable_at = publisher->commit;
	publisher->look_at = 0;
	publisher->pending = false;
}

/* With synchronous_commit off there is always a younger commit that is not. */
void
si_publisher_send(SiPublisher *publisher)
{
	TimestampTz now = si_clock_now();

	if (publisher->n == 0 || now < publisher->look_at)
		return;
	if (GetFlushRecPtr(NULL) < publisher->durable_at)
	{
		publisher->look_at = TimestampTzPlusMilliseconds(now, DURABLE_MS);
		return;
	}
	si_committer_commit(&publisher->consumer->committer, publisher->partitions, publisher->offsets,
						publisher->n);
	publisher->n = 0;
	publisher->sent = true;
	publisher->next = TimestampTzPlusMilliseconds(now, publisher->interval_ms);
	publisher->repeat_at = TimestampTzPlusMilliseconds(now, REPEAT_MS);
}

char *
si_publisher_failure(SiPublisher *publisher)
{
	char		words[256];

	if (publisher->consumer == NULL ||
		!si_consumer_publish_error(publisher->consumer, words, sizeof(words)))
		return NULL;
	return psprintf("could not publish offsets to Kafka: %s", words);
}

long
si_publisher_wait_ms(const SiPublisher *publisher)
{
	TimestampTz at;

	if (publisher->consumer == NULL)
		return REPEAT_MS;
	if (publisher->n > 0)
		at = publisher->look_at;
	else
		at = publisher->pending ? publisher->next : publisher->repeat_at;
	return TimestampDifferenceMilliseconds(si_clock_now(), at);
}

void
si_publisher_hurry(SiPublisher *publisher)
{
	if (!XLogRecPtrIsInvalid(publisher->last_commit))
		XLogFlush(publisher->last_commit);

	/* what has been handed in is not the last word */
	publisher->pending |= (publisher->n > 0);
	publisher->n = 0;
	publisher->next = 0;
}

bool
si_publisher_is_busy(const SiPublisher *publisher)
{
	return publisher->consumer != NULL &&
		(publisher->n > 0 ||
		 si_consumer_publish_state(publisher->consumer) == SI_PUBLISH_UNDER_WAY);
}
