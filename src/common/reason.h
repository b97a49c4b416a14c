/*-------------------------------------------------------------------------
 *
 * reason.h
 *	  Why a subscription makes no progress, and what to do: the sentences that
 *	  the view status shows.
 *
 * A sentence says what is wrong and, after a semicolon, what to do about it or
 * how it ends.  What is wrong may be another's words (librdkafka's, the
 * server's), which then come first.  doc/monitoring.md explains each sentence.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REASON_H
#define SI_REASON_H

/* The size of a reason in shared memory; longer ones are cut. */
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

	/* no process, since it could do nothing */
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
	SI_REASON_TOKEN_AWAY,		/* %s: our words */
	SI_REASON_TOKEN_REFUSED,	/* %s: our words */
	SI_REASON_TICKET_REFUSED,	/* %s: libkrb5's words */
	SI_REASON_TOKEN_FUNCTION,	/* %s: our words */
	SI_REASON_AUTHORIZATION,
	SI_REASON_TOPIC,

	/* the schema registry; %s: libcurl's words or HTTP's status; server */
	SI_REASON_REGISTRY_AWAY,	/* %s */
	SI_REASON_REGISTRY_UNTRUSTED,	/* %s, %s */
	SI_REASON_REGISTRY_REFUSED, /* %s, %s */
	SI_REASON_REGISTRY_NONE,	/* %s, %s: server, words */
	SI_REASON_REGISTRY_UNKNOWN, /* %s: which schema */

	/* the database; %s: the lock and its holder; what was refused, and why */
	SI_REASON_LOCK,
	SI_REASON_LOCK_TIMEOUT,
	SI_REASON_COLUMNS_LOCK,		/* %s: the lock and its holder */
	SI_REASON_STANDBY_CONFIRMS,
	SI_REASON_TEMPORARY,
	SI_REASON_PRIVILEGE,
	SI_REASON_NO_TARGET,
	SI_REASON_LASTING,
	SI_REASON_OWN_TABLES,

	/* messages; until enable() is called */
	SI_REASON_BAD_MESSAGE,		/* %s: which, and why */
	SI_REASON_BREAKER,			/* %d, %s: how many; the last of them */
	SI_REASON_REJECT_LIMIT,		/* %s: how it was reached */
	SI_REASON_CRASHES,			/* %d: how many in a row */

	/* nothing is wrong, but the lag is not known; %d, %d: of how many */
	SI_REASON_NO_ANSWER,		/* %ld: for how many seconds */
	SI_REASON_NO_WATERMARKS,	/* %d: max_partitions */

	/* nothing is wrong yet; %s: librdkafka's words */
	SI_REASON_TLS_FILES,

	/* nothing is wrong */
	SI_REASON_NO_PARTITION,

	SI_NREASONS
} SiReason;

/* The sentence, with the arguments for its format; palloc'd. */
extern char *si_reason(SiReason which,...);

/* The same of a sentence without arguments; allocates nothing. */
extern const char *si_reason_fixed(SiReason which);

/*
 * Copy a text to SI_REASON_LEN bytes of shared memory; a longer text is cut
 * between characters.
 */
extern void si_reason_put(char *dest, const char *words);

#endif							/* SI_REASON_H */
