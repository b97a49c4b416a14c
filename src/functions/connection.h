/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  A backend's connection to a Kafka server: open a consumer, ask and read,
 *	  close it again.
 *
 * Nothing blocks: what librdkafka can only do by blocking runs in the
 * consumer's helper thread, and the backend waits for the consumer's
 * descriptor and its own latch, a tenth of a second at a time.  So a query can
 * be canceled at any moment; it fails when no answer came for ten seconds; and
 * the consumer is closed however it ends.
 *
 * Called by topic_reader and upcoming.  Errors are for the users of SQL
 * functions: 42501, 42704 (server, topic), 08004 (credentials), 08006 (no
 * answer), with librdkafka's words.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONNECTION_H
#define SI_CONNECTION_H

#include "datatype/timestamp.h"
#include "kafka/consumer.h"

typedef struct SiConnection
{
	const char *server;
	const char *topic;			/* NULL: of the cluster as a whole */
	Oid			server_oid;
	Oid			role;			/* whose privileges and user mapping count */
	SiConsumer *consumer;		/* NULL: closed */
	TimestampTz last_answer;	/* where the time limit counts from */
	char		broker_error[256];	/* librdkafka's words on why no answer
									 * comes; empty if it gave none */
} SiConnection;

/*
 * What is done between opening and closing.  It may ask, read, copy, and run
 * our fixed statements, but return only normally or by an ERROR: then the
 * consumer is closed also when the query is canceled or the backend terminated.
 */
typedef void (*SiConnectionWork) (SiConnection *connection, void *arg);

/*
 * Connect to a server (and a topic) with the privileges and the user mapping of
 * a role, do the work, and close the connection.  The properties are applied
 * after the server's own.
 */
extern void si_connection_run(const char *server, const char *topic, Oid role,
							  const SiProperty *properties, int nproperties,
							  SiConnectionWork work, void *arg);

/*
 * Wait until the consumer has something, or a tenth of a second, and serve
 * interrupts.  Calls the function that gives tokens when one is due.  Throws an
 * error that the broker reported, and one when the time limit for an answer has
 * passed.
 */
extern void si_connection_wait(SiConnection *connection);

/* The same for a whole tenth of a second, before a question is repeated. */
extern void si_connection_pause(SiConnection *connection);

/* An answer has come: the time limit starts again. */
extern void si_connection_restart_timeout(SiConnection *connection);

/* Throw what a broker reported, or remember it if librdkafka tries again. */
extern void si_connection_check_broker_error(SiConnection *connection, const SiBrokerError *broker_error);

/* Ask about the topic, or for offsets, until every answer is there. */
extern void si_connection_ask_topic(SiConnection *connection, SiTopicInfo *info);
extern void si_connection_ask_offsets(SiConnection *connection, SiOffsetQuery *queries, int n);

#endif							/* SI_CONNECTION_H */
