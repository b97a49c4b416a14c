/*-------------------------------------------------------------------------
 *
 * session.c
 *	  Who runs what, and with which settings.
 *
 * The rule for batches is that of core's apply worker since PostgreSQL 16: a
 * trigger that a table's owner wrote must never run with the rights of a more
 * powerful subscription owner.  The same message must also give the same row
 * whoever runs it, hence the pinned settings.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "catalog/session.h"
#include "common/compat.h"

static const char *const pinned_names[SI_NPINNED] = {
	[SI_PINNED_TIMEZONE] = "TimeZone",
	[SI_PINNED_DATESTYLE] = "DateStyle",
	[SI_PINNED_INTERVALSTYLE] = "IntervalStyle",
	[SI_PINNED_SEARCH_PATH] = "search_path",
};

/* Set for the current GUC level only. */
static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
si_session_elevate(SiSavedSession *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   saved->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	saved->guc_level = NewGUCNestLevel();
	set_local("search_path", "pg_catalog, pg_temp");

	/*
	 * Our tables are small when the plans are made, and may be full of dead
	 * versions later (a report that holds an old snapshot); a sequential scan
	 * chosen early would then be walked for every batch.
	 */
	set_local("enable_seqscan", "off");
	set_local("enable_hashjoin", "off");
	set_local("enable_mergejoin", "off");
	set_local("enable_bitmapscan", "off");

	/* they are planned once; of a small batch planning would be a good part */
	set_local("plan_cache_mode", "force_generic_plan");
}

void
si_session_restore(const SiSavedSession *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->sec_context);
}

SiIdentity
si_session_identity(Oid subscription_owner, Oid target_owner, bool run_as_owner)
{
	SiIdentity	identity = {subscription_owner, false};

	if (!run_as_owner && subscription_owner != target_owner &&
		member_can_set_role_compat(subscription_owner, target_owner))
	{
		identity.user = target_owner;
		identity.restricted = true;
	}
	return identity;
}

void
si_session_begin_batch(SiSavedSession *saved, const SiIdentity *identity,
					   char *const *pinned)
{
	int			sec_context;

	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	saved->guc_level = NewGUCNestLevel();

	for (int i = 0; i < SI_NPINNED; i++)
	{
		/* this is done for every try; setting is not free, and rarely needed */
		if (strcmp(GetConfigOption(pinned_names[i], false, false), pinned[i]) != 0)
			set_local(pinned_names[i], pinned[i]);
	}
	if (!row_security)
		set_local("row_security", "on");
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
		set_local("session_replication_role", "origin");

	/* foreign keys are checked by queries with a row's values as parameters */
	if (GetConfigOption("auto_explain.log_parameter_max_length", true, false) != NULL)
		set_local("auto_explain.log_parameter_max_length", "0");

	/* nobody runs another role's code with all of his session's powers */
	sec_context = saved->sec_context;
	if (identity->restricted || identity->user != saved->user)
		sec_context |= SECURITY_RESTRICTED_OPERATION;
	if (identity->user != saved->user || sec_context != saved->sec_context)
		SetUserIdAndSecContext(identity->user, sec_context);
}

void
si_session_init_worker(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"row_security", "on"},
		{"session_replication_role", "origin"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

void
si_session_limit_lock_waits(int ms)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", ms);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* The value of a setting among "name=value" texts, or NULL. */
static char *
find_setting(ArrayType *config, const char *name)
{
	size_t		len = strlen(name);
	Datum	   *elements;
	int			n;

	deconstruct_array(config, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *element = TextDatumGetCString(elements[i]);

		if (pg_strncasecmp(element, name, len) == 0 && element[len] == '=')
			return element + len + 1;
	}
	return NULL;
}

/* Take from one row of pg_db_role_setting what is not known yet. */
static void
pinned_from_catalog(Relation catalog, Oid database, Oid role, char **pinned)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		config = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										  RelationGetDescr(catalog), &isnull);

		for (int i = 0; !isnull && i < SI_NPINNED; i++)
		{
			if (pinned[i] == NULL)
				pinned[i] = find_setting(DatumGetArrayTypeP(config), pinned_names[i]);
		}
	}
	systable_endscan(scan);
}

void
si_session_pinned_for(Oid role, char **pinned)
{
	Relation	catalog = table_open(DbRoleSettingRelationId, AccessShareLock);

	memset(pinned, 0, sizeof(char *) * SI_NPINNED);

	/* the order in which the server itself lets them win */
	pinned_from_catalog(catalog, MyDatabaseId, role, pinned);
	pinned_from_catalog(catalog, InvalidOid, role, pinned);
	pinned_from_catalog(catalog, MyDatabaseId, InvalidOid, pinned);
	pinned_from_catalog(catalog, InvalidOid, InvalidOid, pinned);
	table_close(catalog, AccessShareLock);

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < SI_NPINNED; i++)
	{
		if (pinned[i] == NULL)
			pinned[i] = pstrdup(si_shared->pinned[i]);
	}
	si_slots_unlock();
}
