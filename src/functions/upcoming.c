/*-------------------------------------------------------------------------
 *
 * upcoming.c
 *	  The next messages of a subscription.
 *
 * Where each partition resumes is worked out from the stored progress and what
 * the brokers have, as a worker does it; topic_reader reads the messages.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/position.h"
#include "functions/topic_reader.h"
#include "functions/upcoming.h"

/* What read_messages is given. */
typedef struct Reading
{
	const SiSubscription *subscription;
	const SiOptions *options;
	int			max_messages;
	SiUpcoming *upcoming;
} Reading;

/* ---- where to read ---- */

/* The answer about a partition: where it begins or ends. */
static int64
find_answer(const SiPositionQuestions *answered, int32 partition, int64 at)
{
	for (int i = 0; i < answered->nqueries; i++)
	{
		const SiOffsetQuery *query = &answered->queries[i];

		if (query->partition == partition && query->at == at)
			return query->offset;
	}
	return 0;
}

/* Refuse a subscription that has no next offset, and report a gap before it. */
static void
report_end(const SiSubscription *subscription, SiPositionEnd end, const char *reason)
{
	const char *name = NameStr(subscription->name);

	if (end == SI_POSITION_STOP)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("subscription \"%s\" has no next messages: %s", name, reason),
				 errhint("Use stream_ingest.seek with an offset that the broker has.")));
	if (end == SI_POSITION_GAP)
		ereport(NOTICE,
				(errmsg("subscription \"%s\" would stop here: %s", name, reason)));
}

/*
 * The offsets of each partition that the subscription would read next, as of
 * now; none of a partition that is not the subscription's.
 */
static SiOffsetRange *
find_ranges(const Reading *reading, SiConnection *connection, int *nranges)
{
	const SiSubscription *s = reading->subscription;
	SiTopicInfo info;
	SiPositionQuestions *questions;
	SiPositionEnd end;
	SiOffsetRange *ranges;
	int64	   *offsets;
	char	   *reason = NULL;

	si_connection_ask_topic(connection, &info);
	questions = si_position_questions(s, reading->options, &info);
	offsets = palloc(sizeof(int64) * info.partitions);
	do
	{
		if (questions->nqueries > 0)
			si_connection_ask_offsets(connection, questions->queries, questions->nqueries);
		end = si_position_foresee(s, reading->options, &info, questions, offsets, &reason);
	} while (end == SI_POSITION_AGAIN);
	report_end(s, end, reason);

	reading->upcoming->rows = questions->rows;
	reading->upcoming->nrows = questions->nrows;
	ranges = palloc0(sizeof(SiOffsetRange) * info.partitions);
	for (int32 p = 0; p < info.partitions; p++)
	{
		if (offsets[p] < 0)
			continue;			/* it is not the subscription's */
		ranges[p].next = Max(offsets[p], find_answer(questions, p, SI_OFFSET_BEGINNING));
		ranges[p].until = find_answer(questions, p, SI_OFFSET_END);
	}
	*nranges = info.partitions;
	return ranges;
}

/* ---- reading ---- */

/* Find out where the partitions resume, and read from there. */
static void
read_messages(SiConnection *connection, void *arg)
{
	Reading    *reading = arg;
	SiUpcoming *upcoming = reading->upcoming;
	SiOffsetRange *ranges;
	int			nranges;

	ranges = find_ranges(reading, connection, &nranges);
	upcoming->messages = si_topic_reader_by_offset(connection, ranges, nranges,
												   reading->max_messages,
												   reading->options->max_message_bytes,
												   &upcoming->nmessages);
}

void
si_upcoming_read(const SiSubscription *subscription, const SiOptions *options,
				 int max_messages, SiUpcoming *upcoming)
{
	Reading		reading = {subscription, options, max_messages, upcoming};

	memset(upcoming, 0, sizeof(SiUpcoming));
	si_connection_run(subscription->server, subscription->topic, subscription->owner,
					  options->properties, options->nproperties, read_messages, &reading);
}

/* ---- what a worker does with them ---- */

bool
si_upcoming_passed(const SiUpcoming *upcoming, const SiMessage *message,
				   SiProgress *now, int nnow)
{
	const SiProgress *before = si_position_row(upcoming->rows, upcoming->nrows, message->partition);
	const SiProgress *after = si_position_row(now, nnow, message->partition);

	/* a row that has not moved may be about to go back (seek) */
	if (after == NULL || (before != NULL && before->next_offset == after->next_offset))
		return false;
	return message->offset < after->next_offset;
}

bool
si_upcoming_skipped(const SiUpcoming *upcoming, const SiMessage *message)
{
	const SiProgress *row = si_position_row(upcoming->rows, upcoming->nrows, message->partition);

	for (int i = 0; row != NULL && i < row->nskips; i++)
	{
		if (row->skips[i] == message->offset)
			return true;
	}
	return false;
}
