/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The SQL functions that make, change and steer subscriptions.
 *
 * Everything is checked when it is said: a mistake is an error here, with a
 * hint, and never a worker that fails later.  Kafka itself is not asked, since
 * a broker may be down when a migration runs.  What is said takes effect at
 * commit (ddl.c); every change raises the subscription's epoch, which fences
 * its workers (progress.h).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "compat.h"
#include "ddl.h"
#include "dead_letter.h"
#include "decoder.h"
#include "event.h"
#include "former_group.h"
#include "ingest.h"
#include "progress.h"
#include "server_options.h"
#include "session.h"

PG_FUNCTION_INFO_V1(si_sql_create_subscription);
PG_FUNCTION_INFO_V1(si_sql_alter_subscription);
PG_FUNCTION_INFO_V1(si_sql_drop_subscription);
PG_FUNCTION_INFO_V1(si_sql_set_owner);
PG_FUNCTION_INFO_V1(si_sql_enable);
PG_FUNCTION_INFO_V1(si_sql_disable);
PG_FUNCTION_INFO_V1(si_sql_seek_position);
PG_FUNCTION_INFO_V1(si_sql_seek_offset);
PG_FUNCTION_INFO_V1(si_sql_skip);
PG_FUNCTION_INFO_V1(si_sql_wait_until_caught_up);
PG_FUNCTION_INFO_V1(si_sql_wait_for_offset);

/*
 * Looks at the progress while waiting this often.  Workers ring a bell when
 * they have made some, so the latter is for what else may happen.
 */
#define ENDS_POLL_MS	10
#define OFFSET_POLL_MS	100

/* ---- arguments ---- */

/* A text argument, NULL where it is null. */
static char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* The text of a JSON argument, NULL where it is null. */
static char *
jsonb_argument(FunctionCallInfo fcinfo, int i)
{
	Jsonb	   *value;

	if (PG_ARGISNULL(i))
		return NULL;
	value = PG_GETARG_JSONB_P(i);
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}

static void
require_argument(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

static bool
is_empty_object(const char *json)
{
	return strcmp(json, "{}") == 0;
}

/* One of the words that an argument can have. */
static void
check_word(const char *argument, const char *value, const char *const *words, int nwords)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < nwords; i++)
	{
		if (strcmp(value, words[i]) == 0)
			return;
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i == nwords - 1 ? " and " : ", ",
						 words[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\": \"%s\"", argument, value),
			 errhint("Valid values are %s.", list.data)));
}

/* ---- what a subscription must fulfil ---- */

static void
check_words(const SiSubscription *s)
{
	static const char *const formats[] = {"json", "text", "csv", "raw"};
	static const char *const modes[] = {"insert", "upsert", "ignore"};

	check_word("format", s->format, formats, lengthof(formats));
	check_word("insert_mode", s->insert_mode, modes, lengthof(modes));
}

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
	if (s->apply == NULL && s->fields != NULL)
		only_with("argument \"fields\"", "\"apply\"",
				  "A target's own columns say what its messages hold; use \"mapping\" to take other fields.");
	if (s->apply != NULL && strcmp(s->insert_mode, "insert") != 0)
		only_with(psprintf("insert_mode \"%s\"", s->insert_mode), "\"target\"",
				  "The statement in \"apply\" says itself what it does with the rows.");
	if (s->apply != NULL && s->key_columns != (Datum) 0)
		only_with("argument \"key_columns\"", "\"target\"", NULL);
	if (s->apply != NULL && options->filter != NULL)
		only_with("option \"filter\"", "\"target\"",
				  "Put the condition into the statement's WHERE.");
	if (options->version_column != NULL && strcmp(s->insert_mode, "upsert") != 0)
		only_with("option \"version_column\"", "insert_mode \"upsert\"", NULL);
	if (s->apply == NULL && s->key_columns != (Datum) 0 && strcmp(s->insert_mode, "insert") == 0 &&
		options->tombstones != SI_TOMBSTONES_DELETE)
		only_with("argument \"key_columns\"",
				  "insert_mode \"upsert\" or \"ignore\", or tombstones \"delete\",", NULL);
	check_stops(options);
}

/*
 * The server must be there, be ours, and be open to the owner, and the group
 * be one of its own.
 */
static void
check_server(const SiSubscription *s, const SiOptions *options)
{
	SiServerProperties *server = si_server_properties(s->server, s->owner);

	if (!has_server_usage_compat(server->server, s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", s->server),
				 errhint("Grant USAGE on the server to role \"%s\".", s->owner_name)));

	/* others' groups are not for us to write and delete in */
	if (options->group_id != NULL &&
		strncmp(options->group_id, server->group_prefix, strlen(server->group_prefix)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"group_id\" must begin with \"%s\"", server->group_prefix),
				 errhint("Server \"%s\" says so with its option \"group_prefix\".", s->server)));
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

static void
check_target(const SiSubscription *s)
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

/* Everything that can be checked before the first message comes. */
static void
check_subscription(SiSubscription *s)
{
	SiOptions  *options = si_options_parse(s->options_text);
	SiIngest   *ingest;

	si_server_check_topic(s->topic);
	check_words(s);
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
		check_target(s);
		s->target_name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(s->target)),
													get_rel_name(s->target));
	}
	ingest = si_ingest_create(s, options);
	si_ingest_check(ingest);
	si_ingest_destroy(ingest);
}

/* Where the subscription is at home, so that a copy can tell that it is one. */
static void
make_at_home(SiSubscription *s)
{
	s->system_identifier = (int64) GetSystemIdentifier();
	s->database = MyDatabaseId;
	s->extension = si_catalog_extension();
}

/* ---- create ---- */

static void
require_name(FunctionCallInfo fcinfo)
{
	require_argument(fcinfo, 0, "name");
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
	char	   *options = jsonb_argument(fcinfo, 10);

	s->name = *PG_GETARG_NAME(0);
	s->owner = GetUserId();
	s->owner_name = GetUserNameFromId(s->owner, false);
	s->server = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	s->topic = text_argument(fcinfo, 2);
	s->target = PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3);
	s->apply = text_argument(fcinfo, 4);
	s->format = PG_ARGISNULL(5) ? "json" : text_argument(fcinfo, 5);
	s->fields = text_argument(fcinfo, 6);
	s->mapping = jsonb_argument(fcinfo, 7);
	s->insert_mode = PG_ARGISNULL(8) ? "insert" : text_argument(fcinfo, 8);
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
	require_argument(fcinfo, 1, "server");
	require_argument(fcinfo, 2, "topic");
	if (PG_ARGISNULL(3) == PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of \"target\" and \"apply\" must be given")));

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
	si_session_pinned_for(s->owner, s->pinned);
	make_at_home(s);
	check_subscription(s);
	si_catalog_insert(s);
	si_event_announce(s->id, s->enabled ? SI_STATE_STARTING : SI_STATE_DISABLED);
	si_ddl_scan_at_commit();
	PG_RETURN_VOID();
}

/* ---- changes ---- */

/*
 * Lock a subscription for a change by the current role.  NULL if there is none
 * and missing_ok.
 */
static SiSubscription *
lock_subscription(FunctionCallInfo fcinfo, const char *function, bool missing_ok)
{
	SiSubscription *s;
	const char *name;

	si_slots_require();
	PreventCommandIfReadOnly(function);
	require_argument(fcinfo, 0, "name");
	name = NameStr(*PG_GETARG_NAME(0));
	s = si_catalog_find(name, true);
	if (s == NULL && missing_ok)
		return NULL;
	if (s == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", name)));
	if (!has_privs_of_role(GetUserId(), s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of subscription \"%s\"", name)));
	return s;
}

static void
store_change(SiSubscription *s)
{
	si_catalog_update(s);
	si_event_announce(s->id, s->enabled ? SI_STATE_STARTING : SI_STATE_DISABLED);
	si_ddl_scan_at_commit();
}

/* The server's or the topic's change begins anew there. */
static void
change_source(SiSubscription *s, FunctionCallInfo fcinfo)
{
	char	   *server = PG_ARGISNULL(1) ? s->server : NameStr(*PG_GETARG_NAME(1));
	char	   *topic = PG_ARGISNULL(2) ? s->topic : text_argument(fcinfo, 2);

	if (strcmp(server, s->server) == 0 && strcmp(topic, s->topic) == 0)
		return;
	if (s->enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change the %s of an enabled subscription",
						strcmp(topic, s->topic) == 0 ? "server" : "topic"),
				 errhint("Use stream_ingest.disable first; the subscription then begins anew there.")));
	s->server = pstrdup(server);
	s->topic = topic;
	s->first_partitions = -1;
	s->pending_position = NULL;
	s->stop_state = s->stop_reason = NULL;
	si_progress_delete(s->id);
}

/* Arguments of alter_subscription that are texts: '' resets, NULL leaves. */
static char *
changed_text(FunctionCallInfo fcinfo, int i, char *now, char *when_reset)
{
	char	   *value = text_argument(fcinfo, i);

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
			s->insert_mode = "insert";
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
	char	   *mapping = jsonb_argument(fcinfo, 7);
	char	   *options = jsonb_argument(fcinfo, 10);

	if (!PG_ARGISNULL(3) && !PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"target\" and \"apply\" cannot both be given")));
	change_destination(s, fcinfo);
	s->format = changed_text(fcinfo, 5, s->format, "json");
	s->fields = changed_text(fcinfo, 6, s->fields, NULL);
	if (mapping != NULL)
		s->mapping = is_empty_object(mapping) ? NULL : mapping;
	s->insert_mode = changed_text(fcinfo, 8, s->insert_mode, "insert");
	if (!PG_ARGISNULL(9))
		s->key_columns = ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(9)),
										ARR_DIMS(PG_GETARG_ARRAYTYPE_P(9))) == 0
			? (Datum) 0 : PG_GETARG_DATUM(9);
	if (options != NULL)
		s->options_text = is_empty_object(options) ? options
			: si_options_merge(s->options_text, options);
}

/* Where a run ends is found out anew when what decides it is said anew. */
static bool
changes_stops(FunctionCallInfo fcinfo)
{
	char	   *options = jsonb_argument(fcinfo, 10);

	return options != NULL && (si_options_names(options, "stop_at") ||
							   si_options_names(options, "partitions"));
}

Datum
si_sql_alter_subscription(PG_FUNCTION_ARGS)
{
	SiSubscription *s = lock_subscription(fcinfo, "alter_subscription()", false);
	bool		had_target = OidIsValid(s->target);

	/* it may publish elsewhere, or less, from now on */
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(2) || !PG_ARGISNULL(10))
		si_former_group_note(s->id, si_catalog_extension());
	change_arguments(s, fcinfo);
	change_source(s, fcinfo);
	check_subscription(s);
	store_change(s);
	if (changes_stops(fcinfo))
		si_progress_forget_stops(s->id);

	/* counts of a target and of apply have not the same equations */
	if (had_target != OidIsValid(s->target))
	{
		si_dead_letter_reset_counts(s->id);
		si_catalog_set_counts_since(s->id);
	}
	PG_RETURN_VOID();
}

Datum
si_sql_drop_subscription(PG_FUNCTION_ARGS)
{
	bool		if_exists = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	SiSubscription *s = lock_subscription(fcinfo, "drop_subscription()", if_exists);
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
	SiSubscription *s = lock_subscription(fcinfo, "set_owner()", false);
	char	   *pinned[SI_NPINNED];
	Oid			owner;

	require_argument(fcinfo, 1, "owner");
	owner = PG_GETARG_OID(1);
	check_can_set_role_compat(GetUserId(), owner);

	s->owner = owner;
	s->owner_name = GetUserNameFromId(owner, false);
	si_session_pinned_for(owner, pinned);
	s->pinned[SI_PINNED_SEARCH_PATH] = pinned[SI_PINNED_SEARCH_PATH];
	check_subscription(s);
	store_change(s);
	PG_RETURN_VOID();
}

/* ---- steering ---- */

/* Whatever had stopped it does so no more. */
static void
clear_stop(SiSubscription *s)
{
	s->stop_state = NULL;
	s->stop_reason = NULL;
}

/*
 * In a restored dump the target has another OID, which may even be that of an
 * unrelated table: there its name counts.
 */
static void
find_target_of_copy(SiSubscription *s)
{
	List	   *name;

	if (s->target_name == NULL || (s->database == MyDatabaseId &&
								   s->system_identifier == (int64) GetSystemIdentifier() &&
								   s->extension == si_catalog_extension()))
		return;
	name = textToQualifiedNameList(cstring_to_text(s->target_name));
	s->target = RangeVarGetRelid(makeRangeVarFromNameList(name), NoLock, true);
	check_target(s);
}

Datum
si_sql_enable(PG_FUNCTION_ARGS)
{
	SiSubscription *s = lock_subscription(fcinfo, "enable()", false);

	/* what it stopped for is accepted by enabling it */
	s->adopt_log = (s->stop_state != NULL && s->stop_sqlstate != NULL &&
					strcmp(s->stop_sqlstate, SI_GAP_SQLSTATE) == 0);
	clear_stop(s);
	find_target_of_copy(s);
	make_at_home(s);
	s->enabled = true;
	store_change(s);
	si_progress_forget_rejected(s->id);

	/* the next run; but who seeks or skips goes on with this one */
	si_progress_forget_stops(s->id);
	PG_RETURN_VOID();
}

Datum
si_sql_disable(PG_FUNCTION_ARGS)
{
	SiSubscription *s = lock_subscription(fcinfo, "disable()", false);

	s->enabled = false;
	store_change(s);
	PG_RETURN_VOID();
}

Datum
si_sql_seek_position(PG_FUNCTION_ARGS)
{
	SiSubscription *s = lock_subscription(fcinfo, "seek()", false);
	SiStart		start;
	char	   *position;

	require_argument(fcinfo, 1, "position");
	start = si_options_parse_position(text_argument(fcinfo, 1));
	position = si_options_position_text(&start);

	/* partitions that have no row yet begin there */
	if (s->first_partitions < 0)
		s->pending_position = position;
	clear_stop(s);
	store_change(s);
	si_progress_forget_rejected(s->id);
	(void) si_progress_set_seek(s->id, s->topic, -1, position);
	PG_RETURN_VOID();
}

/* The partition and offset of the second and third argument. */
static int64
read_place(FunctionCallInfo fcinfo, int32 *partition)
{
	int64		offset;

	require_argument(fcinfo, 1, "partition");
	require_argument(fcinfo, 2, "message_offset");
	*partition = PG_GETARG_INT32(1);
	offset = PG_GETARG_INT64(2);
	if (*partition < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partition must not be negative")));
	if (offset < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("message_offset must not be negative")));
	return offset;
}

Datum
si_sql_seek_offset(PG_FUNCTION_ARGS)
{
	SiSubscription *s = lock_subscription(fcinfo, "seek()", false);
	int32		partition;
	int64		offset = read_place(fcinfo, &partition);

	clear_stop(s);
	store_change(s);
	si_progress_forget_rejected(s->id);
	if (si_progress_set_seek(s->id, s->topic, partition, psprintf(INT64_FORMAT, offset)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("subscription \"%s\" has not read partition %d of topic \"%s\" yet",
						NameStr(s->name), partition, s->topic),
				 errhint("Option \"start\" says where a partition begins.")));
	PG_RETURN_VOID();
}

Datum
si_sql_skip(PG_FUNCTION_ARGS)
{
	SiSubscription *s = lock_subscription(fcinfo, "skip()", false);
	int32		partition;
	int64		offset = read_place(fcinfo, &partition);

	clear_stop(s);
	store_change(s);
	si_progress_forget_rejected(s->id);
	if (!si_progress_add_skip(s->id, s->topic, partition, offset))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("offset " INT64_FORMAT " of partition %d is not ahead of subscription \"%s\"",
						offset, partition, NameStr(s->name)),
				 errhint("The view stream_ingest.offsets has the next offset of each partition.")));
	PG_RETURN_VOID();
}

/* ---- waiting ---- */

/* What wait_until_caught_up waits for: a partition's end. */
typedef struct End
{
	int32		partition;
	int64		offset;			/* SI_OFFSET_UNKNOWN until it was told */
} End;

/* Ask the workers of a subscription for fresh watermarks. */
static void
request_watermarks(int32 id)
{
	si_slots_lock(LW_EXCLUSIVE);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		if (!worker->in_use || worker->pid == 0 || worker->subscription != id ||
			worker->database != MyDatabaseId)
			continue;
		worker->refresh_watermarks = true;
		si_slots_wake(worker->pid);
	}
	si_slots_unlock();
}

/* Take what was told since then; false while an end is not known. */
static bool
take_ends(int32 id, TimestampTz since, End *ends, int n)
{
	bool		complete = true;

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < n; i++)
	{
		SiPartitionSlot *slot;

		if (ends[i].offset != SI_OFFSET_UNKNOWN)
			continue;
		slot = si_slots_find_partition(MyDatabaseId, id, ends[i].partition);
		if (slot != NULL && (TimestampTz) pg_atomic_read_u64(&slot->asked_at) >= since)
			ends[i].offset = (int64) pg_atomic_read_u64(&slot->high);
		if (ends[i].offset == SI_OFFSET_UNKNOWN)
			complete = false;
	}
	si_slots_unlock();
	return complete;
}

/* Have all rows passed the ends, with no seek to be carried out? */
static bool
passed_ends(const SiProgress *rows, int nrows, const End *ends)
{
	for (int i = 0; i < nrows; i++)
	{
		if (si_progress_pending(&rows[i]) || rows[i].next_offset < ends[i].offset)
			return false;
	}
	return true;
}

/* The rows of the partitions that the subscription takes. */
static SiProgress *
load_taken(const SiSubscription *s, int *n)
{
	SiOptions  *options = si_options_parse(s->options_text);
	SiProgress *rows;
	int			nrows;

	rows = si_progress_load(s->id, s->topic, &nrows);
	*n = 0;
	for (int i = 0; i < nrows; i++)
	{
		if (si_options_takes(options, rows[i].partition))
			rows[(*n)++] = rows[i];
	}
	return rows;
}

/* A subscription that has finished goes nowhere: there is no point in waiting. */
static bool
has_finished(const SiSubscription *s)
{
	return s->stop_state != NULL &&
		strcmp(s->stop_state, si_slots_state_name(SI_STATE_FINISHED)) == 0;
}

/*
 * Did a run that has finished end where the partitions ended, asked for after
 * the call?  A short run is over before anybody tells where they end.
 */
static bool
finished_at_ends(const SiSubscription *s, TimestampTz since)
{
	SiOptions  *options = si_options_parse(s->options_text);

	return s->run_since >= since && options->nstops == 1 && options->stops[0].partition < 0;
}

/*
 * Begin to listen for progress before looking for it: what comes in between is
 * not missed.  What is not there has a bell, too; the look then says so.
 */
static ConditionVariable *
listen_for_progress(const char *name)
{
	SiSubscription *s = si_catalog_find(name, false);
	ConditionVariable *bell = si_slots_bell(MyDatabaseId, s ? s->id : 0);

	ConditionVariablePrepareToSleep(bell);
	return bell;
}

/*
 * One look: has the subscription, as it is now, reached the ends of all its
 * partitions as they were at the call?  ends is made, in that context, once
 * there are partitions.  *over: what is not reached now never will be.
 */
static bool
caught_up(const char *name, TimestampTz since, End **ends, int *nends, MemoryContext context,
		  bool *over)
{
	SiSubscription *s = si_catalog_find(name, false);
	SiProgress *rows;
	int			n;

	if (s == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", name)));
	*over = has_finished(s);
	if (*over && finished_at_ends(s, since))
		return true;
	if (s->first_partitions < 0)
		return false;
	rows = load_taken(s, &n);
	if (*ends == NULL || n != *nends)
	{
		*ends = MemoryContextAlloc(context, sizeof(End) * Max(n, 1));
		*nends = n;
		for (int i = 0; i < n; i++)
		{
			(*ends)[i].partition = rows[i].partition;
			(*ends)[i].offset = SI_OFFSET_UNKNOWN;
		}
		request_watermarks(s->id);
	}
	return take_ends(s->id, since, *ends, n) && passed_ends(rows, n, *ends);
}

/* Whose progress it is decides who may wait for it. */
static void
require_wait_rights(const char *name)
{
	SiSubscription *s = si_catalog_find(name, false);

	if (s != NULL && !has_privs_of_role(GetUserId(), s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of subscription \"%s\"", name)));
}

static TimestampTz
end_of_wait(TimestampTz start, Datum timeout)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(start), timeout));
}

/* Until the next look, and no longer than until the end. */
static long
ms_to_wait(TimestampTz until, long most)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

	return Min(Max(left, 1), most);
}

Datum
si_sql_wait_until_caught_up(PG_FUNCTION_ARGS)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz until;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	ConditionVariable *bell;
	End		   *ends = NULL;
	int			nends = 0;
	bool		reached,
				over;

	si_slots_require();
	require_argument(fcinfo, 0, "name");
	require_argument(fcinfo, 1, "timeout");
	require_wait_rights(NameStr(*PG_GETARG_NAME(0)));
	until = end_of_wait(start, PG_GETARG_DATUM(1));

	scratch = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest wait",
									ALLOCSET_DEFAULT_SIZES);
	bell = listen_for_progress(NameStr(*PG_GETARG_NAME(0)));
	for (;;)
	{
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		reached = caught_up(NameStr(*PG_GETARG_NAME(0)), start, &ends, &nends, caller,
							&over);
		MemoryContextSwitchTo(caller);
		if (reached || over || GetCurrentTimestamp() >= until)
			break;
		(void) ConditionVariableTimedSleep(bell, ms_to_wait(until, ENDS_POLL_MS),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	MemoryContextDelete(scratch);
	PG_RETURN_BOOL(reached);
}

/*
 * One look: is the message at an offset dealt with?  Not while a seek of the
 * partition has still to be carried out.  *over as in caught_up.
 */
static bool
offset_done(const char *name, int32 partition, int64 offset, bool *over)
{
	SiSubscription *s = si_catalog_find(name, false);
	SiProgress *rows;
	int			n;

	if (s == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", name)));
	*over = has_finished(s);
	rows = si_progress_load(s->id, s->topic, &n);
	for (int i = 0; i < n; i++)
	{
		if (rows[i].partition == partition)
			return !si_progress_pending(&rows[i]) && rows[i].next_offset > offset;
	}
	return false;
}

Datum
si_sql_wait_for_offset(PG_FUNCTION_ARGS)
{
	TimestampTz until;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	ConditionVariable *bell;
	bool		done,
				over;

	si_slots_require();
	require_argument(fcinfo, 0, "name");
	require_argument(fcinfo, 1, "partition");
	require_argument(fcinfo, 2, "message_offset");
	require_argument(fcinfo, 3, "timeout");
	require_wait_rights(NameStr(*PG_GETARG_NAME(0)));
	until = end_of_wait(GetCurrentTimestamp(), PG_GETARG_DATUM(3));
	scratch = AllocSetContextCreate(caller, "stream_ingest wait", ALLOCSET_DEFAULT_SIZES);
	bell = listen_for_progress(NameStr(*PG_GETARG_NAME(0)));
	for (;;)
	{
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		done = offset_done(NameStr(*PG_GETARG_NAME(0)), PG_GETARG_INT32(1), PG_GETARG_INT64(2),
						   &over);
		MemoryContextSwitchTo(caller);
		if (done || over || GetCurrentTimestamp() >= until)
			break;
		(void) ConditionVariableTimedSleep(bell, ms_to_wait(until, OFFSET_POLL_MS),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	MemoryContextDelete(scratch);
	PG_RETURN_BOOL(done);
}
