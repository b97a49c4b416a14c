/*-------------------------------------------------------------------------
 *
 * reason.h
 *	  Why a subscription does not move, and what to do: the sentences that the
 *	  view status shows.
 *
 * A sentence says what is wrong and, behind a semicolon, what to do about it.
 * What is wrong may be somebody else's words (librdkafka's, the server's),
 * which then stand first.  The manual tells of each under "It does not move".
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REASON_H
#define SI_REASON_H

/* What a reason may take in shared memory; longer ones are cut. */
#define SI_REASON_LEN	512

typedef enum SiReason
{
	/* nothing runs here */
	SI_REASON_NOT_PRELOADED,
	SI_REASON_STANDBY,
	SI_REASON_OFF,
	SI_REASON_NO_LAUNCHER,

	/* no process yet */
	SI_REASON_NOT_NOTICED,
	SI_REASON_TOO_MANY,			/* %d: max_subscriptions */
	SI_REASON_ROLE_HAS_TOO_MANY,	/* %d: max_subscriptions_per_role */
	SI_REASON_NOT_SCANNED,		/* %s: the server's words */
	SI_REASON_NO_PROCESS,
	SI_REASON_NO_WORKER,		/* %d: max_workers */
	SI_REASON_NO_WORKER_YET,
	SI_REASON_ENDED,

	/* no process, since it could not work */
	SI_REASON_DISABLED,
	SI_REASON_COPY,
	SI_REASON_NO_OWNER,
	SI_REASON_NO_LOGIN,			/* %s: role */
	SI_REASON_NO_CONNECT,		/* %s: role */
	SI_REASON_NO_SERVER,		/* %s: server */
	SI_REASON_NO_USAGE,			/* %s, %s: role, server */
	SI_REASON_OTHER_SERVER,		/* %s: server */
	SI_REASON_OPTIONS,			/* %s: what is wrong with them */
	SI_REASON_DAMAGE,			/* %s: what is wrong */

	/* Kafka; %s: librdkafka's words */
	SI_REASON_BROKER,
	SI_REASON_AUTHENTICATION,
	SI_REASON_SCRAM,
	SI_REASON_AUTHORIZATION,
	SI_REASON_TOPIC,

	/* the database; %s: the lock and its holder; what was refused, and why */
	SI_REASON_LOCK,
	SI_REASON_LOCK_TIMEOUT,
	SI_REASON_STANDBY_CONFIRMS,
	SI_REASON_PASSING,
	SI_REASON_PRIVILEGE,
	SI_REASON_NO_TARGET,
	SI_REASON_LASTING,
	SI_REASON_OWN_TABLES,

	/* messages; until somebody says enable() */
	SI_REASON_BAD_MESSAGE,		/* %s: which, and why */
	SI_REASON_BREAKER,			/* %d, %s: how many; the last of them */
	SI_REASON_REJECT_LIMIT,		/* %s: how it was reached */

	/* nothing is wrong, but something is not known; %d, %d: of how many */
	SI_REASON_NO_ANSWER,		/* %ld: for how many seconds */
	SI_REASON_NO_WATERMARKS,	/* %d: max_partitions */

	/* nothing is wrong */
	SI_REASON_NO_PARTITION,

	SI_NREASONS
} SiReason;

/*
 * The sentence, with what goes in for its % signs; palloc'd.
 */
extern char *si_reason(SiReason which,...);

/* The same of a sentence in which nothing goes, and no memory is taken. */
extern const char *si_reason_fixed(SiReason which);

/*
 * Put a text into shared memory, SI_REASON_LEN bytes: cut, if need be, where a
 * character ends.
 */
extern void si_reason_put(char *dest, const char *words);

#endif							/* SI_REASON_H */
