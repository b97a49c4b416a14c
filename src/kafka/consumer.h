/*-------------------------------------------------------------------------
 *
 * consumer.h
 *	  Reading from Kafka: the only door to librdkafka's consumer.
 *
 * One consumer reads any number of a topic's partitions, from offsets that the
 * caller gives (never Kafka's own).  Nothing here blocks the calling thread
 * but si_consumer_close, which is bounded: what librdkafka can only do by
 * blocking (metadata, offsets for times) runs in the consumer's helper thread,
 * which also writes the watermarks.  No ERROR is thrown below one of the
 * library's frames.  All events make one descriptor readable.
 *
 * Questions go to the member helper (helper.h) directly, offsets to publish to
 * the member committer (committer.h), tokens that a function gives to the member
 * token (token.h).
 *
 * Called by the worker, and by functions that read a topic.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONSUMER_H
#define SI_CONSUMER_H

#include "common/message.h"
#include "kafka/client.h"
#include "kafka/committer.h"
#include "kafka/consumer_values.h"
#include "kafka/held.h"
#include "kafka/helper.h"

struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_queue_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_partition_list_s;

/* messages taken by one library call; more gains nothing and spoils caches */
#define SI_FETCH_CHUNK		1000

typedef struct SiConsumer
{
	SiHelper   *helper;			/* for questions */
	SiCommitter committer;		/* for offsets to publish */
	struct SiToken *token;		/* NULL unless it authenticates by tokens */

	/*
	 * Readable whenever there may be something to fetch, a broker error or an
	 * answer.  After a wake-up empty it by si_client_drain_fd(), and call the
	 * functions below until they return nothing before waiting for it again.
	 */
	int			fd;

	/*
	 * What follows is this folder's own.  Constant while the consumer is
	 * open:
	 */
	struct rd_kafka_s *rk;
	struct SiTicket *ticket;	/* NULL unless it authenticates by Kerberos */
	struct rd_kafka_queue_s *messages;
	struct rd_kafka_queue_s *events;
	struct rd_kafka_queue_s *logs;
	char	   *topic;
	bool		want_headers;

	struct rd_kafka_topic_partition_list_s *assigned;
	struct rd_kafka_message_s *chunk[SI_FETCH_CHUNK];
	SiHeld		held;			/* messages the caller has not released */

	/* for wake_fetchers(); low_messages is 0 where that is not needed */
	int64_t		low_messages;
	int64_t		low_bytes;
	int64_t		taken_messages;
	int64_t		taken_bytes;
} SiConsumer;

/* What one fetched item is. */
typedef enum SiFetchKind
{
	SI_FETCH_MESSAGE,
	SI_FETCH_END,				/* the partition's end: message.offset is the
								 * next offset to be written */
	SI_FETCH_OUT_OF_RANGE,		/* the broker does not have the offset we
								 * asked for, or the log was truncated below
								 * it; the partition delivers nothing until
								 * assigned again */
	SI_FETCH_CORRUPT,			/* unreadable data: nothing after it may be
								 * taken from this partition */
	SI_FETCH_ERROR				/* anything else; the library retries */
} SiFetchKind;

typedef struct SiFetched
{
	SiFetchKind kind;
	SiMessage	message;		/* partition and offset are always set */
	const char *error;			/* librdkafka's words in one line, for the
								 * error kinds; valid until the item is
								 * released */
} SiFetched;

/* ---- opening and closing: consumer.c ---- */

/*
 * Open a consumer of a topic and start its helper thread.  The properties
 * override our own defaults.  Errors: 22023 when librdkafka refuses a property
 * (its words), 53000 when a thread or descriptor cannot be created.  Must be
 * closed with si_consumer_close before the process exits; the caller registers
 * that (before_shmem_exit), since the helper writes to the sinks.
 */
extern SiConsumer *si_consumer_open(const SiProperty *properties, int nproperties,
									const char *topic, const char *group_id,
									const char *client_id, bool want_headers);

/*
 * Stop everything within timeout_ms: the helper ends, stops writing to sinks
 * and destroys the library's handle.  False if the library did not stop in time
 * (its threads then end with the process; see si_side_thread_await_at_exit).  The
 * helper may be in a call that takes three seconds, so give it four or more: a
 * process that exits in the middle of TLS may crash.
 */
extern bool si_consumer_close(SiConsumer *consumer, int timeout_ms);

/*
 * What may help against an error of this kind: a sentence for errhint, or
 * NULL.
 */
extern const char *si_consumer_hint(const SiConsumer *consumer, SiBrokerErrorKind kind);

/*
 * Does librdkafka accept this value?  NULL if so, else its own words (palloc'd).
 * An unknown name is an error too.  Only for names that are allowed: librdkafka
 * acts on some at once (plugin.library.paths is loaded).
 */
extern char *si_consumer_check_property(const char *name, const char *value);

/* ---- assigning and fetching: consumer_fetch.c ---- */

/*
 * Start (or move) partitions at the given offsets; others are not touched.  An
 * offset is a number or one of BEGINNING and END, where a broker's failure to
 * resolve it counts as OUT_OF_RANGE.  leader_epochs may be NULL, and an element -1.
 * Messages queued before are not delivered any more; an OUT_OF_RANGE from
 * before may be, with the offset that was asked for then.
 */
extern void si_consumer_assign(SiConsumer *consumer, const int32_t *partitions,
							   const int64_t *offsets, const int32_t *leader_epochs, int n);

/* Stop fetching these partitions.  Errors already queued may still come. */
extern void si_consumer_unassign(SiConsumer *consumer, const int32_t *partitions, int n);

/*
 * Take up to max items without waiting; returns how many.  They stay valid
 * until released.  After an ERROR (out of memory) items may be lost: the
 * consumer can only be closed.
 */
extern int	si_consumer_fetch(SiConsumer *consumer, SiFetched *items, int max);

/*
 * Give a fetched message back to the library.  Of many, the last one first: then
 * the next ones are kept in the same order in memory.
 */
extern void si_consumer_release(SiConsumer *consumer, SiMessage *message);

/*
 * The high watermark of a partition as the last response to a fetch told it; negative if there
 * was none.  Asks no broker.
 */
extern int64_t si_consumer_high_watermark(SiConsumer *consumer, int32_t partition);

/* ---- events: consumer_events.c; each function takes up new ones first ---- */

/*
 * The gravest broker error since the last call, of equals the newest; false if
 * there was none.  Call it after si_consumer_fetch, which may find some.
 */
extern bool si_consumer_broker_error(SiConsumer *consumer, SiBrokerError *broker_error);

/* Do brokers delay their responses because of a quota, or did they recently? */
extern bool si_consumer_throttled(SiConsumer *consumer);

/* Replace an error by the cause, if a broker has reported it. */
extern void si_consumer_explain(SiConsumer *consumer, SiBrokerError *broker_error);

/* The answer to si_helper_ask_topic, taken once; false while there is none. */
extern bool si_consumer_topic_answer(SiConsumer *consumer, SiTopicInfo *info);

/*
 * The answer to si_helper_ask_topics; NULL while there is none.  Valid until
 * the next question of this kind.
 */
extern const SiTopicList *si_consumer_topics_answer(SiConsumer *consumer);

/* Are the offsets given to the committer published? */
extern SiPublishState si_consumer_publish_state(SiConsumer *consumer);

/*
 * Why publishing fails.  Each reason is reported once, until a publication
 * succeeds; false if there is no new one.
 */
extern bool si_consumer_publish_error(SiConsumer *consumer, char *text, size_t size);

/* For this folder: take up events, and have the library produce them and call us. */
extern void si_consumer_serve_events(SiConsumer *consumer);
extern void si_consumer_register_callbacks(struct rd_kafka_conf_s *conf);

#endif							/* SI_CONSUMER_H */
