/*-------------------------------------------------------------------------
 *
 * committer.h
 *	  Committing offsets under a consumer's group.
 *
 * By the main thread alone, without waiting.
 *
 * Called by consumer, and by the worker's publisher.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_COMMITTER_H
#define SI_COMMITTER_H

#include "c.h"

struct rd_kafka_s;
struct rd_kafka_queue_s;
struct rd_kafka_op_s;
struct rd_kafka_topic_partition_list_s;

typedef enum SiPublishState
{
	SI_PUBLISH_DONE,			/* all offsets given are committed */
	SI_PUBLISH_UNDER_WAY,
	SI_PUBLISH_FAILED			/* some wait to be sent again */
} SiPublishState;

typedef struct SiCommitter
{
	struct rd_kafka_s *rk;
	struct rd_kafka_queue_s *events;	/* where the results come */
	const char *topic;
	struct rd_kafka_topic_partition_list_s *next;	/* not sent yet */
	bool		under_way;
	bool		failed;			/* words are not reported yet */
	char		words[256];
} SiCommitter;

extern void si_committer_init(SiCommitter *committer, struct rd_kafka_s *rk,
							  struct rd_kafka_queue_s *events, const char *topic);
extern void si_committer_destroy(SiCommitter *committer);

/*
 * Commit offsets (the next ones to be read), and those that failed before, for
 * which n may be 0; returns at once.
 */
extern void si_committer_commit(SiCommitter *committer, const int32 *partitions,
								const int64 *offsets, int n);

/* What has become of the offsets given, as far as events were served. */
extern SiPublishState si_committer_state(const SiCommitter *committer);

/* Take up the result of a commit. */
extern void si_committer_finish(SiCommitter *committer, struct rd_kafka_op_s *event);

/* A failure that comes by another way: the coordinator's. */
extern void si_committer_note_error(SiCommitter *committer, int err, const char *words);

/*
 * Why committing fails: each reason once, until a commit succeeds; false if
 * there is no new one.
 */
extern bool si_committer_error(SiCommitter *committer, char *words, size_t size);

#endif							/* SI_COMMITTER_H */
