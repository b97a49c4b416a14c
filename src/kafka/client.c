/*-------------------------------------------------------------------------
 *
 * client.c
 *	  What the consumer and the producer share: configuration, the descriptor
 *	  that wakes the main thread, and creating threads.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/client.h"
#include "storage/fd.h"

/* No file of certificates or keys comes near this. */
#define MAX_FILE_SIZE	(16 * 1024 * 1024)

/* Defaults of every client; the caller's properties may replace them. */
static const SiSetting common_defaults[] = {
	{"socket.keepalive.enable", "true", false},
	{"socket.nagle.disable", "true", false},
	{"socket.timeout.ms", "10000", false},
	{"reconnect.backoff.max.ms", "1000", false},
};

/* What both modules rely on; properties cannot change it. */
static const SiSetting common_fixed[] = {
	{"statistics.interval.ms", "0", false},
	{"log.queue", "true", false},
	{"log_level", "3", false},
	/* idle connections are closed by brokers all the time */
	{"log.connection.close", "false", false},
	{"enable.metrics.push", "false", true},
	/* no kinit by system(): 0 alone is never, and the command is empty, too */
	{"sasl.kerberos.min.time.before.relogin", "0", true},
	{"sasl.kerberos.kinit.cmd", "", true},
};

/* Is this property read by token.h or ticket.h, and not by the library? */
static bool
is_for_us(const char *name)
{
	return strncmp(name, "sasl.oauthbearer.", strlen("sasl.oauthbearer.")) == 0 ||
		strncmp(name, "https.", strlen("https.")) == 0 ||
		strcmp(name, "sasl.kerberos.keytab") == 0;
}

/* The library asks for a token; the thread that gets them does not wait for that. */
static void
ignore_token_refresh(rd_kafka_t *rk, const char *config, void *opaque)
{
}

/* Add our own settings; false, and why, if the library refuses one. */
static bool
apply_settings(rd_kafka_conf_t *conf, const SiSetting *settings, int n, SiClientFailure *failure)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (settings[i].optional)
			(void) rd_kafka_conf_set(conf, settings[i].name,
									 settings[i].value, NULL, 0);
		else if (!si_client_set(conf, settings[i].name, settings[i].value,
								failure))
			return false;
	}
	return true;
}

const char *
si_client_refuse_file(const char *path)
{
	struct stat st;

	/* why there is none is for the library to say */
	if (stat(path, &st) != 0 || S_ISDIR(st.st_mode))
		return NULL;
	if (!S_ISREG(st.st_mode))
		return "names no regular file";
	return st.st_size > MAX_FILE_SIZE ? "names a file larger than 16 MB" : NULL;
}

bool
si_client_is_location(const char *name)
{
	size_t		len = strlen(name);
	size_t		suffix = strlen(".location");

	return len > suffix && strcmp(name + len - suffix, ".location") == 0;
}

/* Can the library read this property's file?  False, and why, if it might never end. */
static bool
check_file(const char *name, const char *path, SiClientFailure *failure)
{
	const char *reason = si_client_refuse_file(path);

	if (reason == NULL)
		return true;
	failure->sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	failure->what = name;
	snprintf(failure->words, sizeof(failure->words), "%s %s", name, reason);
	return false;
}

const char *
si_client_property(const SiProperty *properties, int n, const char *name)
{
	for (int i = n - 1; i >= 0; i--)
	{
		if (strcmp(properties[i].name, name) == 0)
			return properties[i].value;
	}
	return NULL;
}

const char *
si_client_sasl_mechanism(const SiProperty *properties, int n)
{
	const char *protocol = si_client_property(properties, n, "security.protocol");

	/* the protocol's name may be in upper or lower case */
	if (protocol == NULL || pg_strncasecmp(protocol, "sasl", 4) != 0)
		return NULL;
	return si_client_property(properties, n, "sasl.mechanism");
}

SiProperty *
si_client_to_kafka(const SiProperty *properties, int n)
{
	SiProperty *converted = palloc(sizeof(SiProperty) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		converted[i] = properties[i];
		if (!si_client_is_location(properties[i].name))
			converted[i].value = si_words_to_kafka(properties[i].value);
	}
	return converted;
}

rd_kafka_conf_t *
si_client_configure(const SiSetting *defaults, int ndefaults,
					const SiProperty *properties, int nproperties,
					const SiSetting *fixed, int nfixed, const char *client_id,
					SiClientFailure *failure)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool		ok;
	int			i;

	ok = apply_settings(conf, common_defaults, lengthof(common_defaults), failure) &&
		apply_settings(conf, defaults, ndefaults, failure) &&
		si_client_set(conf, "client.id", client_id, failure);
	for (i = 0; ok && i < nproperties; i++)
		ok = is_for_us(properties[i].name) ||
			((!si_client_is_location(properties[i].name) ||
			  check_file(properties[i].name, properties[i].value, failure)) &&
			 si_client_set(conf, properties[i].name, properties[i].value, failure));
	ok = ok && apply_settings(conf, common_fixed, lengthof(common_fixed), failure) &&
		apply_settings(conf, fixed, nfixed, failure);
	rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, ignore_token_refresh);
	if (ok)
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

bool
si_client_set(rd_kafka_conf_t *conf, const char *name, const char *value,
			  SiClientFailure *failure)
{
	char		errstr[512] = "";

	if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr)) == RD_KAFKA_CONF_OK)
		return true;
	failure->sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	failure->what = name;
	si_client_describe_refusal(name, errstr, failure->words, sizeof(failure->words));
	return false;
}

/* Might this property's value be a secret?  When in doubt, yes. */
static bool
is_secret(const char *name)
{
	static const char *const marks[] = {
		"username", "password", "passphrase", "secret", "token", "jwt",
		".pem", ".key.", "oauthbearer.config"
	};
	int			i;

	for (i = 0; i < lengthof(marks); i++)
	{
		if (strstr(name, marks[i]) != NULL)
			return true;
	}
	return false;
}

/* Some of the library's messages quote the value. */
void
si_client_describe_refusal(const char *name, const char *errstr, char *words,
						   size_t size)
{
	if (is_secret(name))
		errstr = "librdkafka does not take the value.";
	si_words_copy(words, Min(size, strcspn(errstr, "\n") + 1), errstr);
}

void
si_client_report_failure(const SiClientFailure *failure, const char *kind)
{
	char		words[sizeof(failure->words)];

	si_words_copy(words, sizeof(words), failure->words);
	if (failure->what != NULL)
		ereport(ERROR,
				(errcode(failure->sqlstate),
				 errmsg("invalid Kafka property \"%s\"", failure->what),
				 errdetail_internal("%s", words)));

	errno = failure->error_number;
	if (errno != 0)
		ereport(ERROR,
				(errcode(failure->sqlstate),
				 errmsg("could not create Kafka %s", kind),
				 errdetail_internal("%s: %m", words)));
	ereport(ERROR,
			(errcode(failure->sqlstate),
			 errmsg("could not create Kafka %s", kind),
			 errdetail_internal("%s", words)));
}

int
si_client_open_fd(void)
{
	int			fd;

	if (!AcquireExternalFD())
		return -1;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		ReleaseExternalFD();
	return fd;
}

void
si_client_close_fd(int fd)
{
	close(fd);
	ReleaseExternalFD();
}

void
si_client_wake_fd(int fd)
{
	uint64		one = 1;

	/* any other failure means that it is readable already */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
si_client_drain_fd(int fd)
{
	uint64		count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

int64_t
si_client_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
