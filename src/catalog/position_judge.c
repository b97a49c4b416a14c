/*-------------------------------------------------------------------------
 *
 * position_judge.c
 *	  What is to become of a partition.
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
 * Nothing here changes anything: position.c carries out the verdict.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/position_judge.h"

SiProgress *
si_position_row(SiProgress *rows, int n, int32 partition)
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

bool
si_position_wanted(const SiSubscription *subscription, const SiOptions *options,
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

bool
si_position_answer(const SiPositionContext *context, int32 partition, int64 at, int64 *offset)
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

bool
si_position_number(const SiPositionContext *context, int32 partition, const SiStart *start, int64 *offset)
{
	switch (start->kind)
	{
		case SI_START_EARLIEST:
			return si_position_answer(context, partition, SI_OFFSET_BEGINNING, offset);
		case SI_START_LATEST:
			return si_position_answer(context, partition, SI_OFFSET_END, offset);
		case SI_START_TIMESTAMP:
			return si_position_answer(context, partition, start->value, offset);
		case SI_START_OFFSET:
			*offset = start->value;
			return true;
	}
	return false;
}

/*
 * A position as a number.  One given as an offset must be one that the broker
 * has (or its end), if checked.
 */
static void
judge_position(const SiPositionContext *context, int32 partition, const SiStart *start, bool checked,
			   int64 low, int64 high, SiJudgement *judgement)
{
	if (!si_position_number(context, partition, start, &judgement->offset))
		judgement->verdict = SI_NO_ANSWER;
	else if (checked && (judgement->offset < low || judgement->offset > high))
	{
		judgement->verdict = SI_OUT_OF_RANGE;
		judgement->reason =
			psprintf("offset " INT64_FORMAT " of topic \"%s\", partition %d does not exist: the broker has "
					 INT64_FORMAT " to " INT64_FORMAT,
					 judgement->offset, context->subscription->topic, partition, low, high);
	}
}

const char *
si_position_another_topic(const SiProgress *row, const SiTopicInfo *info)
{
	if (row->cluster_id[0] && info->cluster_id[0] &&
		strcmp(row->cluster_id, info->cluster_id) != 0)
		return "another cluster";
	if (row->topic_id[0] && info->topic_id[0] && strcmp(row->topic_id, info->topic_id) != 0)
		return "topic recreated";
	return NULL;
}

const char *
si_position_another_log(const SiPositionContext *context, const SiProgress *row, int64 high)
{
	const char *why = si_position_another_topic(row, context->info);

	if (why == NULL && row->next_offset > high)
		why = "log truncated or topic recreated";
	return why;
}

/*
 * Has the row moved since the question was asked?  Then another worker is
 * reading that partition, and the answer says nothing about its offset.
 */
static bool
moved_since(const SiPositionContext *context, const SiProgress *row)
{
	SiProgress *before = si_position_row(context->answered->rows, context->answered->nrows,
										 row->partition);

	return before == NULL || before->next_offset != row->next_offset;
}

/*
 * Has the partition come to where the run ends?  Then it is not read, and what
 * became of its log is the next run's to find.  Who foresees looks beyond.
 */
static bool
run_is_over(const SiPositionContext *context, const SiProgress *row)
{
	return context->key != NULL && si_progress_stopped(row);
}

/* A partition that has a row, and no seek pending. */
static void
judge_stored(const SiPositionContext *context, const SiProgress *row, int64 low, int64 high,
			 SiJudgement *judgement)
{
	const char *topic = context->subscription->topic;

	judgement->offset = row->next_offset;
	if (moved_since(context, row) || run_is_over(context, row))
		return;
	judgement->why = si_position_another_log(context, row, high);
	if (judgement->why != NULL)
	{
		judgement->verdict = SI_OTHER_LOG;
		judgement->offset = low;
		judgement->reason =
			psprintf("%s: topic \"%s\", partition %d no longer holds the log that offset "
					 INT64_FORMAT " belongs to; enable the subscription to begin with the new one",
					 judgement->why, topic, row->partition, row->next_offset);
	}
	else if (row->next_offset < low)
	{
		judgement->verdict = SI_HAS_GAP;
		judgement->offset = low;
		judgement->reason =
			psprintf("messages " INT64_FORMAT " to " INT64_FORMAT " of topic \"%s\", partition %d "
					 "were deleted at the broker before they were read; enable the subscription to continue after them",
					 row->next_offset, low - 1, topic, row->partition);
	}
}

SiJudgement
si_position_judge(const SiPositionContext *context, const SiProgress *row, int32 partition)
{
	SiJudgement judgement = {SI_RESUMES};
	SiStart		start;
	int64		low,
				high;

	if (!si_position_answer(context, partition, SI_OFFSET_BEGINNING, &low) ||
		!si_position_answer(context, partition, SI_OFFSET_END, &high))
		judgement.verdict = SI_NO_ANSWER;
	else if (si_position_wanted(context->subscription, context->options, row, partition, &start))
	{
		bool		checked = row != NULL ||
			(start.kind == SI_START_OFFSET &&
			 known_at_first_contact(context->subscription, partition));

		judgement.verdict = row == NULL ? SI_BEGINS : SI_SEEKS;
		judge_position(context, partition, &start, checked, low, high, &judgement);
	}
	else
		judge_stored(context, row, low, high, &judgement);
	return judgement;
}

bool
si_position_gap_accepted(const SiPositionContext *context)
{
	return context->subscription->adopt_log || context->options->on_gap == SI_ON_GAP_CONTINUE;
}

char *
si_position_gone(const SiPositionContext *context, const SiProgress *row)
{
	if (row->seek_position == NULL && (row->next_offset == 0 || run_is_over(context, row)))
		return NULL;
	return psprintf("topic recreated: topic \"%s\" has no partition %d any more, of which offset "
					INT64_FORMAT " was next: it has %d; enable the subscription to continue without it",
					context->subscription->topic, row->partition, row->next_offset,
					context->info->partitions);
}
