/*-------------------------------------------------------------------------
 *
 * topic_reader.h
 *	  Reading the topics of a cluster, and messages of one topic, in a backend.
 *
 * Called by topics, peek, infer_table and, through upcoming, by preview.
 * Results are in the current memory context, messages with their headers.
 * Errors, time limits and interrupts are as connection.h says; data that
 * cannot be read ends its partition with a WARNING.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TOPIC_READER_H
#define SI_TOPIC_READER_H

#include "functions/connection.h"
#include "options/options.h"

/*
 * All topics of the cluster, by name.  The current role needs USAGE on the
 * server; the user mapping is its own, else PUBLIC's.
 */
extern SiTopicName *si_topic_reader_topics(const char *server, int *n);

/*
 * Up to max_messages of a topic, over all its partitions: its newest ones (with
 * the position "latest"), its oldest, or those at and after a time.  Timestamps
 * say what is newest; within a partition offsets are taken to be in their
 * order.  The result is in the order of timestamp, partition and offset.
 * Reading ends early once the messages have max_bytes (0: no limit).  Roles as
 * above.
 */
extern SiMessage *si_topic_reader_by_time(const char *server, const char *topic,
										  const SiStart *position, int max_messages,
										  int64 max_bytes, int *n);

/* The offsets of a partition that are to be read: from next up to until. */
typedef struct SiOffsetRange
{
	int64		next;
	int64		until;			/* exclusive */
} SiOffsetRange;

/*
 * Up to max_messages of the partitions 0 to nranges - 1, dealt out evenly among
 * those that have any: of each its first ones, without a hole.  The result is
 * in the order of partition and offset.  A message of more than most_bytes has
 * lost its value (si_message_reduce).
 */
extern SiMessage *si_topic_reader_by_offset(SiConnection *connection,
											const SiOffsetRange *ranges, int nranges,
											int max_messages, int64 most_bytes, int *n);

#endif							/* SI_TOPIC_READER_H */
