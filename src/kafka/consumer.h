/*-------------------------------------------------------------------------
 *
 * consumer.h
 *	  Reading from Kafka: the only door to librdkafka's consumer.
 *
 * One consumer per process, for all of its partitions, with offsets that the
 * caller gives (never Kafka's own).  Nothing here blocks the calling thread
 * but si_consumer_close, which is bounded: what librdkafka can only do by
 * blocking (metadata, offsets for times) runs in the consumer's helper thread,
 * which also writes the watermarks.  No ERROR is thrown below one of the
 * library's frames.  Everything is signalled through one descriptor.
 *
 * Called by the worker (and by functions that look into a topic).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONSUMER_H
#define SI_CONSUMER_H

#include "common/message.h"
#include "kafka/client.h"
#include "kafka/consumer_values.h"

typedef struct SiConsumer SiConsumer;

/* What one fetched item is. */
typedef enum SiFetchKind
{
	SI_FETCH_MESSAGE,
	SI_FETCH_END,				/* the partition's end: message.offset is the
								 * next offset to be written */
	SI_FETCH_OUT_OF_RANGE,		/* the broker does not have the offset we
								 * asked for, or the log was truncated below
								 * it; the partition delivers nothing until
								 * assigned anew */
	SI_FETCH_CORRUPT,			/* unreadable data: nothing after it may be
								 * taken from this partition */
	SI_FETCH_ERROR				/* anything else; the library tries again */
} SiFetchKind;

typedef struct SiFetched
{
	SiFetchKind kind;
	SiMessage	message;		/* partition and offset are always set */
	const char *error;			/* librdkafka's words in one line, for the
								 * error kinds; valid until the item is
								 * released */
} SiFetched;

/*
 * Open a consumer of a topic and start its helper thread.  The properties
 * come on top of our own settings.  Errors: 22023 when librdkafka refuses a
 * property (its words), 53000 when a thread or descriptor cannot be had.
 * Must be closed with si_consumer_close before the process exits; the caller
 * registers that (before_shmem_exit), since the helper writes to the sinks.
 */
extern SiConsumer *si_consumer_open(const SiProperty *properties, int nproperties,
									const char *topic, const char *group_id,
									const char *client_id, bool want_headers);

/*
 * Readable whenever there may be something to fetch, trouble or an answer.
 * Read until the calls below return nothing before waiting on it again.
 */
extern int	si_consumer_fd(const SiConsumer *consumer);

/* Empty the descriptor; call after waking up by it. */
extern void si_consumer_drain_fd(SiConsumer *consumer);

/*
 * Start (or move) partitions at the given offsets; others are not touched.  An
 * offset is a number or one of BEGINNING and END, where a broker's failure to
 * say which number that is counts as OUT_OF_RANGE.  leader_epochs may be NULL,
 * an epoch -1.  No message queued before is delivered any more; an
 * OUT_OF_RANGE from before may be, with the offset that was asked for then.
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
 * Fill in the headers of a fetched message whose consumer was not opened with
 * want_headers; valid until it is released.  False when out of memory.
 */
extern bool si_consumer_read_headers(SiConsumer *consumer, SiMessage *message);

/*
 * The gravest trouble since the last call, and of equals the newest; false if
 * there was none.  Call it after si_consumer_fetch, which may find some.
 */
extern bool si_consumer_trouble(SiConsumer *consumer, SiTrouble *trouble);

/* Do brokers hold back their answers because of a quota, or did lately? */
extern bool si_consumer_throttled(SiConsumer *consumer);

/*
 * What a broker said last tells more than that a question was not answered: put
 * that instead, if it is known.
 */
extern void si_consumer_explain(SiConsumer *consumer, SiTrouble *trouble);

/*
 * Ask the helper for the topic's description, or for offsets.  One question
 * of each kind at a time; asking again replaces one not yet taken up.  The
 * answer is taken once: false while there is none.
 */
extern void si_consumer_ask_topic(SiConsumer *consumer);
extern bool si_consumer_topic_answer(SiConsumer *consumer, SiTopicInfo *info);
extern void si_consumer_ask_offsets(SiConsumer *consumer, const SiOffsetQuery *queries, int n);
extern bool si_consumer_offsets_answer(SiConsumer *consumer, SiOffsetQuery *queries, int n);

/*
 * Ask for the topics of the whole cluster.  The answer is NULL while there is
 * none, and then stays until asked again or closed.
 */
extern void si_consumer_ask_topics(SiConsumer *consumer);
extern const SiTopicList *si_consumer_topics_answer(SiConsumer *consumer);

/*
 * Have the watermarks of these partitions asked for every interval_ms from now
 * on (the first time at once).  Replaces the former list; n = 0 ends it, and
 * when that call returns the old sinks are never written again.
 */
extern void si_consumer_watch(SiConsumer *consumer, const SiWatermarkSink *sinks, int n,
							  int interval_ms);

/*
 * Publish offsets (the next ones to be read) under the group; returns at once.
 * What failed is sent again with the next call, for which n may be 0.
 */
extern void si_consumer_publish(SiConsumer *consumer, const int32_t *partitions,
								const int64_t *offsets, int n);

typedef enum SiPublishState
{
	SI_PUBLISH_DONE,			/* all that was said is there */
	SI_PUBLISH_UNDER_WAY,
	SI_PUBLISH_FAILED			/* something waits to be sent again */
} SiPublishState;

extern SiPublishState si_consumer_publish_state(SiConsumer *consumer);

/*
 * Why publishing fails.  Each reason is told once, until a publication
 * succeeds; false if there is nothing new.
 */
extern bool si_consumer_publish_error(SiConsumer *consumer, char *text, size_t size);

/*
 * Stop everything within timeout_ms: the helper ends, writes no sink any more
 * and destroys the library's handle.  False if the library did not stop in
 * time (its threads then end with the process).  The helper may be in a call
 * that takes three seconds, so give it four or more: a process that exits in
 * the middle of TLS may crash.
 */
extern bool si_consumer_close(SiConsumer *consumer, int timeout_ms);

/*
 * Wait until the helpers that were left alone in this way have ended too.  Who
 * closes with a short timeout calls this at the end of the process: exit()
 * beside a living TLS connection can crash.
 */
extern bool si_consumer_await_abandoned(int timeout_ms);

/*
 * What may help against a trouble of this kind: a sentence for errhint, or
 * NULL.
 */
extern const char *si_consumer_hint(const SiConsumer *consumer, SiTroubleKind kind);

/*
 * Would librdkafka take this value?  NULL if so, else its own words (palloc'd).
 * An unknown name is an error too.  Only for names that are allowed: of some
 * the library makes use at once (plugin.library.paths is loaded).
 */
extern char *si_consumer_check_property(const char *name, const char *value);

#endif							/* SI_CONSUMER_H */
