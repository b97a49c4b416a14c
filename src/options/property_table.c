/*-------------------------------------------------------------------------
 *
 * property_table.c
 *	  The properties of librdkafka that may be given, and those that may not.
 *
 * librdkafka has some two hundred properties, and every release adds more.
 * Some load code, run a shell command or read a file of the server, and
 * several decide where a password is sent.  So a property is allowed only if
 * it stands in the first table, which says for each where it may be given: in
 * a server (any user can read it there), in a user mapping (only the mapped
 * user can), or in a subscription (whose owner need not be trusted with the
 * mapping's password, and so must not choose where it is sent).
 *
 * The second table serves the error message only: it names properties that
 * users try, and why they are refused.
 *
 * librdkafka checks some values only when a client is created, in a worker,
 * long after the statement that gave them.  The bounds and checks of the first
 * table catch those at once: values that are accepted one by one must not keep
 * a consumer from opening.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "options/kerberos_options.h"
#include "options/property.h"
#include "options/registry_options.h"
#include "options/token_options.h"

#define SECRET			SI_PROPERTY_SECRET
#define SUPERUSER_ONLY	SI_PROPERTY_SUPERUSER_ONLY
#define OURS			SI_PROPERTY_OURS
#define CLIENT			SI_PROPERTY_CLIENT

#define LOADS_CODE		"It makes librdkafka load code into the server."
#define RUNS_PROGRAMS	"It makes librdkafka run a shell command in the server."
#define KERBEROS_OPTIONS	"Use the options \"sasl_kerberos_keytab\" and \"sasl_kerberos_principal\" of the server: stream_ingest gets the tickets itself."
#define NEEDS_TOKENS	"Tokens are requested by a client's credentials, or given by a function."
#define TOKEN_OPTIONS	"Use the options \"sasl_oauthbearer_token_endpoint_url\" and \"sasl_oauthbearer_client_id\" of the server, and \"sasl_oauthbearer_client_secret\" of the user mapping; or \"sasl_oauthbearer_function\" of the server."
#define IS_OURS			"stream_ingest sets it itself."
#define IS_LOGGING		"stream_ingest sets it itself: what librdkafka logs could show payloads and passwords."
#define IS_PRODUCING	"It belongs to a producer, which stream_ingest sets up itself."

/* ---- checks of values ---- */

/* Is this text a port number? */
static bool
is_port(const char *text)
{
	int			len = strspn(text, "0123456789");

	return len > 0 && len <= 5 && text[len] == '\0' &&
		atoi(text) >= 1 && atoi(text) <= 65535;
}

/*
 * Check one address: host, host:port or [v6 address]:port.  librdkafka takes
 * anything here, makes port 0 of a port it cannot read, and then retries it
 * for ever.
 */
static const char *
check_broker(char *address)
{
	char	   *port;

	if (address[0] == '\0')
		return "One of the addresses is empty.";
	if (strstr(address, "://") != NULL)
		return "An address has no protocol; that is the option \"security_protocol\".";
	if (strpbrk(address, " \t\r\n") != NULL)
		return "Addresses are separated by commas.";

	if (address[0] == '[')
	{
		port = strchr(address, ']');
		if (port == NULL || port == address + 1)
			return psprintf("\"%s\" is not an address in brackets.", address);
		port++;
		if (*port == '\0')
			return NULL;
	}
	else
	{
		port = strchr(address, ':');
		if (port == NULL)
			return NULL;
		if (port == address)
			return psprintf("\"%s\" has no host name.", address);
		if (strchr(port + 1, ':') != NULL)
			return psprintf("\"%s\" is not \"host:port\"; an IPv6 address is written in brackets.",
							address);
	}
	if (*port != ':' || !is_port(port + 1))
		return psprintf("\"%s\" does not end with a port number.", address);
	return NULL;
}

/* Check a list of brokers; see ValueCheck. */
static const char *
check_brokers(const char *value)
{
	char	   *rest = pstrdup(value);

	while (rest != NULL)
	{
		char	   *address = rest + strspn(rest, " \t\r\n");
		const char *reason;

		rest = strchr(address, ',');
		if (rest != NULL)
			*rest++ = '\0';
		reason = check_broker(address);
		if (reason != NULL)
			return reason;
	}
	return NULL;
}

/*
 * Check a SASL mechanism; see ValueCheck.  librdkafka takes any text here and
 * complains in the worker.
 */
static const char *
check_mechanism(const char *value)
{
	static const char *const known[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"};

	for (int i = 0; i < lengthof(known); i++)
	{
		if (strcmp(value, known[i]) == 0)
			return NULL;
	}
	return "Valid values are " SI_SASL_MECHANISMS ".";
}

/*
 * Check a prefix of group names or a client id; see ValueCheck.  Brokers'
 * tools print them bare, so blanks and control characters are kept out.
 */
static const char *
check_kafka_name(const char *value)
{
	if (strlen(value) > 128)
		return "It is longer than 128 bytes.";
	for (const char *p = value; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == 0x7f)
			return "It contains a blank or a control character.";
	}
	return NULL;
}

/*
 * Check a key or certificate given as text; see ValueCheck.  The usual
 * mistake is a file's name, which librdkafka takes and refuses in the worker.
 * The text is not quoted: it can be a private key.
 */
static const char *
check_pem(const char *value)
{
	if (strstr(value, "-----BEGIN ") == NULL)
		return "It is not the text of a key or certificate in PEM format.";
	return NULL;
}

/* ---- the tables ---- */

/*
 * The allow-lists.  Bounds: fetch.wait.max.ms must stay below
 * socket.timeout.ms, fetch.max.bytes above message.max.bytes (1,000,000
 * unless set) and reconnect.backoff.max.ms above reconnect.backoff.ms (100),
 * or newer or older libraries refuse the consumer; the upper bounds keep one
 * subscription from taking the server's memory, and from sleeping for minutes
 * while its brokers are well.
 */
const SiAllowedProperty si_properties[] = {
	/* addresses */
	{"bootstrap.servers", NULL, SI_AT_SERVER, 0, 0, 0, check_brokers},
	{"broker.address.family", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"broker.address.ttl", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"client.dns.lookup", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"client.id", NULL, SI_AT_SERVER, 0, 0, 0, check_kafka_name},

	/* security protocol and TLS */
	{"security.protocol", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"sasl.mechanism", NULL, SI_AT_SERVER, 0, 0, 0, check_mechanism},
	{"sasl.mechanisms", "sasl.mechanism", SI_AT_SERVER, 0, 0, 0, NULL},
	{"enable.ssl.certificate.verification", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"ssl.endpoint.identification.algorithm", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"ssl.ca.pem", NULL, SI_AT_SERVER, 0, 0, 0, check_pem},
	{"ssl.ca.location", NULL, SI_AT_SERVER, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.crl.location", NULL, SI_AT_SERVER, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.cipher.suites", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"ssl.curves.list", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"ssl.sigalgs.list", NULL, SI_AT_SERVER, 0, 0, 0, NULL},

	/* timeouts and sockets */
	{"socket.timeout.ms", NULL, SI_AT_SERVER, 0, 6000, 300000, NULL},
	{"socket.connection.setup.timeout.ms", NULL, SI_AT_SERVER, 0, 1000, 300000, NULL},
	{"socket.keepalive.enable", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"socket.nagle.disable", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"socket.max.fails", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"socket.send.buffer.bytes", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"socket.receive.buffer.bytes", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"connections.max.idle.ms", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"reconnect.backoff.max.ms", NULL, SI_AT_SERVER, 0, 100, 60000, NULL},
	{"api.version.request.timeout.ms", NULL, SI_AT_SERVER, 0, 0, 0, NULL},
	{"message.timeout.ms", NULL, SI_AT_SERVER, 0, 1000, 600000, NULL},
	{"delivery.timeout.ms", "message.timeout.ms", SI_AT_SERVER, 0, 0, 0, NULL},

	/* tokens */
	{"sasl.oauthbearer.method", NULL, SI_AT_SERVER, CLIENT, 0, 0, si_token_check_method},
	{"sasl.oauthbearer.token.endpoint.url", NULL, SI_AT_SERVER, CLIENT, 0, 0, si_token_check_url},
	{"sasl.oauthbearer.client.id", NULL, SI_AT_SERVER | SI_AT_MAPPING, CLIENT, 0, 0, si_token_check_text},
	{"sasl.oauthbearer.client.secret", NULL, SI_AT_MAPPING, CLIENT | SECRET, 0, 0, si_token_check_text},
	{"sasl.oauthbearer.scope", NULL, SI_AT_SERVER, CLIENT, 0, 0, si_token_check_text},
	{"sasl.oauthbearer.extensions", NULL, SI_AT_SERVER | SI_AT_MAPPING, CLIENT, 0, 0, si_token_check_extensions},
	{"sasl.oauthbearer.function", NULL, SI_AT_SERVER, CLIENT, 0, 0, si_token_check_function},
	{"https.ca.pem", NULL, SI_AT_SERVER, CLIENT, 0, 0, check_pem},
	{"https.ca.location", NULL, SI_AT_SERVER, CLIENT | SUPERUSER_ONLY, 0, 0, NULL},

	/* Kerberos: all need the keytab, which a superuser sets */
	{"sasl.kerberos.keytab", NULL, SI_AT_SERVER, CLIENT | SUPERUSER_ONLY, 0, 0, si_kerberos_check_keytab},
	{"sasl.kerberos.principal", NULL, SI_AT_SERVER, 0, 0, 0, si_kerberos_check_principal},
	{"sasl.kerberos.service.name", NULL, SI_AT_SERVER, 0, 0, 0, si_kerberos_check_service},

	{"group_prefix", NULL, SI_AT_SERVER, OURS, 0, 0, check_kafka_name},

	/* the schema registry */
	{"schema_registry_url", NULL, SI_AT_SERVER, OURS, 0, 0, si_registry_check_url},
	{"schema_registry_api", NULL, SI_AT_SERVER, OURS, 0, 0, si_registry_check_api},
	{"schema_registry_timeout", NULL, SI_AT_SERVER, OURS, 0, 0, si_registry_check_timeout},
	{"schema_registry_ssl_ca_pem", NULL, SI_AT_SERVER, OURS, 0, 0, check_pem},
	{"schema_registry_ssl_ca_location", NULL, SI_AT_SERVER, OURS | SUPERUSER_ONLY, 0, 0, NULL},
	{"schema_registry_proxy", NULL, SI_AT_SERVER, OURS, 0, 0, si_registry_check_proxy},
	{"schema_registry_username", NULL, SI_AT_MAPPING, OURS | SECRET, 0, 0, NULL},
	{"schema_registry_password", NULL, SI_AT_MAPPING, OURS | SECRET, 0, 0, NULL},
	{"schema_registry_token", NULL, SI_AT_MAPPING, OURS | SECRET, 0, 0, NULL},
	{"schema_registry_ssl_certificate_pem", NULL, SI_AT_MAPPING, OURS | SECRET, 0, 0, check_pem},
	{"schema_registry_ssl_key_pem", NULL, SI_AT_MAPPING, OURS | SECRET, 0, 0, check_pem},

	/* who connects */
	{"sasl.username", NULL, SI_AT_MAPPING, SECRET, 0, 0, NULL},
	{"sasl.password", NULL, SI_AT_MAPPING, SECRET, 0, 0, NULL},
	{"ssl.key.pem", NULL, SI_AT_MAPPING, SECRET, 0, 0, check_pem},
	{"ssl.key.password", NULL, SI_AT_MAPPING, SECRET, 0, 0, NULL},
	{"ssl.certificate.pem", NULL, SI_AT_MAPPING, SECRET, 0, 0, check_pem},
	{"ssl.keystore.password", NULL, SI_AT_MAPPING, SECRET, 0, 0, NULL},
	{"ssl.key.location", NULL, SI_AT_SERVER | SI_AT_MAPPING, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.certificate.location", NULL, SI_AT_SERVER | SI_AT_MAPPING, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.keystore.location", NULL, SI_AT_SERVER | SI_AT_MAPPING, SUPERUSER_ONLY, 0, 0, NULL},

	/* fetching and queueing */
	{"fetch.wait.max.ms", NULL, SI_AT_SUBSCRIPTION, 0, 0, 5000, NULL},
	{"fetch.min.bytes", NULL, SI_AT_SUBSCRIPTION, 0, 0, 0, NULL},
	{"fetch.max.bytes", NULL, SI_AT_SUBSCRIPTION, 0, 1000000, 268435456, NULL},
	{"fetch.message.max.bytes", "max.partition.fetch.bytes", SI_AT_SUBSCRIPTION, 0, 0, 0, NULL},
	{"max.partition.fetch.bytes", NULL, SI_AT_SUBSCRIPTION, 0, 1, 268435456, NULL},
	{"fetch.error.backoff.ms", NULL, SI_AT_SUBSCRIPTION, 0, 0, 60000, NULL},
	{"fetch.queue.backoff.ms", NULL, SI_AT_SUBSCRIPTION, 0, 0, 1000, NULL},
	{"queued.min.messages", NULL, SI_AT_SUBSCRIPTION, 0, 1, 1000000, NULL},
	{"queued.max.messages.kbytes", NULL, SI_AT_SUBSCRIPTION, 0, 64, 1048576, NULL},
	{"isolation.level", NULL, SI_AT_SUBSCRIPTION, 0, 0, 0, NULL},
	{"client.rack", NULL, SI_AT_SUBSCRIPTION, 0, 0, 0, NULL},
};

const int	si_nproperties = lengthof(si_properties);

static const SiPropertyRefusal refusals[] = {
	{"plugin.library.paths", LOADS_CODE, NULL},
	{"interceptors", LOADS_CODE, NULL},
	{"ssl.engine.*", LOADS_CODE, NULL},
	{"ssl.providers", LOADS_CODE, NULL},
	{"sasl.kerberos.*", RUNS_PROGRAMS, KERBEROS_OPTIONS},
	{"sasl.oauthbearer.*", NEEDS_TOKENS, TOKEN_OPTIONS},
	{"enable.sasl.oauthbearer.*", NEEDS_TOKENS, TOKEN_OPTIONS},
	{"metadata.broker.list", "It is another name for \"bootstrap.servers\".",
	"Use the option \"bootstrap_servers\" of the server."},
	{"group.id", "The group only shows progress, and is named by stream_ingest.",
	"Use the option \"group_prefix\" of the server, or \"group_id\" of a subscription."},
	{"auto.offset.reset", IS_OURS,
	"Use the option \"start\" of a subscription."},
	{"enable.auto.commit", IS_OURS, "Offsets are stored with the rows."},
	{"auto.commit.*", IS_OURS, "Offsets are stored with the rows."},
	{"enable.auto.offset.store", IS_OURS, "Offsets are stored with the rows."},
	{"offset.store.*", IS_OURS, "Offsets are stored with the rows."},
	{"enable.partition.eof", IS_OURS, NULL},
	{"check.crcs", IS_OURS, NULL},
	{"allow.auto.create.topics", IS_OURS, NULL},
	{"topic.metadata.*", IS_OURS, NULL},
	{"metadata.max.age.ms", IS_OURS, NULL},
	{"topic.blacklist", IS_OURS, NULL},
	{"group.instance.id", IS_OURS, NULL},
	{"group.protocol*", IS_OURS, NULL},
	{"group.remote.assignor", IS_OURS, NULL},
	{"session.timeout.ms", IS_OURS, NULL},
	{"heartbeat.interval.ms", IS_OURS, NULL},
	{"max.poll.interval.ms", IS_OURS, NULL},
	{"partition.assignment.strategy", IS_OURS, NULL},
	{"coordinator.query.interval.ms", IS_OURS, NULL},
	{"consume.callback.*", IS_OURS, NULL},
	{"enable.metrics.push", IS_OURS, NULL},
	{"internal.termination.signal", IS_OURS, NULL},
	{"enable.random.seed", IS_OURS, NULL},
	{"builtin.features", IS_OURS, NULL},
	{"opaque", IS_OURS, NULL},
	{"*_cb", IS_OURS, NULL},
	{"test.mock.*", IS_OURS, NULL},
	{"enabled_events", IS_OURS, NULL},
	{"debug", IS_LOGGING, NULL},
	{"log.*", IS_LOGGING, NULL},
	{"log_level", IS_LOGGING, NULL},
	{"statistics.interval.ms", IS_LOGGING, "Numbers are in the views of the schema stream_ingest."},
	{"acks", IS_PRODUCING, NULL},
	{"request.required.acks", IS_PRODUCING, NULL},
	{"batch.*", IS_PRODUCING, "A subscription has the options \"batch_size\", \"batch_bytes\" and \"batch_interval\"."},
	{"compression.*", IS_PRODUCING, NULL},
	{"delivery.*", IS_PRODUCING, NULL},
	{"enable.idempotence", IS_PRODUCING, NULL},
	{"enable.gapless.guarantee", IS_PRODUCING, NULL},
	{"linger.ms", IS_PRODUCING, NULL},
	{"message.timeout.ms", IS_PRODUCING, NULL},
	{"message.send.max.retries", IS_PRODUCING, NULL},
	{"partitioner", IS_PRODUCING, NULL},
	{"queue.buffering.*", IS_PRODUCING, NULL},
	{"request.timeout.ms", IS_PRODUCING, NULL},
	{"retries", IS_PRODUCING, NULL},
	{"sticky.*", IS_PRODUCING, NULL},
	{"transaction*", IS_PRODUCING, NULL},
};

/* ---- looking names up ---- */

/*
 * Do the first len characters of a name as given mean those of a property's?
 * Dots may be written as underscores.  Where a name of ours has an underscore,
 * only that will do.
 */
static bool
same_start(const char *given, const char *property, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (given[i] != property[i] &&
			!(given[i] == '_' && property[i] == '.'))
			return false;
	}
	return true;
}

static bool
same_name(const char *given, const char *property)
{
	size_t		len = strlen(property);

	return strlen(given) == len && same_start(given, property, len);
}

/*
 * The property that may be given there under this name, or NULL.  Other names
 * of a property are resolved, so that equal ones compare equal.
 */
const SiAllowedProperty *
si_property_find(const char *name, int where)
{
	for (int i = 0; i < si_nproperties; i++)
	{
		const SiAllowedProperty *property = &si_properties[i];

		if ((property->where & where) == 0 ||
			!same_name(name, property->name))
			continue;
		if (property->alias_of != NULL)
			return si_property_find(property->alias_of, where);
		return property;
	}
	return NULL;
}

/* Does a name as given match a refusal's pattern? */
static bool
pattern_matches(const char *given, const char *pattern)
{
	size_t		len = strlen(pattern) - 1;
	size_t		givenlen = strlen(given);

	if (pattern[0] == '*')
		return givenlen >= len &&
			same_start(given + givenlen - len, pattern + 1, len);
	if (pattern[len] == '*')
		return givenlen >= len && same_start(given, pattern, len);
	return same_name(given, pattern);
}

const SiPropertyRefusal *
si_property_find_refusal(const char *name)
{
	for (int i = 0; i < lengthof(refusals); i++)
	{
		if (pattern_matches(name, refusals[i].pattern))
			return &refusals[i];
	}
	return NULL;
}
