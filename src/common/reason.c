/*-------------------------------------------------------------------------
 *
 * reason.c
 *	  Why a subscription does not move, and what to do.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "common/reason.h"

static const char *const sentences[SI_NREASONS] = {
	[SI_REASON_NOT_PRELOADED] =
	"stream_ingest is not in shared_preload_libraries; add it there and restart the server",
	[SI_REASON_STANDBY] =
	"the server is a standby; the subscription goes on after promotion",
	[SI_REASON_OFF] =
	"stream_ingest.enabled is off; set it to on and reload the configuration",
	[SI_REASON_NO_LAUNCHER] =
	"the launcher is not running; it starts within seconds if max_worker_processes leaves room for it",

	[SI_REASON_NOT_NOTICED] =
	"waiting to be noticed by the launcher",
	[SI_REASON_TOO_MANY] =
	"there are more subscriptions than the %d of stream_ingest.max_subscriptions; raise it and restart the server",
	[SI_REASON_ROLE_HAS_TOO_MANY] =
	"its owner has more subscriptions than the %d of stream_ingest.max_subscriptions_per_role; raise it and reload the configuration, or drop others",
	[SI_REASON_NOT_SCANNED] =
	"the launcher could not read the subscriptions of this database: %s; it is tried again by itself",
	[SI_REASON_NO_PROCESS] =
	"waiting for a background worker slot; raise max_worker_processes and restart the server",
	[SI_REASON_NO_WORKER] =
	"waiting for a worker: all %d of stream_ingest.max_workers are in use; raise it and restart the server, or disable another subscription",
	[SI_REASON_NO_WORKER_YET] =
	"waiting for a worker",
	[SI_REASON_ENDED] =
	"the worker process ended unexpectedly; the server's log says why",

	[SI_REASON_DISABLED] =
	"the subscription is disabled; enable() starts it",
	[SI_REASON_COPY] =
	"this database is a copy; enable() adopts the subscription here",
	[SI_REASON_NO_OWNER] =
	"owner does not exist; set_owner() gives the subscription to another role",
	[SI_REASON_NO_LOGIN] =
	"role \"%s\" is not permitted to log in; ALTER ROLE with LOGIN permits it",
	[SI_REASON_NO_CONNECT] =
	"role \"%s\" may not connect to this database; GRANT CONNECT ON DATABASE permits it",
	[SI_REASON_NO_SERVER] =
	"server \"%s\" does not exist; create it, or name another one by alter_subscription()",
	[SI_REASON_NO_USAGE] =
	"role \"%s\" has no USAGE on server \"%s\"; GRANT USAGE ON FOREIGN SERVER permits it",
	[SI_REASON_OPTIONS] =
	"the stored options are not valid: %s; correct them by alter_subscription()",
	[SI_REASON_DAMAGE] =
	"what is stored of the subscription is not valid: %s; correct it by alter_subscription(), or drop it",

	[SI_REASON_OTHER_SERVER] =
	"server \"%s\" is not the one for which the subscription was made, but another of the same name; see where it leads, then enable() accepts it",

	[SI_REASON_BROKER] =
	"%s; see whether the brokers run, bootstrap_servers of the server names them, and the addresses that they advertise can be reached from here",
	[SI_REASON_AUTHENTICATION] =
	"%s; see what the server and the user mapping of the owner say of security and passwords",
	[SI_REASON_SCRAM] =
	"%s; if the password is right: librdkafka older than 2.6.1 cannot use SCRAM with Kafka 4, so update it or use sasl_mechanism PLAIN over TLS",
	[SI_REASON_AUTHORIZATION] =
	"%s; in Kafka, allow the user to read and describe the topic",
	[SI_REASON_TOPIC] =
	"%s; create the topic, or name another one by alter_subscription()",

	[SI_REASON_LOCK] =
	"waiting for %s; it goes on when that transaction ends",
	[SI_REASON_LOCK_TIMEOUT] =
	"another session holds a lock without which the worker cannot start (see pg_locks); it is tried again by itself",
	[SI_REASON_STANDBY_CONFIRMS] =
	"waiting for a synchronous standby to confirm the commit; see synchronous_standby_names",
	[SI_REASON_PASSING] =
	"%s; it is tried again by itself",
	[SI_REASON_PRIVILEGE] =
	"%s; grant what is missing, and it goes on by itself",
	[SI_REASON_NO_TARGET] =
	"%s; name another target by alter_subscription()",
	[SI_REASON_LASTING] =
	"%s; when that is mended it goes on by itself",
	[SI_REASON_OWN_TABLES] =
	"the tables of stream_ingest itself cannot be read or written, and no message is at fault: %s; repair that, and it continues by itself",

	[SI_REASON_BAD_MESSAGE] =
	"%s; mend what refuses it and enable(), or skip() the message",
	[SI_REASON_BREAKER] =
	"breaker: %d messages in a row were refused; %s; mend that and enable(), then retry_dead_letters()",
	[SI_REASON_REJECT_LIMIT] =
	"reject_limit reached: %s; see why in dead_letters, then enable()",

	[SI_REASON_NO_ANSWER] =
	"the lag of %d of %d partitions is not known: the brokers have not answered for %ld seconds",
	[SI_REASON_NO_WATERMARKS] =
	"the lag of %d of %d partitions is not known: all %d places of stream_ingest.max_partitions are in use",

	[SI_REASON_NO_PARTITION] =
	"there are more workers than partitions",
};

char *
si_reason(SiReason which,...)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, which);
		needed = appendStringInfoVA(&buf, sentences[which], args);
		va_end(args);
		if (needed == 0)
			return buf.data;
		enlargeStringInfo(&buf, needed);
	}
}

const char *
si_reason_fixed(SiReason which)
{
	Assert(strchr(sentences[which], '%') == NULL);
	return sentences[which];
}

void
si_reason_put(char *dest, const char *words)
{
	int			len = strlen(words);

	if (len >= SI_REASON_LEN)
		len = pg_mbcliplen(words, len, SI_REASON_LEN - 1);
	memcpy(dest, words, len);
	dest[len] = '\0';
}
