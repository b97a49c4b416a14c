/*-------------------------------------------------------------------------
 *
 * consumer_values.h
 *	  Questions to brokers, their answers and errors: the values that pass
 *	  between the main thread and a consumer's helper.
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

/* An error that concerns brokers or the whole topic, not one message. */
typedef enum SiBrokerErrorKind
{
	SI_BROKER_ERROR_NONE,
	SI_BROKER_ERROR_TIMEOUT,	/* no answer in time; the reason is unknown */
	SI_BROKER_ERROR_CONNECTION, /* no connection to (some or all) brokers */
	SI_BROKER_ERROR_TOKEN_AWAY, /* token endpoint or KDC do not answer */
	SI_BROKER_ERROR_AUTHENTICATION,
	SI_BROKER_ERROR_TOKEN_REFUSED,	/* the token endpoint gives us none */
	SI_BROKER_ERROR_TICKET_REFUSED, /* the KDC gives us no ticket */
	SI_BROKER_ERROR_TOKEN_FUNCTION, /* the user's function gives us none */
	SI_BROKER_ERROR_AUTHORIZATION,
	SI_BROKER_ERROR_TOPIC,		/* unknown topic or partition */
	SI_BROKER_ERROR_FATAL		/* the consumer cannot be used any more */
} SiBrokerErrorKind;

typedef struct SiBrokerError
{
	SiBrokerErrorKind kind;
	char		words[256];		/* librdkafka's words */
} SiBrokerError;

/*
 * Where the helper thread writes a partition's watermarks: atomics in shared
 * memory (or anywhere), -1001 while unknown.  asked_at is a
 * TimestampTz: when the request was sent.
 */
typedef struct SiWatermarkSink
{
	int32_t		partition;
	pg_atomic_uint64 *low;
	pg_atomic_uint64 *high;
	pg_atomic_uint64 *asked_at;
} SiWatermarkSink;

/* How the library writes the id of a topic of which it has none. */
#define SI_ZERO_TOPIC_ID	"AAAAAAAAAAAAAAAAAAAAAA"

/* The description of the topic; answered by the helper thread. */
typedef struct SiTopicInfo
{
	bool		valid;			/* false: see broker_error */
	int			partitions;		/* how many there are */
	char		cluster_id[64]; /* empty if unknown */
	char		topic_id[64];	/* empty if unknown, as with libraries before
								 * 2.3 */
	SiBrokerError broker_error;
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
	bool		valid;			/* false: see broker_error */
	int			n;
	SiTopicName *topics;
	SiBrokerError broker_error;
} SiTopicList;

/* A question about an offset, and its answer. */
typedef struct SiOffsetQuery
{
	int32_t		partition;
	int64_t		at;				/* SI_OFFSET_BEGINNING, SI_OFFSET_END, or
								 * milliseconds since 1970 */
	int64_t		offset;			/* the answer (END's offset if no message is
								 * that new); SI_OFFSET_UNKNOWN if it failed */
	char		error[128];		/* why, if it failed */
} SiOffsetQuery;

#endif							/* SI_CONSUMER_VALUES_H */
