/*-------------------------------------------------------------------------
 *
 * helper.h
 *	  The helper thread of a consumer.
 *
 * It makes the library's blocking calls, writes watermarks to their sinks, and
 * at last destroys the library's handle.  The functions below are the main
 * thread's and never wait, but si_helper_await.
 *
 * Called by consumer.
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

typedef struct SiHelper SiHelper;

/*
 * A helper that is not running yet.  It makes fd readable when there is an
 * answer or a broker error.  NULL when out of memory.
 */
extern SiHelper *si_helper_create(const char *topic, int fd);

/* Free one that was never started. */
extern void si_helper_free(SiHelper *helper);

/* Where broker errors are collected; lives as long as the library's handle. */
extern SiBrokerErrors *si_helper_broker_errors(SiHelper *helper);

/*
 * Start it with the handle, which is its own to destroy from now on; returns
 * an error number, and then it is not.
 */
extern int	si_helper_start(SiHelper *helper, struct rd_kafka_s *rk);

/* Questions and answers: as the functions of consumer.h of these names. */
extern void si_helper_ask_topic(SiHelper *helper);
extern bool si_helper_topic_answer(SiHelper *helper, SiTopicInfo *info);
extern void si_helper_ask_topics(SiHelper *helper);
extern const SiTopicList *si_helper_topics_answer(SiHelper *helper);
extern void si_helper_ask_offsets(SiHelper *helper, const SiOffsetQuery *queries, int n);
extern bool si_helper_offsets_answer(SiHelper *helper, SiOffsetQuery *queries, int n);
extern void si_helper_watch(SiHelper *helper, const SiWatermarkSink *sinks, int n,
							int interval_ms);

/* Tell it to end: it writes no sink and no descriptor from now on. */
extern void si_helper_end(SiHelper *helper);

/*
 * Wait until it has destroyed the handle, or leave it alone with that (false).
 * The struct is gone afterwards.
 */
extern bool si_helper_await(SiHelper *helper, int timeout_ms);

/* Wait for those that were left alone, in this process. */
extern bool si_helper_await_abandoned(int timeout_ms);

#endif							/* SI_HELPER_H */
