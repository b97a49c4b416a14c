/*-------------------------------------------------------------------------
 *
 * look.c
 *	  Looking at a cluster from an ordinary session: its topics, and messages
 *	  of one.
 *
 * Messages are looked for in rounds.  Each partition has a window of offsets
 * that grows from the end (looking for the newest) or from the beginning
 * (else).  After each round only the best messages are kept, and another round
 * follows for the partitions that may still have better ones.  So a topic of
 * many partitions is not read through, and holes (compaction, transactions) do
 * no harm.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "functions/look.h"
#include "functions/visit.h"

/* Messages taken from the library at a time. */
#define CHUNK				100

/* The least offsets of a partition's first window. */
#define LEAST_WINDOW		10

/* A partition while it is looked at. */
typedef struct LookedPartition
{
	int32		partition;
	int64		low;			/* what there is to be read */
	int64		high;
	int64		from;			/* the window that is, or was last, read */
	int64		until;
	int64		width;
	bool		reading;
	bool		any;			/* did the window have a message? */
	int64		edge;			/* timestamp of its last in our direction */
} LookedPartition;

typedef struct Look
{
	SiVisit    *visit;
	const SiStart *position;
	bool		backwards;
	int			max_messages;
	int64		max_bytes;
	int			npartitions;
	LookedPartition *partitions;
	int			nreading;
	SiMessageList list;			/* what is collected */
} Look;

/* Which offsets of each partition are to be looked at. */
static void
find_bounds(Look *look)
{
	int			n = look->npartitions;
	SiOffsetQuery *queries = palloc0(sizeof(SiOffsetQuery) * 2 * n);

	for (int i = 0; i < n; i++)
	{
		queries[i].partition = queries[n + i].partition = i;
		queries[i].at = look->position->kind == SI_START_TIMESTAMP ?
			look->position->value : SI_OFFSET_BEGINNING;
		queries[n + i].at = SI_OFFSET_END;
	}
	si_visit_ask_offsets(look->visit, queries, 2 * n);

	look->partitions = palloc0(sizeof(LookedPartition) * n);
	for (int i = 0; i < n; i++)
	{
		LookedPartition *p = &look->partitions[i];

		p->partition = i;
		p->low = queries[i].offset;
		p->high = Max(queries[n + i].offset, p->low);
		/* nothing has been read yet */
		p->from = p->until = look->backwards ? p->high : p->low;
		p->width = Min(look->max_messages,
					   Max(LEAST_WINDOW, 2 * (int64) (look->max_messages / n)));
	}
	pfree(queries);
}

/* ---- collecting ---- */

static void
stop_reading(Look *look, LookedPartition *p)
{
	si_consumer_unassign(look->visit->consumer, &p->partition, 1);
	p->reading = false;
	look->nreading--;
}

static void
take_message(Look *look, LookedPartition *p, const SiMessage *message)
{
	if (message->offset >= p->from && message->offset < p->until)
	{
		si_visit_keep(&look->list, message);
		if (!p->any || !look->backwards)
			p->edge = message->timestamp;
		p->any = true;
	}
	if (message->offset >= p->until - 1)
		stop_reading(look, p);
}

static void
take_item(Look *look, const SiFetched *item)
{
	LookedPartition *p;

	if (item->message.partition < 0 || item->message.partition >= look->npartitions)
		return;
	p = &look->partitions[item->message.partition];
	if (!p->reading)
		return;					/* it was queued before we had enough */
	switch (item->kind)
	{
		case SI_FETCH_MESSAGE:
			take_message(look, p, &item->message);
			break;
		case SI_FETCH_CORRUPT:
			si_visit_warn_corrupt(look->visit, item);
			stop_reading(look, p);
			break;
		case SI_FETCH_END:
		case SI_FETCH_OUT_OF_RANGE:
			/* there is no more, or it is gone meanwhile */
			stop_reading(look, p);
			break;
		case SI_FETCH_ERROR:
			strlcpy(look->visit->words, item->error, sizeof(look->visit->words));
			return;
	}
	si_visit_hear(look->visit);
}

/* Read all windows. */
static void
read_windows(Look *look)
{
	SiFetched	items[CHUNK];

	while (look->nreading > 0)
	{
		int			n = si_consumer_fetch(look->visit->consumer, items, CHUNK);

		for (int i = 0; i < n; i++)
			take_item(look, &items[i]);
		si_consumer_release(look->visit->consumer, items, n);
		if (n == 0)
			si_visit_wait(look->visit);
		else
			CHECK_FOR_INTERRUPTS();
		if (look->max_bytes > 0 && look->list.bytes >= look->max_bytes)
			break;
	}
}

/* ---- choosing ---- */

static int
compare_messages(const void *a, const void *b)
{
	const SiMessage *x = a;
	const SiMessage *y = b;

	if (x->timestamp != y->timestamp)
		return x->timestamp < y->timestamp ? -1 : 1;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sort, and keep the best. */
static void
choose_messages(Look *look)
{
	int			excess = look->list.n - look->max_messages;
	int			first = look->backwards ? 0 : look->max_messages;

	if (look->list.n > 1)
		qsort(look->list.messages, look->list.n, sizeof(SiMessage), compare_messages);
	if (excess <= 0)
		return;
	for (int i = first; i < first + excess; i++)
		pfree(look->list.messages[i].handle);
	if (look->backwards)
		memmove(look->list.messages, look->list.messages + excess,
				sizeof(SiMessage) * look->max_messages);
	look->list.n = look->max_messages;
}

/* May there be better messages beyond this partition's window? */
static bool
may_have_better(const Look *look, const LookedPartition *p)
{
	if (look->backwards ? p->from <= p->low : p->until >= p->high)
		return false;			/* there are none */
	if (!p->any || look->list.n < look->max_messages)
		return true;
	return look->backwards ? p->edge >= look->list.messages[0].timestamp :
		p->edge <= look->list.messages[look->list.n - 1].timestamp;
}

/* Move the window on, and have it fetched. */
static void
open_window(Look *look, LookedPartition *p)
{
	int64		width = Min(p->width, p->high - p->low);

	if (look->backwards)
	{
		p->until = p->from;
		p->from = Max(p->until - width, p->low);
	}
	else
	{
		p->from = p->until;
		p->until = Min(p->from + width, p->high);
	}
	p->width = width * 2;
	p->any = false;
	p->reading = true;
	look->nreading++;
	si_consumer_assign(look->visit->consumer, &p->partition, &p->from, NULL, 1);
}

/* ---- looks ---- */

static void
look_at_messages(SiVisit *visit, void *arg)
{
	Look	   *look = arg;
	SiTopicInfo info;

	look->visit = visit;
	si_visit_ask_topic(visit, &info);
	look->npartitions = info.partitions;
	find_bounds(look);
	for (;;)
	{
		for (int i = 0; i < look->npartitions; i++)
		{
			if (may_have_better(look, &look->partitions[i]))
				open_window(look, &look->partitions[i]);
		}
		if (look->nreading == 0)
			break;
		si_visit_hear(visit);
		read_windows(look);
		choose_messages(look);
		if (look->nreading > 0)
			break;				/* enough bytes */
	}
}

SiMessage *
si_look_messages(const char *server, const char *topic, const SiStart *position,
				 int max_messages, int64 max_bytes, int *n)
{
	Look		look = {0};

	look.position = position;
	look.backwards = position->kind == SI_START_LATEST;
	look.max_messages = max_messages;
	look.max_bytes = max_bytes;
	look.list.context = CurrentMemoryContext;
	look.list.most = SI_VISIT_MOST_BYTES;
	si_visit(server, topic, GetUserId(), NULL, 0, look_at_messages, &look);
	*n = look.list.n;
	return look.list.messages;
}

static void
look_at_topics(SiVisit *visit, void *arg)
{
	SiTopicList *copy = arg;
	const SiTopicList *list;

	for (;;)
	{
		si_consumer_ask_topics(visit->consumer);
		while ((list = si_consumer_topics_answer(visit->consumer)) == NULL)
			si_visit_wait(visit);
		if (list->valid)
			break;
		si_visit_heed(visit, &list->trouble);
		si_visit_wait_a_slice(visit);
	}
	copy->n = list->n;
	copy->topics = palloc(sizeof(SiTopicName) * Max(list->n, 1));
	memcpy(copy->topics, list->topics, sizeof(SiTopicName) * list->n);
}

static int
compare_topics(const void *a, const void *b)
{
	return strcmp(((const SiTopicName *) a)->name, ((const SiTopicName *) b)->name);
}

SiTopicName *
si_look_topics(const char *server, int *n)
{
	SiTopicList list = {0};

	si_visit(server, NULL, GetUserId(), NULL, 0, look_at_topics, &list);
	if (list.n > 1)
		qsort(list.topics, list.n, sizeof(SiTopicName), compare_topics);
	*n = list.n;
	return list.topics;
}
