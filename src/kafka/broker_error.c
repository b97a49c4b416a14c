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
#include "kafka/ticket.h"

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
 * Why OpenSSL refuses a certificate, by its codes (X509_V_ERR_*), which are
 * part of its stable interface.  The words complete "the broker's certificate".
 */
static const struct
{
	int			code;
	const char *words;
}			certificate_reasons[] = {
	{9, "is not valid yet"},
	{10, "has expired"},
	{12, "cannot be checked: the revocation list has expired"},
	{18, "is self-signed and not among the trusted CA certificates"},
	{19, "is signed by a CA that is not trusted"},
	{20, "is signed by a CA that is not trusted"},
	{21, "is signed by a CA that is not trusted"},
	{23, "has been revoked"},
	{62, "is for another host name"},
	{64, "is for another IP address"},
};

void
si_broker_error_note_certificate(SiBrokerErrors *errors, int x509_error)
{
	const char *words = "is not valid";

	for (int i = 0; i < lengthof(certificate_reasons); i++)
	{
		if (certificate_reasons[i].code == x509_error)
			words = certificate_reasons[i].words;
	}
	pthread_mutex_lock(&errors->lock);
	errors->refused_certificate = words;
	pthread_mutex_unlock(&errors->lock);
}

/* Replace the library's guess of why a handshake failed by the reason. */
static void
explain_handshake(SiBrokerErrors *errors, SiBrokerError *broker_error)
{
	static const char failed[] = "SSL handshake failed";
	char	   *at = strstr(broker_error->words, failed);

	if (at == NULL)
		return;
	at += strlen(failed);
	pthread_mutex_lock(&errors->lock);
	if (errors->refused_certificate != NULL)
		snprintf(at, broker_error->words + sizeof(broker_error->words) - at,
				 ": the broker's certificate %s", errors->refused_certificate);
	errors->refused_certificate = NULL;
	pthread_mutex_unlock(&errors->lock);
}

/*
 * Cyrus SASL, which librdkafka uses for Kerberos alone, loads what a package of its own
 * has; and of libkrb5 it says much before the reason, which then would be cut off.
 */
static void
explain_kerberos(const char *words, SiBrokerError *broker_error)
{
	static const char mark[] = "Minor code may provide more information (";
	const char *at = strstr(words, mark);
	char		reason[sizeof(broker_error->words)];
	int			len = 0;

	if (strstr(words, "No worthy mechs found") != NULL)
		strlcpy(broker_error->words,
				"the SASL library has no mechanism GSSAPI: install libsasl2-modules-gssapi-mit (or cyrus-sasl-gssapi)",
				sizeof(broker_error->words));
	if (at == NULL)
		return;
	at += strlen(mark);
	for (int depth = 1; at[len] != '\0'; len++)
	{
		depth += (at[len] == '(') - (at[len] == ')');
		if (depth == 0)
			break;
	}
	snprintf(reason, sizeof(reason), "Kerberos: %.*s", len, at);
	si_words_copy(broker_error->words, sizeof(broker_error->words), reason);
}

/*
 * Does the broker refuse our certificate, or the lack of one?  In TLS 1.3 it
 * does so after the handshake, and the library reports a lost connection.
 */
static bool
is_refusal_alert(const char *words)
{
	static const char mark[] = "SSL alert number ";
	const char *at = strstr(words, mark);
	int			alert = at != NULL ? atoi(at + strlen(mark)) : 0;

	return (alert >= 40 && alert <= 49) || alert == 116;
}

/*
 * "1/1 brokers are down" does not say why, so the kind and the words of the
 * failure just before replace it.
 */
void
si_broker_error_note_failure(SiBrokerErrors *errors, int err, const char *words)
{
	SiBrokerError broker_error;
	bool		is_refusal;
	char	   *after;

	broker_error.kind = si_broker_error_kind(err);
	si_words_copy(broker_error.words, sizeof(broker_error.words), words ? words : rd_kafka_err2str(err));

	/* with the elapsed milliseconds, equal failures would differ each time */
	after = strstr(broker_error.words, " (after ");
	if (after != NULL)
		*after = '\0';
	explain_handshake(errors, &broker_error);
	if (words != NULL)
		explain_kerberos(words, &broker_error);
	if (is_refusal_alert(broker_error.words))
		broker_error.kind = SI_BROKER_ERROR_AUTHENTICATION;

	pthread_mutex_lock(&errors->lock);
	is_refusal = (err == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
				  err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED);
	errors->refused_token |= is_refusal;
	if (errors->token_failure.kind != SI_BROKER_ERROR_NONE &&
		(is_refusal || si_ticket_is_lacking(broker_error.words)))
		broker_error = errors->token_failure;
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
	{
		if (errors->last_failure.kind != SI_BROKER_ERROR_NONE)
			broker_error = errors->last_failure;
	}
	else if (broker_error.kind <= SI_BROKER_ERROR_TOKEN_FUNCTION)
		errors->last_failure = broker_error;
	pthread_mutex_unlock(&errors->lock);

	si_broker_error_note(errors, broker_error.kind, broker_error.words);
}

void
si_broker_error_note_token(SiBrokerErrors *errors, const SiBrokerError *news)
{
	pthread_mutex_lock(&errors->lock);
	if (news->kind != SI_BROKER_ERROR_NONE ||
		errors->last_failure.kind == errors->token_failure.kind)
		errors->last_failure = *news;
	errors->token_failure = *news;
	pthread_mutex_unlock(&errors->lock);
	if (news->kind != SI_BROKER_ERROR_NONE)
		si_broker_error_note(errors, news->kind, news->words);
}

bool
si_broker_error_take_refusal(SiBrokerErrors *errors)
{
	bool		refused;

	pthread_mutex_lock(&errors->lock);
	refused = errors->refused_token;
	errors->refused_token = false;
	pthread_mutex_unlock(&errors->lock);
	return refused;
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
