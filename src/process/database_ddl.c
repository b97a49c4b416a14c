/*-------------------------------------------------------------------------
 *
 * database_ddl.c
 *	  Commands on databases, which fail while sessions are connected.
 *
 * DROP, RENAME, SET TABLESPACE and the use as a template fail while a session
 * is in the database; our workers are such sessions.  They are stopped for the
 * command, but only after the checks that the server will make have passed: a
 * role that may not drop a database must not be able to stop its streams, and
 * a command that fails anyway must not, either.
 *
 *	checks fail					-> the server says so, nothing is stopped
 *	other sessions stay 5 s		-> our error, worded as the server's, nothing
 *								   is stopped
 *	else						-> workers stop (suspension.c), the server
 *								   runs the command
 *
 * The wait for other sessions holds the lock that the command takes on the
 * database, so that no new session comes, as in the server's own wait.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "catalog/fixed_sql.h"
#include "common/compat.h"
#include "process/database_ddl.h"
#include "process/ddl.h"
#include "process/suspension.h"
#include "shmem/slots.h"

/* The server looks so often for other sessions to end. */
#define OTHERS_TRIES	50
#define OTHERS_WAIT_MS	100

static SiFixedSql prepared_sql = {
	"SELECT count(*) FROM pg_catalog.pg_prepared_xact() p WHERE p.dbid = $1",
	1, {OIDOID}
};

/* What the checks need of a row of pg_database. */
typedef struct DatabaseFacts
{
	Oid			tablespace;
	bool		is_template;
	bool		allows_connections;
} DatabaseFacts;

static bool
get_facts(Oid database, DatabaseFacts *facts)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	Form_pg_database row;

	if (!HeapTupleIsValid(tuple))
		return false;
	row = (Form_pg_database) GETSTRUCT(tuple);
	facts->tablespace = row->dattablespace;
	facts->is_template = row->datistemplate;
	facts->allows_connections = row->datallowconn;
	ReleaseSysCache(tuple);
	return true;
}

/* The last option of this name, or NULL. */
static DefElem *
find_defelem(List *options, const char *name)
{
	DefElem    *result = NULL;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, name) == 0)
			result = option;
	}
	return result;
}

/* ---- other sessions ---- */

static int
count_prepared(Oid database)
{
	Datum		argument = ObjectIdGetDatum(database);
	int			n;

	if (max_prepared_xacts == 0)
		return 0;
	si_fixed_sql_begin();
	(void) si_fixed_sql_read(&prepared_sql, &argument, NULL);
	n = si_fixed_sql_int(0, 1, 0);
	si_fixed_sql_end();
	return n;
}

/* The server's own words for this, which it keeps to itself. */
static int
errdetail_others(int sessions, int prepared)
{
	if (sessions > 0 && prepared > 0)
		return errdetail("There are %d other session(s) and %d prepared transaction(s) using the database.",
						 sessions, prepared);
	if (sessions > 0)
		return errdetail_plural("There is %d other session using the database.",
								"There are %d other sessions using the database.",
								sessions, sessions);
	return errdetail_plural("There is %d prepared transaction using the database.",
							"There are %d prepared transactions using the database.",
							prepared, prepared);
}

/*
 * Wait until no other session is in the database.  Error 55006 with this
 * message if one stays.
 */
static void
wait_for_others(Oid database, const char *message)
{
	int			sessions = 0,
				prepared = 0;

	for (int i = 0; i < OTHERS_TRIES; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sessions = si_suspension_count_others(database, NULL);
		prepared = count_prepared(database);
		if (sessions == 0 && prepared == 0)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 OTHERS_WAIT_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("%s", message),
			 errdetail_others(sessions, prepared)));
}

/* May we end all other sessions there, as DROP DATABASE (FORCE) will? */
static bool
can_end_others(Oid database)
{
	List	   *roles = NIL;
	ListCell   *lc;

	(void) si_suspension_count_others(database, &roles);
	foreach(lc, roles)
	{
		Oid			role = lfirst_oid(lc);

		if (superuser_arg(role) && !superuser())
			return false;
		if (!has_privs_of_role(GetUserId(), role) &&
			!has_privs_of_role(GetUserId(), ROLE_PG_SIGNAL_BACKEND))
			return false;
	}
	return count_prepared(database) == 0;
}

/*
 * Lock a database as the command will, and tell whether it still has this
 * name.
 */
static bool
lock_database(Oid database, const char *name, LOCKMODE mode)
{
	LockSharedObject(DatabaseRelationId, database, 0, mode);
	return get_database_oid(name, true) == database;
}

/*
 * Empty a database of our processes for a command that has passed its checks.
 * Nothing is to be waited for where there are none.
 */
static void
empty_database(Oid database, const char *name, LOCKMODE mode, const char *in_use)
{
	if (si_suspension_is_needed(database))
	{
		if (!lock_database(database, name, mode))
			return;
		wait_for_others(database, in_use);
	}
	si_suspension_begin(database, false);
}

static char *
in_use_message(const char *name)
{
	return psprintf("database \"%s\" is being accessed by other users", name);
}

/* ---- DROP DATABASE ---- */

/* Whether the server will let this user drop this database. */
static bool
can_drop(Oid database)
{
	DatabaseFacts facts;
	int			slots,
				active_slots;

	if (!get_facts(database, &facts) || facts.is_template || database == MyDatabaseId ||
		!owns_database_compat(database, GetUserId()))
		return false;
	(void) ReplicationSlotsCountDBSlots(database, &slots, &active_slots);
	return active_slots == 0 && CountDBSubscriptions(database) == 0;
}

void
si_database_ddl_drop(const DropdbStmt *stmt, bool is_top_level)
{
	Oid			database = get_database_oid(stmt->dbname, true);

	if (IsInTransactionBlock(is_top_level) || !OidIsValid(database) || !can_drop(database))
		return;
	if (si_suspension_is_needed(database))
	{
		if (!lock_database(database, stmt->dbname, AccessExclusiveLock))
			return;
		if (find_defelem(stmt->options, "force") == NULL)
			wait_for_others(database, in_use_message(stmt->dbname));
		else if (!can_end_others(database))
			return;
	}
	si_suspension_begin(database, true);
}

/* ---- CREATE DATABASE ---- */

/* Whether this user may create a database with such an owner. */
static bool
can_create_for(const DefElem *owner)
{
	Oid			role = GetUserId();

	if (!has_createdb_compat(GetUserId()))
		return false;
	if (owner != NULL && owner->arg != NULL)
		role = get_role_oid(defGetString((DefElem *) owner), true);
	return OidIsValid(role) && member_can_set_role_compat(GetUserId(), role);
}

/* Whether this user may put something in such a tablespace. */
static bool
can_use_tablespace(const DefElem *option)
{
	const char *name;
	Oid			tablespace;

	if (option == NULL || option->arg == NULL)
		return true;
	name = defGetString((DefElem *) option);
	tablespace = get_tablespace_oid(name, true);
	return OidIsValid(tablespace) && tablespace != GLOBALTABLESPACE_OID &&
		has_tablespace_create_compat(tablespace, GetUserId());
}

/* The name of the template. */
static const char *
template_name(const CreatedbStmt *stmt)
{
	DefElem    *option = find_defelem(stmt->options, "template");

	return option != NULL && option->arg != NULL ? defGetString(option) : "template1";
}

void
si_database_ddl_create(const CreatedbStmt *stmt, bool is_top_level)
{
	const char *template = template_name(stmt);
	Oid			source = get_database_oid(template, true);
	DatabaseFacts facts;

	if (IsInTransactionBlock(is_top_level) || !OidIsValid(source) ||
		OidIsValid(get_database_oid(stmt->dbname, true)) ||
		!can_create_for(find_defelem(stmt->options, "owner")) ||
		!can_use_tablespace(find_defelem(stmt->options, "tablespace")) ||
		!get_facts(source, &facts) ||
		(!facts.is_template && !owns_database_compat(source, GetUserId())))
		return;
	empty_database(source, template, ShareLock,
				   psprintf("source database \"%s\" is being accessed by other users", template));
}

/*
 * A template that sessions can connect to and of which nothing is known has no
 * subscriptions.
 */
void
si_database_ddl_created(const CreatedbStmt *stmt)
{
	Oid			source = get_database_oid(template_name(stmt), true);
	DatabaseFacts facts;
	bool		known;

	if (source == Template0DbOid || !OidIsValid(source) || !get_facts(source, &facts))
		return;
	si_slots_lock(LW_SHARED);
	known = si_slots_find_database(source, false) != NULL;
	si_slots_unlock();
	if (known || !facts.allows_connections)
		si_ddl_scan_database_at_commit(get_database_oid(stmt->dbname, true));
}

/* ---- ALTER DATABASE ---- */

void
si_database_ddl_rename(const RenameStmt *stmt)
{
	Oid			database = get_database_oid(stmt->subname, true);

	if (!OidIsValid(database) || database == MyDatabaseId ||
		!owns_database_compat(database, GetUserId()) || !has_createdb_compat(GetUserId()) ||
		OidIsValid(get_database_oid(stmt->newname, true)))
		return;
	empty_database(database, stmt->subname, AccessExclusiveLock, in_use_message(stmt->subname));
}

/* SET TABLESPACE; other options need no empty database. */
void
si_database_ddl_alter(const AlterDatabaseStmt *stmt, bool is_top_level)
{
	DefElem    *tablespace = find_defelem(stmt->options, "tablespace");
	Oid			database = get_database_oid(stmt->dbname, true);
	DatabaseFacts facts;

	if (tablespace == NULL || list_length(stmt->options) != 1 ||
		IsInTransactionBlock(is_top_level) || !OidIsValid(database) ||
		database == MyDatabaseId || !owns_database_compat(database, GetUserId()) ||
		!can_use_tablespace(tablespace) || !get_facts(database, &facts) ||
		facts.tablespace == get_tablespace_oid(defGetString(tablespace), true))
		return;
	empty_database(database, stmt->dbname, AccessExclusiveLock, in_use_message(stmt->dbname));
}

void
si_database_ddl_altered(const AlterDatabaseStmt *stmt)
{
	DefElem    *allow = find_defelem(stmt->options, "allow_connections");

	if (allow != NULL && defGetBoolean(allow))
		si_ddl_scan_database_at_commit(get_database_oid(stmt->dbname, true));
}
