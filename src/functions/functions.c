/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The SQL functions that make, change and drop subscriptions.
 *
 * Everything is checked when the function is called (subscription.c).  A change
 * takes effect at commit (ddl.c); every change raises the subscription's epoch, which
 * fences its workers (progress.h).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"

#include "catalog/count_changes.h"
#include "catalog/dead_letter.h"
#include "catalog/event.h"
#include "catalog/fixed_sql.h"
#include "catalog/progress.h"
#include "catalog/session.h"
#include "catalog/subscriptions.h"
#include "common/compat.h"
#include "functions/arguments.h"
#include "functions/subscription.h"
#include "process/ddl.h"

PG_FUNCTION_INFO_V1(si_sql_create_subscription);
PG_FUNCTION_INFO_V1(si_sql_alter_subscription);
PG_FUNCTION_INFO_V1(si_sql_drop_subscription);
PG_FUNCTION_INFO_V1(si_sql_set_owner);

/* ---- create ---- */

static void
require_name(FunctionCallInfo fcinfo)
{
	si_arguments_require(fcinfo, 0, "name");
	if (NameStr(*PG_GETARG_NAME(0))[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("a subscription's name must not be empty")));
}

/* The arguments of create_subscription as a subscription. */
static SiSubscription *
read_arguments(FunctionCallInfo fcinfo)
{
	SiSubscription *s = palloc0(sizeof(SiSubscription));
	char	   *options = si_arguments_jsonb(fcinfo, 10);

	s->name = *PG_GETARG_NAME(0);
	s->owner = GetUserId();
	s->owner_name = GetUserNameFromId(s->owner, false);
	s->server = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	s->topic = si_arguments_text(fcinfo, 2);
	s->target = PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3);
	s->apply = si_arguments_text(fcinfo, 4);
	s->format = PG_ARGISNULL(5) ? "json" : si_arguments_text(fcinfo, 5);
	s->fields = si_arguments_text(fcinfo, 6);
	s->mapping = si_arguments_jsonb(fcinfo, 7);
	s->insert_mode = PG_ARGISNULL(8) ? SI_INSERT
		: si_arguments_insert_mode(si_arguments_text(fcinfo, 8));
	s->key_columns = PG_ARGISNULL(9) ? (Datum) 0 : PG_GETARG_DATUM(9);
	s->options_text = si_options_merge("{}", options ? options : "{}");
	s->enabled = PG_ARGISNULL(11) || PG_GETARG_BOOL(11);
	s->first_partitions = -1;
	return s;
}

Datum
si_sql_create_subscription(PG_FUNCTION_ARGS)
{
	SiSubscription *s;

	si_slots_require();
	PreventCommandIfReadOnly("create_subscription()");
	require_name(fcinfo);
	si_arguments_require(fcinfo, 1, "server");
	si_arguments_require(fcinfo, 2, "topic");
	if (PG_ARGISNULL(3) == PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of \"target\" and \"apply\" must be given")));

	si_fixed_sql_will_write("subscription");
	if (!PG_ARGISNULL(12) && PG_GETARG_BOOL(12) &&
		si_catalog_find(NameStr(*PG_GETARG_NAME(0)), false) != NULL)
	{
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("subscription \"%s\" already exists, skipping",
						NameStr(*PG_GETARG_NAME(0)))));
		PG_RETURN_VOID();
	}

	s = read_arguments(fcinfo);
	si_subscription_check_limit(s->owner);
	si_session_pinned_for(s->owner, s->pinned);
	si_subscription_make_at_home(s);
	si_subscription_check(s);
	si_catalog_insert(s);
	si_event_announce(s->id, s->enabled ? SI_STATE_STARTING : SI_STATE_DISABLED);
	si_ddl_scan_at_commit();
	PG_RETURN_VOID();
}

/* ---- changes ---- */

static bool
is_empty_object(const char *json)
{
	return strcmp(json, "{}") == 0;
}

/* Change the server or the topic; the subscription begins again there. */
static void
change_source(SiSubscription *s, FunctionCallInfo fcinfo)
{
	char	   *server = PG_ARGISNULL(1) ? s->server : NameStr(*PG_GETARG_NAME(1));
	char	   *topic = PG_ARGISNULL(2) ? s->topic : si_arguments_text(fcinfo, 2);
	char	   *former_topic = s->topic;

	/* naming the server says which one is meant */
	if (!PG_ARGISNULL(1))
		s->server_oid = InvalidOid;
	if (strcmp(server, s->server) == 0 && strcmp(topic, s->topic) == 0)
		return;
	if (s->enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change the %s of an enabled subscription",
						strcmp(topic, s->topic) == 0 ? "server" : "topic"),
				 errhint("Use stream_ingest.disable first; the subscription then starts as a new one does.")));
	s->server = pstrdup(server);
	s->topic = topic;
	s->first_partitions = -1;
	s->pending_position = NULL;
	s->stop_state = s->stop_reason = NULL;
	si_progress_delete(s->id);

	/* dead letters stay, and so do they in the counts */
	si_dead_letter_leave_log(s->id, former_topic, -1);
	si_count_changes_begin(s->id);
	si_catalog_set_counts_since(s->id);
}

/* Arguments of alter_subscription that are texts: '' resets, NULL leaves. */
static char *
changed_text(FunctionCallInfo fcinfo, int i, char *now, char *when_reset)
{
	char	   *value = si_arguments_text(fcinfo, i);

	if (value == NULL)
		return now;
	return value[0] == '\0' ? when_reset : value;
}

/*
 * Another target, or another statement.  What goes with one sort of destination
 * only does not outlive a change to the other.
 */
static void
change_destination(SiSubscription *s, FunctionCallInfo fcinfo)
{
	bool		had_target = OidIsValid(s->target);

	if (!PG_ARGISNULL(3))
	{
		s->target = PG_GETARG_OID(3);
		s->apply = NULL;
		s->fields = NULL;
	}
	s->apply = changed_text(fcinfo, 4, s->apply, NULL);
	if (s->apply != NULL && !PG_ARGISNULL(4))
	{
		s->target = InvalidOid;
		s->target_name = NULL;
		if (had_target)
		{
			s->insert_mode = SI_INSERT;
			s->key_columns = (Datum) 0;
		}
	}
	if (s->apply == NULL && !OidIsValid(s->target))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of \"target\" and \"apply\" must be given"),
				 errhint("Giving one of them clears the other.")));
}

static void
change_arguments(SiSubscription *s, FunctionCallInfo fcinfo)
{
	char	   *mapping = si_arguments_jsonb(fcinfo, 7);
	char	   *options = si_arguments_jsonb(fcinfo, 10);

	if (!PG_ARGISNULL(3) && !PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"target\" and \"apply\" cannot both be given")));
	change_destination(s, fcinfo);
	s->format = changed_text(fcinfo, 5, s->format, "json");
	s->fields = changed_text(fcinfo, 6, s->fields, NULL);
	if (mapping != NULL)
		s->mapping = is_empty_object(mapping) ? NULL : mapping;
	if (!PG_ARGISNULL(8))
		s->insert_mode = si_arguments_insert_mode(changed_text(fcinfo, 8, NULL, "insert"));
	if (!PG_ARGISNULL(9))
		s->key_columns = ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(9)),
										ARR_DIMS(PG_GETARG_ARRAYTYPE_P(9))) == 0
			? (Datum) 0 : PG_GETARG_DATUM(9);
	if (options != NULL)
		s->options_text = is_empty_object(options) ? options
			: si_options_merge(s->options_text, options);
}

/* Do the arguments change an option that decides where a run ends? */
static bool
changes_stops(FunctionCallInfo fcinfo)
{
	char	   *options = si_arguments_jsonb(fcinfo, 10);

	return options != NULL && (si_options_names(options, "stop_at") ||
							   si_options_names(options, "partitions"));
}

Datum
si_sql_alter_subscription(PG_FUNCTION_ARGS)
{
	SiSubscription *s = si_arguments_subscription(fcinfo, "alter_subscription()", true);
	bool		had_target = OidIsValid(s->target);
	Oid			former_target = s->target;

	change_arguments(s, fcinfo);
	change_source(s, fcinfo);
	if (s->pinned_lost)
		si_session_pinned_for(s->owner, s->pinned);

	/* what was wrong is checked again with the rest */
	s->damage = NULL;
	si_subscription_check(s);
	si_subscription_store(s);
	if (changes_stops(fcinfo))
		si_progress_forget_stops(s->id);
	if (s->target != former_target)
		si_progress_forget_first(s->id);

	/* counts of a target and of apply have not the same equations */
	if (had_target != OidIsValid(s->target))
	{
		si_count_changes_reset(s->id);
		si_catalog_set_counts_since(s->id);
	}
	PG_RETURN_VOID();
}

Datum
si_sql_drop_subscription(PG_FUNCTION_ARGS)
{
	bool		if_exists = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	SiSubscription *s = if_exists
		? si_arguments_subscription_if_any(fcinfo, "drop_subscription()", true)
		: si_arguments_subscription(fcinfo, "drop_subscription()", true);
	uint64		gaps,
				letters;

	if (s == NULL)
	{
		ereport(NOTICE,
				(errmsg("subscription \"%s\" does not exist, skipping",
						NameStr(*PG_GETARG_NAME(0)))));
		PG_RETURN_VOID();
	}
	gaps = si_catalog_delete(s->id, &letters);
	if (letters > 0)
		ereport(NOTICE,
				(errmsg_plural("%llu dead letter of subscription \"%s\" was deleted",
							   "%llu dead letters of subscription \"%s\" were deleted",
							   letters, (unsigned long long) letters, NameStr(s->name))));
	if (gaps > 0)
		ereport(NOTICE,
				(errmsg_plural("%llu recorded gap of subscription \"%s\" was deleted",
							   "%llu recorded gaps of subscription \"%s\" were deleted",
							   gaps, (unsigned long long) gaps, NameStr(s->name))));
	si_ddl_scan_at_commit();
	PG_RETURN_VOID();
}

Datum
si_sql_set_owner(PG_FUNCTION_ARGS)
{
	SiSubscription *s = si_arguments_subscription(fcinfo, "set_owner()", true);
	char	   *pinned[SI_NPINNED];
	Oid			owner;

	si_arguments_require(fcinfo, 1, "owner");
	owner = PG_GETARG_OID(1);
	check_can_set_role_compat(GetUserId(), owner);
	if (owner != s->owner)
		si_subscription_check_limit(owner);

	s->owner = owner;
	s->owner_name = GetUserNameFromId(owner, false);
	si_session_pinned_for(owner, pinned);
	s->pinned[SI_PINNED_SEARCH_PATH] = pinned[SI_PINNED_SEARCH_PATH];
	si_subscription_check(s);
	si_subscription_store(s);
	PG_RETURN_VOID();
}
