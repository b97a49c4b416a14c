/*-------------------------------------------------------------------------
 *
 * look.c
 *	  Looking at a cluster from an ordinary session: its topics, and messages
 *	  of one.
 *
 * Each look opens a consumer of its own and closes it again.  Nothing blocks:
 * what the library can only do by blocking is the consumer's helper thread's
 * work, and here we wait for its descriptor and our latch, in slices.  Between
 * opening and closing nothing is done but fetching and copying, since only so
 * PG_ENSURE_ERROR_CLEANUP can see to it that the consumer is closed when the
 * session is cancelled or terminated.
 *
 * Who cancels does not want to wait for a library that waits for a broker: the
 * consumer is closed within a tenth of a second, or left to its helper, which
 * ends by itself when its call does.  A session that ends waits a little for
 * such helpers.
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

#include "catalog/pg_foreign_server.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "look.h"
#include "server_options.h"

/* The longest wait without looking for interrupts. */
#define SLICE_MS			100

/* Nothing heard for so long is an error. */
#define SILENCE_MS			10000

/* How long closing may take: at the end, and when something went wrong. */
#define CLOSE_MS			1000
#define CLOSE_IN_ERROR_MS	100

/* At the end of the session, for all that was left alone. */
#define EXIT_MS				5000

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
	const char *server;
	const char *topic;			/* NULL: at the cluster */
	SiServerProperties *properties;
	char	   *group_id;
	SiConsumer *consumer;		/* NULL: closed */
	TimestampTz heard;			/* when something was heard last */
	char		words[256];		/* the library's, on why nothing is heard */

	bool		backwards;
	int			max_messages;
	int64		max_bytes;
	int			npartitions;
	LookedPartition *partitions;
	int			nreading;

	MemoryContext context;		/* of what is collected */
	SiMessage  *messages;
	int			nmessages;
	int			room;
	int64		bytes;
} Look;

/* What is done between opening and closing. */
typedef void (*LookWork) (Look *look, void *result);

/* ---- opening and closing ---- */

static void
end_abandoned(int code, Datum arg)
{
	(void) si_consumer_await_abandoned(EXIT_MS);
}

/* The current role's way to the brokers. */
static void
find_server(Look *look)
{
	SiServerProperties *properties = si_server_properties(look->server, GetUserId());

	if (!has_server_usage_compat(properties->server, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, look->server);
	look->properties = properties;
	look->group_id = psprintf("%s%s", properties->group_prefix,
							  get_database_name(MyDatabaseId));
}

/* A session needs no deep queue. */
static void
open_consumer(Look *look)
{
	static const SiProperty own[] = {
		{"queued.min.messages", "5000"},
		{"queued.max.messages.kbytes", "8192"},
	};
	static bool registered = false;
	int			n = look->properties->nproperties;
	SiProperty *properties = palloc(sizeof(SiProperty) * (n + lengthof(own)));

	if (!registered)
		on_proc_exit(end_abandoned, (Datum) 0);
	registered = true;

	if (n > 0)
		memcpy(properties, look->properties->properties, sizeof(SiProperty) * n);
	memcpy(properties + n, own, sizeof(own));
	look->consumer = si_consumer_open(properties, n + lengthof(own),
									  look->topic ? look->topic : "",
									  look->group_id, "stream_ingest", true);
	look->heard = GetCurrentTimestamp();
}

static void
close_consumer(Look *look, int timeout_ms)
{
	SiConsumer *consumer = look->consumer;

	look->consumer = NULL;
	if (consumer != NULL)
		(void) si_consumer_close(consumer, timeout_ms);
}

static void
close_in_error(int code, Datum arg)
{
	close_consumer((Look *) DatumGetPointer(arg), CLOSE_IN_ERROR_MS);
}

/* Open, work, close: also if the work ends with the session. */
static void
with_consumer(Look *look, LookWork work, void *result)
{
	find_server(look);
	open_consumer(look);
	PG_ENSURE_ERROR_CLEANUP(close_in_error, PointerGetDatum(look));
	{
		work(look, result);
	}
	PG_END_ENSURE_ERROR_CLEANUP(close_in_error, PointerGetDatum(look));
	close_consumer(look, CLOSE_MS);
}

/* ---- waiting ---- */

/* What a trouble means to somebody who looks. */
static void
heed_trouble(Look *look, const SiTrouble *trouble)
{
	const char *hint = si_consumer_hint(look->consumer, trouble->kind);

	switch (trouble->kind)
	{
		case SI_TROUBLE_NONE:
		case SI_TROUBLE_BROKER:
			/* it may pass */
			strlcpy(look->words, trouble->words, sizeof(look->words));
			return;
		case SI_TROUBLE_AUTHENTICATION:
			ereport(ERROR,
					(errcode(ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION),
					 errmsg("Kafka server \"%s\" does not accept the connection: %s",
							look->server, trouble->words),
					 hint ? errhint("%s", hint) :
					 errhint("Look at the options of the server and of the user mapping.")));
			break;
		case SI_TROUBLE_AUTHORIZATION:
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 look->topic ?
					 errmsg("Kafka server \"%s\" does not let topic \"%s\" be read: %s",
							look->server, look->topic, trouble->words) :
					 errmsg("Kafka server \"%s\" refuses an answer: %s",
							look->server, trouble->words)));
			break;
		case SI_TROUBLE_TOPIC:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("Kafka server \"%s\" has no topic \"%s\": %s",
							look->server, look->topic ? look->topic : "", trouble->words),
					 errhint("stream_ingest.topics lists those there are.")));
			break;
		case SI_TROUBLE_FATAL:
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("could not read from Kafka server \"%s\": %s",
							look->server, trouble->words)));
			break;
	}
}

static void
hear(Look *look)
{
	look->heard = GetCurrentTimestamp();
	look->words[0] = '\0';
}

/* Wait for the consumer or a slice; interrupts are taken here. */
static void
wait_for_something(Look *look)
{
	SiTrouble	trouble;

	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 si_consumer_fd(look->consumer), SLICE_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	si_consumer_drain_fd(look->consumer);
	CHECK_FOR_INTERRUPTS();

	while (si_consumer_trouble(look->consumer, &trouble))
		heed_trouble(look, &trouble);
	if (TimestampDifferenceExceeds(look->heard, GetCurrentTimestamp(), SILENCE_MS))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("Kafka server \"%s\" did not answer within %d seconds",
						look->server, SILENCE_MS / 1000),
				 look->words[0] != '\0' ? errdetail_internal("%s", look->words) : 0));
}

/* Before a question is asked again: a whole slice. */
static void
wait_a_slice(Look *look)
{
	TimestampTz began = GetCurrentTimestamp();

	do
		wait_for_something(look);
	while (!TimestampDifferenceExceeds(began, GetCurrentTimestamp(), SLICE_MS));
}

/* ---- questions ---- */

static void
ask_topic(Look *look, SiTopicInfo *info)
{
	for (;;)
	{
		si_consumer_ask_topic(look->consumer);
		while (!si_consumer_topic_answer(look->consumer, info))
			wait_for_something(look);
		if (info->valid && info->partitions > 0)
			break;
		heed_trouble(look, &info->trouble);
		wait_a_slice(look);
	}
	hear(look);
}

/* Ask until there is an answer for every partition. */
static void
ask_offsets(Look *look, SiOffsetQuery *queries, int n)
{
	for (;;)
	{
		bool		complete = true;

		si_consumer_ask_offsets(look->consumer, queries, n);
		while (!si_consumer_offsets_answer(look->consumer, queries, n))
			wait_for_something(look);
		for (int i = 0; i < n; i++)
		{
			if (queries[i].offset != SI_OFFSET_UNKNOWN)
				continue;
			complete = false;
			if (look->words[0] == '\0')
				strlcpy(look->words, queries[i].error, sizeof(look->words));
		}
		if (complete)
			break;
		wait_a_slice(look);
	}
	hear(look);
}

/* Which offsets of each partition are to be looked at. */
static void
find_bounds(Look *look, const SiStart *position)
{
	int			n = look->npartitions;
	SiOffsetQuery *queries = palloc0(sizeof(SiOffsetQuery) * 2 * n);

	for (int i = 0; i < n; i++)
	{
		queries[i].partition = queries[n + i].partition = i;
		queries[i].at = position->kind == SI_START_TIMESTAMP ?
			position->value : SI_OFFSET_BEGINNING;
		queries[n + i].at = SI_OFFSET_END;
	}
	ask_offsets(look, queries, 2 * n);

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

/* A copy that is one chunk of memory, which its handle is. */
static void
copy_message(const SiMessage *from, SiMessage *to)
{
	Size		size = from->key_len + from->value_len + sizeof(SiHeader) * from->nheaders;
	SiHeader   *headers;
	char	   *p;

	for (int i = 0; i < from->nheaders; i++)
		size += strlen(from->headers[i].name) + 1 + from->headers[i].value_len;

	*to = *from;
	to->handle = headers = MemoryContextAllocHuge(CurrentMemoryContext, size + 1);
	to->headers = headers;
	p = (char *) (headers + from->nheaders);

#define KEEP(field, len) \
	do { if ((field) != NULL) { memcpy(p, (field), (len)); (field) = p; p += (len); } } while (0)

	KEEP(to->key, to->key_len);
	KEEP(to->value, to->value_len);
	for (int i = 0; i < from->nheaders; i++)
	{
		headers[i] = from->headers[i];
		KEEP(headers[i].name, strlen(headers[i].name) + 1);
		KEEP(headers[i].value, headers[i].value_len);
	}
#undef KEEP
}

static void
keep_message(Look *look, const SiMessage *message)
{
	MemoryContext old = MemoryContextSwitchTo(look->context);

	if (look->nmessages == look->room)
	{
		look->room = Max(2 * look->room, 64);
		look->messages = look->messages == NULL ?
			palloc(sizeof(SiMessage) * look->room) :
			repalloc_huge(look->messages, sizeof(SiMessage) * (Size) look->room);
	}
	copy_message(message, &look->messages[look->nmessages++]);
	look->bytes += message->key_len + message->value_len;
	MemoryContextSwitchTo(old);
}

static void
stop_reading(Look *look, LookedPartition *p)
{
	si_consumer_unassign(look->consumer, &p->partition, 1);
	p->reading = false;
	look->nreading--;
}

static void
take_message(Look *look, LookedPartition *p, const SiMessage *message)
{
	if (message->offset >= p->from && message->offset < p->until)
	{
		keep_message(look, message);
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
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("could not read partition %d of topic \"%s\" at offset %lld: %s",
							p->partition, look->topic,
							(long long) item->message.offset, item->error)));
			stop_reading(look, p);
			break;
		case SI_FETCH_END:
		case SI_FETCH_OUT_OF_RANGE:
			/* there is no more, or it is gone meanwhile */
			stop_reading(look, p);
			break;
		case SI_FETCH_ERROR:
			strlcpy(look->words, item->error, sizeof(look->words));
			return;
	}
	look->heard = GetCurrentTimestamp();
}

/* Read all windows. */
static void
read_windows(Look *look)
{
	SiFetched	items[CHUNK];

	while (look->nreading > 0)
	{
		int			n = si_consumer_fetch(look->consumer, items, CHUNK);

		for (int i = 0; i < n; i++)
			take_item(look, &items[i]);
		si_consumer_release(look->consumer, items, n);
		if (n == 0)
			wait_for_something(look);
		else
			CHECK_FOR_INTERRUPTS();
		if (look->max_bytes > 0 && look->bytes >= look->max_bytes)
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
	int			excess = look->nmessages - look->max_messages;
	int			first = look->backwards ? 0 : look->max_messages;

	if (look->nmessages > 1)
		qsort(look->messages, look->nmessages, sizeof(SiMessage), compare_messages);
	if (excess <= 0)
		return;
	for (int i = first; i < first + excess; i++)
		pfree(look->messages[i].handle);
	if (look->backwards)
		memmove(look->messages, look->messages + excess,
				sizeof(SiMessage) * look->max_messages);
	look->nmessages = look->max_messages;
}

/* May there be better messages beyond this partition's window? */
static bool
may_have_better(const Look *look, const LookedPartition *p)
{
	if (look->backwards ? p->from <= p->low : p->until >= p->high)
		return false;			/* there are none */
	if (!p->any || look->nmessages < look->max_messages)
		return true;
	return look->backwards ? p->edge >= look->messages[0].timestamp :
		p->edge <= look->messages[look->nmessages - 1].timestamp;
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
	si_consumer_assign(look->consumer, &p->partition, &p->from, NULL, 1);
}

/* ---- looks ---- */

static void
look_at_messages(Look *look, void *result)
{
	SiTopicInfo info;

	ask_topic(look, &info);
	look->npartitions = info.partitions;
	find_bounds(look, result);
	for (;;)
	{
		for (int i = 0; i < look->npartitions; i++)
		{
			if (may_have_better(look, &look->partitions[i]))
				open_window(look, &look->partitions[i]);
		}
		if (look->nreading == 0)
			break;
		hear(look);
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

	look.server = server;
	look.topic = topic;
	look.backwards = position->kind == SI_START_LATEST;
	look.max_messages = max_messages;
	look.max_bytes = max_bytes;
	look.context = CurrentMemoryContext;
	with_consumer(&look, look_at_messages, unconstify(SiStart *, position));
	*n = look.nmessages;
	return look.messages;
}

static void
look_at_topics(Look *look, void *result)
{
	SiTopicList *copy = result;
	const SiTopicList *list;

	for (;;)
	{
		si_consumer_ask_topics(look->consumer);
		while ((list = si_consumer_topics_answer(look->consumer)) == NULL)
			wait_for_something(look);
		if (list->valid)
			break;
		heed_trouble(look, &list->trouble);
		wait_a_slice(look);
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
	Look		look = {0};
	SiTopicList list = {0};

	look.server = server;
	with_consumer(&look, look_at_topics, &list);
	if (list.n > 1)
		qsort(list.topics, list.n, sizeof(SiTopicName), compare_topics);
	*n = list.n;
	return list.topics;
}
