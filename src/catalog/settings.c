/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings that a role's own session would have.
 *
 * A setting's value is, in this order: what ALTER ROLE ... IN DATABASE, ALTER
 * ROLE, ALTER DATABASE and ALTER ROLE ALL say, then what the configuration
 * files and the server's command line say, then the built-in value.  Of the
 * last two a session knows only what its own role, database and connection have
 * not overridden; so the launcher, which has none of them, writes the cluster's
 * values to shared memory.
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
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "catalog/settings.h"
#include "common/compat.h"
#include "shmem/slots.h"

/* Those of the connection and its client, which no row should depend on. */
static const char *const of_session[] = {
	"application_name",
	"client_encoding",
	"client_min_messages",
	"stream_ingest.*",
};

/* ---- what was set for a role ---- */

char *
si_settings_find(List *settings, const char *name)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		SiSetting  *setting = lfirst(lc);

		if (pg_strcasecmp(setting->name, name) == 0)
			return setting->value;
	}
	return NULL;
}

/* Append "name=value" unless the name is known. */
static List *
add_setting(List *settings, char *pair)
{
	char	   *equals = strchr(pair, '=');
	SiSetting  *setting;

	if (equals == NULL)
		return settings;
	*equals = '\0';
	if (si_settings_find(settings, pair) != NULL)
		return settings;
	setting = palloc(sizeof(SiSetting));
	setting->name = pair;
	setting->value = equals + 1;
	return lappend(settings, setting);
}

/* Append what one row of pg_db_role_setting has. */
static List *
add_from_catalog(List *settings, Relation catalog, Oid database, Oid role)
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
		Datum	   *elements;
		int			n;

		if (isnull)
			continue;
		deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false, TYPALIGN_INT,
						  &elements, NULL, &n);
		for (int i = 0; i < n; i++)
			settings = add_setting(settings, TextDatumGetCString(elements[i]));
	}
	systable_endscan(scan);
	return settings;
}

List *
si_settings_of_role(Oid role)
{
	Relation	catalog = table_open(DbRoleSettingRelationId, AccessShareLock);
	List	   *settings = NIL;

	/* the order in which the server itself lets them win */
	settings = add_from_catalog(settings, catalog, MyDatabaseId, role);
	settings = add_from_catalog(settings, catalog, InvalidOid, role);
	settings = add_from_catalog(settings, catalog, MyDatabaseId, InvalidOid);
	settings = add_from_catalog(settings, catalog, InvalidOid, InvalidOid);
	table_close(catalog, AccessShareLock);
	return settings;
}

/* ---- the cluster's own values ---- */

/* The current value, or the built-in one, as text that can be set; or NULL. */
static char *
value_text(struct config_generic *setting, bool built_in)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			{
				struct config_bool *conf = guc_bool_compat(setting);

				return pstrdup((built_in ? conf->boot_val : *conf->variable) ? "on" : "off");
			}
		case PGC_INT:
			{
				struct config_int *conf = guc_int_compat(setting);

				return psprintf("%d", built_in ? conf->boot_val : *conf->variable);
			}
		case PGC_REAL:
			{
				struct config_real *conf = guc_real_compat(setting);

				return psprintf("%.17g", built_in ? conf->boot_val : *conf->variable);
			}
		case PGC_STRING:
			{
				struct config_string *conf = guc_string_compat(setting);
				const char *value = built_in ? conf->boot_val : *conf->variable;

				return value != NULL ? pstrdup(value) : NULL;
			}
		case PGC_ENUM:
			{
				struct config_enum *conf = guc_enum_compat(setting);

				return pstrdup(guc_enum_word_compat(setting, built_in ? conf->boot_val : *conf->variable));
			}
	}
	return NULL;
}

void
si_settings_write_cluster(char *dest)
{
	int			n;
	struct config_generic **all = guc_variables_compat(&n);
	char	   *end = dest + SI_CLUSTER_SETTINGS_LEN - 1;

	for (int i = 0; i < n; i++)
	{
		char	   *value;
		size_t		len;

		if (all[i]->context != PGC_USERSET || all[i]->source == PGC_S_DEFAULT ||
			(value = value_text(all[i], false)) == NULL)
			continue;
		len = strlen(all[i]->name) + 1 + strlen(value) + 1;
		if (dest + len < end)
		{
			sprintf(dest, "%s=%s", all[i]->name, value);
			dest += len;
		}
		else
			ereport(LOG,
					(errmsg("setting \"%s\" is too long to be kept for stream_ingest.retry_dead_letters()",
							all[i]->name)));
		pfree(value);
	}
	*dest = '\0';
}

/* What the launcher wrote. */
static List *
cluster_settings(void)
{
	char	   *copy = palloc(SI_CLUSTER_SETTINGS_LEN);
	List	   *settings = NIL;

	if (si_shared == NULL)
		return NIL;
	si_slots_lock(LW_SHARED);
	memcpy(copy, si_shared->cluster_settings, SI_CLUSTER_SETTINGS_LEN);
	si_slots_unlock();
	while (*copy != '\0')
	{
		char	   *text = copy;

		copy += strlen(copy) + 1;
		settings = add_setting(settings, text);
	}
	return settings;
}

/* ---- where this session differs ---- */

/* Does this belong to the session, whatever rows it writes? */
static bool
is_of_session(const struct config_generic *setting)
{
	const char *name = setting->name;
	size_t		len = strlen(name);

	/* role, transaction_isolation and their like */
	if (setting->flags & GUC_NO_RESET_ALL)
		return true;

	/* the log tells of the session, and a superuser may watch it by that */
	if (setting->group == LOGGING_WHERE || setting->group == LOGGING_WHEN ||
		setting->group == LOGGING_WHAT)
		return true;

	/* what an error does to the session (exit_on_error) is its own choice */
	if (setting->group == ERROR_HANDLING_OPTIONS)
		return true;
	if (len > 8 && strcmp(name + len - 8, "_timeout") == 0)
		return true;
	for (int i = 0; i < lengthof(of_session); i++)
	{
		size_t		prefix = strcspn(of_session[i], "*");

		if (of_session[i][prefix] == '*' ? strncmp(name, of_session[i], prefix) == 0
			: strcmp(name, of_session[i]) == 0)
			return true;
	}
	return false;
}

/* Append a value that is not the current one; NULL is what RESET gives. */
static List *
add_difference(List *settings, const char *name, char *value)
{
	const char *now = GetConfigOption(name, true, false);
	SiSetting  *setting;

	if (value != NULL && now != NULL && strcmp(now, value) == 0)
		return settings;
	setting = palloc(sizeof(SiSetting));
	setting->name = pstrdup(name);
	setting->value = value;
	return lappend(settings, setting);
}

/* The same of what was not set for the role. */
static List *
add_unless_default(List *settings, struct config_generic *setting, List *cluster)
{
	char	   *value;

	/* what the server sets for itself */
	if (setting->reset_source == PGC_S_OVERRIDE)
		return settings;

	/* does RESET give the cluster's value? */
	if (setting->reset_source <= PGC_S_ARGV)
		return setting->source == setting->reset_source ? settings
			: add_difference(settings, setting->name, NULL);

	value = si_settings_find(cluster, setting->name);
	if (value == NULL)
		value = value_text(setting, true);
	return add_difference(settings, setting->name, value != NULL ? value : pstrdup(""));
}

List *
si_settings_difference(Oid role)
{
	List	   *of_role = si_settings_of_role(role);
	List	   *cluster = cluster_settings();
	List	   *result = NIL;
	ListCell   *lc;
	int			n;
	struct config_generic **all = guc_variables_compat(&n);

	for (int i = 0; i < n; i++)
	{
		char	   *value;

		if ((all[i]->context != PGC_USERSET && all[i]->context != PGC_SUSET) ||
			is_of_session(all[i]))
			continue;
		value = si_settings_find(of_role, all[i]->name);
		if (value != NULL)
			result = add_difference(result, all[i]->name, value);
		else if (all[i]->context == PGC_USERSET)
			result = add_unless_default(result, all[i], cluster);
	}

	/* a name of the user's own choice that this session has not met */
	foreach(lc, of_role)
	{
		SiSetting  *setting = lfirst(lc);

		if (strchr(setting->name, '.') != NULL && GetConfigOption(setting->name, true, false) == NULL)
			result = add_difference(result, setting->name, setting->value);
	}
	return result;
}

void
si_settings_apply(List *settings)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		SiSetting  *setting = lfirst(lc);

		/*
		 * that the role may have it was checked by ALTER; what is no longer
		 * valid is passed over
		 */
		(void) set_config_option(setting->name, setting->value, PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, DEBUG1, false);
	}
}
