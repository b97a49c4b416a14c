/*-------------------------------------------------------------------------
 *
 * server_options.c
 *	  What may be said about a Kafka cluster: the wrapper's validator, and the
 *	  librdkafka properties of a server and a user mapping.
 *
 * librdkafka has some two hundred properties, and every release adds more.
 * Some load code, run a shell command or read a file of the server, and
 * several decide where a password is sent.  So nothing passes that does not
 * stand in the allow-list below, which says for each property where it may be
 * given: in a server (any user can read it there), in a user mapping (only
 * the mapped user can), or in a subscription (whose owner need not be trusted
 * with the mapping's password, and so must not steer where it goes).
 *
 * The second list exists for the reader of the error message only: it names
 * properties that people try, and why they are refused.
 *
 * librdkafka judges some values only when a client is made, in a worker, when
 * whoever said it is long gone.  The bounds and checks of the allow-list catch
 * those here: it must not be possible to give values that are accepted one by
 * one and then keep a consumer from opening.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "options/server_options.h"

#define WRAPPER_NAME			"stream_ingest"
#define DEFAULT_GROUP_PREFIX	"stream_ingest."

/* Where a property may be given; a property can have several places. */
#define AT_SERVER				0x01
#define AT_MAPPING				0x02
#define AT_SUBSCRIPTION			0x04

/* What else there is to know of a property. */
#define SECRET					0x01	/* never quote the value */
#define SUPERUSER_ONLY			0x02	/* reads files of the server */
#define OURS					0x04	/* not a property of librdkafka */

/* Kafka's own limit for a topic's name. */
#define MAX_TOPIC_LEN			249

/* How far a misspelt name may be from the one that is suggested. */
#define NEAREST_MAX_DISTANCE	4

/* A check beyond librdkafka's own: NULL, or a sentence that says why not. */
typedef const char *(*ValueCheck) (const char *value);

typedef struct Property
{
	const char *name;
	const char *alias_of;		/* the name it goes by, if this is another */
	int			where;
	int			flags;
	int			min;			/* both 0: librdkafka's bounds are good */
	int			max;
	ValueCheck	check;
} Property;

static const char *check_brokers(const char *value);
static const char *check_mechanism(const char *value);
static const char *check_group_prefix(const char *value);
static const char *check_pem(const char *value);

/*
 * The allow-lists.  Bounds: fetch.wait.max.ms must stay below
 * socket.timeout.ms, fetch.max.bytes above message.max.bytes (1,000,000
 * unless set) and reconnect.backoff.max.ms above reconnect.backoff.ms (100),
 * or newer or older libraries refuse the consumer; the upper bounds keep one
 * subscription from taking the server's memory, and from sleeping for minutes
 * while its brokers are well.
 */
static const Property properties[] = {
	/* addresses */
	{"bootstrap.servers", NULL, AT_SERVER, 0, 0, 0, check_brokers},
	{"broker.address.family", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"broker.address.ttl", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"client.dns.lookup", NULL, AT_SERVER, 0, 0, 0, NULL},

	/* security protocol and TLS */
	{"security.protocol", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"sasl.mechanism", NULL, AT_SERVER, 0, 0, 0, check_mechanism},
	{"sasl.mechanisms", "sasl.mechanism", AT_SERVER, 0, 0, 0, NULL},
	{"enable.ssl.certificate.verification", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"ssl.endpoint.identification.algorithm", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"ssl.ca.pem", NULL, AT_SERVER, 0, 0, 0, check_pem},
	{"ssl.ca.location", NULL, AT_SERVER, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.crl.location", NULL, AT_SERVER, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.cipher.suites", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"ssl.curves.list", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"ssl.sigalgs.list", NULL, AT_SERVER, 0, 0, 0, NULL},

	/* timeouts and sockets */
	{"socket.timeout.ms", NULL, AT_SERVER, 0, 6000, 300000, NULL},
	{"socket.connection.setup.timeout.ms", NULL, AT_SERVER, 0, 1000, 300000, NULL},
	{"socket.keepalive.enable", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"socket.nagle.disable", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"socket.max.fails", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"socket.send.buffer.bytes", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"socket.receive.buffer.bytes", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"connections.max.idle.ms", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"reconnect.backoff.max.ms", NULL, AT_SERVER, 0, 100, 60000, NULL},
	{"api.version.request.timeout.ms", NULL, AT_SERVER, 0, 0, 0, NULL},
	{"message.timeout.ms", NULL, AT_SERVER, 0, 1000, 600000, NULL},
	{"delivery.timeout.ms", "message.timeout.ms", AT_SERVER, 0, 0, 0, NULL},

	{"group_prefix", NULL, AT_SERVER, OURS, 0, 0, check_group_prefix},

	/* who connects */
	{"sasl.username", NULL, AT_MAPPING, SECRET, 0, 0, NULL},
	{"sasl.password", NULL, AT_MAPPING, SECRET, 0, 0, NULL},
	{"ssl.key.pem", NULL, AT_MAPPING, SECRET, 0, 0, check_pem},
	{"ssl.key.password", NULL, AT_MAPPING, SECRET, 0, 0, NULL},
	{"ssl.certificate.pem", NULL, AT_MAPPING, SECRET, 0, 0, check_pem},
	{"ssl.keystore.password", NULL, AT_MAPPING, SECRET, 0, 0, NULL},
	{"ssl.key.location", NULL, AT_SERVER | AT_MAPPING, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.certificate.location", NULL, AT_SERVER | AT_MAPPING, SUPERUSER_ONLY, 0, 0, NULL},
	{"ssl.keystore.location", NULL, AT_SERVER | AT_MAPPING, SUPERUSER_ONLY, 0, 0, NULL},

	/* fetching and queueing */
	{"fetch.wait.max.ms", NULL, AT_SUBSCRIPTION, 0, 0, 5000, NULL},
	{"fetch.min.bytes", NULL, AT_SUBSCRIPTION, 0, 0, 0, NULL},
	{"fetch.max.bytes", NULL, AT_SUBSCRIPTION, 0, 1000000, 268435456, NULL},
	{"fetch.message.max.bytes", "max.partition.fetch.bytes", AT_SUBSCRIPTION, 0, 0, 0, NULL},
	{"max.partition.fetch.bytes", NULL, AT_SUBSCRIPTION, 0, 1, 268435456, NULL},
	{"fetch.error.backoff.ms", NULL, AT_SUBSCRIPTION, 0, 0, 60000, NULL},
	{"fetch.queue.backoff.ms", NULL, AT_SUBSCRIPTION, 0, 0, 1000, NULL},
	{"queued.min.messages", NULL, AT_SUBSCRIPTION, 0, 1, 1000000, NULL},
	{"queued.max.messages.kbytes", NULL, AT_SUBSCRIPTION, 0, 64, 1048576, NULL},
	{"isolation.level", NULL, AT_SUBSCRIPTION, 0, 0, 0, NULL},
	{"client.rack", NULL, AT_SUBSCRIPTION, 0, 0, 0, NULL},
};

/* Why a property is refused wherever it is given. */
typedef struct Refusal
{
	const char *pattern;		/* a name; "*" at one end stands for anything */
	const char *reason;
	const char *hint;			/* or NULL */
} Refusal;

#define LOADS_CODE		"It makes librdkafka load code into the server."
#define RUNS_PROGRAMS	"Kerberos makes librdkafka run a shell command in the server."
#define NEEDS_TOKENS	"Authentication with OAUTHBEARER tokens is not supported."
#define IS_OURS			"stream_ingest sets it itself."
#define IS_LOGGING		"stream_ingest sets it itself: what librdkafka logs could show payloads and passwords."
#define IS_PRODUCING	"It belongs to a producer, which stream_ingest sets up itself."

static const Refusal refusals[] = {
	{"plugin.library.paths", LOADS_CODE, NULL},
	{"interceptors", LOADS_CODE, NULL},
	{"ssl.engine.*", LOADS_CODE, NULL},
	{"ssl.providers", LOADS_CODE, NULL},
	{"sasl.kerberos.*", RUNS_PROGRAMS, "Use a sasl_mechanism such as \"SCRAM-SHA-512\"."},
	{"sasl.oauthbearer.*", NEEDS_TOKENS, "Use a sasl_mechanism such as \"SCRAM-SHA-512\"."},
	{"enable.sasl.oauthbearer.*", NEEDS_TOKENS, "Use a sasl_mechanism such as \"SCRAM-SHA-512\"."},
	{"metadata.broker.list", "It is another name for \"bootstrap.servers\".",
	"Use the option \"bootstrap_servers\" of the server."},
	{"group.id", "The group only shows progress, and is named by stream_ingest.",
	"Use the option \"group_prefix\" of the server, or \"group_id\" of a subscription."},
	{"client.id", "stream_ingest sets it to the name of the subscription.", NULL},
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

/* An option as given, together with the property that it names. */
typedef struct GivenOption
{
	const Property *property;
	const char *name;			/* as given */
	const char *value;
} GivenOption;

static GivenOption *read_options(List *options, int where, int *ngiven);
static void check_server(const GivenOption *given, int ngiven);
static const Property *find_property(const char *name, int where);
static void refuse_property(const char *name, int where);
static void check_value(const GivenOption *option);
static List *mapping_options(Oid role, Oid server);

PG_FUNCTION_INFO_V1(si_sql_validator);

/*
 * The wrapper's validator.  The server calls it with the whole list that
 * CREATE or ALTER would leave, so an option that only a superuser may give
 * also keeps others from altering the rest, as in postgres_fdw.
 */
Datum
si_sql_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	GivenOption *given;
	int			ngiven;
	int			where = 0;

	if (catalog == ForeignServerRelationId)
		where = AT_SERVER;
	else if (catalog == UserMappingRelationId)
		where = AT_MAPPING;
	else if (catalog == ForeignTableRelationId ||
			 catalog == AttributeRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign-data wrapper \"%s\" has no foreign tables",
						WRAPPER_NAME),
				 errhint("Create a subscription with stream_ingest.create_subscription(), or look at a topic with stream_ingest.peek().")));
	else if (options == NIL)
		PG_RETURN_VOID();
	else
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("foreign-data wrapper \"%s\" has no options of its own",
						WRAPPER_NAME),
				 errhint("Options are given to servers and user mappings.")));

	given = read_options(options, where, &ngiven);
	for (int i = 0; i < ngiven; i++)
		check_value(&given[i]);
	if (where == AT_SERVER)
		check_server(given, ngiven);

	PG_RETURN_VOID();
}

/*
 * The properties of a server as the given role uses them: see
 * server_options.h.  Whether that role may use the server is for the caller
 * to ask.  Values were checked when they were said, and superusers' choices
 * are good for everybody, so only the allow-lists are looked at again.
 */
SiServerProperties *
si_server_properties(const char *server, Oid role)
{
	ForeignServer *fs = GetForeignServerByName(server, true);
	SiServerProperties *result;
	GivenOption *ofserver;
	GivenOption *ofmapping;
	int			nserver;
	int			nmapping;

	if (fs == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", server),
				 errhint("Create it with CREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (bootstrap_servers '...').",
						 quote_identifier(server), WRAPPER_NAME)));
	if (strcmp(GetForeignDataWrapper(fs->fdwid)->fdwname, WRAPPER_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of foreign-data wrapper \"%s\"",
						server, WRAPPER_NAME)));

	ofserver = read_options(fs->options, AT_SERVER, &nserver);
	ofmapping = read_options(mapping_options(role, fs->serverid), AT_MAPPING,
							 &nmapping);

	result = palloc0(sizeof(SiServerProperties));
	result->server = fs->serverid;
	result->group_prefix = pstrdup(DEFAULT_GROUP_PREFIX);
	result->properties = palloc(sizeof(SiProperty) * (nserver + nmapping + 1));
	for (int i = 0; i < nserver + nmapping; i++)
	{
		const GivenOption *option = i < nserver ? &ofserver[i] : &ofmapping[i - nserver];
		SiProperty *property;

		if (option->property->flags & OURS)
		{
			/* group_prefix is the only one */
			result->group_prefix = pstrdup(option->value);
			continue;
		}
		property = &result->properties[result->nproperties++];
		property->name = option->property->name;
		property->value = pstrdup(option->value);
	}
	return result;
}

char *
si_server_group_prefix(const char *server)
{
	ForeignServer *fs = GetForeignServerByName(server, true);
	ListCell   *lc;

	foreach(lc, fs != NULL ? fs->options : NIL)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "group_prefix") == 0)
			return defGetString(option);
	}
	return DEFAULT_GROUP_PREFIX;
}

/*
 * A database's name as it stands in groups: without dots, or subscription b.c
 * of database a and subscription c of database a.b would have one group.
 */
static char *
group_database(const char *database)
{
	StringInfoData name;

	initStringInfo(&name);
	for (const char *c = database; *c != '\0'; c++)
	{
		if (*c == '.' || *c == '%')
			appendStringInfo(&name, "%%%02X", (unsigned char) *c);
		else
			appendStringInfoChar(&name, *c);
	}
	return name.data;
}

/* The group of a subscription: see server_options.h. */
char *
si_server_group_name(const SiServerProperties *server, const char *group_id,
					 const char *database, const char *subscription)
{
	if (group_id != NULL)
		return pstrdup(group_id);
	return psprintf("%s%s.%s", server->group_prefix, group_database(database), subscription);
}

bool
si_server_is_topic(const char *topic)
{
	return topic[0] != '\0' && strlen(topic) <= MAX_TOPIC_LEN &&
		strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0 &&
		topic[strspn(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

void
si_server_check_topic(const char *topic)
{
	if (!si_server_is_topic(topic))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid topic name \"%s\"", topic),
				 errhint("A topic's name has 1 to %d letters, digits, dots, underscores and hyphens.",
						 MAX_TOPIC_LEN)));
}

/*
 * Check a property of a subscription, or only its name where value is NULL:
 * see server_options.h.
 */
const char *
si_server_check_subscription_property(const char *name, const char *value)
{
	GivenOption option;

	option.property = find_property(name, AT_SUBSCRIPTION);
	if (option.property == NULL)
	{
		/* a key of a JSON document can have any length */
		refuse_property(pnstrdup(name, pg_mbcliplen(name, strlen(name),
													NAMEDATALEN)),
						AT_SUBSCRIPTION);
	}
	option.name = name;
	option.value = value;
	if (value != NULL)
		check_value(&option);
	return option.property->name;
}

/* The names of the subscription's allow-list: see server_options.h. */
const char **
si_server_subscription_properties(int *n)
{
	const char **names = palloc(sizeof(char *) * lengthof(properties));

	*n = 0;
	for (int i = 0; i < lengthof(properties); i++)
	{
		if (properties[i].where & AT_SUBSCRIPTION)
			names[(*n)++] = properties[i].name;
	}
	return names;
}

/* The nearest of several names: see server_options.h. */
const char *
si_server_nearest(const char *name, const char *const *candidates, int n)
{
	int			len = strlen(name);
	int			best = Min(NEAREST_MAX_DISTANCE, len / 2);
	const char *nearest = NULL;

	/* beyond that it is no name, and the comparison would take long */
	if (len >= NAMEDATALEN)
		return NULL;

	for (int i = 0; i < n; i++)
	{
		int			distance;

		if (pg_strcasecmp(name, candidates[i]) == 0)
			return candidates[i];
		distance = varstr_levenshtein_less_equal(name, len, candidates[i],
												 strlen(candidates[i]),
												 1, 1, 1, best, true);
		if (distance <= best)
		{
			nearest = candidates[i];
			best = distance - 1;
		}
	}
	return nearest;
}

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
static const Property *
find_property(const char *name, int where)
{
	for (int i = 0; i < lengthof(properties); i++)
	{
		const Property *property = &properties[i];

		if ((property->where & where) == 0 ||
			!same_name(name, property->name))
			continue;
		if (property->alias_of != NULL)
			return find_property(property->alias_of, where);
		return property;
	}
	return NULL;
}

/* Name errors have the wrapper's code in DDL, 22023 in options. */
static int
name_sqlstate(int where)
{
	return where == AT_SUBSCRIPTION ?
		ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_FDW_INVALID_OPTION_NAME;
}

static const char *
place_name(int where)
{
	switch (where)
	{
		case AT_SERVER:
			return "server";
		case AT_MAPPING:
			return "user mapping";
		default:
			return "subscription";
	}
}

/*
 * A name as people write it there: underscores in DDL, where dots would need
 * double quotes.
 */
static const char *
display_name(const char *name, int where)
{
	char	   *result = pstrdup(name);

	if (where != AT_SUBSCRIPTION)
	{
		for (char *p = result; *p != '\0'; p++)
		{
			if (*p == '.')
				*p = '_';
		}
	}
	return result;
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

/* Report a property that exists, but may not be given in this place. */
static void
report_wrong_place(const char *name, const Property *property, int where)
{
	const char *reason;
	const char *hint;

	if (where == AT_MAPPING)
		reason = "A user mapping only says who connects.";
	else if (where == AT_SUBSCRIPTION)
		reason = "A subscription only says how messages are fetched and queued.";
	else if (property->where & AT_MAPPING)
		reason = "Any user can read the options of a server.";
	else
		reason = "A server only says where and how to connect.";

	if (property->where & AT_SUBSCRIPTION)
		hint = psprintf("Set \"%s\" in the options of a subscription.",
						display_name(property->name, AT_SUBSCRIPTION));
	else
		hint = psprintf("Set \"%s\" in a %s.",
						display_name(property->name, AT_SERVER),
						place_name(property->where & AT_MAPPING ?
								   AT_MAPPING : AT_SERVER));

	ereport(ERROR,
			(errcode(name_sqlstate(where)),
			 errmsg("option \"%s\" cannot be set in a %s",
					name, place_name(where)),
			 errdetail("%s", reason),
			 errhint("%s", hint)));
}

/* Report a name that nobody knows, with the nearest one as a hint. */
static void
report_unknown(const char *name, int where)
{
	const char *candidates[lengthof(properties)];
	const char *nearest;
	StringInfoData all;
	int			n = 0;

	initStringInfo(&all);
	for (int i = 0; i < lengthof(properties); i++)
	{
		const Property *property = &properties[i];

		if ((property->where & where) == 0)
			continue;
		candidates[n++] = display_name(property->name, where);
		if (property->alias_of == NULL)
			appendStringInfo(&all, "%s%s", all.len > 0 ? ", " : "",
							 candidates[n - 1]);
	}
	nearest = si_server_nearest(name, candidates, n);

	ereport(ERROR,
			(errcode(name_sqlstate(where)),
			 errmsg("unrecognized option \"%s\" in a %s",
					name, place_name(where)),
			 nearest != NULL ?
			 errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("Valid options in a %s are: %s.",
					 place_name(where), all.data)));
}

/*
 * Report why a name that find_property() did not find cannot be given; never
 * returns.
 */
static void
refuse_property(const char *name, int where)
{
	const Property *elsewhere;

	elsewhere = find_property(name, AT_SERVER | AT_MAPPING | AT_SUBSCRIPTION);
	if (elsewhere != NULL)
		report_wrong_place(name, elsewhere, where);

	for (int i = 0; i < lengthof(refusals); i++)
	{
		const Refusal *refusal = &refusals[i];

		if (pattern_matches(name, refusal->pattern))
			ereport(ERROR,
					(errcode(name_sqlstate(where)),
					 errmsg("option \"%s\" is not allowed", name),
					 errdetail("%s", refusal->reason),
					 refusal->hint ? errhint("%s", refusal->hint) : 0));
	}
	report_unknown(name, where);
}

/*
 * Look up the property of each option in a list of DefElem; an error if one
 * may not be given there, or is given under two names.
 */
static GivenOption *
read_options(List *options, int where, int *ngiven)
{
	GivenOption *given = palloc(sizeof(GivenOption) * (list_length(options) + 1));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const Property *property = find_property(def->defname, where);

		if (property == NULL)
			refuse_property(def->defname, where);

		for (int i = 0; i < n; i++)
		{
			if (given[i].property == property)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("option \"%s\" provided more than once",
								def->defname),
						 errdetail("\"%s\" is the same option.",
								   given[i].name)));
		}
		given[n].property = property;
		given[n].name = def->defname;
		given[n].value = defGetString(def);
		n++;
	}
	*ngiven = n;
	return given;
}

/*
 * Report a bad value.  The reason may quote it (librdkafka's own do), and is
 * left out where that would show a secret.
 */
static void
report_value(const GivenOption *option, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", option->name),
			 errdetail("%s", reason)));
}

/*
 * Check a value, and whether the user may give it.  Throws 42501 for what only
 * a superuser may do, 22023 for a bad value.
 */
static void
check_value(const GivenOption *option)
{
	const Property *property = option->property;
	const char *reason = NULL;

	if ((property->flags & SUPERUSER_ONLY) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", option->name),
				 errdetail("Only superusers may make the server read a file."),
				 strcmp(property->name, "ssl.ca.location") == 0 ?
				 errhint("Give the certificate's text in \"ssl_ca_pem\".") :
				 property->where & AT_MAPPING ?
				 errhint("Give the text in \"ssl_key_pem\" and \"ssl_certificate_pem\" of a user mapping.") : 0));

	/* our own checks first: they know what librdkafka would take too easily */
	if (property->check != NULL)
		reason = property->check(option->value);
	if (reason != NULL)
		report_value(option, reason);
	if (property->flags & OURS)
		return;

	reason = si_consumer_check_property(property->name, option->value);
	if (reason != NULL)
	{
		char	   *words = pstrdup(reason);
		int			len = strlen(words);

		/* its longer messages end in a line break */
		while (len > 0 && isspace((unsigned char) words[len - 1]))
			words[--len] = '\0';
		report_value(option, property->flags & SECRET ?
					 "librdkafka does not accept it." : words);
	}

	/* librdkafka has accepted it as an integer, so it can be read as one */
	if (property->max > 0)
	{
		long		number = strtol(option->value, NULL, 0);

		if (number < property->min || number > property->max)
			report_value(option,
						 psprintf("%ld is outside the valid range (%d .. %d).",
								  number, property->min, property->max));
	}
}

/* The value given for a property, or NULL. */
static const char *
given_value(const GivenOption *given, int ngiven, const char *property)
{
	for (int i = 0; i < ngiven; i++)
	{
		if (strcmp(given[i].property->name, property) == 0)
			return given[i].value;
	}
	return NULL;
}

/*
 * Check what concerns several options of a server.  A server without brokers
 * would only fail later and elsewhere, so it is refused, as file_fdw refuses a
 * table without a file; that holds for ALTER SERVER ... DROP, too.
 */
static void
check_server(const GivenOption *given, int ngiven)
{
	const char *protocol = given_value(given, ngiven, "security.protocol");

	if (given_value(given, ngiven, "bootstrap.servers") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"bootstrap_servers\" is required for servers of foreign-data wrapper \"%s\"",
						WRAPPER_NAME),
				 errhint("Give the addresses of one or more brokers, as in OPTIONS (bootstrap_servers 'broker1:9092,broker2:9092').")));

	/* librdkafka's default is Kerberos, which runs a shell command */
	if (protocol != NULL && pg_strncasecmp(protocol, "sasl", 4) == 0 &&
		given_value(given, ngiven, "sasl.mechanism") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"sasl_mechanism\" is required where \"security_protocol\" is \"%s\"",
						protocol),
				 errhint("Valid values are \"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\".")));
}

/* The options of the role's mapping, else PUBLIC's, else NIL. */
static List *
mapping_options(Oid role, Oid server)
{
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;
	List	   *options;

	tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
							ObjectIdGetDatum(role),
							ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
		return NIL;

	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
							Anum_pg_user_mapping_umoptions, &isnull);
	options = isnull ? NIL : untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return options;
}

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
	static const char *const known[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};

	for (int i = 0; i < lengthof(known); i++)
	{
		if (strcmp(value, known[i]) == 0)
			return NULL;
	}
	if (pg_strcasecmp(value, "GSSAPI") == 0)
		return RUNS_PROGRAMS;
	if (pg_strcasecmp(value, "OAUTHBEARER") == 0)
		return NEEDS_TOKENS;
	return "Valid values are \"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\".";
}

/*
 * Check a prefix of group names; see ValueCheck.  Brokers' tools print group
 * names bare, so blanks and control characters are kept out.
 */
static const char *
check_group_prefix(const char *value)
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
