/*-------------------------------------------------------------------------
 *
 * functions_dead_letters.c
 *	  The SQL functions that retry and discard dead letters, and those that
 *	  keep the counts.
 *
 * A retry goes by the same plan, rights and settings as the worker's batches,
 * in the caller's transaction.  No progress is touched: what changes of the
 * counts is appended to count_changes.  The stream continues beside it; a
 * session that changes the subscription waits.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply/retry.h"
#include "catalog/count_changes.h"
#include "catalog/dead_letter.h"
#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "common/bytes.h"
#include "functions/arguments.h"

PG_FUNCTION_INFO_V1(si_sql_retry_dead_letters);
PG_FUNCTION_INFO_V1(si_sql_discard_dead_letters);
PG_FUNCTION_INFO_V1(si_sql_reset_counts);
PG_FUNCTION_INFO_V1(si_sql_headers_json);

/* Which dead letters the arguments mean. */
static SiDeadLetterFilter
read_filter(FunctionCallInfo fcinfo, const SiSubscription *s)
{
	SiDeadLetterFilter filter = {s->id, NULL, -1, 0, PG_INT64_MAX, false};

	/* partitions and offsets are those of the topic that is read now */
	if (!PG_ARGISNULL(1))
	{
		filter.topic = s->topic;
		filter.partition = PG_GETARG_INT32(1);
	}
	if (!PG_ARGISNULL(1) && filter.partition < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partition must not be negative")));
	if (PG_ARGISNULL(1) && !(PG_ARGISNULL(2) && PG_ARGISNULL(3)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("from_offset and to_offset need a partition"),
				 errdetail("An offset means something within its partition only.")));
	if (!PG_ARGISNULL(2))
		filter.from = PG_GETARG_INT64(2);
	if (!PG_ARGISNULL(3))
		filter.to = PG_GETARG_INT64(3);
	return filter;
}

/*
 * The subscription of the first argument, held against changes until the
 * transaction ends: what it did to dead letters and counts may otherwise be
 * undone, or doubled, by a change that is under way.
 */
static SiSubscription *
hold_subscription(FunctionCallInfo fcinfo, const char *function)
{
	/* a change that was waited for may be one of the owner, too */
	for (;;)
	{
		SiSubscription *s = si_arguments_subscription(fcinfo, function, false);

		if (si_catalog_share(s->id, s->epoch, true))
			return s;

		/* an old snapshot will never see the change */
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
		CHECK_FOR_INTERRUPTS();
	}
}

Datum
si_sql_retry_dead_letters(PG_FUNCTION_ARGS)
{
	SiSubscription *s = hold_subscription(fcinfo, "retry_dead_letters()");
	SiDeadLetterFilter filter = read_filter(fcinfo, s);

	/* the same error with and without dead letters */
	si_catalog_check_damage(s);
	PG_RETURN_INT64(si_retry_dead_letters(s, si_options_parse(s->options_text), &filter));
}

Datum
si_sql_discard_dead_letters(PG_FUNCTION_ARGS)
{
	SiSubscription *s = hold_subscription(fcinfo, "discard_dead_letters()");
	SiDeadLetterFilter filter = read_filter(fcinfo, s);
	SiCounts	change = {0};
	uint64		n = si_dead_letter_discard(&filter);

	change.ignored = n;
	change.dead_letters = -(int64) n;
	if (n > 0)
		si_count_changes_add(s->id, &change);
	PG_RETURN_INT64(n);
}

/*
 * A worker may be writing progress, so its counts are not set to zero but
 * taken off by a change; what it adds in the meantime counts already.
 */
Datum
si_sql_reset_counts(PG_FUNCTION_ARGS)
{
	SiSubscription *s = si_arguments_subscription(fcinfo, "reset_counts()", true);

	si_count_changes_reset(s->id);
	si_catalog_set_counts_since(s->id);
	PG_RETURN_VOID();
}

Datum
si_sql_headers_json(PG_FUNCTION_ARGS)
{
	int			n;
	SiHeader   *headers = si_dead_letter_headers(PG_GETARG_ARRAYTYPE_P(0),
												 PG_GETARG_ARRAYTYPE_P(1), &n);

	PG_RETURN_DATUM(si_bytes_headers_jsonb(headers, n));
}
