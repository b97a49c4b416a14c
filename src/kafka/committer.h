/*-------------------------------------------------------------------------
 *
 * committer.h
 *	  Committing offsets under a consumer's group.
 *
 * By the main thread alone, without waiting.
 *
 * Called by consumer.
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

typedef struct SiCommitter
{
	struct rd_kafka_s *rk;
	struct rd_kafka_queue_s *events;	/* where the answers come */
	const char *topic;
	struct rd_kafka_topic_partition_list_s *next;	/* not sent yet */
	bool		under_way;
	bool		failed;			/* words have not been told yet */
	char		words[256];
} SiCommitter;

extern void si_committer_init(SiCommitter *committer, struct rd_kafka_s *rk,
							  struct rd_kafka_queue_s *events, const char *topic);
extern void si_committer_destroy(SiCommitter *committer);

/* Commit these, and what failed before. */
extern void si_committer_commit(SiCommitter *committer, const int32 *partitions,
								const int64 *offsets, int n);

/* Is there something that has not been sent? */
extern bool si_committer_waits(const SiCommitter *committer);

/* Take up the answer. */
extern void si_committer_finish(SiCommitter *committer, struct rd_kafka_op_s *event);

/* A failure that is told elsewhere: the coordinator's. */
extern void si_committer_note_error(SiCommitter *committer, int err, const char *words);

/* Why it fails: each reason once, until it succeeds; false if nothing is new. */
extern bool si_committer_error(SiCommitter *committer, char *words, size_t size);

#endif							/* SI_COMMITTER_H */
