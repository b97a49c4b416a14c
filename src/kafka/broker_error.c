/*-------------------------------------------------------------------------
 *
 * broker_error.c
 *	  Collecting the errors that brokers report to a consumer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/broker_error.h"
#include "kafka/client.h"

/*
 * A client that is throttled once usually is again: it counts as throttled for
 * this long afterwards.
 */
#define THROTTLE_MS 15000

void
si_broker_error_init(SiBrokerErrors *errors)
{
	memset(errors, 0, sizeof(SiBrokerErrors));
	pthread_mutex_init(&errors->lock, NULL);
}

void
si_broker_error_destroy(SiBrokerErrors *errors)
{
	pthread_mutex_destroy(&errors->lock);
}

SiBrokerErrorKind
si_broker_error_kind(int err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
		case RD_KAFKA_RESP_ERR__SSL:
			return SI_BROKER_ERROR_AUTHENTICATION;
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
			return SI_BROKER_ERROR_AUTHORIZATION;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return SI_BROKER_ERROR_TOPIC;
		case RD_KAFKA_RESP_ERR__FATAL:
			return SI_BROKER_ERROR_FATAL;
		default:
			return SI_BROKER_ERROR_CONNECTION;
	}
}

void
si_broker_error_note(SiBrokerErrors *errors, SiBrokerErrorKind kind, const char *words)
{
	pthread_mutex_lock(&errors->lock);
	if (kind >= errors->gravest.kind)
	{
		errors->gravest.kind = kind;
		si_words_copy(errors->gravest.words, sizeof(errors->gravest.words), words);
	}
	pthread_mutex_unlock(&errors->lock);
}

bool
si_broker_error_note_graver(SiBrokerErrors *errors, const SiBrokerError *broker_error)
{
	bool		graver;

	pthread_mutex_lock(&errors->lock);
	graver = broker_error->kind > errors->gravest.kind;
	if (graver)
		errors->gravest = *broker_error;
	pthread_mutex_unlock(&errors->lock);
	return graver;
}

/*
 * "1/1 brokers are down" does not say why, so the kind and the words of the
 * failure just before replace it.
 */
void
si_broker_error_note_failure(SiBrokerErrors *errors, int err, const char *words)
{
	SiBrokerError broker_error;
	char	   *after;

	broker_error.kind = si_broker_error_kind(err);
	si_words_copy(broker_error.words, sizeof(broker_error.words), words ? words : rd_kafka_err2str(err));

	/* with the elapsed milliseconds, equal failures would differ each time */
	after = strstr(broker_error.words, " (after ");
	if (after != NULL)
		*after = '\0';

	pthread_mutex_lock(&errors->lock);
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
	{
		if (errors->last_failure.kind != SI_BROKER_ERROR_NONE)
			broker_error = errors->last_failure;
	}
	else if (broker_error.kind <= SI_BROKER_ERROR_AUTHENTICATION)
		errors->last_failure = broker_error;
	pthread_mutex_unlock(&errors->lock);

	si_broker_error_note(errors, broker_error.kind, broker_error.words);
}

void
si_broker_error_note_log(SiBrokerErrors *errors, const char *words)
{
	bool		known;

	pthread_mutex_lock(&errors->lock);
	known = errors->last_failure.kind != SI_BROKER_ERROR_NONE;
	pthread_mutex_unlock(&errors->lock);
	if (!known)
		si_broker_error_note(errors, SI_BROKER_ERROR_CONNECTION, words);
}

void
si_broker_error_forget_failure(SiBrokerErrors *errors)
{
	pthread_mutex_lock(&errors->lock);
	errors->last_failure.kind = SI_BROKER_ERROR_NONE;
	pthread_mutex_unlock(&errors->lock);
}

void
si_broker_error_explain(SiBrokerErrors *errors, SiBrokerError *broker_error)
{
	pthread_mutex_lock(&errors->lock);
	if ((broker_error->kind == SI_BROKER_ERROR_CONNECTION || broker_error->kind == SI_BROKER_ERROR_TIMEOUT) &&
		errors->last_failure.kind != SI_BROKER_ERROR_NONE)
		*broker_error = errors->last_failure;
	pthread_mutex_unlock(&errors->lock);
}

void
si_broker_error_note_throttle(SiBrokerErrors *errors, int milliseconds)
{
	pthread_mutex_lock(&errors->lock);
	errors->throttled_until = si_client_now_ms() + milliseconds + THROTTLE_MS;
	pthread_mutex_unlock(&errors->lock);
}

bool
si_broker_error_throttled(SiBrokerErrors *errors)
{
	bool		throttled;

	pthread_mutex_lock(&errors->lock);
	throttled = si_client_now_ms() < errors->throttled_until;
	pthread_mutex_unlock(&errors->lock);
	return throttled;
}

bool
si_broker_error_take(SiBrokerErrors *errors, SiBrokerError *broker_error)
{
	pthread_mutex_lock(&errors->lock);
	*broker_error = errors->gravest;
	errors->gravest.kind = SI_BROKER_ERROR_NONE;
	pthread_mutex_unlock(&errors->lock);
	return broker_error->kind != SI_BROKER_ERROR_NONE;
}
