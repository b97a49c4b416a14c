/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Where each partition goes on.
 *
 * The cases, for a partition that the subscription takes:
 *
 *	no row yet, known at first contact	"start" (or a seek that came before)
 *	no row yet, created later			offset 0: every message in it is new
 *	a seek is pending					there, if the broker has that offset
 *	another cluster or topic id,
 *	or our offset beyond the end		another log: gap without an end; stops,
 *										enable() adopts it from its beginning
 *	the topic has no such partition		the same
 *	our offset below the first one		gap; on_gap decides
 *	where the run ends has been reached	as stored, whatever the broker has:
 *										nothing is asked of it in this run
 *	else								as stored
 *
 * Where a run ends (stop_at), for all these partitions at once, at the first
 * contact of the run:
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
#include "catalog/position.h"
#include "catalog/session.h"
#include "catalog/unlogged.h"

/* What is needed to decide about one partition. */
typedef struct Context
{
	const SiSubscription *subscription;
	const SiOptions *options;
	const SiProgressKey *key;
	const SiTopicInfo *info;
	const SiPositionQuestions *answered;
	char	  **reason;
} Context;

static SiProgress *
find_row(SiProgress *rows, int n, int32 partition)
{
	for (int i = 0; i < n; i++)
	{
		if (rows[i].partition == partition)
			return &rows[i];
	}
	return NULL;
}

/* Was this partition there at first contact? */
static bool
known_at_first_contact(const SiSubscription *subscription, int32 partition)
{
	return subscription->first_partitions < 0 || partition < subscription->first_partitions;
}

/* A stored position: an offset, or what seek() and "start" take. */
static SiStart
parse_stored_position(const char *text)
{
	SiStart		start = {-1, SI_START_OFFSET, 0};
	char	   *end;

	start.value = strtoi64(text, &end, 10);
	if (*end == '\0' && end != text)
		return start;
	return si_options_parse_position(text);
}

/*
 * The position that a partition is to be moved to: that of a pending seek, or
 * where a new row starts.  False if it just goes on.
 */
static bool
wanted_position(const SiSubscription *subscription, const SiOptions *options,
				const SiProgress *row, int32 partition, SiStart *start)
{
	if (row != NULL)
	{
		if (row->seek_position == NULL)
			return false;
		*start = parse_stored_position(row->seek_position);
		return true;
	}
	if (!known_at_first_contact(subscription, partition))
	{
		start->kind = SI_START_OFFSET;
		start->value = 0;
	}
	else if (subscription->pending_position != NULL)
		*start = parse_stored_position(subscription->pending_position);
	else
		*start = si_options_start(options, partition);
	return true;
}

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
		SiProgress *row = find_row(questions->rows, questions->nrows, p);
		SiStart		start;

		if (!si_options_takes(options, p))
			continue;
		add_question(queries, n, p, SI_OFFSET_BEGINNING);
		add_question(queries, n, p, SI_OFFSET_END);
		if (wanted_position(subscription, options, row, p, &start) &&
			start.kind == SI_START_TIMESTAMP)
			add_question(queries, n, p, start.value);
	}
	return questions;
}

/* The answer to a question; false if there is none. */
static bool
find_answer(const Context *context, int32 partition, int64 at, int64 *offset)
{
	for (int i = 0; i < context->answered->nqueries; i++)
	{
		const SiOffsetQuery *answer = &context->answered->queries[i];

		if (answer->partition == partition && answer->at == at)
		{
			*offset = answer->offset;
			return answer->offset != SI_OFFSET_UNKNOWN;
		}
	}
	return false;
}

/* Resolve a position to a number. */
static bool
resolve_position(const Context *context, int32 partition, const SiStart *start, int64 *offset)
{
	switch (start->kind)
	{
		case SI_START_EARLIEST:
			return find_answer(context, partition, SI_OFFSET_BEGINNING, offset);
		case SI_START_LATEST:
			return find_answer(context, partition, SI_OFFSET_END, offset);
		case SI_START_TIMESTAMP:
			return find_answer(context, partition, start->value, offset);
		case SI_START_OFFSET:
			*offset = start->value;
			return true;
	}
	return false;
}

static void
record_gap(const Context *context, int32 partition, int64 from, int64 to, const char *reason)
{
	si_catalog_add_gap(context->subscription->id, context->subscription->topic, partition,
					   from, to, reason);
}

/*
 * Lock and move a row.  A gap of messages that the broker no longer had is
 * counted; a seek is not.
 */
static SiPositionEnd
move_row(const Context *context, SiProgress *row, int64 offset, int64 lost)
{
	if (!si_progress_lock(context->key, &row, 1, true) ||
		!si_progress_move(context->key, row, offset, lost, context->info->cluster_id,
						  context->info->topic_id))
		return SI_POSITION_FENCED;
	return SI_POSITION_READY;
}

/* What is to become of a partition. */
typedef enum Verdict
{
	GOES_ON,					/* as stored */
	BEGINS,						/* it has no row yet */
	SEEKS,
	OTHER_LOG,					/* begins at the log's beginning, once adopted */
	HAS_GAP,					/* goes on there, once the gap is accepted */
	NO_ANSWER,
	OUT_OF_RANGE				/* begins or seeks where there is nothing */
} Verdict;

typedef struct Judgement
{
	Verdict		verdict;
	int64		offset;			/* where it goes on */
	const char *why;			/* of OTHER_LOG: what has happened */
	char	   *reason;			/* why the subscription would stop */
} Judgement;

/*
 * A position as a number.  One given as an offset must be one that the broker
 * has (or its end), if checked.
 */
static void
judge_position(const Context *context, int32 partition, const SiStart *start, bool checked,
			   int64 low, int64 high, Judgement *judgement)
{
	if (!resolve_position(context, partition, start, &judgement->offset))
		judgement->verdict = NO_ANSWER;
	else if (checked && (judgement->offset < low || judgement->offset > high))
	{
		judgement->verdict = OUT_OF_RANGE;
		judgement->reason =
			psprintf("offset " INT64_FORMAT " of topic \"%s\", partition %d does not exist: the broker has "
					 INT64_FORMAT " to " INT64_FORMAT,
					 judgement->offset, context->subscription->topic, partition, low, high);
	}
}

/* Does the offset belong to another log than the brokers have now? */
static const char *
another_log(const Context *context, const SiProgress *row, int64 high)
{
	const SiTopicInfo *info = context->info;

	if (row->cluster_id[0] && info->cluster_id[0] &&
		strcmp(row->cluster_id, info->cluster_id) != 0)
		return "another cluster";
	if (row->topic_id[0] && info->topic_id[0] && strcmp(row->topic_id, info->topic_id) != 0)
		return "topic recreated";
	if (row->next_offset > high)
		return "log truncated or topic recreated";
	return NULL;
}

/*
 * Has the row moved since the question was asked?  Then another worker is
 * reading that partition, and the answer says nothing about its offset.
 */
static bool
moved_since(const Context *context, const SiProgress *row)
{
	SiProgress *before = find_row(context->answered->rows, context->answered->nrows,
								  row->partition);

	return before == NULL || before->next_offset != row->next_offset;
}

/*
 * Has the partition come to where the run ends?  Then it is not read, and what
 * became of its log is the next run's to find.  Who foresees looks beyond.
 */
static bool
run_is_over(const Context *context, const SiProgress *row)
{
	return context->key != NULL && si_progress_stopped(row);
}

/* A partition that has a row, and no seek pending. */
static void
judge_stored(const Context *context, const SiProgress *row, int64 low, int64 high,
			 Judgement *judgement)
{
	const char *topic = context->subscription->topic;

	judgement->offset = row->next_offset;
	if (moved_since(context, row) || run_is_over(context, row))
		return;
	judgement->why = another_log(context, row, high);
	if (judgement->why != NULL)
	{
		judgement->verdict = OTHER_LOG;
		judgement->offset = low;
		judgement->reason =
			psprintf("%s: topic \"%s\", partition %d no longer holds the log that offset "
					 INT64_FORMAT " belongs to; enable the subscription to begin with the new one",
					 judgement->why, topic, row->partition, row->next_offset);
	}
	else if (row->next_offset < low)
	{
		judgement->verdict = HAS_GAP;
		judgement->offset = low;
		judgement->reason =
			psprintf("messages " INT64_FORMAT " to " INT64_FORMAT " of topic \"%s\", partition %d "
					 "were deleted at the broker before they were read; enable the subscription to go on behind them",
					 row->next_offset, low - 1, topic, row->partition);
	}
}

/* A partition that the topic has; row is NULL if there is none. */
static Judgement
judge(const Context *context, const SiProgress *row, int32 partition)
{
	Judgement	judgement = {GOES_ON};
	SiStart		start;
	int64		low,
				high;

	if (!find_answer(context, partition, SI_OFFSET_BEGINNING, &low) ||
		!find_answer(context, partition, SI_OFFSET_END, &high))
		judgement.verdict = NO_ANSWER;
	else if (wanted_position(context->subscription, context->options, row, partition, &start))
	{
		bool		checked = row != NULL ||
			(start.kind == SI_START_OFFSET &&
			 known_at_first_contact(context->subscription, partition));

		judgement.verdict = row == NULL ? BEGINS : SEEKS;
		judge_position(context, partition, &start, checked, low, high, &judgement);
	}
	else
		judge_stored(context, row, low, high, &judgement);
	return judgement;
}

/* What was dead of the log that a partition leaves is not met again. */
static void
leave_log(const Context *context, int32 partition)
{
	si_dead_letter_leave_log(context->subscription->id, context->subscription->topic, partition);
}

static SiPositionEnd
carry_out_seek(const Context *context, SiProgress *row, int64 offset)
{
	int64		high;

	if (find_answer(context, row->partition, SI_OFFSET_END, &high) &&
		another_log(context, row, high) != NULL)
		leave_log(context, row->partition);
	if (offset > row->next_offset)
		record_gap(context, row->partition, row->next_offset, offset, "seek");
	return move_row(context, row, offset, 0);
}

static SiPositionEnd
adopt_log(const Context *context, SiProgress *row, const Judgement *judgement)
{
	record_gap(context, row->partition, row->next_offset, -1, judgement->why);
	if (!context->subscription->adopt_log)
		return SI_POSITION_GAP;
	leave_log(context, row->partition);
	return move_row(context, row, judgement->offset, 0);
}

/* Is a gap passed over without anybody being asked? */
static bool
gap_accepted(const Context *context)
{
	return context->subscription->adopt_log || context->options->on_gap == SI_ON_GAP_CONTINUE;
}

static SiPositionEnd
pass_gap(const Context *context, SiProgress *row, int64 low)
{
	record_gap(context, row->partition, row->next_offset, low, "deleted at the broker");
	if (gap_accepted(context))
		return move_row(context, row, low, low - row->next_offset);
	return SI_POSITION_GAP;
}

static SiPositionEnd
resolve_partition(const Context *context, SiProgress *row, int32 partition)
{
	Judgement	judgement = judge(context, row, partition);

	*context->reason = judgement.reason;
	switch (judgement.verdict)
	{
		case GOES_ON:
			break;
		case BEGINS:
			si_progress_insert(context->key, partition, judgement.offset,
							   context->info->cluster_id, context->info->topic_id);
			break;
		case SEEKS:
			return carry_out_seek(context, row, judgement.offset);
		case OTHER_LOG:
			return adopt_log(context, row, &judgement);
		case HAS_GAP:
			return pass_gap(context, row, judgement.offset);
		case NO_ANSWER:
			return SI_POSITION_AGAIN;
		case OUT_OF_RANGE:
			return SI_POSITION_STOP;
	}
	return SI_POSITION_READY;
}

/*
 * A row of a partition that the topic does not have: it was made anew with
 * fewer.  The row stays, for its counts; at offset 0 it misses nothing, and
 * fits should the topic grow again.
 */
static char *
partition_gone(const Context *context, const SiProgress *row)
{
	if (row->seek_position == NULL && (row->next_offset == 0 || run_is_over(context, row)))
		return NULL;
	return psprintf("topic recreated: topic \"%s\" has no partition %d any more, of which offset "
					INT64_FORMAT " was next: it has %d; enable the subscription to go on without it",
					context->subscription->topic, row->partition, row->next_offset,
					context->info->partitions);
}

static SiPositionEnd
check_partition_exists(const Context *context, SiProgress *row)
{
	*context->reason = partition_gone(context, row);
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
 * it, one that enable() does not mend comes before those that it does.
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
run_has_stops(const Context *context, const SiProgress *rows, int nrows)
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
find_stop(const Context *context, int32 partition, bool late, int64 *offset)
{
	SiStart		stop = si_options_stop(context->options, partition);

	if (late || partition >= context->info->partitions)
	{
		*offset = 0;
		return SI_POSITION_READY;
	}
	return resolve_position(context, partition, &stop, offset)
		? SI_POSITION_READY : SI_POSITION_AGAIN;
}

/*
 * Does what a row has as the end of its run say nothing any more?  A seek that
 * leads to another log (any other way there is a new run).
 */
static bool
stop_is_void(const Context *context, const SiProgress *row)
{
	int64		high;

	return row->seek_position != NULL &&
		find_answer(context, row->partition, SI_OFFSET_END, &high) &&
		another_log(context, row, high) != NULL;
}

/* A partition that is named must be there. */
static SiPositionEnd
check_stops_exist(const Context *context)
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
set_stops(const Context *context, SiProgress *rows, int nrows, int32 npartitions)
{
	bool		begun = run_has_stops(context, rows, nrows);
	SiPositionEnd end = check_stops_exist(context);

	for (int32 p = 0; p < npartitions && end == SI_POSITION_READY; p++)
	{
		SiProgress *row = find_row(rows, nrows, p);
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
	Context		context = {subscription, options, key, info, answered, &this_reason};
	SiPositionEnd end = SI_POSITION_READY;
	SiProgress *rows;
	int			nrows;
	int32		npartitions = info->partitions;

	if (!si_catalog_hold(subscription->id, subscription->epoch))
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
		SiProgress *row = find_row(rows, nrows, p);
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

/* Where one partition would go on; a reason to stop is told of. */
static SiPositionEnd
foresee_partition(const Context *context, const SiProgress *row, int32 partition, int64 *offset)
{
	Judgement	judgement = judge(context, row, partition);
	bool		told = false;

	*context->reason = judgement.reason;
	*offset = judgement.offset;
	switch (judgement.verdict)
	{
		case NO_ANSWER:
			return SI_POSITION_AGAIN;
		case OUT_OF_RANGE:
			return SI_POSITION_STOP;
		case OTHER_LOG:
			told = !context->subscription->adopt_log;
			break;
		case HAS_GAP:
			told = !gap_accepted(context);
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
	Context		context = {subscription, options, NULL, info, answered, &this_reason};
	SiPositionEnd end = SI_POSITION_READY;

	for (int32 p = 0; p < info->partitions; p++)
	{
		SiPositionEnd this_end;

		offsets[p] = -1;
		if (!si_options_takes(options, p))
			continue;
		this_end = foresee_partition(&context, find_row(answered->rows, answered->nrows, p), p,
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
		*reason = partition_gone(&context, row);
		if (*reason != NULL)
			end = SI_POSITION_GAP;
	}
	return end;
}
