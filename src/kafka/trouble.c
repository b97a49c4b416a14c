/*-------------------------------------------------------------------------
 *
 * trouble.c
 *	  What a consumer hears of brokers in trouble, and how grave it is.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/trouble.h"

/* A client that is throttled is so again and again: it is for so long after. */
#define THROTTLE_MS 15000

void
si_trouble_init(SiTroubleBox *box)
{
	memset(box, 0, sizeof(SiTroubleBox));
	pthread_mutex_init(&box->lock, NULL);
}

void
si_trouble_destroy(SiTroubleBox *box)
{
	pthread_mutex_destroy(&box->lock);
}

SiTroubleKind
si_trouble_kind(int err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
		case RD_KAFKA_RESP_ERR__SSL:
			return SI_TROUBLE_AUTHENTICATION;
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
			return SI_TROUBLE_AUTHORIZATION;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return SI_TROUBLE_TOPIC;
		case RD_KAFKA_RESP_ERR__FATAL:
			return SI_TROUBLE_FATAL;
		default:
			return SI_TROUBLE_BROKER;
	}
}

void
si_trouble_note(SiTroubleBox *box, SiTroubleKind kind, const char *words)
{
	pthread_mutex_lock(&box->lock);
	if (kind >= box->gravest.kind)
	{
		box->gravest.kind = kind;
		si_words_copy(box->gravest.words, sizeof(box->gravest.words), words);
	}
	pthread_mutex_unlock(&box->lock);
}

bool
si_trouble_note_graver(SiTroubleBox *box, const SiTrouble *trouble)
{
	bool		graver;

	pthread_mutex_lock(&box->lock);
	graver = trouble->kind > box->gravest.kind;
	if (graver)
		box->gravest = *trouble;
	pthread_mutex_unlock(&box->lock);
	return graver;
}

/*
 * "1/1 brokers are down" says nothing, so it is told with the kind and the
 * words of what happened just before.
 */
void
si_trouble_note_failure(SiTroubleBox *box, int err, const char *words)
{
	SiTrouble	trouble;
	char	   *after;

	trouble.kind = si_trouble_kind(err);
	si_words_copy(trouble.words, sizeof(trouble.words), words ? words : rd_kafka_err2str(err));

	/* how many milliseconds it took would make each time another failure */
	after = strstr(trouble.words, " (after ");
	if (after != NULL)
		*after = '\0';

	pthread_mutex_lock(&box->lock);
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
	{
		if (box->last_failure.kind != SI_TROUBLE_NONE)
			trouble = box->last_failure;
	}
	else if (trouble.kind <= SI_TROUBLE_AUTHENTICATION)
		box->last_failure = trouble;
	pthread_mutex_unlock(&box->lock);

	si_trouble_note(box, trouble.kind, trouble.words);
}

void
si_trouble_note_log(SiTroubleBox *box, const char *words)
{
	bool		known;

	pthread_mutex_lock(&box->lock);
	known = box->last_failure.kind != SI_TROUBLE_NONE;
	pthread_mutex_unlock(&box->lock);
	if (!known)
		si_trouble_note(box, SI_TROUBLE_BROKER, words);
}

void
si_trouble_forget_failure(SiTroubleBox *box)
{
	pthread_mutex_lock(&box->lock);
	box->last_failure.kind = SI_TROUBLE_NONE;
	pthread_mutex_unlock(&box->lock);
}

void
si_trouble_explain(SiTroubleBox *box, SiTrouble *trouble)
{
	pthread_mutex_lock(&box->lock);
	if ((trouble->kind == SI_TROUBLE_BROKER || trouble->kind == SI_TROUBLE_SILENCE) &&
		box->last_failure.kind != SI_TROUBLE_NONE)
		*trouble = box->last_failure;
	pthread_mutex_unlock(&box->lock);
}

/* Milliseconds of a clock that never jumps. */
static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
si_trouble_note_throttle(SiTroubleBox *box, int milliseconds)
{
	pthread_mutex_lock(&box->lock);
	box->throttled_until = now_ms() + milliseconds + THROTTLE_MS;
	pthread_mutex_unlock(&box->lock);
}

bool
si_trouble_throttled(SiTroubleBox *box)
{
	bool		throttled;

	pthread_mutex_lock(&box->lock);
	throttled = now_ms() < box->throttled_until;
	pthread_mutex_unlock(&box->lock);
	return throttled;
}

bool
si_trouble_take(SiTroubleBox *box, SiTrouble *trouble)
{
	pthread_mutex_lock(&box->lock);
	*trouble = box->gravest;
	box->gravest.kind = SI_TROUBLE_NONE;
	pthread_mutex_unlock(&box->lock);
	return trouble->kind != SI_TROUBLE_NONE;
}
