/*-------------------------------------------------------------------------
 *
 * object_ddl.c
 *	  Commands on the servers and roles that subscriptions depend on.
 *
 *	DROP SERVER				refused while a subscription reads from it
 *	DROP SERVER CASCADE		drops these subscriptions
 *	ALTER SERVER RENAME		is followed
 *	DROP ROLE				refused while the role owns a subscription
 *	DROP OWNED				drops the subscriptions
 *	REASSIGN OWNED			gives them to the other role
 *
 * A subscription depends on the server that it was accepted with: another one
 * of the same name is not its server.  What a new owner lacks is not checked:
 * it is the command's business to get rid of the old owner, and status says
 * what is missing.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "commands/user.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "catalog/event.h"
#include "catalog/fixed_sql.h"
#include "catalog/session.h"
#include "catalog/subscriptions.h"
#include "common/compat.h"
#include "process/ddl.h"
#include "process/object_ddl.h"
#include "shmem/owners.h"

/* So many dependent objects the server lists for a client. */
#define MAX_LISTED	100

/* ---- subscriptions of this database ---- */

/*
 * All subscriptions, or none where the extension is not there, or is of
 * a version that this library cannot read.
 */
static List *
list_subscriptions(void)
{
	Oid			relation;

	if (!OidIsValid(si_catalog_extension()))
		return NIL;
	relation = get_relname_relid("subscription", get_namespace_oid("stream_ingest", true));
	if (!OidIsValid(relation) || get_attnum(relation, "server_oid") == InvalidAttrNumber)
		return NIL;
	si_fixed_sql_will_write("subscription");
	return si_catalog_list();
}

/* Those that read from one of these servers. */
static List *
subscriptions_of_servers(const List *servers)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, list_subscriptions())
	{
		SiSubscription *s = lfirst(lc);

		if (list_member_oid(servers, s->server_oid))
			result = lappend(result, s);
	}
	return result;
}

/* Those that belong to one of these roles. */
static List *
subscriptions_of_roles(const List *roles)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, list_subscriptions())
	{
		SiSubscription *s = lfirst(lc);

		if (list_member_oid(roles, s->owner))
			result = lappend(result, s);
	}
	return result;
}

/* Drop subscriptions; another session may have dropped some meanwhile. */
static void
drop_subscriptions(const List *subscriptions)
{
	ListCell   *lc;

	foreach(lc, subscriptions)
	{
		const SiSubscription *s = lfirst(lc);
		uint64		letters;

		if (si_catalog_find(NameStr(s->name), true) == NULL)
			continue;
		(void) si_catalog_delete(s->id, &letters);
		si_ddl_scan_at_commit();
	}
}

/* ---- dependencies, in the server's words ---- */

/* "subscription a depends on server b", a line for each. */
static char *
describe_dependents(const List *subscriptions)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, subscriptions)
	{
		const SiSubscription *s = lfirst(lc);

		if (foreach_current_index(lc) == MAX_LISTED)
		{
			appendStringInfo(&text, "\nand %d other objects", list_length(subscriptions) - MAX_LISTED);
			break;
		}
		appendStringInfo(&text, "%ssubscription %s depends on server %s",
						 text.len > 0 ? "\n" : "", NameStr(s->name), s->server);
	}
	return text.data;
}

/* "drop cascades to subscription a", in one NOTICE. */
static void
report_cascade(const List *subscriptions)
{
	StringInfoData text;
	ListCell   *lc;

	if (list_length(subscriptions) == 1)
	{
		ereport(NOTICE,
				(errmsg("drop cascades to subscription %s",
						NameStr(((SiSubscription *) linitial(subscriptions))->name))));
		return;
	}
	initStringInfo(&text);
	foreach(lc, subscriptions)
	{
		const SiSubscription *s = lfirst(lc);

		if (foreach_current_index(lc) == MAX_LISTED)
			break;
		appendStringInfo(&text, "%sdrop cascades to subscription %s",
						 text.len > 0 ? "\n" : "", NameStr(s->name));
	}
	ereport(NOTICE,
			(errmsg("drop cascades to %d other objects", list_length(subscriptions)),
			 errdetail_internal("%s", text.data)));
}

/*
 * Servers go: their subscriptions go with them, or keep them.  server: the name
 * of the only one, or NULL.
 */
static void
drop_dependents(const List *subscriptions, const char *server, DropBehavior behavior)
{
	if (subscriptions == NIL)
		return;
	if (behavior == DROP_CASCADE)
	{
		report_cascade(subscriptions);
		drop_subscriptions(subscriptions);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 server != NULL
			 ? errmsg("cannot drop server %s because other objects depend on it", server)
			 : errmsg("cannot drop desired object(s) because other objects depend on them"),
			 errdetail_internal("%s", describe_dependents(subscriptions)),
			 errhint("Use DROP ... CASCADE to drop the dependent objects too.")));
}

/* ---- servers ---- */

static bool
is_our_server(const ForeignServer *server)
{
	ForeignDataWrapper *wrapper = GetForeignDataWrapperExtended(server->fdwid, FDW_MISSING_OK);

	return wrapper != NULL && strcmp(wrapper->fdwname, "stream_ingest") == 0;
}

/* Add a server, if it is one of ours. */
static void
add_server(SiNamedObjects *servers, const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL || !is_our_server(server))
		return;
	servers->oids = lappend_oid(servers->oids, server->serverid);
	servers->names = lappend(servers->names, pstrdup(name));
}

SiNamedObjects
si_object_ddl_servers_to_drop(const DropStmt *stmt)
{
	SiNamedObjects servers = {NIL, NIL};
	ListCell   *lc;

	foreach(lc, stmt->objects)
		add_server(&servers, strVal(lfirst(lc)));
	return servers;
}

SiNamedObjects
si_object_ddl_server_to_rename(const RenameStmt *stmt)
{
	SiNamedObjects servers = {NIL, NIL};

	add_server(&servers, strVal(stmt->object));
	return servers;
}

void
si_object_ddl_servers_dropped(const SiNamedObjects *servers, DropBehavior behavior)
{
	if (servers->oids == NIL)
		return;
	drop_dependents(subscriptions_of_servers(servers->oids),
					list_length(servers->names) == 1 ? linitial(servers->names) : NULL, behavior);
}

void
si_object_ddl_server_renamed(const SiNamedObjects *servers, const char *name)
{
	ListCell   *lc;

	if (servers->oids == NIL)
		return;
	foreach(lc, subscriptions_of_servers(servers->oids))
	{
		const SiSubscription *found = lfirst(lc);
		SiSubscription *s = si_catalog_find(NameStr(found->name), true);

		if (s == NULL)
			continue;
		s->server = pstrdup(name);
		si_catalog_update(s);
		si_ddl_scan_at_commit();
	}
}

/* ---- roles ---- */

SiNamedObjects
si_object_ddl_roles_to_drop(const DropRoleStmt *stmt)
{
	SiNamedObjects roles = {NIL, NIL};
	ListCell   *lc;

	foreach(lc, stmt->roles)
	{
		const RoleSpec *role = lfirst(lc);
		Oid			oid = role->roletype == ROLESPEC_CSTRING ? get_role_oid(role->rolename, true)
			: InvalidOid;

		if (!OidIsValid(oid))
			continue;
		roles.oids = lappend_oid(roles.oids, oid);
		roles.names = lappend(roles.names, pstrdup(role->rolename));
	}
	return roles;
}

/* A line for each other database with subscriptions of a role. */
static void
describe_elsewhere(StringInfo text, Oid role)
{
	SiOwner    *owners = palloc(sizeof(SiOwner) * SI_MAX_OWNERS);
	int			n = si_owners_find(role, owners);

	for (int i = 0; i < n; i++)
	{
		char	   *database = get_database_name(owners[i].database);

		/* a dropped database has nothing */
		if (database != NULL && owners[i].database != MyDatabaseId)
			appendStringInfo(text, "%s%d %s in database %s", text->len > 0 ? "\n" : "",
							 owners[i].subscriptions,
							 owners[i].subscriptions == 1 ? "object" : "objects", database);
	}
}

/*
 * As the server does it for objects that it knows: those of this database by
 * their names, and how many there are in others, where the last scan has found
 * them.
 */
void
si_object_ddl_roles_dropped(const SiNamedObjects *roles)
{
	ListCell   *name;
	ListCell   *oid;

	forboth(name, roles->names, oid, roles->oids)
	{
		StringInfoData text;
		ListCell   *lc;

		initStringInfo(&text);
		foreach(lc, subscriptions_of_roles(list_make1_oid(lfirst_oid(oid))))
			appendStringInfo(&text, "%sowner of subscription %s", text.len > 0 ? "\n" : "",
							 NameStr(((SiSubscription *) lfirst(lc))->name));
		describe_elsewhere(&text, lfirst_oid(oid));
		if (text.len > 0)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("role \"%s\" cannot be dropped because some objects depend on it",
							(char *) lfirst(name)),
					 errdetail_internal("%s", text.data)));
	}
}

/* Has this user the privileges of all these roles? */
static bool
has_privileges_of(const List *roles)
{
	ListCell   *lc;

	foreach(lc, roles)
	{
		if (!has_privs_of_role(GetUserId(), lfirst_oid(lc)))
			return false;
	}
	return true;
}

/* Of these subscriptions, those that read from a server of one of the roles. */
static List *
on_servers_of(const List *roles, List *subscriptions)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, subscriptions)
	{
		SiSubscription *s = lfirst(lc);
		ForeignServer *server = GetForeignServerExtended(s->server_oid, FSV_MISSING_OK);

		if (server != NULL && list_member_oid(roles, server->owner) &&
			!list_member_oid(roles, s->owner))
			result = lappend(result, s);
	}
	return result;
}

void
si_object_ddl_drop_owned(const DropOwnedStmt *stmt)
{
	List	   *roles = roleSpecsToIds(stmt->roles);

	if (!has_privileges_of(roles))
		return;
	drop_dependents(on_servers_of(roles, list_subscriptions()), NULL, stmt->behavior);
	drop_subscriptions(subscriptions_of_roles(roles));
}

/* Give a subscription to a role, as set_owner does. */
static void
give_to(SiSubscription *s, Oid owner)
{
	char	   *pinned[SI_NPINNED];

	s->owner = owner;
	s->owner_name = GetUserNameFromId(owner, false);
	si_session_pinned_for(owner, pinned);
	s->pinned[SI_PINNED_SEARCH_PATH] = pinned[SI_PINNED_SEARCH_PATH];
	si_catalog_update(s);
	si_event_announce(s->id, s->enabled ? SI_STATE_STARTING : SI_STATE_DISABLED);
	si_ddl_scan_at_commit();
}

void
si_object_ddl_reassign_owned(const ReassignOwnedStmt *stmt)
{
	List	   *roles = roleSpecsToIds(stmt->roles);
	Oid			owner = get_rolespec_oid(stmt->newrole, false);
	ListCell   *lc;

	if (!has_privileges_of(roles) || !has_privs_of_role(GetUserId(), owner))
		return;
	foreach(lc, subscriptions_of_roles(roles))
	{
		const SiSubscription *found = lfirst(lc);
		SiSubscription *s = si_catalog_find(NameStr(found->name), true);

		if (s == NULL || s->owner == owner)
			continue;
		check_can_set_role_compat(GetUserId(), owner);
		give_to(s, owner);
	}
}
