/*-------------------------------------------------------------------------
 *
 * consumer.c
 *	  Opening, configuring and closing a consumer.
 *
 * Three kinds of thread run in a consumer's process, each with its own rules:
 *
 * - The main thread (the server's) calls the functions of consumer.h.  It
 *	 takes messages and events with a timeout of zero and never waits for the
 *	 network.  It may raise an ERROR, but only after the library's call has
 *	 returned, without a lock, and with every message taken held (held.c).
 *
 * - The helper thread (helper.c), one per consumer, makes the library's
 *	 blocking calls (lookup.c) and at last destroys the library's handle.
 *
 * - The library's own threads run none of our code but the callbacks in
 *	 consumer_events.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/thread.h"
#include "common/words.h"
#include "kafka/client.h"
#include "kafka/committer.h"
#include "kafka/consumer.h"
#include "kafka/held.h"
#include "kafka/helper.h"
#include "kafka/ticket.h"
#include "kafka/token.h"

/* A thread that gets tickets ends in so much time, unless it waits for the KDC. */
#define TICKET_END_MS	100

/*
 * How late a sleep of the library's main thread may end.  Before librdkafka 2.4 it rounds
 * the time until its next timer, which fires every second, down to milliseconds, and
 * spends the rest in a loop: most of what an idle process takes.  Where it sleeps longer,
 * no rest is left, and its timers need not be exact.  (An interceptor could set this in
 * the thread itself, but is freed twice when rd_kafka_new() fails.)
 */
#define HAS_EXACT_SLEEP	0x020400ff
#define MAIN_SLACK_NS	200000000

/* Our defaults; the caller's properties may replace them. */
static const SiSetting default_settings[] = {
	/*
	 * memory: about 60 to 80 MB of values at most, whatever the number of
	 * partitions; the library does not count keys and headers, so for them
	 * only the number of messages is a limit
	 */
	{"queued.min.messages", "50000", false},
	{"queued.max.messages.kbytes", "32768", false},
	{"fetch.max.bytes", "16777216", false},
	{"max.partition.fetch.bytes", "1048576", false},

	/*
	 * a broker answers at once when a message arrives; without any, each of
	 * its answers costs an idle process and the broker time.  Requests for
	 * offsets queue behind a fetch that waits, so not too long.
	 */
	{"fetch.wait.max.ms", "500", false},
	/* a full queue must not stop fetching for a second (see wake_fetchers) */
	{"fetch.queue.backoff.ms", "5", true},
	{"isolation.level", "read_committed", false},
	{"check.crcs", "true", false},
	{"topic.metadata.refresh.interval.ms", "30000", false},
	/* how long an unknown topic counts as one that is being created */
	{"topic.metadata.propagation.max.ms", "2000", false},
	/* how long a commit without a coordinator can delay closing */
	{"session.timeout.ms", "2000", false},
	{"heartbeat.interval.ms", "1000", false},
};

/* What this module relies on; properties cannot change it. */
static const SiSetting fixed_settings[] = {
	{"enable.auto.commit", "false", false},
	{"enable.auto.offset.store", "false", false},
	/* never skip or rewind silently */
	{"auto.offset.reset", "error", false},
	{"enable.partition.eof", "true", false},
	{"allow.auto.create.topics", "false", false},
};

/* ---- configuration ---- */

/*
 * The library's configuration, or NULL and the failure.  The library creates no
 * consumer without a group.
 */
static rd_kafka_conf_t *
make_configuration(const SiProperty *properties, int nproperties,
				   const char *group_id, const char *client_id,
				   SiClientFailure *failure)
{
	rd_kafka_conf_t *conf;

	conf = si_client_configure(default_settings, lengthof(default_settings),
							   properties, nproperties,
							   fixed_settings, lengthof(fixed_settings),
							   client_id, failure);
	if (conf == NULL)
		return NULL;
	if (!si_client_set(conf, "group.id", group_id, failure))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	si_consumer_register_callbacks(conf);
	return conf;
}

char *
si_consumer_check_property(const char *name, const char *value)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_res_t result;
	char		errstr[512] = "";
	char		words[512];

	result = rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr));
	rd_kafka_conf_destroy(conf);
	if (result == RD_KAFKA_CONF_OK)
		return NULL;
	si_client_describe_refusal(name, errstr, words, sizeof(words));
	return pstrdup(words);
}

/* Set the low-water marks of the queue for wake_fetchers(). */
static void
find_low_water(SiConsumer *consumer)
{
	const rd_kafka_conf_t *conf = rd_kafka_conf(consumer->rk);
	char		value[64];
	size_t		size = sizeof(value);

	if (rd_kafka_conf_get(conf, "fetch.queue.backoff.ms", value,
						  &size) == RD_KAFKA_CONF_OK)
		return;					/* the library does it itself (2.2) */

	size = sizeof(value);
	if (rd_kafka_conf_get(conf, "queued.min.messages", value,
						  &size) == RD_KAFKA_CONF_OK)
		consumer->low_messages = Max(atoll(value) / 2, 1);
	size = sizeof(value);
	if (rd_kafka_conf_get(conf, "queued.max.messages.kbytes", value,
						  &size) == RD_KAFKA_CONF_OK)
		consumer->low_bytes = Max(atoll(value) * 1024 / 2, 1);
}

/*
 * Kafka 4 rejects the client's nonce as libraries before 2.6.1 repeat it, and
 * reports invalid credentials.
 */
const char *
si_consumer_hint(const SiConsumer *consumer, SiBrokerErrorKind kind)
{
	char		mechanism[64];
	size_t		size = sizeof(mechanism);

	if (kind != SI_BROKER_ERROR_AUTHENTICATION ||
		rd_kafka_version() >= 0x020601ff ||
		rd_kafka_conf_get(rd_kafka_conf(consumer->rk), "sasl.mechanisms",
						  mechanism, &size) != RD_KAFKA_CONF_OK ||
		strncmp(mechanism, "SCRAM", strlen("SCRAM")) != 0)
		return NULL;
	return "If the password is right: librdkafka older than 2.6.1 cannot use SCRAM with Kafka 4; update it, or use sasl_mechanism \"PLAIN\" over TLS.";
}

/* ---- the descriptor ---- */

/* Make the queue write to our descriptor, or stop that. */
static void
watch_queue(SiConsumer *consumer, rd_kafka_queue_t *queue, bool on)
{
	uint64		one = 1;

	rd_kafka_queue_io_event_enable(queue, on ? consumer->fd : -1, &one,
								   sizeof(one));
}

/* ---- opening and closing ---- */

/* Free the struct, its descriptor, and helper, token and ticket unless they were started. */
static void
free_consumer(SiConsumer *consumer)
{
	if (consumer->fd >= 0)
		si_client_close_fd(consumer->fd);
	if (consumer->helper != NULL)
		si_helper_free(consumer->helper);
	si_token_free(consumer->token);
	si_ticket_release(consumer->ticket);
	free(consumer->topic);
	free(consumer);
}

/* Allocate the struct and its descriptor; NULL on failure.  Token and ticket are its own. */
static SiConsumer *
create_consumer(const char *topic, bool want_headers, SiToken *token, SiTicket *ticket,
				SiClientFailure *failure)
{
	SiConsumer *consumer = calloc(1, sizeof(SiConsumer));

	if (consumer == NULL)
	{
		si_token_free(token);
		si_ticket_release(ticket);
		failure->sqlstate = ERRCODE_OUT_OF_MEMORY;
		strlcpy(failure->words, "out of memory", sizeof(failure->words));
		return NULL;
	}
	consumer->want_headers = want_headers;
	consumer->token = token;
	consumer->ticket = ticket;
	si_held_init(&consumer->held);
	consumer->topic = strdup(topic);
	consumer->fd = consumer->topic != NULL ? si_client_open_fd() : -1;
	if (consumer->fd >= 0)
		consumer->helper = si_helper_create(topic, consumer->fd);
	if (consumer->helper == NULL)
	{
		failure->error_number = errno;
		failure->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
		strlcpy(failure->words, "could not create event descriptor",
				sizeof(failure->words));
		free_consumer(consumer);
		return NULL;
	}
	if (ticket != NULL)
		si_helper_keep_ticket(consumer->helper, ticket);
	return consumer;
}

/*
 * The library's handle; it owns the configuration if this succeeds.  Its threads inherit
 * the slack; those of brokers replace it.
 */
static bool
create_handle(SiConsumer *consumer, rd_kafka_conf_t *conf,
			  SiClientFailure *failure)
{
	unsigned long slack = 0;

	/* it outlives the handle, which the consumer does not */
	rd_kafka_conf_set_opaque(conf, consumer->helper);
	if (rd_kafka_version() < HAS_EXACT_SLEEP)
		slack = si_thread_set_timer_slack(MAIN_SLACK_NS);
	consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, failure->words,
								sizeof(failure->words));
	if (slack > 0)
		(void) si_thread_set_timer_slack(slack);
	if (consumer->rk != NULL)
		return true;
	failure->sqlstate =
		rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE ?
		ERRCODE_INSUFFICIENT_RESOURCES : ERRCODE_INVALID_PARAMETER_VALUE;
	return false;
}

/*
 * The queues are kept apart (no rd_kafka_poll_set_consumer), so that an error
 * does not wait behind 50,000 messages.  Each writes to the one descriptor when
 * it stops being empty.  The main queue may have got its first error before it
 * was watched, hence the first wake-up.
 */
static void
open_queues(SiConsumer *consumer)
{
	consumer->assigned = rd_kafka_topic_partition_list_new(8);
	consumer->messages = rd_kafka_queue_get_consumer(consumer->rk);
	consumer->events = rd_kafka_queue_get_main(consumer->rk);
	si_committer_init(&consumer->committer, consumer->rk, consumer->events,
					  consumer->topic);
	consumer->logs = rd_kafka_queue_new(consumer->rk);
	watch_queue(consumer, consumer->messages, true);
	watch_queue(consumer, consumer->events, true);
	watch_queue(consumer, consumer->logs, true);
	rd_kafka_set_log_queue(consumer->rk, consumer->logs);
	si_client_wake_fd(consumer->fd);
}

/* The reverse; the queues do not write to the descriptor afterwards. */
static void
close_queues(SiConsumer *consumer)
{
	watch_queue(consumer, consumer->messages, false);
	watch_queue(consumer, consumer->events, false);
	watch_queue(consumer, consumer->logs, false);
	rd_kafka_queue_destroy(consumer->messages);
	rd_kafka_queue_destroy(consumer->events);
	rd_kafka_queue_destroy(consumer->logs);
	rd_kafka_topic_partition_list_destroy(consumer->assigned);
	si_committer_destroy(&consumer->committer);
}

/* End the threads of token and ticket, and wait for them until that time. */
static void
end_credentials(SiToken *token, SiTicket *ticket, int64 until_ms)
{
	if (token != NULL)
		si_token_end(token);
	if (ticket != NULL)
		si_ticket_end(ticket);
	if (token != NULL)
		si_token_await(token, Max(until_ms - si_client_now_ms(), 0));
	/* nothing interrupts a login: one that does not end now ends much later */
	if (ticket != NULL)
		si_ticket_await(ticket, TICKET_END_MS);
}

/* False, and why, if a thread cannot be created. */
static bool
start_threads(SiConsumer *consumer, SiClientFailure *failure)
{
	int			rc = 0;

	/* a client has one of them at most */
	if (consumer->token != NULL)
		rc = si_token_start(consumer->token, consumer->rk, consumer->fd);
	else if (consumer->ticket != NULL)
		rc = si_ticket_start(consumer->ticket, consumer->fd);
	if (rc != 0 && consumer->ticket != NULL)
		si_ticket_end(consumer->ticket);	/* no connection waits for it */
	if (rc == 0)
	{
		rc = si_helper_start(consumer->helper, consumer->rk);
		if (rc != 0)
		{
			end_credentials(consumer->token, consumer->ticket, 0);
			consumer->token = NULL;
			consumer->ticket = NULL;
		}
	}
	if (rc == 0)
		return true;
	failure->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
	failure->error_number = rc;
	strlcpy(failure->words, "could not create thread", sizeof(failure->words));
	return false;
}

SiConsumer *
si_consumer_open(const SiProperty *properties, int nproperties,
				 const char *topic, const char *group_id,
				 const char *client_id, bool want_headers)
{
	SiClientFailure failure = {0};
	SiProperty *to_kafka = si_client_to_kafka(properties, nproperties);
	SiConsumer *consumer;
	SiToken    *token;
	SiTicket   *ticket;
	rd_kafka_conf_t *conf;

	group_id = si_words_to_kafka(group_id);
	client_id = si_words_to_kafka(client_id);
	if (!si_token_create(properties, nproperties, &token, &failure) ||
		!si_ticket_create(properties, nproperties, &ticket, &failure))
		si_client_report_failure(&failure, "consumer");
	conf = make_configuration(to_kafka, nproperties, group_id, client_id, &failure);
	if (conf == NULL)
	{
		si_token_free(token);
		si_ticket_release(ticket);
		si_client_report_failure(&failure, "consumer");
	}
	consumer = create_consumer(topic, want_headers, token, ticket, &failure);
	if (consumer == NULL || !create_handle(consumer, conf, &failure))
	{
		rd_kafka_conf_destroy(conf);
		if (consumer != NULL)
			free_consumer(consumer);
		si_client_report_failure(&failure, "consumer");
	}
	open_queues(consumer);
	find_low_water(consumer);
	if (!start_threads(consumer, &failure))
	{
		close_queues(consumer);
		/* nothing was ever assigned: this takes milliseconds */
		rd_kafka_destroy(consumer->rk);
		free_consumer(consumer);
		si_client_report_failure(&failure, "consumer");
	}
	return consumer;
}

/*
 * The order matters: a message still held would make the library's destruction
 * hang, and no thread may write to the descriptor once it is closed.
 */
bool
si_consumer_close(SiConsumer *consumer, int timeout_ms)
{
	SiHelper   *helper = consumer->helper;
	SiToken    *token = consumer->token;
	SiTicket   *ticket = consumer->ticket;
	int64		until = si_client_now_ms() + timeout_ms;
	bool		ended;

	/* a connection that waits for a ticket ends with it */
	if (token != NULL)
		si_token_end(token);
	if (ticket != NULL)
		si_ticket_end(ticket);
	si_held_destroy(&consumer->held);
	close_queues(consumer);
	consumer->helper = NULL;
	consumer->token = NULL;
	consumer->ticket = NULL;
	si_helper_end(helper);
	free_consumer(consumer);
	ended = si_helper_await(helper, timeout_ms);
	end_credentials(token, ticket, until);
	return ended;
}
