/*-------------------------------------------------------------------------
 *
 * broker_error.h
 *	  Collecting the errors that brokers report to a consumer.
 *
 * Both of a consumer's threads add errors; the main thread takes the gravest.
 * SiBrokerErrors has a lock of its own, which is a leaf: no other lock is
 * acquired while it is held.  No palloc, no ereport.
 *
 * Called by the consumer, its helper thread and lookups.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BROKER_ERROR_H
#define SI_BROKER_ERROR_H

#include <pthread.h>

#include "kafka/consumer_values.h"

typedef struct SiBrokerErrors
{
	pthread_mutex_t lock;
	SiBrokerError gravest;		/* until it is taken */
	SiBrokerError last_failure; /* of a connection, until data is read */
	SiBrokerError token_failure;	/* why there is no new token or ticket;
									 * NONE: there is */
	bool		refused_token;	/* or another credential, until taken */
	const char *refused_certificate;	/* why, until the handshake has failed */
	int64		throttled_until;	/* in milliseconds of CLOCK_MONOTONIC */
} SiBrokerErrors;

extern void si_broker_error_init(SiBrokerErrors *errors);
extern void si_broker_error_destroy(SiBrokerErrors *errors);

/* The kind of error that one of the library's error codes stands for. */
extern SiBrokerErrorKind si_broker_error_kind(int err);

/* Add an error: the gravest is kept until taken, of equals the newest. */
extern void si_broker_error_note(SiBrokerErrors *errors, SiBrokerErrorKind kind, const char *words);

/* The same, but only if it is graver than the one kept; false if not. */
extern bool si_broker_error_note_graver(SiBrokerErrors *errors, const SiBrokerError *broker_error);

/* The same for an error that comes with a code; words may be NULL. */
extern void si_broker_error_note_failure(SiBrokerErrors *errors, int err, const char *words);

/*
 * Note that a broker's certificate is refused, with OpenSSL's code of the
 * reason.  The failed handshake, which the library reports afterwards without
 * a reason, is then reported with it.  Called by the library's threads.
 */
extern void si_broker_error_note_certificate(SiBrokerErrors *errors, int x509_error);

/*
 * Note that there is no new token or ticket, which then explains why brokers refuse the
 * old one, and why no connection is opened; or, with kind NONE, that there is one.
 */
extern void si_broker_error_note_token(SiBrokerErrors *errors, const SiBrokerError *news);

/* Has a broker refused our credentials since the last call? */
extern bool si_broker_error_take_refusal(SiBrokerErrors *errors);

/*
 * The same for an error line of the library's log.  Ignored while a failed
 * connection is known: the line then repeats it without telling its kind.
 */
extern void si_broker_error_note_log(SiBrokerErrors *errors, const char *words);

/* Data was read: an earlier failure of a connection is outdated. */
extern void si_broker_error_forget_failure(SiBrokerErrors *errors);

/*
 * Replace a timeout or lost connection by the last failure of a connection, if
 * one is known, since it tells the cause.
 */
extern void si_broker_error_explain(SiBrokerErrors *errors, SiBrokerError *broker_error);

/*
 * Note that a broker delays its responses because of a quota; and whether one
 * does or recently did.  A request that times out then is no sign of failure.
 */
extern void si_broker_error_note_throttle(SiBrokerErrors *errors, int milliseconds);
extern bool si_broker_error_throttled(SiBrokerErrors *errors);

/* Take and remove the gravest error; false if there is none. */
extern bool si_broker_error_take(SiBrokerErrors *errors, SiBrokerError *broker_error);

#endif							/* SI_BROKER_ERROR_H */
