/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  A transaction's messages to Kafka, sent with its commit.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/predicate.h"
#include "utils/memutils.h"

#include "common/compat.h"
#include "functions/outbox.h"
#include "kafka/token.h"

/* What a transaction may hold. */
#define MAX_HELD_BYTES	((Size) 1024 * 1024 * 1024)

/* Waiting is by the latch; this is for a wake-up that got lost. */
#define WAIT_MS			100

/* Looks at interrupts and reports after so many messages. */
#define SEND_CHUNK		256

/* A message that waits for the commit; one chunk of memory. */
typedef struct HeldMessage
{
	SiDestination *destination;
	SiOutgoing	outgoing;
	Size		bytes;
} HeldMessage;

/* Where the messages of a subtransaction begin. */
typedef struct LevelMark
{
	int			level;
	int64		first;
} LevelMark;

/* The running transaction's messages, in a context that ends with it. */
typedef struct HeldMessages
{
	MemoryContext context;		/* NULL while there were none */
	HeldMessage **messages;
	int64		n;
	int64		size;
	Size		bytes;
	LevelMark  *marks;			/* the innermost is the last */
	int			nmarks;
	int			marks_size;
} HeldMessages;

static HeldMessages held;

/* ---- holding ---- */

/* The innermost mark is the current subtransaction's from now on. */
static void
mark_level(void)
{
	int			level = GetCurrentTransactionNestLevel();

	if (held.nmarks > 0 && held.marks[held.nmarks - 1].level == level)
		return;
	if (held.nmarks == held.marks_size)
	{
		/* the size follows: a savepoint may catch the error of no memory */
		held.marks = repalloc(held.marks, sizeof(LevelMark) * held.marks_size * 2);
		held.marks_size *= 2;
	}
	held.marks[held.nmarks].level = level;
	held.marks[held.nmarks].first = held.n;
	held.nmarks++;
}

static void
begin_holding(void)
{
	MemoryContext context;

	if (held.context != NULL)
		return;
	context = AllocSetContextCreate(TopTransactionContext, "stream_ingest held messages",
									ALLOCSET_DEFAULT_SIZES);
	held.size = 64;
	held.messages = MemoryContextAlloc(context, sizeof(HeldMessage *) * held.size);
	held.marks_size = 8;
	held.marks = MemoryContextAlloc(context, sizeof(LevelMark) * held.marks_size);
	held.context = context;
}

/* The context goes with the transaction. */
static void
forget_all(void)
{
	memset(&held, 0, sizeof(held));
}

static void
forget_from(int64 first)
{
	while (held.n > first)
	{
		HeldMessage *message = held.messages[--held.n];

		held.bytes -= message->bytes;
		pfree(message);
	}
}

/* Copy bytes to *to, which moves on; they are followed by a NUL. */
static char *
put_bytes(char **to, const char *bytes, size_t len)
{
	char	   *result = *to;

	if (bytes == NULL)
		return NULL;
	memcpy(result, bytes, len);
	result[len] = '\0';
	*to += len + 1;
	return result;
}

/* What Kafka gets, without what we add to it. */
static Size
message_bytes(const SiOutgoing *outgoing)
{
	Size		bytes = outgoing->key_len + outgoing->value_len;

	for (int i = 0; i < outgoing->nheaders; i++)
		bytes += strlen(outgoing->headers[i].name) + outgoing->headers[i].value_len;
	return bytes;
}

static void
check_size(Size message, Size chunk)
{
	if (message > SI_PRODUCER_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("message is too large"),
				 errdetail("It has %zu bytes with its key and headers, and at most %d are possible.",
						   message, SI_PRODUCER_MAX_BYTES)));
	if (held.bytes + chunk > MAX_HELD_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("transaction holds too many messages for Kafka"),
				 errdetail("Messages are held in memory until the transaction commits, at most %zu MB of them.",
						   MAX_HELD_BYTES / (1024 * 1024)),
				 errhint("Commit more often.")));
}

/* A copy that the transaction's memory holds. */
static HeldMessage *
copy_message(const SiOutgoing *outgoing)
{
	Size		bytes = message_bytes(outgoing);
	Size		size = MAXALIGN(sizeof(HeldMessage)) + sizeof(SiHeader) * outgoing->nheaders +
		strlen(outgoing->topic) + bytes + 3 + 2 * outgoing->nheaders;
	HeldMessage *message;
	SiHeader   *headers;
	char	   *to;

	check_size(bytes, size);
	message = MemoryContextAlloc(held.context, size);
	message->bytes = size;
	message->outgoing = *outgoing;
	headers = (SiHeader *) ((char *) message + MAXALIGN(sizeof(HeldMessage)));
	message->outgoing.headers = headers;
	to = (char *) (headers + outgoing->nheaders);
	message->outgoing.topic = put_bytes(&to, outgoing->topic, strlen(outgoing->topic));
	message->outgoing.key = put_bytes(&to, outgoing->key, outgoing->key_len);
	message->outgoing.value = put_bytes(&to, outgoing->value, outgoing->value_len);
	for (int i = 0; i < outgoing->nheaders; i++)
	{
		const SiHeader *header = &outgoing->headers[i];

		headers[i].name = put_bytes(&to, header->name, strlen(header->name));
		headers[i].value = put_bytes(&to, header->value, header->value_len);
		headers[i].value_len = header->value_len;
	}
	Assert(to <= (char *) message + size);
	return message;
}

/* ---- sending ---- */

static void
report_failure(const SiProducerFailure *failure)
{
	ereport(ERROR,
			(errcode(failure->sqlstate),
			 failure->topic[0] != '\0'
			 ? errmsg("could not send a message to topic \"%s\": %s", failure->topic, failure->words)
			 : errmsg("could not send messages to Kafka: %s", failure->words),
			 failure->detail[0] != '\0'
			 ? errdetail("Last heard of the brokers: %s.", failure->detail) : 0));
}

/* How many are not acknowledged yet; an ERROR if one never will be. */
static int64
serve(const SiDestination *destination)
{
	SiProducerFailure failure;
	int64		outstanding = si_producer_serve(destination->producer, &failure);

	if (outstanding < 0)
		report_failure(&failure);
	CHECK_FOR_INTERRUPTS();
	return outstanding;
}

static void
wait_for_reports(const SiDestination *destination)
{
	int			events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE |
										   WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
										   si_producer_fd(destination->producer), WAIT_MS,
										   PG_WAIT_EXTENSION);

	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Where users' code ran last, there was a token.  A producer that is opened only now has
 * none, if a function gives them, and would wait for it in vain: so one that has failed
 * meanwhile is not replaced, and tells why.
 */
static void
open_destination(SiDestination *destination)
{
	SiToken    *token;

	if (OidIsValid(destination->role) && destination->producer != NULL)
		(void) serve(destination);
	si_destination_open(destination);
	token = si_producer_token(destination->producer);
	if (si_token_function(token) != NULL && !si_token_has_come(token))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("could not send messages to Kafka: the connection was lost after produce() had been called"),
				 errdetail("A function that gives tokens is not called in a commit."),
				 errhint("Repeat the transaction.")));
}

static void
send_message(const HeldMessage *message)
{
	SiDestination *destination = message->destination;
	SiProducerFailure failure;
	SiSendResult result;

	if (!destination->sending)
	{
		open_destination(destination);
		destination->sending = true;
	}
	while ((result = si_producer_send(destination->producer, &message->outgoing,
									  &failure)) == SI_SEND_FULL)
	{
		wait_for_reports(destination);
		(void) serve(destination);
	}
	if (result == SI_SEND_FAILED)
		report_failure(&failure);
}

/*
 * Send all and wait for all.  A serialization failure, which the server would
 * find only after this, is looked for first; from then on the transaction is
 * as good as prepared, and others have to give way to it.
 */
static void
send_all(void)
{
	PreCommit_CheckForSerializationFailure();

	for (int64 i = 0; i < held.n; i++)
	{
		send_message(held.messages[i]);
		if (i % SEND_CHUNK == SEND_CHUNK - 1)
			(void) serve(held.messages[i]->destination);
	}
	for (SiDestination *d = si_destinations; d != NULL; d = d->next)
	{
		if (!d->sending)
			continue;
		while (serve(d) > 0)
			wait_for_reports(d);
		d->sending = false;
	}
}

/* ---- the transaction's events ---- */

static void
transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (held.n > 0)
				send_all();
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (held.n > 0)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has produced messages for Kafka")));
			break;
		case XACT_EVENT_ABORT:
			/* what has not gone out must not do so later */
			for (SiDestination *d = si_destinations; d != NULL; d = d->next)
			{
				if (d->sending)
					si_destination_close(d);
			}
			forget_all();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			forget_all();
			break;
		default:
			break;
	}
}

static void
subtransaction_event(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	LevelMark  *mark;

	if (held.nmarks == 0 || held.marks[held.nmarks - 1].level < level)
		return;
	mark = &held.marks[held.nmarks - 1];
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		forget_from(mark->first);
		held.nmarks--;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		/* they are the parent's from now on */
		if (held.nmarks > 1 && mark[-1].level == level - 1)
			held.nmarks--;
		else
			mark->level = level - 1;
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(transaction_event, NULL);
	RegisterSubXactCallback(subtransaction_event, NULL);
	registered = true;
}

/* ---- what callers use ---- */

void
si_outbox_hold(SiDestination *destination, const SiOutgoing *outgoing)
{
	HeldMessage *message;

	register_callbacks();
	begin_holding();
	message = copy_message(outgoing);
	message->destination = destination;
	if (held.n == held.size)
	{
		held.messages = repalloc_huge(held.messages, sizeof(HeldMessage *) * held.size * 2);
		held.size *= 2;
	}
	mark_level();
	held.messages[held.n++] = message;
	held.bytes += message->bytes;
}

bool
si_outbox_is_empty(void)
{
	return held.n == 0;
}
