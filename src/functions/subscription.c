/*-------------------------------------------------------------------------
 *
 * subscription.c
 *	  What a subscription must fulfil, and how it is stored.
 *
 * Everything is checked when the function is called: a mistake is an error here, with a
 * hint, and never a worker that fails later.  Kafka itself is not asked, since
 * a broker may be down when a migration runs.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "apply/plan.h"
#include "catalog/event.h"
#include "catalog/token_function.h"
#include "common/compat.h"
#include "functions/arguments.h"
#include "functions/subscription.h"
#include "options/server_options.h"
#include "process/ddl.h"

/* ---- checks ---- */

static void
only_with(const char *what, const char *with, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s goes with %s only", what, with),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* A run can end only in partitions that the subscription takes. */
static void
check_stops(const SiOptions *options)
{
	for (int i = 0; i < options->nstops; i++)
	{
		int32		partition = options->stops[i].partition;

		if (partition >= 0 && !si_options_takes(options, partition))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"stop_at\" names partition %d, which option \"partitions\" leaves out",
							partition),
					 errhint("Name partitions in \"stop_at\" that the subscription takes.")));
	}
}

/* Arguments and options that mean something beside certain others only. */
static void
check_combination(const SiSubscription *s, const SiOptions *options)
{
	const SiInsertMode *mode = &si_insert_modes[s->insert_mode];

	if (s->apply == NULL && s->fields != NULL)
		only_with("argument \"fields\"", "\"apply\"",
				  "A target's own columns say what its messages hold; use \"mapping\" to take other fields.");
	if (s->apply != NULL && mode->id != SI_INSERT)
		only_with(psprintf("insert_mode \"%s\"", mode->name), "\"target\"",
				  "The statement in \"apply\" says itself what it does with the rows.");
	if (s->apply != NULL && s->key_columns != (Datum) 0)
		only_with("argument \"key_columns\"", "\"target\"", NULL);
	if (s->apply != NULL && options->filter != NULL)
		only_with("option \"filter\"", "\"target\"",
				  "Put the condition into the statement's WHERE.");
	if (options->version_column != NULL && !mode->updates)
		only_with("option \"version_column\"", "insert_mode \"upsert\"", NULL);
	if (s->apply == NULL && s->key_columns != (Datum) 0 && !mode->takes_key &&
		options->tombstones != SI_TOMBSTONES_DELETE)
		only_with("argument \"key_columns\"",
				  "insert_mode \"upsert\" or \"ignore\", or tombstones \"delete\",", NULL);
	check_stops(options);
}

/* The group of another subscription of this database. */
static char *
group_of(const SiSubscription *s)
{
	SiServerProperties server = {.group_prefix = si_server_group_prefix(s->server)};

	return si_server_group_name(&server, si_options_group_id(s->options_text),
								get_database_name(MyDatabaseId), NameStr(s->name));
}

/*
 * Let one transaction at a time take a group, so that the check sees what the
 * other one has stored.  The extension's OID is no catalog's: no other lock is
 * like this one, and no group of another name waits (but for equal hashes).
 */
static void
lock_group(const char *group)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, si_catalog_extension(),
					   hash_bytes((const unsigned char *) group, strlen(group)), 0);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * Others' groups are not for us to write in: neither those of other databases,
 * which begin with their names, nor those of other subscriptions here.
 */
static void
check_group(const SiSubscription *s, const SiOptions *options, const SiServerProperties *server)
{
	char	   *database = get_database_name(MyDatabaseId);
	char	   *ours = si_server_group_name(server, NULL, database, "");
	char	   *group = si_server_group_name(server, options->group_id, database,
											 NameStr(s->name));
	ListCell   *lc;

	if (options->group_id != NULL &&
		(strncmp(group, ours, strlen(ours)) != 0 || strlen(group) == strlen(ours)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"group_id\" must begin with \"%s\"", ours),
				 errdetail("These are the \"group_prefix\" of server \"%s\" and the database.",
						   s->server)));
	lock_group(group);
	foreach(lc, si_catalog_list())
	{
		const SiSubscription *other = lfirst(lc);

		if (strcmp(NameStr(other->name), NameStr(s->name)) == 0 ||
			strcmp(group_of(other), group) != 0)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("group \"%s\" is another subscription's", group),
				 errhint("Set the option \"group_id\" to another name that begins with \"%s\".",
						 ours)));
	}
}

/*
 * Lock a server until the transaction ends: DROP SERVER and ALTER SERVER RENAME
 * look for its subscriptions, and would miss one that is not committed yet.
 * While the lock is awaited, the name can become another server's.  Returns
 * InvalidOid if no server has the name.
 */
static Oid
lock_server(const char *name)
{
	Oid			locked = InvalidOid;
	Oid			server;

	while (OidIsValid(server = get_foreign_server_oid(name, true)) && server != locked)
	{
		LockDatabaseObject(ForeignServerRelationId, server, 0, AccessShareLock);
		locked = server;
	}
	return server;
}

/*
 * The server must be there, be ours, and be open to the owner; a function that gives
 * its tokens be one that the owner can call; and the group be one of its own.
 */
static void
check_server(SiSubscription *s, const SiOptions *options)
{
	SiServerProperties *server;
	const char *function;

	(void) lock_server(s->server);
	server = si_server_properties(s->server, s->owner);
	if (!has_server_usage_compat(server->server, s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", s->server),
				 errhint("Grant USAGE on the server to role \"%s\".", s->owner_name)));
	function = si_token_properties_function(server->properties, server->nproperties);
	if (function != NULL)
		si_token_function_check(function, server->server, s->server, s->owner);
	check_group(s, options, server);
	if (!OidIsValid(s->server_oid))
		s->server_oid = server->server;
}

void
si_subscription_check_limit(Oid owner)
{
	int			limit = si_slots_role_limit();

	if (si_catalog_count(owner) < limit)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("role \"%s\" has %d subscriptions in this database already",
					GetUserNameFromId(owner, false), limit),
			 errhint("Drop one, or increase stream_ingest.max_subscriptions_per_role.")));
}

static void
check_owner_can_login(Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	bool		can_login;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", owner)));
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login && worker_connect_flags_compat() == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" cannot own a subscription because it is not permitted to log in",
						GetUserNameFromId(owner, false)),
				 errdetail("Its worker connects as this role."),
				 errhint("Use ALTER ROLE ... LOGIN; a password is not needed.")));
}

void
si_subscription_check_target(const SiSubscription *s)
{
	Relation	target = try_relation_open(s->target, AccessShareLock);
	char		kind;

	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 s->target_name != NULL
				 ? errmsg("target \"%s\" of subscription \"%s\" does not exist",
						  s->target_name, NameStr(s->name))
				 : errmsg("target with OID %u does not exist", s->target),
				 s->target_name != NULL
				 ? errhint("Use stream_ingest.alter_subscription to name another target, or drop the subscription.")
				 : 0));
	kind = target->rd_rel->relkind;
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_VIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be the target of a subscription",
						RelationGetRelationName(target)),
				 errhint("A target is a table, a view or a foreign table.")));
	if (target->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("temporary table \"%s\" cannot be the target of a subscription",
						RelationGetRelationName(target)),
				 errdetail("Workers cannot see the temporary tables of other sessions.")));
	relation_close(target, NoLock);
}

void
si_subscription_check(SiSubscription *s)
{
	SiOptions  *options = si_options_parse(s->options_text);
	SiPlan	   *plan;

	si_server_check_topic(s->topic);
	si_arguments_check_format(s->format);
	if (s->insert_mode == SI_MODE_UNKNOWN)
		(void) si_arguments_insert_mode(s->unknown_mode);
	check_combination(s, options);
	check_owner_can_login(s->owner);
	check_server(s, options);
	if (options->workers > si_guc_max_workers)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"workers\" is %d, but stream_ingest.max_workers is %d",
						options->workers, si_guc_max_workers)));

	if (s->apply == NULL)
	{
		si_subscription_check_target(s);
		s->target_name = si_catalog_target_name(s->target);
	}
	plan = si_plan_create(s, options, false);
	si_plan_check(plan);
	si_plan_destroy(plan);
}

/* ---- storing ---- */

void
si_subscription_make_at_home(SiSubscription *s)
{
	s->system_identifier = (int64) GetSystemIdentifier();
	s->database = MyDatabaseId;
	s->extension = si_catalog_extension();
	s->server_oid = lock_server(s->server);
}

void
si_subscription_store(SiSubscription *s)
{
	si_catalog_update(s);
	si_event_announce(s->id, s->enabled ? SI_STATE_STARTING : SI_STATE_DISABLED);
	si_ddl_scan_at_commit();
}
