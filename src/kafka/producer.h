/*-------------------------------------------------------------------------
 *
 * producer.h
 *	  Writing to Kafka: the only door to librdkafka's producer.
 *
 * A producer outlives transactions.  A round is what one transaction sends:
 * either all of it is acknowledged, or the producer is discarded with all that
 * is not sent yet.  Nothing here blocks; the caller waits on the descriptor.
 *
 * When the process exits, all producers are closed, in bounded time.
 *
 * Called by the functions that produce.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PRODUCER_H
#define SI_PRODUCER_H

#include "common/message.h"
#include "kafka/client.h"

/* The size of a message at most, with headers; Kafka's own limit is not higher by much. */
#define SI_PRODUCER_MAX_BYTES	100000000

struct SiToken;

typedef struct SiProducer SiProducer;

/* A message to be sent, in UTF-8. */
typedef struct SiOutgoing
{
	const char *topic;
	int32		partition;		/* -1: by the key, or any */
	const void *key;			/* NULL: none */
	size_t		key_len;
	const void *value;			/* NULL: a tombstone */
	size_t		value_len;
	int			nheaders;
	const SiHeader *headers;	/* a value may be NULL */
} SiOutgoing;

/* Why a message was not acknowledged. */
typedef struct SiProducerFailure
{
	int			sqlstate;
	char		topic[256];		/* empty: it concerns all messages */
	char		words[256];		/* the broker's, or librdkafka's */
	char		detail[256];	/* the newest broker error, or empty */
} SiProducerFailure;

typedef enum SiSendResult
{
	SI_SEND_DONE,				/* the library has its own copy */
	SI_SEND_FULL,				/* serve, wait, and retry */
	SI_SEND_FAILED
} SiSendResult;

/*
 * Open a producer; it connects in its own threads.  The properties override
 * our own defaults.  Errors: 22023 when librdkafka refuses a property, 53000
 * when a descriptor cannot be created.
 */
extern SiProducer *si_producer_open(const SiProperty *properties, int nproperties,
									const char *client_id);

/* What it authenticates by, if a function may give the tokens (token.h); or NULL. */
extern struct SiToken *si_producer_token(const SiProducer *producer);

/* Can it still be used, as far as is known? */
extern bool si_producer_usable(SiProducer *producer);

/* Have it look up a topic now, so that the commit need not wait for that. */
extern void si_producer_need_topic(SiProducer *producer, const char *topic);

/* Hand over a message of the current round. */
extern SiSendResult si_producer_send(SiProducer *producer, const SiOutgoing *message,
									 SiProducerFailure *failure);

/*
 * Take up the library's events; returns how many messages are not acknowledged
 * yet, or -1 if one failed.
 */
extern int64 si_producer_serve(SiProducer *producer, SiProducerFailure *failure);

/* Readable when si_producer_serve() may have something to do. */
extern int	si_producer_fd(const SiProducer *producer);

/*
 * Drop all that is not sent, and start closing the producer; returns at once,
 * and never fails.
 */
extern void si_producer_discard(SiProducer *producer);

#endif							/* SI_PRODUCER_H */
