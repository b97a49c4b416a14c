/*-------------------------------------------------------------------------
 *
 * look.h
 *	  Looking at a cluster from an ordinary session: its topics, and messages
 *	  of one.
 *
 * The current role needs USAGE on the server; the mapping is its own, else
 * PUBLIC's.  A look can be cancelled at any moment, ends with an error when
 * nothing was heard for ten seconds, and leaves no consumer behind, however it
 * ends.
 *
 * Called by SQL functions; errors are for their users to read: 42501, 42704
 * (server, topic), 08004 (credentials), 08006 (no answer), with librdkafka's
 * words.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_LOOK_H
#define SI_LOOK_H

#include "options/options.h"

/* All topics of the cluster, by name; palloc'd. */
extern SiTopicName *si_look_topics(const char *server, int *n);

/*
 * Up to max_messages of a topic, over all its partitions: its newest ones (with
 * the position "latest"), its oldest, or those at and after a time.  What is
 * newest is said by the timestamps; within a partition offsets are taken to be
 * in their order.  The result is in the order of timestamp, partition and
 * offset, in the current memory context, with headers.  It ends early once
 * that many bytes are in hand (0: no limit).
 */
extern SiMessage *si_look_messages(const char *server, const char *topic,
								   const SiStart *position, int max_messages,
								   int64 max_bytes, int *n);

#endif							/* SI_LOOK_H */
