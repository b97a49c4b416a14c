/*-------------------------------------------------------------------------
 *
 * topic_reader.c
 *	  Reading the topics of a cluster, and messages of one topic, in a backend.
 *
 * Messages are read in rounds, and a round reads one range of offsets of each
 * partition that still matters.  There are two ways to choose the ranges:
 *
 * By time: each partition has a window of offsets that grows from the end
 * (looking for the newest) or from the beginning (else).  After each round only
 * the best messages are kept, and another round follows for the partitions that
 * may still have better ones.  So a topic of many partitions is not read
 * through, and holes (compaction, transactions) do no harm.
 *
 * By offset: each round deals out evenly, among the partitions that may have
 * more, how many messages are still wanted.  A partition is read until it has
 * given its share or has come to its end.  So each partition gives its first
 * messages without a hole, in their order.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "functions/topic_reader.h"

/* Messages taken from the library at a time. */
#define CHUNK				100

/* The least offsets of a partition's first window. */
#define LEAST_WINDOW		10

/* A message of more bytes is not for looking at. */
#define MOST_BYTES			(64 * 1024 * 1024)

/* No limit to the messages of a range. */
#define ALL_MESSAGES		PG_INT64_MAX

/* A partition, and the range of it that is, or was last, read. */
typedef struct ReadPartition
{
	SiOffsetRange range;
	int64		wanted;			/* messages still wanted of the range */
	bool		reading;
	bool		any;			/* did the range have a message? */
	int64		first_time;		/* timestamps of its first and last */
	int64		last_time;
} ReadPartition;

typedef struct Reader
{
	SiConnection *connection;
	int			npartitions;
	ReadPartition *partitions;
	int			nreading;
	int64		max_bytes;		/* 0: no limit */

	/* copies of messages, each one chunk of memory, which its handle is */
	SiMessage  *messages;
	int			n;
	int			room;
	int64		bytes;			/* of all that is kept */
	int64		most_bytes;		/* messages of more are reduced */
} Reader;

/* ---- collecting messages ---- */

/* A copy that is one chunk of memory, which its handle is. */
static void
copy_message(const SiMessage *from, SiMessage *to)
{
	int			nheaders = Max(from->nheaders, 0);
	Size		size = from->key_len + (from->value != NULL ? from->value_len : 0) +
		sizeof(SiHeader) * nheaders;
	SiHeader   *headers;
	char	   *p;

	for (int i = 0; i < nheaders; i++)
		size += strlen(from->headers[i].name) + 1 + from->headers[i].value_len;

	*to = *from;
	to->handle = headers = MemoryContextAllocHuge(CurrentMemoryContext, size + 1);
	to->headers = headers;
	p = (char *) (headers + nheaders);

#define KEEP(field, len) \
	do { if ((field) != NULL) { memcpy(p, (field), (len)); (field) = p; p += (len); } } while (0)

	KEEP(to->key, to->key_len);
	KEEP(to->value, to->value_len);
	for (int i = 0; i < nheaders; i++)
	{
		headers[i] = from->headers[i];
		KEEP(headers[i].name, strlen(headers[i].name) + 1);
		KEEP(headers[i].value, headers[i].value_len);
	}
#undef KEEP
}

/* Add a copy of a message, which the consumer will release. */
static void
add_message(Reader *reader, const SiMessage *message)
{
	SiMessage	reduced = *message;

	si_message_reduce(&reduced, reader->most_bytes);
	if (reader->n == reader->room)
	{
		reader->room = Max(2 * reader->room, 64);
		reader->messages = reader->messages == NULL ?
			palloc(sizeof(SiMessage) * reader->room) :
			repalloc_huge(reader->messages, sizeof(SiMessage) * (Size) reader->room);
	}
	copy_message(&reduced, &reader->messages[reader->n++]);
	reader->bytes += reduced.value != NULL ? si_message_size(&reduced) : reduced.key_len;
}

/* ---- reading ranges ---- */

/* Allocate the state of the topic's partitions, none of which is read yet. */
static void
init_partitions(Reader *reader, SiConnection *connection, int npartitions)
{
	reader->connection = connection;
	reader->npartitions = npartitions;
	reader->partitions = palloc0(sizeof(ReadPartition) * npartitions);
}

/* Have a range of a partition fetched. */
static void
start_reading(Reader *reader, int32 partition, SiOffsetRange range, int64 wanted)
{
	ReadPartition *p = &reader->partitions[partition];

	p->range = range;
	p->wanted = wanted;
	p->any = false;
	p->reading = true;
	reader->nreading++;
	si_consumer_assign(reader->connection->consumer, &partition, &range.next, NULL, 1);
}

/* The partition has given what was wanted of its range, or all that it can. */
static void
stop_reading(Reader *reader, int32 partition)
{
	si_consumer_unassign(reader->connection->consumer, &partition, 1);
	reader->partitions[partition].reading = false;
	reader->nreading--;
}

/* Take a message if it is of the partition's range. */
static void
take_message(Reader *reader, const SiMessage *message)
{
	ReadPartition *p = &reader->partitions[message->partition];

	if (message->offset < p->range.next)
		return;
	if (message->offset < p->range.until)
	{
		add_message(reader, message);
		p->wanted--;
		if (!p->any)
			p->first_time = message->timestamp;
		p->last_time = message->timestamp;
		p->any = true;
	}
	p->range.next = message->offset + 1;
	if (p->wanted == 0 || p->range.next >= p->range.until)
		stop_reading(reader, message->partition);
}

/* Nothing more can be read of this range. */
static void
end_range(Reader *reader, int32 partition)
{
	ReadPartition *p = &reader->partitions[partition];

	p->range.next = p->range.until;
	stop_reading(reader, partition);
}

/* Take what the consumer has fetched. */
static void
take_item(Reader *reader, const SiFetched *item)
{
	SiConnection *connection = reader->connection;
	int32		partition = item->message.partition;

	if (partition < 0 || partition >= reader->npartitions)
		return;
	if (!reader->partitions[partition].reading)
		return;					/* it was queued before we had enough */
	switch (item->kind)
	{
		case SI_FETCH_MESSAGE:
			take_message(reader, &item->message);
			break;
		case SI_FETCH_CORRUPT:
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("could not read partition %d of topic \"%s\" at offset %lld: %s",
							partition, connection->topic,
							(long long) item->message.offset, item->error)));
			end_range(reader, partition);
			break;
		case SI_FETCH_END:
		case SI_FETCH_OUT_OF_RANGE:
			/* there is no more, or retention has deleted it */
			end_range(reader, partition);
			break;
		case SI_FETCH_ERROR:
			strlcpy(connection->broker_error, item->error, sizeof(connection->broker_error));
			return;
	}
	si_connection_restart_timeout(connection);
}

/* Read what was started.  False if max_bytes ended it before. */
static bool
read_ranges(Reader *reader)
{
	SiConnection *connection = reader->connection;
	SiFetched	items[CHUNK];

	si_connection_restart_timeout(connection);
	while (reader->nreading > 0)
	{
		int			n = si_consumer_fetch(connection->consumer, items, CHUNK);

		for (int i = 0; i < n; i++)
			take_item(reader, &items[i]);
		for (int i = n - 1; i >= 0; i--)
			si_consumer_release(connection->consumer, &items[i].message);
		if (n == 0)
			si_connection_wait(connection);
		else
			CHECK_FOR_INTERRUPTS();
		if (reader->max_bytes > 0 && reader->bytes >= reader->max_bytes)
			break;
	}
	return reader->nreading == 0;
}

/* ---- by time ---- */

/* A partition's window of offsets, from which the next one moves on. */
typedef struct Window
{
	int64		low;			/* what there is to be read */
	int64		high;
	int64		from;			/* the window that is, or was last, read */
	int64		until;
	int64		width;
} Window;

typedef struct Search
{
	Reader		reader;
	const SiStart *position;
	bool		backwards;
	int			max_messages;
	Window	   *windows;		/* by partition */
} Search;

/* Ask which offsets of each partition there are to be read. */
static void
find_bounds(Search *search)
{
	int			n = search->reader.npartitions;
	SiOffsetQuery *queries = palloc0(sizeof(SiOffsetQuery) * 2 * n);

	for (int i = 0; i < n; i++)
	{
		queries[i].partition = queries[n + i].partition = i;
		queries[i].at = search->position->kind == SI_START_TIMESTAMP ?
			search->position->value : SI_OFFSET_BEGINNING;
		queries[n + i].at = SI_OFFSET_END;
	}
	si_connection_ask_offsets(search->reader.connection, queries, 2 * n);

	search->windows = palloc0(sizeof(Window) * n);
	for (int i = 0; i < n; i++)
	{
		Window	   *w = &search->windows[i];

		w->low = queries[i].offset;
		w->high = Max(queries[n + i].offset, w->low);
		/* nothing has been read yet */
		w->from = w->until = search->backwards ? w->high : w->low;
		w->width = Min(search->max_messages,
					   Max(LEAST_WINDOW, 2 * (int64) (search->max_messages / n)));
	}
	pfree(queries);
}

/* The order of timestamp, partition and offset. */
static int
compare_times(const void *a, const void *b)
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
choose_messages(Search *search)
{
	Reader	   *reader = &search->reader;
	int			excess = reader->n - search->max_messages;
	int			first = search->backwards ? 0 : search->max_messages;

	if (reader->n > 1)
		qsort(reader->messages, reader->n, sizeof(SiMessage), compare_times);
	if (excess <= 0)
		return;
	for (int i = first; i < first + excess; i++)
		pfree(reader->messages[i].handle);
	if (search->backwards)
		memmove(reader->messages, reader->messages + excess,
				sizeof(SiMessage) * search->max_messages);
	reader->n = search->max_messages;
}

/* May there be better messages beyond this partition's window? */
static bool
may_have_better(const Search *search, int32 partition)
{
	const Reader *reader = &search->reader;
	const ReadPartition *p = &reader->partitions[partition];
	const Window *w = &search->windows[partition];

	if (search->backwards ? w->from <= w->low : w->until >= w->high)
		return false;			/* there are none */
	if (!p->any || reader->n < search->max_messages)
		return true;
	return search->backwards ? p->first_time >= reader->messages[0].timestamp :
		p->last_time <= reader->messages[reader->n - 1].timestamp;
}

/* Move the window on, and have it fetched. */
static void
open_window(Search *search, int32 partition)
{
	Window	   *w = &search->windows[partition];
	int64		width = Min(w->width, w->high - w->low);
	SiOffsetRange range;

	if (search->backwards)
	{
		w->until = w->from;
		w->from = Max(w->until - width, w->low);
	}
	else
	{
		w->from = w->until;
		w->until = Min(w->from + width, w->high);
	}
	w->width = width * 2;
	range.next = w->from;
	range.until = w->until;
	start_reading(&search->reader, partition, range, ALL_MESSAGES);
}

/* Read in rounds until no partition can have better messages. */
static void
search_by_time(SiConnection *connection, void *arg)
{
	Search	   *search = arg;
	Reader	   *reader = &search->reader;
	SiTopicInfo info;
	bool		complete;

	si_connection_ask_topic(connection, &info);
	init_partitions(reader, connection, info.partitions);
	find_bounds(search);
	do
	{
		for (int32 i = 0; i < reader->npartitions; i++)
		{
			if (may_have_better(search, i))
				open_window(search, i);
		}
		if (reader->nreading == 0)
			break;
		complete = read_ranges(reader);
		choose_messages(search);
	} while (complete);
}

SiMessage *
si_topic_reader_by_time(const char *server, const char *topic, const SiStart *position,
						int max_messages, int64 max_bytes, int *n)
{
	Search		search = {0};

	search.position = position;
	search.backwards = position->kind == SI_START_LATEST;
	search.max_messages = max_messages;
	search.reader.max_bytes = max_bytes;
	search.reader.most_bytes = MOST_BYTES;
	si_connection_run(server, topic, GetUserId(), NULL, 0, search_by_time, &search);
	*n = search.reader.n;
	return search.reader.messages;
}

/* ---- by offset ---- */

/* Deal out how many messages are still wanted.  False if nothing is left. */
static bool
start_round(Reader *reader, int max_messages)
{
	int			wanted = max_messages - reader->n;
	int			nactive = 0;

	for (int i = 0; i < reader->npartitions; i++)
		nactive += (reader->partitions[i].range.next < reader->partitions[i].range.until);
	for (int32 i = 0; i < reader->npartitions && wanted > 0; i++)
	{
		SiOffsetRange range = reader->partitions[i].range;
		int			share;

		if (range.next >= range.until)
			continue;
		share = ((int64) wanted + nactive - 1) / nactive;
		wanted -= share;
		nactive--;
		start_reading(reader, i, range, share);
	}
	return reader->nreading > 0;
}

/* The order of partition and offset. */
static int
compare_offsets(const void *a, const void *b)
{
	const SiMessage *x = a;
	const SiMessage *y = b;

	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

SiMessage *
si_topic_reader_by_offset(SiConnection *connection, const SiOffsetRange *ranges, int nranges,
						  int max_messages, int64 most_bytes, int *n)
{
	Reader		reader = {0};

	init_partitions(&reader, connection, nranges);
	reader.most_bytes = most_bytes;
	for (int i = 0; i < nranges; i++)
		reader.partitions[i].range = ranges[i];
	while (start_round(&reader, max_messages))
		(void) read_ranges(&reader);
	if (reader.n > 1)
		qsort(reader.messages, reader.n, sizeof(SiMessage), compare_offsets);
	*n = reader.n;
	return reader.messages;
}

/* ---- topics ---- */

/* Ask for the cluster's topics until the answer is there, and copy it. */
static void
read_topics(SiConnection *connection, void *arg)
{
	SiTopicList *copy = arg;
	const SiTopicList *list;

	for (;;)
	{
		si_helper_ask_topics(connection->consumer->helper);
		while ((list = si_consumer_topics_answer(connection->consumer)) == NULL)
			si_connection_wait(connection);
		if (list->valid)
			break;
		si_connection_check_broker_error(connection, &list->broker_error);
		si_connection_pause(connection);
	}
	copy->n = list->n;
	copy->topics = palloc(sizeof(SiTopicName) * Max(list->n, 1));
	memcpy(copy->topics, list->topics, sizeof(SiTopicName) * list->n);
}

/* The order of their names. */
static int
compare_topics(const void *a, const void *b)
{
	return strcmp(((const SiTopicName *) a)->name, ((const SiTopicName *) b)->name);
}

SiTopicName *
si_topic_reader_topics(const char *server, int *n)
{
	SiTopicList list = {0};

	si_connection_run(server, NULL, GetUserId(), NULL, 0, read_topics, &list);
	if (list.n > 1)
		qsort(list.topics, list.n, sizeof(SiTopicName), compare_topics);
	*n = list.n;
	return list.topics;
}
