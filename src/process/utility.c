/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  The hooks by which commands of all sessions reach us.
 *
 *	CREATE, DROP, ALTER DATABASE			database_ddl.c
 *	on servers and roles					object_ddl.c
 *	COPY into the table of subscriptions	a scan: rows may have been restored
 *	DROP EXTENSION, in whatever way			a scan, which finds nothing
 *
 * The last one is seen by an object access hook, the others by the hook for
 * utility commands.  Hooks of other extensions are called in any order.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"

#include "process/database_ddl.h"
#include "process/ddl.h"
#include "process/object_ddl.h"
#include "process/suspension.h"
#include "process/utility.h"
#include "shmem/slots.h"

static object_access_hook_type prev_object_access_hook = NULL;
static ProcessUtility_hook_type prev_process_utility_hook = NULL;

/* ---- the extension is dropped ---- */

static void
object_accessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);

	if (access == OAT_DROP && class_id == ExtensionRelationId && si_shared != NULL &&
		object_id == get_extension_oid("stream_ingest", true))
		si_ddl_scan_at_commit();
}

/* ---- utility commands ---- */

/* Rows that come by COPY may be those of a dump. */
static void
copied(const CopyStmt *stmt)
{
	Oid			relation;

	if (!stmt->is_from || stmt->relation == NULL ||
		strcmp(stmt->relation->relname, "subscription") != 0)
		return;
	relation = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (OidIsValid(relation) &&
		relation == get_relname_relid("subscription", get_namespace_oid("stream_ingest", true)))
		si_ddl_scan_at_commit();
}

/* An object has another name or schema: the names of targets are stored. */
static void
follow_name(ObjectType type)
{
	if ((type == OBJECT_TABLE || type == OBJECT_FOREIGN_TABLE || type == OBJECT_VIEW ||
		 type == OBJECT_SCHEMA) &&
		OidIsValid(get_extension_oid("stream_ingest", true)))
		si_ddl_follow_names_at_commit();
}

/* Something has another name: a role, a server, or what may be a target. */
static void
renamed(const RenameStmt *stmt, const SiNamedObjects *objects)
{
	switch (stmt->renameType)
	{
		case OBJECT_ROLE:
			/* the names of owners are stored, in all databases */
			si_ddl_scan_all_at_commit();
			break;
		case OBJECT_FOREIGN_SERVER:
			si_object_ddl_server_renamed(objects, stmt->newname);
			break;
		default:
			follow_name(stmt->renameType);
			break;
	}
}

/* Returns what the command names, as far as after_command needs it. */
static SiNamedObjects
before_command(const Node *command, bool is_top_level)
{
	SiNamedObjects objects = {NIL, NIL};

	switch (nodeTag(command))
	{
		case T_DropdbStmt:
			si_database_ddl_drop((const DropdbStmt *) command, is_top_level);
			break;
		case T_CreatedbStmt:
			si_database_ddl_create((const CreatedbStmt *) command, is_top_level);
			break;
		case T_AlterDatabaseStmt:
			si_database_ddl_alter((const AlterDatabaseStmt *) command, is_top_level);
			break;
		case T_RenameStmt:
			if (((const RenameStmt *) command)->renameType == OBJECT_DATABASE)
				si_database_ddl_rename((const RenameStmt *) command);
			else if (((const RenameStmt *) command)->renameType == OBJECT_FOREIGN_SERVER)
				objects = si_object_ddl_server_to_rename((const RenameStmt *) command);
			break;
		case T_DropStmt:
			if (((const DropStmt *) command)->removeType == OBJECT_FOREIGN_SERVER)
				objects = si_object_ddl_servers_to_drop((const DropStmt *) command);
			break;
		case T_DropRoleStmt:
			objects = si_object_ddl_roles_to_drop((const DropRoleStmt *) command);
			break;
		case T_DropOwnedStmt:
			si_object_ddl_drop_owned((const DropOwnedStmt *) command);
			break;
		case T_ReassignOwnedStmt:
			si_object_ddl_reassign_owned((const ReassignOwnedStmt *) command);
			break;
		default:
			break;
	}
	return objects;
}

/* The server has run the command without an error. */
static void
after_command(const Node *command, const SiNamedObjects *objects)
{
	switch (nodeTag(command))
	{
		case T_CreatedbStmt:
			si_database_ddl_created((const CreatedbStmt *) command);
			break;
		case T_AlterDatabaseStmt:
			si_database_ddl_altered((const AlterDatabaseStmt *) command);
			break;
		case T_RenameStmt:
			renamed((const RenameStmt *) command, objects);
			break;
		case T_AlterObjectSchemaStmt:
			follow_name(((const AlterObjectSchemaStmt *) command)->objectType);
			break;
		case T_DropStmt:
			si_object_ddl_servers_dropped(objects, ((const DropStmt *) command)->behavior);
			break;
		case T_DropRoleStmt:
			si_object_ddl_roles_dropped(objects);
			break;
		case T_CopyStmt:
			copied((const CopyStmt *) command);
			break;
		default:
			break;
	}
}

static void
process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo parameters,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	const Node *command = statement->utilityStmt;
	SiNamedObjects objects = {NIL, NIL};

	/* the server refuses what we would do something for */
	bool		refused = XactReadOnly || !OidIsValid(MyDatabaseId);

	if (!refused)
		objects = before_command(command, context == PROCESS_UTILITY_TOPLEVEL);
	if (prev_process_utility_hook)
		prev_process_utility_hook(statement, query, read_only_tree, context, parameters,
								  environment, dest, completion);
	else
		standard_ProcessUtility(statement, query, read_only_tree, context, parameters,
								environment, dest, completion);
	if (!refused)
		after_command(command, &objects);
}

void
si_utility_init(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_accessed;
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	si_suspension_init();
}
