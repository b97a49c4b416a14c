/*-------------------------------------------------------------------------
 *
 * publisher.h
 *	  When a worker tells Kafka how far it is.
 *
 * Progress is published as a consumer group's offsets, for Kafka's own tools
 * to see; we never read it back.  What is published is durable here already:
 * never the other way round.  It is a courtesy, so nothing waits for it, and a
 * failure costs one line in the log.
 *
 * Called by the worker.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PUBLISHER_H
#define SI_PUBLISHER_H

#include "access/xlogdefs.h"
#include "kafka/consumer.h"
#include "datatype/timestamp.h"

typedef struct SiPublisher
{
	SiConsumer *consumer;		/* NULL: nothing is to be published */
	bool		pending;		/* there is something to tell */
	XLogRecPtr	last_commit;	/* of ours; invalid before the first */
	XLogRecPtr	commit;			/* after which it is true */
	bool		sent;			/* something was, and may still fail */
	int			interval_ms;	/* grows while it fails */
	TimestampTz next;			/* not before that */
	TimestampTz repeat_at;		/* even if there is nothing new */

	/* what has been handed in, until it is durable */
	int			n;				/* 0: nothing */
	int32	   *partitions;
	int64	   *offsets;
	XLogRecPtr	durable_at;		/* once this is flushed */
	TimestampTz look_at;		/* when to see whether it is */
} SiPublisher;

/*
 * Begin with up to n partitions whose offsets have just been read from the
 * tables; enabled: the subscription wants them published.  Allocates in the
 * current memory context.
 */
extern void si_publisher_start(SiPublisher *publisher, SiConsumer *consumer, bool enabled,
							   int n);

/* Progress has been committed up to this point of the log. */
extern void si_publisher_progressed(SiPublisher *publisher, XLogRecPtr commit);

/* Is it time to hand in how far we are? */
extern bool si_publisher_due(SiPublisher *publisher);

/*
 * Hand in the next offset of each partition as of the last commit.  They are
 * published by si_publisher_send as soon as that commit is durable, however
 * many there have been since.
 */
extern void si_publisher_hand_in(SiPublisher *publisher, const int32 *partitions,
								 const int64 *offsets, int n);
extern void si_publisher_send(SiPublisher *publisher);

/*
 * Why it fails: each reason once, palloc'd; NULL if there is nothing new.
 * Call it whenever the consumer's descriptor was readable.
 */
extern char *si_publisher_failure(SiPublisher *publisher);

/*
 * There will be no more progress: have the last of it made durable, so that it
 * can be handed in and sent at once.
 */
extern void si_publisher_hurry(SiPublisher *publisher);

/* Is a publication under way, of which the brokers have said nothing yet? */
extern bool si_publisher_is_busy(const SiPublisher *publisher);

/* Milliseconds until there may be something to do, if nothing happens. */
extern long si_publisher_wait_ms(const SiPublisher *publisher);

#endif							/* SI_PUBLISHER_H */
