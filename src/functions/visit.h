/*-------------------------------------------------------------------------
 *
 * visit.h
 *	  A visit to a cluster from an ordinary session: open a consumer, ask and
 *	  read, close it again.
 *
 * Nothing blocks: what the library can only do by blocking is the consumer's
 * helper thread's work, and here we wait for its descriptor and our latch, in
 * slices.  A visit can be cancelled at any moment, ends with an error when
 * nothing was heard for ten seconds, and leaves no consumer behind, however it
 * ends.
 *
 * Called by look and upcoming.  Errors are for users to read: 42501, 42704
 * (server, topic), 08004 (credentials), 08006 (no answer), with librdkafka's
 * words.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_VISIT_H
#define SI_VISIT_H

#include "kafka/consumer.h"
#include "datatype/timestamp.h"

typedef struct SiVisit
{
	const char *server;
	const char *topic;			/* NULL: to the cluster */
	SiConsumer *consumer;		/* NULL: closed */
	TimestampTz heard;			/* when something was heard last */
	char		words[256];		/* the library's, on why nothing is heard */
} SiVisit;

/*
 * What is done between opening and closing.  Nothing but asking, reading,
 * copying, and fixed statements: only so PG_ENSURE_ERROR_CLEANUP can see to it
 * that the consumer is closed when the session is cancelled or terminated.
 */
typedef void (*SiVisitWork) (SiVisit *visit, void *arg);

/*
 * Visit a server (and a topic) by the rights and the user mapping of a role;
 * the properties come on top of the server's.
 */
extern void si_visit(const char *server, const char *topic, Oid role,
					 const SiProperty *properties, int nproperties,
					 SiVisitWork work, void *arg);

/*
 * Wait for the consumer or a slice; interrupts are taken here.  When nothing
 * was heard for too long, that is an error.
 */
extern void si_visit_wait(SiVisit *visit);

/* Before a question is asked again: a whole slice. */
extern void si_visit_wait_a_slice(SiVisit *visit);

/* Something was heard. */
extern void si_visit_hear(SiVisit *visit);

/* What a trouble means to somebody who visits: an error, or that it may pass. */
extern void si_visit_heed(SiVisit *visit, const SiTrouble *trouble);

/* Ask about the topic, or for offsets, until all is answered. */
extern void si_visit_ask_topic(SiVisit *visit, SiTopicInfo *info);
extern void si_visit_ask_offsets(SiVisit *visit, SiOffsetQuery *queries, int n);

/* Tell of data that cannot be read. */
extern void si_visit_warn_corrupt(const SiVisit *visit, const SiFetched *item);

/* A message of more bytes is not for looking at. */
#define SI_VISIT_MOST_BYTES	(64 * 1024 * 1024)

/* Copies of messages, with headers; each is one chunk, which its handle is. */
typedef struct SiMessageList
{
	MemoryContext context;		/* where they are */
	SiMessage  *messages;
	int			n;
	int			room;
	int64		bytes;			/* of all that is kept */
	int64		most;			/* messages of more bytes are reduced */
} SiMessageList;

extern void si_visit_keep(SiMessageList *list, const SiMessage *message);

#endif							/* SI_VISIT_H */
