/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Questions to brokers that the library answers by blocking.
 *
 * For a consumer's helper thread: it calls no server function, no palloc, no
 * ereport, and all memory is malloc'd.  Each call may take a few
 * seconds (three at most for each request it makes).
 *
 * Called by helper.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_LOOKUP_H
#define SI_LOOKUP_H

#include "kafka/consumer_values.h"

struct rd_kafka_s;
struct rd_kafka_topic_partition_list_s;

/* The handle to use, and the topic to ask about. */
typedef struct SiLookup
{
	struct rd_kafka_s *rk;
	const char *topic;
	int			timeout_ms;		/* of a request */
	bool		(*cancelled) (void *arg);	/* called between two requests */
	void	   *arg;
} SiLookup;

/* Describe the topic. */
extern void si_lookup_topic(const SiLookup *lookup, SiTopicInfo *info);

/* List all topics of the cluster. */
extern void si_lookup_topics(const SiLookup *lookup, SiTopicList *list);

/* Answer the queries, each with its own error if need be. */
extern void si_lookup_offsets(const SiLookup *lookup, SiOffsetQuery *queries, int n);

/*
 * One answer per partition of the list, in place; the offsets asked for are
 * those of SiOffsetQuery.at.  Returns the library's error code.
 */
extern int	si_lookup_list(const SiLookup *lookup,
						   struct rd_kafka_topic_partition_list_s *list);

/*
 * What an error code of si_lookup_list means.  For a topic that may not be read
 * the library reports unknown partitions; only a request for its metadata, which
 * is made here, tells the cause.  Sets nothing for an error of a connection:
 * that comes as an event, with better words.
 */
extern void si_lookup_explain(const SiLookup *lookup, int err, SiBrokerError *broker_error);

#endif							/* SI_LOOKUP_H */
