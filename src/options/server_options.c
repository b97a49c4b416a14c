/*-------------------------------------------------------------------------
 *
 * server_options.c
 *	  The options of servers and user mappings: the wrapper's validator, and
 *	  what a worker makes of them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

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
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "options/kerberos_options.h"
#include "options/property.h"
#include "options/registry_options.h"
#include "options/server_options.h"
#include "options/token_options.h"

#define WRAPPER_NAME			"stream_ingest"
#define DEFAULT_GROUP_PREFIX	"stream_ingest."

/* Kafka's own limit for a topic's name. */
#define MAX_TOPIC_LEN			249

PG_FUNCTION_INFO_V1(si_sql_validator);

/* ---- options as given ---- */

/*
 * Look up the property of each option in a list of DefElem; an error if one
 * may not be given there, or is given under two names.
 */
static SiGivenOption *
read_options(List *options, int where, int *ngiven)
{
	SiGivenOption *given = palloc(sizeof(SiGivenOption) * (list_length(options) + 1));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const SiAllowedProperty *property = si_property_find(def->defname, where);

		if (property == NULL)
			si_property_refuse(def->defname, where);

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
 * Check what concerns several options of a server.  A server without brokers
 * would only fail later and elsewhere, so it is refused, as file_fdw refuses a
 * table without a file; that holds for ALTER SERVER ... DROP, too.
 */
static void
check_server(const SiGivenOption *given, int ngiven)
{
	const SiGivenOption *protocol = si_property_find_given(given, ngiven, "security.protocol");

	if (si_property_find_given(given, ngiven, "bootstrap.servers") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"bootstrap_servers\" is required for servers of foreign-data wrapper \"%s\"",
						WRAPPER_NAME),
				 errhint("Give the addresses of one or more brokers, as in OPTIONS (bootstrap_servers 'broker1:9092,broker2:9092').")));

	/* librdkafka's default is Kerberos */
	if (protocol != NULL && pg_strncasecmp(protocol->value, "sasl", 4) == 0 &&
		si_property_find_given(given, ngiven, "sasl.mechanism") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"sasl_mechanism\" is required where \"security_protocol\" is \"%s\"",
						protocol->value),
				 errhint("Valid values are " SI_SASL_MECHANISMS ".")));
	si_token_options_check_server(given, ngiven);
	si_kerberos_options_check_server(given, ngiven);
}

/* The same of a user mapping. */
static void
check_mapping(const SiGivenOption *given, int ngiven)
{
	SiRegistryOptions registry;

	si_registry_options_init(&registry);
	for (int i = 0; i < ngiven; i++)
		(void) si_registry_options_take(&registry, given[i].property->name, given[i].value);
	si_registry_options_check_mapping(&registry);
}

/* ---- the validator ---- */

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
	SiGivenOption *given;
	int			ngiven;
	int			where = 0;

	if (catalog == ForeignServerRelationId)
		where = SI_AT_SERVER;
	else if (catalog == UserMappingRelationId)
		where = SI_AT_MAPPING;
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
		si_property_check_value(&given[i]);
	if (where == SI_AT_SERVER)
		check_server(given, ngiven);
	else
		check_mapping(given, ngiven);

	PG_RETURN_VOID();
}

/* ---- properties of a server ---- */

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

/*
 * The properties of a server as the given role uses them: see
 * server_options.h.  Whether that role may use the server is for the caller
 * to ask.  Values were checked when they were given, and superusers' choices
 * hold for every role, so only the allow-lists are checked again, and who owns
 * a server that uses Kerberos.
 */
SiServerProperties *
si_server_properties(const char *server, Oid role)
{
	ForeignServer *fs = GetForeignServerByName(server, true);
	SiServerProperties *result;
	SiGivenOption *ofserver;
	SiGivenOption *ofmapping;
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

	ofserver = read_options(fs->options, SI_AT_SERVER, &nserver);
	ofmapping = read_options(mapping_options(role, fs->serverid), SI_AT_MAPPING,
							 &nmapping);
	if (si_kerberos_is_used(ofserver, nserver))
		si_kerberos_check_owner(server, fs->owner);

	result = palloc0(sizeof(SiServerProperties));
	result->server = fs->serverid;
	result->group_prefix = pstrdup(DEFAULT_GROUP_PREFIX);
	si_registry_options_init(&result->registry);
	result->properties = palloc(sizeof(SiProperty) * (nserver + nmapping + 1));
	for (int i = 0; i < nserver + nmapping; i++)
	{
		const SiGivenOption *option = i < nserver ? &ofserver[i] : &ofmapping[i - nserver];
		SiProperty *property;

		if (option->property->flags & SI_PROPERTY_OURS)
		{
			char	   *value = pstrdup(option->value);

			if (!si_registry_options_take(&result->registry, option->property->name, value))
				result->group_prefix = value;	/* the only other one */
			continue;
		}
		property = &result->properties[result->nproperties++];
		property->name = option->property->name;
		property->value = pstrdup(option->value);
	}
	return result;
}

/* ---- groups ---- */

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

char *
si_server_group_name(const SiServerProperties *server, const char *group_id,
					 const char *database, const char *subscription)
{
	if (group_id != NULL)
		return pstrdup(group_id);
	return psprintf("%s%s.%s", server->group_prefix, group_database(database), subscription);
}

/* ---- topics ---- */

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
