/*-------------------------------------------------------------------------
 *
 * reason.c
 *	  Why a subscription makes no progress, and what to do.
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
	"the server is a standby; the subscription resumes after promotion",
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
	"the launcher could not read the subscriptions of this database: %s; it is retried automatically",
	[SI_REASON_NO_PROCESS] =
	"waiting for a background worker slot; raise max_worker_processes and restart the server",
	[SI_REASON_NO_WORKER] =
	"waiting for a worker: all %d of stream_ingest.max_workers are in use; raise it and restart the server, or disable another subscription",
	[SI_REASON_NO_WORKER_YET] =
	"waiting for a worker",
	[SI_REASON_ENDED] =
	"the worker process ended unexpectedly; see the server log",

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
	"server \"%s\" does not exist; create it, or set another one with alter_subscription()",
	[SI_REASON_NO_USAGE] =
	"role \"%s\" has no USAGE on server \"%s\"; GRANT USAGE ON FOREIGN SERVER permits it",
	[SI_REASON_OPTIONS] =
	"the stored options are not valid: %s; correct them with alter_subscription()",
	[SI_REASON_DAMAGE] =
	"the stored definition of the subscription is not valid: %s; correct it with alter_subscription(), or drop it",

	[SI_REASON_OTHER_SERVER] =
	"server \"%s\" is not the one for which the subscription was created, but another of the same name; check where it connects to, then call enable() to accept it",

	[SI_REASON_BROKER] =
	"%s; check that the brokers are running, that bootstrap_servers of the server names them, and that the addresses they advertise can be reached from here",
	[SI_REASON_AUTHENTICATION] =
	"%s; check the security options of the server and of its owner's user mapping",
	[SI_REASON_SCRAM] =
	"%s; if the password is right: librdkafka older than 2.6.1 cannot use SCRAM with Kafka 4, so update it or use sasl_mechanism PLAIN over TLS",
	[SI_REASON_TOKEN_AWAY] =
	"%s; it is retried automatically",
	[SI_REASON_TOKEN_REFUSED] =
	"%s; check the options sasl_oauthbearer_... of the server, and sasl_oauthbearer_client_secret of its owner's user mapping",
	[SI_REASON_TICKET_REFUSED] =
	"%s; check sasl_kerberos_keytab and sasl_kerberos_principal of the server, which are tried again once a minute",
	[SI_REASON_TOKEN_FUNCTION] =
	"%s; correct the function that the option sasl_oauthbearer_function of the server names, which is called again automatically",
	[SI_REASON_AUTHORIZATION] =
	"%s; in Kafka, allow the user to read and describe the topic",
	[SI_REASON_TOPIC] =
	"%s; create the topic, or set another one with alter_subscription()",

	[SI_REASON_REGISTRY_AWAY] =
	"the schema registry does not answer: %s; it is retried automatically",
	[SI_REASON_REGISTRY_UNTRUSTED] =
	"the schema registry's certificate, or ours, is not accepted: %s; check schema_registry_ssl_ca_pem and schema_registry_url of server \"%s\", and the certificate in its owner's user mapping",
	[SI_REASON_REGISTRY_REFUSED] =
	"the schema registry refuses access: %s; check schema_registry_username and schema_registry_password, or schema_registry_token, of the owner's user mapping for server \"%s\"",
	[SI_REASON_REGISTRY_NONE] =
	"no schema registry answers at the URL of server \"%s\": %s; check its options schema_registry_url and schema_registry_api",
	[SI_REASON_REGISTRY_UNKNOWN] =
	"%s; it is asked for again for ten seconds, then its messages are refused",

	[SI_REASON_LOCK] =
	"waiting for %s; resumes when that transaction ends",
	[SI_REASON_LOCK_TIMEOUT] =
	"another session holds a lock that the worker needs to start (see pg_locks); it is retried automatically",
	[SI_REASON_COLUMNS_LOCK] =
	"the target could not be locked to add the columns of a new schema: %s; it is retried automatically",
	[SI_REASON_STANDBY_CONFIRMS] =
	"waiting for a synchronous standby to confirm the commit; see synchronous_standby_names",
	[SI_REASON_TEMPORARY] =
	"%s; it is retried automatically",
	[SI_REASON_PRIVILEGE] =
	"%s; grant the missing privilege, and it resumes automatically",
	[SI_REASON_NO_TARGET] =
	"%s; set another target with alter_subscription()",
	[SI_REASON_LASTING] =
	"%s; resumes automatically once this is fixed",
	[SI_REASON_OWN_TABLES] =
	"the tables of stream_ingest itself cannot be read or written, and no message is at fault: %s; resumes automatically once this is fixed",

	[SI_REASON_BAD_MESSAGE] =
	"%s; fix the cause and call enable(), or skip() the message",
	[SI_REASON_BREAKER] =
	"breaker: %d messages in a row were refused; %s; fix the cause and call enable(), then retry_dead_letters()",
	[SI_REASON_REJECT_LIMIT] =
	"reject_limit reached: %s; see the causes in dead_letters, then call enable()",
	[SI_REASON_CRASHES] =
	"its worker has crashed the server %d times in a row; see the server log, fix the cause and call enable(), or skip() the message",

	[SI_REASON_NO_ANSWER] =
	"the lag of %d of %d partitions is not known: the brokers have not answered for %ld seconds",
	[SI_REASON_NO_WATERMARKS] =
	"the lag of %d of %d partitions is not known: all %d places of stream_ingest.max_partitions are in use",

	[SI_REASON_TLS_FILES] =
	"a file of certificates or keys has changed and cannot be used: %s; the old connection stays until the file is corrected",

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
