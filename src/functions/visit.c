/*-------------------------------------------------------------------------
 *
 * visit.c
 *	  A visit to a cluster from an ordinary session.
 *
 * Who cancels does not want to wait for a library that waits for a broker: the
 * consumer is closed within a tenth of a second, or left to its helper, which
 * ends by itself when its call does.  A session that ends waits a little for
 * such helpers.
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

#include "common/compat.h"
#include "functions/visit.h"
#include "options/server_options.h"

/* The longest wait without looking for interrupts. */
#define SLICE_MS			100

/* Nothing heard for so long is an error. */
#define SILENCE_MS			10000

/* How long closing may take: at the end, and when something went wrong. */
#define CLOSE_MS			1000
#define CLOSE_IN_ERROR_MS	100

/* At the end of the session, for all that was left alone. */
#define EXIT_MS				5000

/* ---- opening and closing ---- */

static void
end_abandoned(int code, Datum arg)
{
	(void) si_consumer_await_abandoned(EXIT_MS);
}

/* A session needs no deep queue. */
static const SiProperty shallow_queue[] = {
	{"queued.min.messages", "5000"},
	{"queued.max.messages.kbytes", "8192"},
};

/* Open a consumer by the rights of a role. */
static void
open_consumer(SiVisit *visit, Oid role, const SiProperty *more, int nmore)
{
	static bool registered = false;
	SiServerProperties *server = si_server_properties(visit->server, role);
	SiProperty *properties = palloc(sizeof(SiProperty) *
									(server->nproperties + nmore + lengthof(shallow_queue)));
	int			n = server->nproperties;

	if (!has_server_usage_compat(server->server, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, visit->server);
	if (!registered)
		on_proc_exit(end_abandoned, (Datum) 0);
	registered = true;

	if (n > 0)
		memcpy(properties, server->properties, sizeof(SiProperty) * n);
	if (nmore > 0)
		memcpy(properties + n, more, sizeof(SiProperty) * nmore);
	n += nmore;
	memcpy(properties + n, shallow_queue, sizeof(shallow_queue));
	n += lengthof(shallow_queue);
	visit->consumer = si_consumer_open(properties, n, visit->topic ? visit->topic : "",
									   psprintf("%s%s", server->group_prefix,
												get_database_name(MyDatabaseId)),
									   "stream_ingest", true);
	si_visit_hear(visit);
}

static void
close_consumer(SiVisit *visit, int timeout_ms)
{
	SiConsumer *consumer = visit->consumer;

	visit->consumer = NULL;
	if (consumer != NULL)
		(void) si_consumer_close(consumer, timeout_ms);
}

static void
close_in_error(int code, Datum arg)
{
	close_consumer((SiVisit *) DatumGetPointer(arg), CLOSE_IN_ERROR_MS);
}

void
si_visit(const char *server, const char *topic, Oid role, const SiProperty *properties,
		 int nproperties, SiVisitWork work, void *arg)
{
	SiVisit		visit = {.server = server,.topic = topic};

	open_consumer(&visit, role, properties, nproperties);
	PG_ENSURE_ERROR_CLEANUP(close_in_error, PointerGetDatum(&visit));
	{
		work(&visit, arg);
	}
	PG_END_ENSURE_ERROR_CLEANUP(close_in_error, PointerGetDatum(&visit));
	close_consumer(&visit, CLOSE_MS);
}

/* ---- waiting ---- */

/* What a trouble means to somebody who visits. */
void
si_visit_heed(SiVisit *visit, const SiTrouble *trouble)
{
	const char *hint = si_consumer_hint(visit->consumer, trouble->kind);

	switch (trouble->kind)
	{
		case SI_TROUBLE_NONE:
		case SI_TROUBLE_SILENCE:
		case SI_TROUBLE_BROKER:
			/* it may pass */
			strlcpy(visit->words, trouble->words, sizeof(visit->words));
			return;
		case SI_TROUBLE_AUTHENTICATION:
			ereport(ERROR,
					(errcode(ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION),
					 errmsg("Kafka server \"%s\" does not accept the connection: %s",
							visit->server, trouble->words),
					 hint ? errhint("%s", hint) :
					 errhint("Look at the options of the server and of the user mapping.")));
			break;
		case SI_TROUBLE_AUTHORIZATION:
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 visit->topic ?
					 errmsg("Kafka server \"%s\" does not let topic \"%s\" be read: %s",
							visit->server, visit->topic, trouble->words) :
					 errmsg("Kafka server \"%s\" refuses an answer: %s",
							visit->server, trouble->words)));
			break;
		case SI_TROUBLE_TOPIC:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("Kafka server \"%s\" has no topic \"%s\": %s",
							visit->server, visit->topic ? visit->topic : "", trouble->words),
					 errhint("stream_ingest.topics lists those there are.")));
			break;
		case SI_TROUBLE_FATAL:
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("could not read from Kafka server \"%s\": %s",
							visit->server, trouble->words)));
			break;
	}
}

void
si_visit_hear(SiVisit *visit)
{
	visit->heard = GetCurrentTimestamp();
	visit->words[0] = '\0';
}

/* Wait for the consumer or a slice; interrupts are taken here. */
void
si_visit_wait(SiVisit *visit)
{
	SiTrouble	trouble;

	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 si_consumer_fd(visit->consumer), SLICE_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	si_consumer_drain_fd(visit->consumer);
	CHECK_FOR_INTERRUPTS();

	while (si_consumer_trouble(visit->consumer, &trouble))
		si_visit_heed(visit, &trouble);
	if (TimestampDifferenceExceeds(visit->heard, GetCurrentTimestamp(), SILENCE_MS))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("Kafka server \"%s\" did not answer within %d seconds",
						visit->server, SILENCE_MS / 1000),
				 visit->words[0] != '\0' ? errdetail_internal("%s", visit->words) : 0,
				 errhint("Look at \"bootstrap_servers\" of the server, and whether the brokers can be reached from here.")));
}

/* Before a question is asked again: a whole slice. */
void
si_visit_wait_a_slice(SiVisit *visit)
{
	TimestampTz began = GetCurrentTimestamp();

	do
		si_visit_wait(visit);
	while (!TimestampDifferenceExceeds(began, GetCurrentTimestamp(), SLICE_MS));
}

/* ---- questions ---- */

void
si_visit_ask_topic(SiVisit *visit, SiTopicInfo *info)
{
	for (;;)
	{
		si_consumer_ask_topic(visit->consumer);
		while (!si_consumer_topic_answer(visit->consumer, info))
			si_visit_wait(visit);
		if (info->valid && info->partitions > 0)
			break;
		si_visit_heed(visit, &info->trouble);
		si_visit_wait_a_slice(visit);
	}
	si_visit_hear(visit);
}

/* Ask until there is an answer for every partition. */
void
si_visit_ask_offsets(SiVisit *visit, SiOffsetQuery *queries, int n)
{
	for (;;)
	{
		bool		complete = true;

		si_consumer_ask_offsets(visit->consumer, queries, n);
		while (!si_consumer_offsets_answer(visit->consumer, queries, n))
			si_visit_wait(visit);
		for (int i = 0; i < n; i++)
		{
			if (queries[i].offset != SI_OFFSET_UNKNOWN)
				continue;
			complete = false;
			if (visit->words[0] == '\0')
				strlcpy(visit->words, queries[i].error, sizeof(visit->words));
		}
		if (complete)
			break;
		si_visit_wait_a_slice(visit);
	}
	si_visit_hear(visit);
}

/* ---- copies of messages ---- */

/* A copy that is one chunk of memory, which its handle is. */
static void
copy_message(const SiMessage *from, SiMessage *to)
{
	Size		size = from->key_len + (from->value != NULL ? from->value_len : 0) +
		sizeof(SiHeader) * from->nheaders;
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

void
si_visit_keep(SiMessageList *list, const SiMessage *message)
{
	MemoryContext old = MemoryContextSwitchTo(list->context);
	SiMessage	reduced = *message;

	si_message_reduce(&reduced, list->most);
	if (list->n == list->room)
	{
		list->room = Max(2 * list->room, 64);
		list->messages = list->messages == NULL ?
			palloc(sizeof(SiMessage) * list->room) :
			repalloc_huge(list->messages, sizeof(SiMessage) * (Size) list->room);
	}
	copy_message(&reduced, &list->messages[list->n++]);
	list->bytes += reduced.value != NULL ? si_message_size(&reduced) : reduced.key_len;
	MemoryContextSwitchTo(old);
}

void
si_visit_warn_corrupt(const SiVisit *visit, const SiFetched *item)
{
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("could not read partition %d of topic \"%s\" at offset %lld: %s",
					item->message.partition, visit->topic,
					(long long) item->message.offset, item->error)));
}
