/*-------------------------------------------------------------------------
 *
 * producer.c
 *	  Writing to Kafka: the only door to librdkafka's producer.
 *
 * The library's threads run none of our code: delivery reports, errors and
 * logs are events of one queue, which the main thread empties with a timeout
 * of zero when the descriptor says so.  The library copies every message, so
 * it knows no memory of the server.
 *
 * A producer that has failed is not used again.  After a purge an idempotent
 * producer has holes in its sequence numbers, and what was under way when a
 * transaction aborted could still arrive; a new connection costs milliseconds.
 *
 * rd_kafka_destroy() can take long, so a thread of its own calls it.  The process
 * waits for that thread before it exits, since a library thread that meets
 * OpenSSL's exit handlers crashes, which would restart the whole server; but it
 * does not wait forever.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <pthread.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/thread.h"
#include "common/words.h"
#include "kafka/client.h"
#include "kafka/producer.h"
#include "kafka/ticket.h"
#include "kafka/token.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

/* how long the process waits for all producers together when it exits */
#define SHUTDOWN_MS			2000

/* Our defaults; the caller's properties may replace them. */
static const SiSetting default_settings[] = {
	/* how long a COMMIT waits for unavailable brokers */
	{"message.timeout.ms", "30000", false},
	/* a topic that this very message creates does not count as unknown */
	{"topic.metadata.propagation.max.ms", "3000", false},
	/* the same partition for a key as Java's clients choose */
	{"partitioner", "murmur2_random", false},
};

/* What this module relies on; properties cannot change it. */
static const SiSetting fixed_settings[] = {
	/* each message once and in order, on all replicas in sync */
	{"enable.idempotence", "true", false},
	{"acks", "all", false},
	/* a COMMIT waits for each; many gather while requests are under way */
	{"linger.ms", "0", false},
	/* what the library buffers at most: more than one message */
	{"queue.buffering.max.messages", "100000", false},
	{"queue.buffering.max.kbytes", "131072", false},
	/* brokers decide what is too large; this is Kafka's limit, not ours */
	{"message.max.bytes", "100000000", false},
};

struct SiProducer
{
	rd_kafka_t *rk;
	rd_kafka_queue_t *events;
	SiToken    *token;			/* NULL unless it authenticates by tokens */
	SiTicket   *ticket;			/* NULL unless it authenticates by Kerberos;
								 * held until the handle is destroyed */
	int			fd;
	int64		outstanding;

	bool		failed;			/* never to be used again */
	SiProducerFailure failure;	/* the first one of the round */
	char		broker_error[256];	/* newest words about a broker, until a
									 * message is acknowledged */

	bool		closing;
	bool		has_closer;		/* the thread was started, and not joined */
	pthread_t	closer;
	SiProducer *next;
};

/* All producers of this process whose library threads may still run. */
static SiProducer *producers = NULL;

static void *closer_main(void *arg);
static void shut_down(int code, Datum arg);

/* ---- opening ---- */

/* Free the producers whose closing thread has ended. */
static void
reap_producers(void)
{
	SiProducer **link = &producers;

	while (*link != NULL)
	{
		SiProducer *producer = *link;

		if (producer->has_closer && pthread_tryjoin_np(producer->closer, NULL) == 0)
		{
			*link = producer->next;
			si_ticket_release(producer->ticket);
			free(producer);
			continue;
		}
		link = &producer->next;
	}
}

/* A broker's thread is about to connect, and will authenticate by the ticket. */
static int
socket_cb(int domain, int type, int protocol, void *opaque)
{
	return si_ticket_open_socket(opaque, domain, type, protocol);
}

/* Create the library's handle and its queue; false, and why, on failure. */
static bool
create_handle(SiProducer *producer, const SiProperty *properties, int nproperties,
			  const char *client_id, SiClientFailure *failure)
{
	rd_kafka_conf_t *conf;
	uint64		one = 1;

	conf = si_client_configure(default_settings, lengthof(default_settings),
							   properties, nproperties,
							   fixed_settings, lengthof(fixed_settings),
							   client_id, failure);
	if (conf == NULL)
		return false;
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
	if (producer->ticket != NULL)
	{
		rd_kafka_conf_set_opaque(conf, producer->ticket);
		rd_kafka_conf_set_socket_cb(conf, socket_cb);
	}
	producer->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, failure->words,
								sizeof(failure->words));
	if (producer->rk == NULL)
	{
		failure->sqlstate =
			rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE ?
			ERRCODE_INSUFFICIENT_RESOURCES : ERRCODE_INVALID_PARAMETER_VALUE;
		rd_kafka_conf_destroy(conf);
		return false;
	}

	/* the first serve_events() finds events from before the descriptor */
	producer->events = rd_kafka_queue_get_main(producer->rk);
	rd_kafka_queue_io_event_enable(producer->events, producer->fd, &one, sizeof(one));
	rd_kafka_set_log_queue(producer->rk, producer->events);
	return true;
}

/* Start to get tokens or tickets, if they are needed; false, and why, on failure. */
static bool
start_credentials(SiProducer *producer, SiClientFailure *failure)
{
	int			rc = 0;

	if (producer->token != NULL)
		rc = si_token_start(producer->token, producer->rk, producer->fd);
	else if (producer->ticket != NULL)
	{
		/* the thread has a reference, too */
		rc = si_ticket_start(si_ticket_hold(producer->ticket), producer->fd);
		if (rc != 0)
		{
			si_ticket_release(producer->ticket);
			si_ticket_end(producer->ticket);	/* no connection waits for it */
		}
	}
	if (rc == 0)
		return true;
	failure->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
	failure->error_number = rc;
	strlcpy(failure->words, "could not create thread", sizeof(failure->words));
	rd_kafka_queue_destroy(producer->events);
	rd_kafka_destroy(producer->rk);
	return false;
}

SiProducer *
si_producer_open(const SiProperty *properties, int nproperties, const char *client_id)
{
	static bool registered = false;
	SiClientFailure failure = {0};
	SiProperty *to_kafka = si_client_to_kafka(properties, nproperties);
	SiProducer *producer;
	SiToken    *token;
	SiTicket   *ticket;

	client_id = si_words_to_kafka(client_id);
	if (!registered)
	{
		before_shmem_exit(shut_down, (Datum) 0);
		registered = true;
	}
	reap_producers();

	if (!si_token_create(properties, nproperties, &token, &failure) ||
		!si_ticket_create(properties, nproperties, &ticket, &failure))
		si_client_report_failure(&failure, "producer");
	producer = calloc(1, sizeof(SiProducer));
	if (producer == NULL)
	{
		si_token_free(token);
		si_ticket_release(ticket);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	producer->token = token;
	producer->ticket = ticket;
	producer->fd = si_client_open_fd();
	if (producer->fd < 0)
	{
		failure.error_number = errno;
		failure.sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
		strlcpy(failure.words, "could not create event descriptor", sizeof(failure.words));
	}
	else if (create_handle(producer, to_kafka, nproperties, client_id, &failure) &&
			 start_credentials(producer, &failure))
	{
		producer->next = producers;
		producers = producer;
		return producer;
	}
	else
		si_client_close_fd(producer->fd);
	si_token_free(producer->token);
	si_ticket_release(producer->ticket);
	free(producer);
	si_client_report_failure(&failure, "producer");
}

SiToken *
si_producer_token(const SiProducer *producer)
{
	return producer->token;
}

int
si_producer_fd(const SiProducer *producer)
{
	return producer->fd;
}

/* ---- failures ---- */

/*
 * An error that the message itself can cause has the code of a data error.
 * Unavailable brokers (08) and brokers that refuse the topic (58) are temporary
 * errors for a caller that retries by the code's class.
 */
static int
failure_sqlstate(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case RD_KAFKA_RESP_ERR_INVALID_MSG:
		case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
			return ERRCODE_DATA_EXCEPTION;
		case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
			return ERRCODE_CONNECTION_FAILURE;
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
			return ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION;
		default:
			return ERRCODE_SYSTEM_ERROR;
	}
}

/*
 * Keep the first failure.  The words are always the library's for the code:
 * rd_kafka_message_errstr() gives the payload of a message that was sent.
 */
static void
note_failure(SiProducer *producer, rd_kafka_resp_err_t err, const char *topic, const char *words)
{
	SiProducerFailure *failure = &producer->failure;

	if (producer->failed)
		return;
	producer->failed = true;
	failure->sqlstate = failure_sqlstate(err);
	strlcpy(failure->topic, topic ? topic : "", sizeof(failure->topic));
	si_words_copy(failure->words, sizeof(failure->words), words ? words : rd_kafka_err2str(err));
}

/* The failure for the caller, with the newest broker error as its detail. */
static void
report_failure(const SiProducer *producer, SiProducerFailure *failure)
{
	*failure = producer->failure;
	failure->detail[0] = '\0';
	/* a broker's own error about the message needs no more explanation */
	if (strncmp(failure->words, "Broker:", strlen("Broker:")) != 0 &&
		strcmp(failure->words, producer->broker_error) != 0)
		strlcpy(failure->detail, producer->broker_error, sizeof(failure->detail));
}

/*
 * The library reconnects by itself, so an error of a connection only explains
 * why messages time out; but with a wrong password waiting is of no use.
 */
static void
note_error(SiProducer *producer, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	const char *words = rd_kafka_event_error_string(event);
	char		fatal[256];

	if (err == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event))
	{
		err = rd_kafka_fatal_error(producer->rk, fatal, sizeof(fatal));
		note_failure(producer, err, NULL, fatal);
		return;
	}
	if (failure_sqlstate(err) == ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION)
		note_failure(producer, err, NULL, words);

	/* why there is no ticket is told by its news */
	if (producer->ticket != NULL && si_ticket_is_lacking(words))
		return;

	/* "1/1 brokers are down" says less than the error just before */
	if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || producer->broker_error[0] == '\0')
		si_words_copy(producer->broker_error, sizeof(producer->broker_error), words);
}

/* ---- sending ---- */

/* Count acknowledged messages, and keep the first failure. */
static void
note_reports(SiProducer *producer, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event)) != NULL)
	{
		producer->outstanding--;
		if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			note_failure(producer, message->err, rd_kafka_topic_name(message->rkt), NULL);
		else
			producer->broker_error[0] = '\0';
	}
}

/*
 * Why there is no token or ticket.  One that does not come for now only explains why
 * messages time out.
 */
static void
serve_credentials(SiProducer *producer)
{
	SiBrokerError news;
	bool		is_news = producer->token != NULL ? si_token_news(producer->token, &news) :
		si_ticket_news(producer->ticket, &news);

	if (!is_news || news.kind == SI_BROKER_ERROR_NONE)
		return;
	if (news.kind != SI_BROKER_ERROR_TOKEN_AWAY)
		note_failure(producer, RD_KAFKA_RESP_ERR__AUTHENTICATION, NULL, news.words);
	strlcpy(producer->broker_error, news.words, sizeof(producer->broker_error));
}

/* Take up all events.  (All that logs tell comes as an error, too.) */
static void
serve_events(SiProducer *producer)
{
	rd_kafka_event_t *event;

	si_client_drain_fd(producer->fd);
	while ((event = rd_kafka_queue_poll(producer->events, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			note_reports(producer, event);
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			note_error(producer, event);
		rd_kafka_event_destroy(event);
	}
	if (producer->token != NULL || producer->ticket != NULL)
		serve_credentials(producer);
}

bool
si_producer_usable(SiProducer *producer)
{
	serve_events(producer);
	return !producer->failed;
}

int64
si_producer_serve(SiProducer *producer, SiProducerFailure *failure)
{
	serve_events(producer);
	if (!producer->failed)
		return producer->outstanding;
	report_failure(producer, failure);
	return -1;
}

/* The library's form of the headers; NULL for none. */
static rd_kafka_headers_t *
make_headers(const SiOutgoing *message)
{
	rd_kafka_headers_t *headers;

	if (message->nheaders == 0)
		return NULL;
	headers = rd_kafka_headers_new(message->nheaders);
	for (int i = 0; i < message->nheaders; i++)
		(void) rd_kafka_header_add(headers, message->headers[i].name, -1,
								   message->headers[i].value,
								   message->headers[i].value_len);
	return headers;
}

/*
 * rd_kafka_producev() looks a new topic up only when the library's next second
 * begins; rd_kafka_topic_new() does it at once.
 */
void
si_producer_need_topic(SiProducer *producer, const char *topic)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(producer->rk, topic, NULL);

	/* the library keeps the topic */
	if (handle != NULL)
		rd_kafka_topic_destroy(handle);
}

SiSendResult
si_producer_send(SiProducer *producer, const SiOutgoing *message, SiProducerFailure *failure)
{
	rd_kafka_headers_t *headers = make_headers(message);
	rd_kafka_resp_err_t err;

	/* the library copies the value, which it takes as not const */
	si_producer_need_topic(producer, message->topic);
	err = rd_kafka_producev(producer->rk,
							RD_KAFKA_V_TOPIC(message->topic),
							RD_KAFKA_V_PARTITION(message->partition),
							RD_KAFKA_V_KEY(message->key, message->key_len),
							RD_KAFKA_V_VALUE(unconstify(void *, message->value), message->value_len),
							RD_KAFKA_V_HEADERS(headers),
							RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							RD_KAFKA_V_END);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		producer->outstanding++;
		return SI_SEND_DONE;
	}
	if (headers != NULL)
		rd_kafka_headers_destroy(headers);
	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return SI_SEND_FULL;
	note_failure(producer, err, message->topic, NULL);
	report_failure(producer, failure);
	return SI_SEND_FAILED;
}

/* ---- closing ---- */

void
si_producer_discard(SiProducer *producer)
{
	uint64		one = 1;

	if (producer->closing)
		return;
	producer->closing = true;
	producer->failed = true;
	if (producer->token != NULL)
		si_token_end(producer->token);
	if (producer->ticket != NULL)
		si_ticket_end(producer->ticket);
	(void) rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE |
						  RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	rd_kafka_queue_io_event_enable(producer->events, -1, &one, sizeof(one));
	rd_kafka_queue_destroy(producer->events);
	si_client_close_fd(producer->fd);
	producer->fd = -1;

	if (producer->token != NULL)
		si_token_await(producer->token, 0);
	producer->token = NULL;
	if (producer->ticket != NULL)
		si_ticket_await(producer->ticket, 0);

	/* without a thread the handle leaks, which is better than hanging */
	producer->has_closer = (si_thread_start(&producer->closer, closer_main,
											producer->rk) == 0);
}

/* A thread: it calls no server function. */
static void *
closer_main(void *arg)
{
	rd_kafka_destroy(arg);
	return NULL;
}

/*
 * before_shmem_exit callback.  The transaction may be aborted, and discard its
 * producer, only after this, so no open producer is freed.
 */
static void
shut_down(int code, Datum arg)
{
	TimestampTz start = GetCurrentTimestamp();
	SiProducer *producer;
	bool		ended = false;

	for (producer = producers; producer != NULL; producer = producer->next)
		si_producer_discard(producer);
	while (!ended && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), SHUTDOWN_MS))
	{
		ended = true;
		for (producer = producers; producer != NULL; producer = producer->next)
		{
			if (producer->has_closer && pthread_tryjoin_np(producer->closer, NULL) == 0)
				producer->has_closer = false;
			ended &= !producer->has_closer;
		}
		if (!ended)
			pg_usleep(1000L);
	}
}
