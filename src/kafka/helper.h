/*-------------------------------------------------------------------------
 *
 * helper.h
 *	  The helper thread of a consumer.
 *
 * The thread makes the library's blocking calls, writes watermarks to their
 * sinks, and in the end destroys the library's handle.  The functions below are
 * called by the main thread and never wait, except si_helper_await.
 *
 * Called by consumer, which creates and ends it; and by the worker and
 * functions that read a topic, which ask questions.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_HELPER_H
#define SI_HELPER_H

#include "kafka/broker_error.h"
#include "kafka/consumer_values.h"

struct rd_kafka_s;
struct SiTicket;

typedef struct SiHelper SiHelper;

/*
 * Create a helper that is not running yet.  It will make fd readable when there is an
 * answer or a broker error.  NULL when out of memory.
 */
extern SiHelper *si_helper_create(const char *topic, int fd);

/* Free one that was never started. */
extern void si_helper_free(SiHelper *helper);

/* Where broker errors are collected; lives as long as the library's handle. */
extern SiBrokerErrors *si_helper_broker_errors(SiHelper *helper);

/* The ticket of the handle's connections, kept as long as the handle lives; or NULL. */
extern void si_helper_keep_ticket(SiHelper *helper, struct SiTicket *ticket);
extern struct SiTicket *si_helper_ticket(SiHelper *helper);

/*
 * Start it with the handle, which it owns from now on unless an error number
 * is returned.
 */
extern int	si_helper_start(SiHelper *helper, struct rd_kafka_s *rk);

/*
 * Ask for the topic's description, for the topics of the whole cluster, or for
 * offsets.  One question of each kind at a time; asking again replaces one that
 * is not answered yet.
 */
extern void si_helper_ask_topic(SiHelper *helper);
extern void si_helper_ask_topics(SiHelper *helper);
extern void si_helper_ask_offsets(SiHelper *helper, const SiOffsetQuery *queries, int n);

/* Take the answer, of n queries; false while there is none. */
extern bool si_helper_offsets_answer(SiHelper *helper, SiOffsetQuery *queries, int n);

/* The same; for consumer.h's functions, which take up broker errors first. */
extern bool si_helper_topic_answer(SiHelper *helper, SiTopicInfo *info);
extern const SiTopicList *si_helper_topics_answer(SiHelper *helper);

/*
 * Ask for the watermarks of these partitions every interval_ms from now on (the
 * first time at once), and write them to the sinks.  Replaces the former list;
 * n = 0 ends it.  The former sinks are not written after the call.  Where there was
 * a list, the high watermarks alone are asked for at once, and both when they are due.
 */
extern void si_helper_watch(SiHelper *helper, const SiWatermarkSink *sinks, int n,
							int interval_ms);

/* Tell it to end: it writes to no sink and no descriptor from now on. */
extern void si_helper_end(SiHelper *helper);

/*
 * Wait until it has destroyed the handle; false if that takes longer, and the
 * helper is abandoned.  The caller must not use the struct afterwards.
 */
extern bool si_helper_await(SiHelper *helper, int timeout_ms);

#endif							/* SI_HELPER_H */
