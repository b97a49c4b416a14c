/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  A backend's connection to a Kafka server.
 *
 * A canceled query must not wait for a library that waits for a broker: the
 * consumer is closed within a tenth of a second, or left to its helper thread,
 * which ends by itself when its call returns.  A backend that exits waits a
 * bounded time for such helpers.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "common/clock.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "catalog/token_function.h"
#include "common/compat.h"
#include "functions/connection.h"
#include "kafka/side_thread.h"
#include "options/server_options.h"

/* The longest wait between two checks for interrupts. */
#define SLICE_MS			100

/* No answer for so long is an error. */
#define ANSWER_TIMEOUT_MS	10000

/* How long closing may take: normally, and after an error. */
#define CLOSE_MS			1000
#define CLOSE_AFTER_ERROR_MS	100

/* ---- opening and closing ---- */

/*
 * A query reads little, so it needs no deep queue; and it may wait for the end of
 * a partition, of which only an answer without messages tells.
 */
static const SiProperty query_settings[] = {
	{"queued.min.messages", "5000"},
	{"queued.max.messages.kbytes", "8192"},
	{"fetch.wait.max.ms", "100"},
};

/* Open a consumer with the privileges and the user mapping of a role. */
static void
open_consumer(SiConnection *connection, const SiProperty *more, int nmore)
{
	SiServerProperties *server = si_server_properties(connection->server, connection->role);
	SiProperty *properties = palloc(sizeof(SiProperty) *
									(server->nproperties + nmore + lengthof(query_settings)));
	int			n = server->nproperties;

	if (!has_server_usage_compat(server->server, connection->role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, connection->server);
	connection->server_oid = server->server;
	si_side_thread_await_at_exit();

	if (n > 0)
		memcpy(properties, server->properties, sizeof(SiProperty) * n);
	if (nmore > 0)
		memcpy(properties + n, more, sizeof(SiProperty) * nmore);
	n += nmore;
	memcpy(properties + n, query_settings, sizeof(query_settings));
	n += lengthof(query_settings);
	connection->consumer = si_consumer_open(properties, n, connection->topic ? connection->topic : "",
											psprintf("%s%s", server->group_prefix,
													 get_database_name(MyDatabaseId)),
											"stream_ingest", true);
	si_connection_restart_timeout(connection);
}

/* Close the consumer, if it is open. */
static void
close_consumer(SiConnection *connection, int timeout_ms)
{
	SiConsumer *consumer = connection->consumer;

	connection->consumer = NULL;
	if (consumer != NULL)
		(void) si_consumer_close(consumer, timeout_ms);
}

/*
 * The connection of the query that runs, in its stack.  (PG_ENSURE_ERROR_CLEANUP is not
 * for users' code, such as a function that gives tokens: what registers a callback of its
 * own for the exit keeps ours from being taken back.)
 */
static SiConnection *running = NULL;

/* before_shmem_exit callback, for a backend that exits within a query. */
static void
close_at_exit(int code, Datum arg)
{
	if (running != NULL)
		close_consumer(running, CLOSE_AFTER_ERROR_MS);
}

static void
register_exit(void)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(close_at_exit, (Datum) 0);
	registered = true;
}

/* If a token is due, have the role's function give one. */
static void
serve_token(SiConnection *connection)
{
	SiToken    *token = connection->consumer->token;
	SiFailure  *failure;

	if (si_token_due_ms(token) != 0)
		return;
	failure = si_token_function_serve(token, connection->server_oid, connection->role);
	if (failure != NULL)
		si_token_function_throw(failure, connection->server);
	si_connection_restart_timeout(connection);
}

void
si_connection_run(const char *server, const char *topic, Oid role, const SiProperty *properties,
				  int nproperties, SiConnectionWork work, void *arg)
{
	SiConnection connection = {.server = server,.topic = topic,.role = role};
	SiConnection *outer = running;

	si_token_function_refuse_inside();
	register_exit();
	open_consumer(&connection, properties, nproperties);
	running = &connection;
	PG_TRY();
	{
		serve_token(&connection);
		work(&connection, arg);
	}
	PG_CATCH();
	{
		running = outer;
		close_consumer(&connection, CLOSE_AFTER_ERROR_MS);
		PG_RE_THROW();
	}
	PG_END_TRY();
	running = outer;
	close_consumer(&connection, CLOSE_MS);
}

/* ---- waiting ---- */

void
si_connection_check_broker_error(SiConnection *connection, const SiBrokerError *broker_error)
{
	const char *hint = si_consumer_hint(connection->consumer, broker_error->kind);

	switch (broker_error->kind)
	{
		case SI_BROKER_ERROR_NONE:
		case SI_BROKER_ERROR_TIMEOUT:
		case SI_BROKER_ERROR_CONNECTION:
		case SI_BROKER_ERROR_TOKEN_AWAY:
			/* librdkafka tries again */
			strlcpy(connection->broker_error, broker_error->words,
					sizeof(connection->broker_error));
			return;
		case SI_BROKER_ERROR_AUTHENTICATION:
		case SI_BROKER_ERROR_TOKEN_REFUSED:
		case SI_BROKER_ERROR_TICKET_REFUSED:
		case SI_BROKER_ERROR_TOKEN_FUNCTION:
			ereport(ERROR,
					(errcode(ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION),
					 errmsg("Kafka server \"%s\" does not accept the connection: %s",
							connection->server, broker_error->words),
					 hint ? errhint("%s", hint) :
					 errhint("Look at the options of the server and of the user mapping.")));
			break;
		case SI_BROKER_ERROR_AUTHORIZATION:
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 connection->topic ?
					 errmsg("Kafka server \"%s\" does not let topic \"%s\" be read: %s",
							connection->server, connection->topic, broker_error->words) :
					 errmsg("Kafka server \"%s\" refuses an answer: %s",
							connection->server, broker_error->words)));
			break;
		case SI_BROKER_ERROR_TOPIC:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("Kafka server \"%s\" has no topic \"%s\": %s",
							connection->server, connection->topic ? connection->topic : "",
							broker_error->words),
					 errhint("stream_ingest.topics lists those there are.")));
			break;
		case SI_BROKER_ERROR_FATAL:
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("could not read from Kafka server \"%s\": %s",
							connection->server, broker_error->words)));
			break;
	}
}

void
si_connection_restart_timeout(SiConnection *connection)
{
	connection->last_answer = si_clock_now();
	connection->broker_error[0] = '\0';
}

void
si_connection_wait(SiConnection *connection)
{
	SiBrokerError broker_error;

	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 connection->consumer->fd, SLICE_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	si_client_drain_fd(connection->consumer->fd);
	CHECK_FOR_INTERRUPTS();
	serve_token(connection);

	while (si_consumer_broker_error(connection->consumer, &broker_error))
		si_connection_check_broker_error(connection, &broker_error);
	if (TimestampDifferenceExceeds(connection->last_answer, si_clock_now(),
								   ANSWER_TIMEOUT_MS))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("Kafka server \"%s\" did not answer within %d seconds",
						connection->server, ANSWER_TIMEOUT_MS / 1000),
				 connection->broker_error[0] != '\0' ?
				 errdetail_internal("%s", connection->broker_error) : 0,
				 errhint("Look at \"bootstrap_servers\" of the server, and whether the brokers can be reached from here.")));
}

void
si_connection_pause(SiConnection *connection)
{
	TimestampTz began = si_clock_now();

	do
		si_connection_wait(connection);
	while (!TimestampDifferenceExceeds(began, si_clock_now(), SLICE_MS));
}

/* ---- questions ---- */

void
si_connection_ask_topic(SiConnection *connection, SiTopicInfo *info)
{
	for (;;)
	{
		si_helper_ask_topic(connection->consumer->helper);
		while (!si_consumer_topic_answer(connection->consumer, info))
			si_connection_wait(connection);
		if (info->valid && info->partitions > 0)
			break;
		si_connection_check_broker_error(connection, &info->broker_error);
		si_connection_pause(connection);
	}
	si_connection_restart_timeout(connection);
}

void
si_connection_ask_offsets(SiConnection *connection, SiOffsetQuery *queries, int n)
{
	for (;;)
	{
		bool		complete = true;

		si_helper_ask_offsets(connection->consumer->helper, queries, n);
		while (!si_helper_offsets_answer(connection->consumer->helper, queries, n))
			si_connection_wait(connection);
		for (int i = 0; i < n; i++)
		{
			if (queries[i].offset != SI_OFFSET_UNKNOWN)
				continue;
			complete = false;
			if (connection->broker_error[0] == '\0')
				strlcpy(connection->broker_error, queries[i].error,
						sizeof(connection->broker_error));
		}
		if (complete)
			break;
		si_connection_pause(connection);
	}
	si_connection_restart_timeout(connection);
}
