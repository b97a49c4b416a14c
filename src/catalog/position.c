/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Where each partition resumes.
 *
 * position_judge.c has the cases for a partition.  This file carries them out,
 * and finds where a run ends (stop_at), for all these partitions at once, at the
 * first contact of the run:
 *
 *	"latest", or not named				the end, as the broker says
 *	named								there, wherever the end may be
 *	created during the run, or of those
 *	that the topic has no more			offset 0: not part of the run
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "catalog/dead_letter.h"
#include "catalog/fixed_sql.h"
#include "catalog/position.h"
#include "catalog/session.h"
#include "catalog/unlogged.h"

static void
add_question(SiOffsetQuery *queries, int *n, int32 partition, int64 at)
{
	SiOffsetQuery *query = &queries[(*n)++];

	memset(query, 0, sizeof(SiOffsetQuery));
	query->partition = partition;
	query->at = at;
	query->offset = SI_OFFSET_UNKNOWN;
}

SiPositionQuestions *
si_position_questions(const SiSubscription *subscription, const SiOptions *options,
					  const SiTopicInfo *info)
{
	SiPositionQuestions *questions = palloc0(sizeof(SiPositionQuestions));
	SiOffsetQuery *queries = palloc(sizeof(SiOffsetQuery) * 3 * Max(info->partitions, 1));
	int		   *n = &questions->nqueries;

	questions->asked_at = GetCurrentTimestamp();
	questions->queries = queries;
	questions->rows = si_progress_load(subscription->id, subscription->topic,
									   &questions->nrows);
	for (int32 p = 0; p < info->partitions; p++)
	{
		SiProgress *row = si_position_row(questions->rows, questions->nrows, p);
		SiStart		start;

		if (!si_options_takes(options, p))
			continue;
		add_question(queries, n, p, SI_OFFSET_BEGINNING);
		add_question(queries, n, p, SI_OFFSET_END);
		if (si_position_wanted(subscription, options, row, p, &start) &&
			start.kind == SI_START_TIMESTAMP)
			add_question(queries, n, p, start.value);
	}
	return questions;
}

static void
record_gap(const SiPositionContext *context, int32 partition, int64 from, int64 to, const char *reason)
{
	si_catalog_add_gap(context->subscription->id, context->subscription->topic, partition,
					   from, to, reason);
}

/*
 * Lock and move a row.  A gap of messages that the broker no longer had is
 * counted; a seek is not.
 */
static SiPositionEnd
move_row(const SiPositionContext *context, SiProgress *row, int64 offset, int64 lost)
{
	if (!si_progress_lock(context->key, &row, 1, true) ||
		!si_progress_move(context->key, row, offset, lost, context->info->cluster_id,
						  context->info->topic_id))
		return SI_POSITION_FENCED;
	return SI_POSITION_READY;
}

/* What was dead of the log that a partition leaves is not met again. */
static void
leave_log(const SiPositionContext *context, int32 partition)
{
	si_dead_letter_leave_log(context->subscription->id, context->subscription->topic, partition);
}

static SiPositionEnd
carry_out_seek(const SiPositionContext *context, SiProgress *row, int64 offset)
{
	int64		high;

	if (si_position_answer(context, row->partition, SI_OFFSET_END, &high) &&
		si_position_another_log(context, row, high) != NULL)
		leave_log(context, row->partition);
	if (offset > row->next_offset)
		record_gap(context, row->partition, row->next_offset, offset, "seek");
	return move_row(context, row, offset, 0);
}

static SiPositionEnd
adopt_log(const SiPositionContext *context, SiProgress *row, const SiJudgement *judgement)
{
	record_gap(context, row->partition, row->next_offset, -1, judgement->why);
	if (!context->subscription->adopt_log)
		return SI_POSITION_GAP;
	leave_log(context, row->partition);
	return move_row(context, row, judgement->offset, 0);
}

static SiPositionEnd
pass_gap(const SiPositionContext *context, SiProgress *row, int64 low)
{
	record_gap(context, row->partition, row->next_offset, low, "deleted at the broker");
	if (si_position_gap_accepted(context))
		return move_row(context, row, low, low - row->next_offset);
	return SI_POSITION_GAP;
}

static SiPositionEnd
resolve_partition(const SiPositionContext *context, SiProgress *row, int32 partition)
{
	SiJudgement judgement = si_position_judge(context, row, partition);

	*context->reason = judgement.reason;
	switch (judgement.verdict)
	{
		case SI_RESUMES:
			si_progress_identify(context->key, row, context->info->cluster_id,
								 context->info->topic_id);
			break;
		case SI_BEGINS:
			si_progress_insert(context->key, partition, judgement.offset,
							   context->info->cluster_id, context->info->topic_id);
			break;
		case SI_SEEKS:
			return carry_out_seek(context, row, judgement.offset);
		case SI_OTHER_LOG:
			return adopt_log(context, row, &judgement);
		case SI_HAS_GAP:
			return pass_gap(context, row, judgement.offset);
		case SI_NO_ANSWER:
			return SI_POSITION_AGAIN;
		case SI_OUT_OF_RANGE:
			return SI_POSITION_STOP;
	}
	return SI_POSITION_READY;
}

static SiPositionEnd
check_partition_exists(const SiPositionContext *context, SiProgress *row)
{
	*context->reason = si_position_gone(context, row);
	if (*context->reason == NULL)
		return SI_POSITION_READY;

	record_gap(context, row->partition, row->next_offset, -1, "topic recreated");
	if (!context->subscription->adopt_log)
		return SI_POSITION_GAP;
	leave_log(context, row->partition);
	return move_row(context, row, 0, 0);
}

/*
 * What becomes of the whole after one more partition.  Of several that stop
 * it, one that enable() does not fix comes before those that it does.
 */
static SiPositionEnd
join_ends(SiPositionEnd all, SiPositionEnd one)
{
	if (all == SI_POSITION_STOP || one == SI_POSITION_READY)
		return all;
	return one;
}

/* ---- where a run ends ---- */

/* Has this run found out where it ends? */
static bool
run_has_stops(const SiPositionContext *context, const SiProgress *rows, int nrows)
{
	for (int i = 0; i < nrows; i++)
	{
		if (si_options_takes(context->options, rows[i].partition) && rows[i].stop_offset >= 0)
			return true;
	}
	return false;
}

/* Where the run ends in a partition; late: it was created during the run. */
static SiPositionEnd
find_stop(const SiPositionContext *context, int32 partition, bool late, int64 *offset)
{
	SiStart		stop = si_options_stop(context->options, partition);

	if (late || partition >= context->info->partitions)
	{
		*offset = 0;
		return SI_POSITION_READY;
	}
	return si_position_number(context, partition, &stop, offset)
		? SI_POSITION_READY : SI_POSITION_AGAIN;
}

/*
 * Does what a row has as the end of its run say nothing any more?  A seek that
 * leads to another log (any other way there is a new run).
 */
static bool
stop_is_void(const SiPositionContext *context, const SiProgress *row)
{
	int64		high;

	return row->seek_position != NULL &&
		si_position_answer(context, row->partition, SI_OFFSET_END, &high) &&
		si_position_another_log(context, row, high) != NULL;
}

/* A partition that is named must be there. */
static SiPositionEnd
check_stops_exist(const SiPositionContext *context)
{
	const SiOptions *options = context->options;

	for (int i = 0; i < options->nstops; i++)
	{
		if (options->stops[i].partition < context->info->partitions)
			continue;
		*context->reason =
			psprintf("option \"stop_at\" names partition %d, but topic \"%s\" has %d partitions",
					 options->stops[i].partition, context->subscription->topic,
					 context->info->partitions);
		return SI_POSITION_STOP;
	}
	return SI_POSITION_READY;
}

/*
 * Store where the run ends, for those of npartitions that do not have it yet.
 * rows are as they were before this contact.
 */
static SiPositionEnd
set_stops(const SiPositionContext *context, SiProgress *rows, int nrows, int32 npartitions)
{
	bool		begun = run_has_stops(context, rows, nrows);
	SiPositionEnd end = check_stops_exist(context);

	for (int32 p = 0; p < npartitions && end == SI_POSITION_READY; p++)
	{
		SiProgress *row = si_position_row(rows, nrows, p);
		int64		offset;

		if (!si_options_takes(context->options, p) ||
			(row != NULL && row->stop_offset >= 0 && !stop_is_void(context, row)))
			continue;
		end = find_stop(context, p, begun && row == NULL, &offset);
		if (end == SI_POSITION_READY)
			si_progress_set_stop(context->key, p, offset);
	}
	if (end == SI_POSITION_READY && !begun)
		si_catalog_set_run_since(context->subscription->id, context->answered->asked_at);
	return end;
}

SiPositionEnd
si_position_resolve(const SiSubscription *subscription, const SiOptions *options,
					const SiProgressKey *key, const SiTopicInfo *info,
					const SiPositionQuestions *answered, char **reason)
{
	char	   *this_reason = NULL;
	SiPositionContext context = {NULL, options, key, info, answered, &this_reason};
	SiPositionEnd end = SI_POSITION_READY;
	SiProgress *rows;
	int			nrows;
	int32		npartitions = info->partitions;

	si_fixed_sql_will_write("progress");
	si_fixed_sql_will_write("dead_letter");

	/* another worker may have made the first contact since ours was read */
	context.subscription = si_catalog_hold(subscription->id, subscription->epoch);
	if (context.subscription == NULL)
		return SI_POSITION_FENCED;

	/*
	 * Once rows were read from a position, it must not be lost: the brokers
	 * would be asked again, and "latest" or a log's beginning be further on.
	 */
	si_session_commit_durably(options->synchronous_commit);
	si_unlogged_check(subscription);
	si_progress_fold(subscription->id);
	rows = si_progress_load(subscription->id, subscription->topic, &nrows);

	if (nrows > 0)
		npartitions = Max(npartitions, rows[nrows - 1].partition + 1);

	for (int32 p = 0; p < npartitions; p++)
	{
		SiProgress *row = si_position_row(rows, nrows, p);
		SiPositionEnd this_end = SI_POSITION_READY;

		if (!si_options_takes(options, p))
			continue;
		if (p < info->partitions)
			this_end = resolve_partition(&context, row, p);
		else if (row != NULL)
			this_end = check_partition_exists(&context, row);
		if (this_end == SI_POSITION_FENCED || this_end == SI_POSITION_AGAIN)
			return this_end;
		if (join_ends(end, this_end) != end)
			*reason = this_reason;
		end = join_ends(end, this_end);
	}
	if (end == SI_POSITION_READY && options->nstops > 0)
	{
		end = set_stops(&context, rows, nrows, npartitions);
		*reason = this_reason;
	}
	if (end == SI_POSITION_READY)
		si_catalog_set_first_partitions(subscription->id, info->partitions);
	return end;
}

/* ---- without touching anything ---- */

/* Find where one partition would resume, or the reason to stop. */
static SiPositionEnd
foresee_partition(const SiPositionContext *context, const SiProgress *row, int32 partition, int64 *offset)
{
	SiJudgement judgement = si_position_judge(context, row, partition);
	bool		told = false;

	*context->reason = judgement.reason;
	*offset = judgement.offset;
	switch (judgement.verdict)
	{
		case SI_NO_ANSWER:
			return SI_POSITION_AGAIN;
		case SI_OUT_OF_RANGE:
			return SI_POSITION_STOP;
		case SI_OTHER_LOG:
			told = !context->subscription->adopt_log;
			break;
		case SI_HAS_GAP:
			told = !si_position_gap_accepted(context);
			break;
		default:
			break;
	}
	return told ? SI_POSITION_GAP : SI_POSITION_READY;
}

SiPositionEnd
si_position_foresee(const SiSubscription *subscription, const SiOptions *options,
					const SiTopicInfo *info, const SiPositionQuestions *answered,
					int64 *offsets, char **reason)
{
	char	   *this_reason = NULL;
	SiPositionContext context = {subscription, options, NULL, info, answered, &this_reason};
	SiPositionEnd end = SI_POSITION_READY;

	for (int32 p = 0; p < info->partitions; p++)
	{
		SiPositionEnd this_end;

		offsets[p] = -1;
		if (!si_options_takes(options, p))
			continue;
		this_end = foresee_partition(&context, si_position_row(answered->rows, answered->nrows, p), p,
									 &offsets[p]);
		if (this_end == SI_POSITION_AGAIN)
			return this_end;
		if (join_ends(end, this_end) != end)
			*reason = this_reason;
		end = join_ends(end, this_end);
	}
	for (int i = 0; i < answered->nrows && end == SI_POSITION_READY; i++)
	{
		const SiProgress *row = &answered->rows[i];

		if (row->partition < info->partitions || !si_options_takes(options, row->partition) ||
			subscription->adopt_log)
			continue;
		*reason = si_position_gone(&context, row);
		if (*reason != NULL)
			end = SI_POSITION_GAP;
	}
	return end;
}
