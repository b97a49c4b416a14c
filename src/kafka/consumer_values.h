/*-------------------------------------------------------------------------
 *
 * consumer_values.h
 *	  What is asked and learnt of brokers: the values that pass between the
 *	  	  main thread and a consumer's helper.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONSUMER_VALUES_H
#define SI_CONSUMER_VALUES_H

#include "port/atomics.h"

/* Special offsets, Kafka's own numbers. */
#define SI_OFFSET_BEGINNING	INT64CONST(-2)
#define SI_OFFSET_END		INT64CONST(-1)
#define SI_OFFSET_UNKNOWN	INT64CONST(-1001)

/* A failure that concerns brokers or the whole topic, not one message. */
typedef enum SiTroubleKind
{
	SI_TROUBLE_NONE,
	SI_TROUBLE_SILENCE,			/* no answer in time, and nobody knows why */
	SI_TROUBLE_BROKER,			/* no connection to (some or all) brokers */
	SI_TROUBLE_AUTHENTICATION,
	SI_TROUBLE_AUTHORIZATION,
	SI_TROUBLE_TOPIC,			/* unknown topic or partition */
	SI_TROUBLE_FATAL			/* the consumer is of no use any more */
} SiTroubleKind;

typedef struct SiTrouble
{
	SiTroubleKind kind;
	char		words[256];		/* librdkafka's words */
} SiTrouble;

/*
 * Where the helper thread writes what it learns of a partition: atomics in
 * shared memory (or anywhere), -1001 while unknown.  asked_at is a
 * TimestampTz: when the question was sent.
 */
typedef struct SiWatermarkSink
{
	int32_t		partition;
	pg_atomic_uint64 *low;
	pg_atomic_uint64 *high;
	pg_atomic_uint64 *asked_at;
} SiWatermarkSink;

/* What the brokers say of the topic; answered by the helper thread. */
typedef struct SiTopicInfo
{
	bool		valid;			/* false: see trouble */
	int			partitions;		/* how many there are */
	char		cluster_id[64]; /* empty if unknown */
	char		topic_id[64];	/* empty where the library cannot tell (< 2.3) */
	SiTrouble	trouble;
} SiTopicInfo;

/* One of the cluster's topics. */
typedef struct SiTopicName
{
	char		name[250];		/* Kafka's limit is 249 */
	int			partitions;
} SiTopicName;

/* All topics of the cluster; answered by the helper thread. */
typedef struct SiTopicList
{
	bool		valid;			/* false: see trouble */
	int			n;
	SiTopicName *topics;
	SiTrouble	trouble;
} SiTopicList;

/* A question about an offset, and its answer. */
typedef struct SiOffsetQuery
{
	int32_t		partition;
	int64_t		at;				/* SI_OFFSET_BEGINNING, SI_OFFSET_END, or
								 * milliseconds since 1970 */
	int64_t		offset;			/* the answer (END's offset if nothing is that
								 * new); SI_OFFSET_UNKNOWN if it failed */
	char		error[128];		/* why, if it failed */
} SiOffsetQuery;

#endif							/* SI_CONSUMER_VALUES_H */
