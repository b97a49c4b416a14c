/*-------------------------------------------------------------------------
 *
 * session.c
 *	  Who runs what, and with which settings.
 *
 * The rule for batches is that of core's apply worker since PostgreSQL 16: a
 * trigger that a table's owner wrote must never run with the rights of a more
 * powerful subscription owner.  The same message must also give the same row
 * in every session, hence the pinned settings.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rls.h"

#include "catalog/session.h"
#include "catalog/settings.h"
#include "catalog/transaction.h"
#include "common/compat.h"

static const char *const pinned_names[SI_NPINNED] = {
	[SI_PINNED_TIMEZONE] = "TimeZone",
	[SI_PINNED_DATESTYLE] = "DateStyle",
	[SI_PINNED_INTERVALSTYLE] = "IntervalStyle",
	[SI_PINNED_SEARCH_PATH] = "search_path",
};

/* A worker's session is that of its subscription's owner. */
static bool is_worker = false;

/* Set for the current GUC level only. */
static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * The same where it makes a difference: this is done for every try, and setting
 * is not free.  Of a library that is not loaded there is nothing to set.
 */
static void
pin(const char *name, const char *value)
{
	const char *now = GetConfigOption(name, true, false);

	if (now != NULL && strcmp(now, value) != 0)
		set_local(name, value);
}

void
si_session_plan_by_index(void)
{
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},

		/*
		 * What is left must not look dear because the owner's role or its
		 * database has turned it off: statements that seem to be expensive
		 * are compiled, which takes a thousand times as long as running them.
		 */
		{"enable_nestloop", "on"},
		{"enable_indexscan", "on"},
		{"jit", "off"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		pin(settings[i][0], settings[i][1]);
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
	si_session_plan_by_index();
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
					   List *settings, char *const *pinned)
{
	int			sec_context;

	GetUserIdAndSecContext(&saved->user, &saved->sec_context);
	saved->guc_level = NewGUCNestLevel();

	si_settings_apply(settings);
	for (int i = 0; i < SI_NPINNED; i++)
		pin(pinned_names[i], pinned[i]);
	if (!row_security)
		set_local("row_security", "on");
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
		set_local("session_replication_role", "origin");

	/*
	 * Foreign keys are checked, and triggers run statements, with a row's
	 * values as parameters, which may also be constants of a plan.
	 */
	pin("auto_explain.log_parameter_max_length", "0");
	pin("auto_explain.log_nested_statements", "off");

	/*
	 * The processes of a parallel query log their errors themselves, which
	 * may quote a value, with the statement.
	 */
	pin("max_parallel_workers_per_gather", "0");
	pin("max_parallel_maintenance_workers", "0");

	/* no session runs another role's code with all of its own powers */
	sec_context = saved->sec_context;
	if (identity->restricted || identity->user != saved->user)
		sec_context |= SECURITY_RESTRICTED_OPERATION;
	if (identity->user != saved->user || sec_context != saved->sec_context)
		SetUserIdAndSecContext(identity->user, sec_context);
}

void
si_session_log_no_plans(void)
{
	pin("auto_explain.log_min_duration", "-1");
}

/*
 * Turn off what the server would end or cancel us by after some time: whatever
 * a later version calls a timeout, a session may set for itself, and zero turns
 * off.  What zero means for those of other extensions is not known.
 */
static void
turn_off_timeouts(void)
{
	MemoryContext caller = si_transaction_begin();
	SiSavedSession saved;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	si_session_elevate(&saved);
	if (SPI_execute("SELECT s.name FROM pg_catalog.pg_settings s "
					"WHERE s.name LIKE '%\\_timeout' AND s.name NOT LIKE '%.%' "
					"AND s.context IN ('user', 'superuser') AND s.vartype = 'integer' "
					"AND s.min_val = '0' AND s.setting <> '0'", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read settings");
	si_session_restore(&saved);
	for (uint64 i = 0; i < SPI_processed; i++)
		SetConfigOption(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1), "0",
						PGC_SUSET, PGC_S_OVERRIDE);
	SPI_finish();
	si_transaction_commit(caller);
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

		/* a refused row is to become a dead letter, not to end the worker */
		{"exit_on_error", "off"},
	};

	is_worker = true;
	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);

	/* this one runs in the transaction that looks for the others */
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	turn_off_timeouts();
}

void
si_session_limit_lock_waits(int ms)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", ms);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
si_session_limit_lock_waits_here(int ms)
{
	char		value[16];

	snprintf(value, sizeof(value), "%d", ms);
	(void) set_config_option("lock_timeout", value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * The level "on" asks for more than ForceSyncCommit(), which does not wait for
 * a standby.
 */
void
si_session_commit_durably(const char *wanted)
{
	const char *level = "on";

	if (wanted != NULL && strcmp(wanted, "remote_apply") == 0)
		level = wanted;
	(void) set_config_option("synchronous_commit", level, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

void
si_session_pinned_for(Oid role, char **pinned)
{
	List	   *settings = si_settings_of_role(role);

	for (int i = 0; i < SI_NPINNED; i++)
		pinned[i] = si_settings_find(settings, pinned_names[i]);

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < SI_NPINNED; i++)
	{
		if (pinned[i] == NULL)
			pinned[i] = pstrdup(si_shared->pinned[i]);
	}
	si_slots_unlock();
}

List *
si_session_settings_for(Oid owner)
{
	/* a trigger in a worker may retry another role's dead letters */
	return is_worker && owner == GetSessionUserId() ? NIL : si_settings_difference(owner);
}
