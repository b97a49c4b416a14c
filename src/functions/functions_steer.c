/*-------------------------------------------------------------------------
 *
 * functions_steer.c
 *	  The SQL functions that steer subscriptions: enable, disable, seek, skip.
 *
 * A change takes effect at commit (ddl.c); every change raises the
 * subscription's epoch, which fences its workers (progress.h).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "catalog/unlogged.h"
#include "functions/arguments.h"
#include "functions/subscription.h"

PG_FUNCTION_INFO_V1(si_sql_enable);
PG_FUNCTION_INFO_V1(si_sql_disable);
PG_FUNCTION_INFO_V1(si_sql_seek_position);
PG_FUNCTION_INFO_V1(si_sql_seek_offset);
PG_FUNCTION_INFO_V1(si_sql_skip);

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

	/* a restored unlogged table has its rows, unlike our marker */
	si_unlogged_mark(s->id);
	name = textToQualifiedNameList(cstring_to_text(s->target_name));
	s->target = RangeVarGetRelid(makeRangeVarFromNameList(name), NoLock, true);
	si_subscription_check_target(s);
}

Datum
si_sql_enable(PG_FUNCTION_ARGS)
{
	SiSubscription *s = si_arguments_subscription(fcinfo, "enable()", true);

	/* what it stopped for is accepted by enabling it */
	s->adopt_log = (s->stop_state != NULL && s->stop_sqlstate != NULL &&
					strcmp(s->stop_sqlstate, SI_GAP_SQLSTATE) == 0);
	clear_stop(s);
	find_target_of_copy(s);
	si_subscription_make_at_home(s);
	s->enabled = true;
	si_subscription_store(s);
	si_progress_forget_rejected(s->id);
	si_catalog_forget_columns(s->id);

	/* enable() begins the next run; seek() and skip() continue this one */
	si_progress_forget_stops(s->id);
	PG_RETURN_VOID();
}

Datum
si_sql_disable(PG_FUNCTION_ARGS)
{
	SiSubscription *s = si_arguments_subscription(fcinfo, "disable()", true);

	s->enabled = false;
	si_subscription_store(s);
	PG_RETURN_VOID();
}

/* What seek and skip have in common: a stopped subscription resumes. */
static void
start_again(SiSubscription *s)
{
	clear_stop(s);
	si_subscription_store(s);
	si_progress_forget_rejected(s->id);
}

Datum
si_sql_seek_position(PG_FUNCTION_ARGS)
{
	SiSubscription *s = si_arguments_subscription(fcinfo, "seek()", true);
	SiStart		start;
	char	   *position;

	si_arguments_require(fcinfo, 1, "position");
	start = si_options_parse_position(si_arguments_text(fcinfo, 1));
	position = si_options_position_text(&start);

	/* partitions that have no row yet begin there */
	if (s->first_partitions < 0)
		s->pending_position = position;
	start_again(s);
	(void) si_progress_set_seek(s->id, s->topic, -1, position);
	PG_RETURN_VOID();
}

/* The partition and offset of the second and third argument. */
static int64
read_place(FunctionCallInfo fcinfo, int32 *partition)
{
	int64		offset;

	si_arguments_require(fcinfo, 1, "partition");
	si_arguments_require(fcinfo, 2, "message_offset");
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
	SiSubscription *s = si_arguments_subscription(fcinfo, "seek()", true);
	int32		partition;
	int64		offset = read_place(fcinfo, &partition);

	start_again(s);
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
	SiSubscription *s = si_arguments_subscription(fcinfo, "skip()", true);
	int32		partition;
	int64		offset = read_place(fcinfo, &partition);

	start_again(s);
	if (!si_progress_add_skip(s->id, s->topic, partition, offset))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("offset " INT64_FORMAT " of partition %d is not ahead of subscription \"%s\"",
						offset, partition, NameStr(s->name)),
				 errhint("The view stream_ingest.offsets has the next offset of each partition.")));
	PG_RETURN_VOID();
}
