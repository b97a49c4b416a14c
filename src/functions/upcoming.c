/*-------------------------------------------------------------------------
 *
 * upcoming.c
 *	  The next messages of a subscription.
 *
 * They are read in rounds.  In each, what is still wanted is dealt out evenly
 * among the partitions that may have more, and a partition is read until it
 * has given its share or has come to its end.  So each partition gives its next
 * messages without a hole, as the order of its messages wants it, and all of
 * them have their say.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "catalog/position.h"
#include "functions/upcoming.h"
#include "functions/visit.h"

/* Messages taken from the library at a time. */
#define CHUNK	100

typedef struct ReadPartition
{
	int32		partition;
	int64		next;			/* the next offset to be read */
	int64		high;			/* where it ended when it was asked */
	int			share;			/* messages still wanted in this round */
	bool		reading;
} ReadPartition;

typedef struct Reading
{
	SiVisit    *visit;
	const SiSubscription *subscription;
	const SiOptions *options;
	SiUpcoming *upcoming;
	int			max_messages;
	int			npartitions;	/* of the topic */
	ReadPartition *partitions;
	int			nreading;
	SiMessageList list;
} Reading;

/* ---- where ---- */

/* What was answered of a partition: its beginning or its end. */
static int64
answer_of(const SiPositionQuestions *answered, int32 partition, int64 at)
{
	for (int i = 0; i < answered->nqueries; i++)
	{
		const SiOffsetQuery *query = &answered->queries[i];

		if (query->partition == partition && query->at == at)
			return query->offset;
	}
	return 0;
}

/* A place to read from is needed; a gap before it is worth telling of. */
static void
heed_end(const Reading *reading, SiPositionEnd end, const char *reason)
{
	const char *name = NameStr(reading->subscription->name);

	if (end == SI_POSITION_STOP)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("subscription \"%s\" has no next messages: %s", name, reason),
				 errhint("Use stream_ingest.seek with an offset that the broker has.")));
	if (end == SI_POSITION_GAP)
		ereport(NOTICE,
				(errmsg("subscription \"%s\" would stop here: %s", name, reason)));
}

/* Where each partition goes on, by what is stored and what the brokers say. */
static void
find_places(Reading *reading)
{
	const SiSubscription *s = reading->subscription;
	SiTopicInfo info;
	SiPositionQuestions *questions;
	SiPositionEnd end;
	int64	   *offsets;
	char	   *reason = NULL;

	si_visit_ask_topic(reading->visit, &info);
	questions = si_position_questions(s, reading->options, &info);
	offsets = palloc(sizeof(int64) * info.partitions);
	do
	{
		if (questions->nqueries > 0)
			si_visit_ask_offsets(reading->visit, questions->queries, questions->nqueries);
		end = si_position_foresee(s, reading->options, &info, questions, offsets, &reason);
	} while (end == SI_POSITION_AGAIN);
	heed_end(reading, end, reason);

	reading->upcoming->rows = questions->rows;
	reading->upcoming->nrows = questions->nrows;
	reading->npartitions = info.partitions;
	reading->partitions = palloc0(sizeof(ReadPartition) * info.partitions);
	for (int32 p = 0; p < info.partitions; p++)
	{
		ReadPartition *partition = &reading->partitions[p];

		partition->partition = p;
		if (offsets[p] < 0)
			continue;			/* it is not the subscription's */
		partition->next = Max(offsets[p], answer_of(questions, p, SI_OFFSET_BEGINNING));
		partition->high = answer_of(questions, p, SI_OFFSET_END);
	}
}

/* ---- reading ---- */

static void
stop_reading(Reading *reading, ReadPartition *p)
{
	si_consumer_unassign(reading->visit->consumer, &p->partition, 1);
	p->reading = false;
	reading->nreading--;
}

static void
take_message(Reading *reading, ReadPartition *p, const SiMessage *message)
{
	if (message->offset < p->next)
		return;
	if (message->offset < p->high)
	{
		si_visit_keep(&reading->list, message);
		p->share--;
	}
	p->next = message->offset + 1;
	if (p->share == 0 || p->next >= p->high)
		stop_reading(reading, p);
}

static void
take_item(Reading *reading, const SiFetched *item)
{
	ReadPartition *p;

	if (item->message.partition < 0 || item->message.partition >= reading->npartitions)
		return;
	p = &reading->partitions[item->message.partition];
	if (!p->reading)
		return;					/* it was queued before we had enough */
	switch (item->kind)
	{
		case SI_FETCH_MESSAGE:
			take_message(reading, p, &item->message);
			break;
		case SI_FETCH_CORRUPT:
			si_visit_warn_corrupt(reading->visit, item);
			p->next = p->high;
			stop_reading(reading, p);
			break;
		case SI_FETCH_END:
		case SI_FETCH_OUT_OF_RANGE:
			/* there is no more, or it is gone meanwhile */
			p->next = p->high;
			stop_reading(reading, p);
			break;
		case SI_FETCH_ERROR:
			strlcpy(reading->visit->words, item->error, sizeof(reading->visit->words));
			return;
	}
	si_visit_hear(reading->visit);
}

/* Deal out what is still wanted.  False if that is nothing. */
static bool
begin_round(Reading *reading)
{
	int			wanted = reading->max_messages - reading->list.n;
	int			nactive = 0;

	for (int i = 0; i < reading->npartitions; i++)
		nactive += (reading->partitions[i].next < reading->partitions[i].high);
	for (int i = 0; i < reading->npartitions && wanted > 0; i++)
	{
		ReadPartition *p = &reading->partitions[i];

		if (p->next >= p->high)
			continue;
		p->share = ((int64) wanted + nactive - 1) / nactive;
		wanted -= p->share;
		nactive--;
		p->reading = true;
		reading->nreading++;
		si_consumer_assign(reading->visit->consumer, &p->partition, &p->next, NULL, 1);
	}
	return reading->nreading > 0;
}

static void
read_messages(SiVisit *visit, void *arg)
{
	Reading    *reading = arg;
	SiFetched	items[CHUNK];

	reading->visit = visit;
	find_places(reading);
	while (begin_round(reading))
	{
		si_visit_hear(visit);
		while (reading->nreading > 0)
		{
			int			n = si_consumer_fetch(visit->consumer, items, CHUNK);

			for (int i = 0; i < n; i++)
				take_item(reading, &items[i]);
			si_consumer_release(visit->consumer, items, n);
			if (n == 0)
				si_visit_wait(visit);
			else
				CHECK_FOR_INTERRUPTS();
		}
	}
}

static int
compare_messages(const void *a, const void *b)
{
	const SiMessage *x = a;
	const SiMessage *y = b;

	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void
si_upcoming_read(const SiSubscription *subscription, const SiOptions *options,
				 int max_messages, SiUpcoming *upcoming)
{
	Reading		reading = {0};

	memset(upcoming, 0, sizeof(SiUpcoming));
	reading.subscription = subscription;
	reading.options = options;
	reading.upcoming = upcoming;
	reading.max_messages = max_messages;
	reading.list.context = CurrentMemoryContext;
	reading.list.most = options->max_message_bytes;
	si_visit(subscription->server, subscription->topic, subscription->owner,
			 options->properties, options->nproperties, read_messages, &reading);
	upcoming->messages = reading.list.messages;
	upcoming->nmessages = reading.list.n;
	if (upcoming->nmessages > 1)
		qsort(upcoming->messages, upcoming->nmessages, sizeof(SiMessage), compare_messages);
}

/* ---- what became of them ---- */

static const SiProgress *
find_row(const SiProgress *rows, int n, int32 partition)
{
	for (int i = 0; i < n; i++)
	{
		if (rows[i].partition == partition)
			return &rows[i];
	}
	return NULL;
}

bool
si_upcoming_passed(const SiUpcoming *upcoming, const SiMessage *message,
				   const SiProgress *now, int nnow)
{
	const SiProgress *before = find_row(upcoming->rows, upcoming->nrows, message->partition);
	const SiProgress *after = find_row(now, nnow, message->partition);

	/* a row that has not moved may be about to go back (seek) */
	if (after == NULL || (before != NULL && before->next_offset == after->next_offset))
		return false;
	return message->offset < after->next_offset;
}

bool
si_upcoming_skipped(const SiUpcoming *upcoming, const SiMessage *message)
{
	const SiProgress *row = find_row(upcoming->rows, upcoming->nrows, message->partition);

	for (int i = 0; row != NULL && i < row->nskips; i++)
	{
		if (row->skips[i] == message->offset)
			return true;
	}
	return false;
}
