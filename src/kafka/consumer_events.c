/*-------------------------------------------------------------------------
 *
 * consumer_events.c
 *	  Taking up what the library reports besides messages: errors, log lines,
 *	  and the results of commits.
 *
 * Logs and errors come as events of two queues, which the main thread empties
 * with a timeout of zero.  Some errors come by a callback only, which runs in
 * the thread that polls a queue, below a frame of the library: it copies into
 * the broker errors, which live as long as the library's handle, and returns.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>
#include <syslog.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/thread.h"
#include "kafka/committer.h"
#include "kafka/consumer.h"
#include "kafka/helper.h"
#include "kafka/ticket.h"
#include "kafka/token.h"

/* The system's default: how late a sleep of a broker's thread may end. */
#define BROKER_SLACK_NS		50000

/* The only way in which the library reports an assigned partition as missing. */
static void
error_cb(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	si_broker_error_note_failure(si_helper_broker_errors(opaque), err, reason);
}

/* A broker delays its responses because of a quota. */
static void
throttle_cb(rd_kafka_t *rk, const char *broker, int32_t id, int milliseconds, void *opaque)
{
	if (milliseconds > 0)
		si_broker_error_note_throttle(si_helper_broker_errors(opaque), milliseconds);
}

/*
 * A broker's thread is about to connect.  From now on it sleeps as exactly as other
 * threads do, which the library's are not started with (see create_handle in consumer.c);
 * and it authenticates by the ticket, if there is one.
 */
static int
socket_cb(int domain, int type, int protocol, void *opaque)
{
	SiTicket   *ticket = si_helper_ticket(opaque);

	(void) si_thread_set_timer_slack(BROKER_SLACK_NS);
	if (ticket != NULL)
		return si_ticket_open_socket(ticket, domain, type, protocol);
	return socket(domain, type | SOCK_CLOEXEC, protocol);
}

/*
 * The verdict on one certificate of a broker's chain is OpenSSL's; its reason
 * is noted, which the library does not report.  Called by a broker's thread.
 */
static int
certificate_cb(rd_kafka_t *rk, const char *broker, int32_t id, int *x509_error, int depth,
			   const char *certificate, size_t size, char *errstr, size_t errstr_size,
			   void *opaque)
{
	if (*x509_error == 0)
		return 1;
	si_broker_error_note_certificate(si_helper_broker_errors(opaque), *x509_error);
	snprintf(errstr, errstr_size, "refused");
	return 0;
}

void
si_consumer_register_callbacks(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR |
							 RD_KAFKA_EVENT_OFFSET_COMMIT);
	rd_kafka_conf_set_error_cb(conf, error_cb);
	rd_kafka_conf_set_throttle_cb(conf, throttle_cb);
	rd_kafka_conf_set_socket_cb(conf, socket_cb);

	/* fails where the library was built without TLS */
	(void) rd_kafka_conf_set_ssl_cert_verify_cb(conf, certificate_cb);
}

/*
 * Failed connections come as errors too, with their codes, and so do refused
 * certificates.
 */
static void
note_log(SiConsumer *consumer, rd_kafka_event_t *event)
{
	const char *facility;
	const char *text;
	int			level;

	if (rd_kafka_event_log(event, &facility, &text, &level) != 0 ||
		level > LOG_ERR || strcmp(facility, "FAIL") == 0 ||
		strcmp(facility, "SSLCERTVRFY") == 0)
		return;
	si_broker_error_note_log(si_helper_broker_errors(consumer->helper), text);
}

/* Take what there is to know of token or ticket; one that brokers refuse is replaced. */
static void
serve_credentials(SiConsumer *consumer)
{
	SiBrokerErrors *errors = si_helper_broker_errors(consumer->helper);
	SiBrokerError news;
	bool		is_news = consumer->token != NULL ? si_token_news(consumer->token, &news) :
		si_ticket_news(consumer->ticket, &news);

	if (is_news)
		si_broker_error_note_token(errors, &news);
	if (!si_broker_error_take_refusal(errors))
		return;
	if (consumer->token != NULL)
		si_token_renew(consumer->token);
	else
		si_ticket_renew(consumer->ticket);
}

void
si_consumer_serve_events(SiConsumer *consumer)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(consumer->events, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			si_broker_error_note_failure(si_helper_broker_errors(consumer->helper),
										 rd_kafka_event_error(event),
										 rd_kafka_event_error_string(event));
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT)
			si_committer_finish(&consumer->committer, event);
		rd_kafka_event_destroy(event);
	}
	while ((event = rd_kafka_queue_poll(consumer->logs, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_LOG)
			note_log(consumer, event);
		rd_kafka_event_destroy(event);
	}
	if (consumer->token != NULL || consumer->ticket != NULL)
		serve_credentials(consumer);
}

bool
si_consumer_broker_error(SiConsumer *consumer, SiBrokerError *broker_error)
{
	si_consumer_serve_events(consumer);
	return si_broker_error_take(si_helper_broker_errors(consumer->helper), broker_error);
}

bool
si_consumer_throttled(SiConsumer *consumer)
{
	si_consumer_serve_events(consumer);
	return si_broker_error_throttled(si_helper_broker_errors(consumer->helper));
}

void
si_consumer_explain(SiConsumer *consumer, SiBrokerError *broker_error)
{
	si_consumer_serve_events(consumer);
	si_broker_error_explain(si_helper_broker_errors(consumer->helper), broker_error);
}

bool
si_consumer_topic_answer(SiConsumer *consumer, SiTopicInfo *info)
{
	/* an error that explains the answer may be among the events */
	si_consumer_serve_events(consumer);
	return si_helper_topic_answer(consumer->helper, info);
}

const SiTopicList *
si_consumer_topics_answer(SiConsumer *consumer)
{
	si_consumer_serve_events(consumer);
	return si_helper_topics_answer(consumer->helper);
}

SiPublishState
si_consumer_publish_state(SiConsumer *consumer)
{
	si_consumer_serve_events(consumer);
	return si_committer_state(&consumer->committer);
}

bool
si_consumer_publish_error(SiConsumer *consumer, char *text, size_t size)
{
	si_consumer_serve_events(consumer);
	return si_committer_error(&consumer->committer, text, size);
}
