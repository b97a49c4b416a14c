/*-------------------------------------------------------------------------
 *
 * functions_produce.c
 *	  The SQL function produce(): messages to Kafka, sent with the commit.
 *
 * A message is held in memory until its transaction commits, and goes away
 * with its subtransaction.  So what is rolled back, halved by a worker or
 * previewed sends nothing.  At pre-commit, when all that can still fail is
 * rare, everything is handed to the library and its acknowledgement awaited;
 * a message that is not acknowledged is an ERROR of the COMMIT.  What was
 * acknowledged before that message, and what a crash or one of the rare
 * failures leaves between the acknowledgement and the commit, stays in Kafka
 * and is sent again by whoever tries again: at least once.
 *
 * Producers belong to the backend and are kept: one for each server and user
 * mapping (a "destination").  Rights and mapping are those of the current user
 * at the time of the call, as for any function, so that a trigger or a batch
 * sends as its owner.
 *
 * Nothing here needs shared memory: it works without shared_preload_libraries.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/predicate.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "common/compat.h"
#include "functions/arguments.h"
#include "kafka/producer.h"
#include "options/server_options.h"

PG_FUNCTION_INFO_V1(si_sql_produce);

/* What a transaction may hold. */
#define MAX_HELD_BYTES	((Size) 1024 * 1024 * 1024)

/* Waiting is by the latch; this is for a wake-up that got lost. */
#define WAIT_MS			100

/* Looks at interrupts and reports after so many messages. */
#define SEND_CHUNK		256

/* Where messages go: a server, as a mapped user sees it. */
typedef struct Destination
{
	Oid			server;
	Oid			mapped;			/* InvalidOid: PUBLIC's mapping, or none */
	bool		valid;			/* false: read the properties again */
	MemoryContext context;		/* of this struct and the properties */
	int			nproperties;
	SiProperty *properties;
	SiProducer *producer;		/* NULL until needed, and after a failure */
	bool		sending;		/* in the running round */
	struct Destination *next;
} Destination;

/* A message that waits for the commit; one chunk of memory. */
typedef struct HeldMessage
{
	Destination *destination;
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

static Destination *destinations = NULL;
static HeldMessages held;

/* ---- destinations ---- */

static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	for (Destination *d = destinations; d != NULL; d = d->next)
		d->valid = false;
}

static void
discard_producer(Destination *destination)
{
	if (destination->producer != NULL)
		si_producer_discard(destination->producer);
	destination->producer = NULL;
	destination->sending = false;
}

/* Close what has lost its server or user mapping. */
static void
sweep_destinations(void)
{
	Destination **link = &destinations;

	while (*link != NULL)
	{
		Destination *d = *link;

		if (d->valid ||
			(SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(d->server)) &&
			 (!OidIsValid(d->mapped) ||
			  SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(d->mapped),
									ObjectIdGetDatum(d->server)))))
		{
			link = &d->next;
			continue;
		}
		*link = d->next;
		discard_producer(d);
		MemoryContextDelete(d->context);
	}
}

static bool
same_properties(const Destination *destination, const SiServerProperties *properties)
{
	if (destination->nproperties != properties->nproperties)
		return false;
	for (int i = 0; i < properties->nproperties; i++)
	{
		if (strcmp(destination->properties[i].name, properties->properties[i].name) != 0 ||
			strcmp(destination->properties[i].value, properties->properties[i].value) != 0)
			return false;
	}
	return true;
}

/* A copy of the destination with these properties; the old one is freed. */
static void
set_properties(Destination *destination, const SiServerProperties *properties)
{
	MemoryContext old = MemoryContextSwitchTo(destination->context);
	SiProperty *copy = palloc(sizeof(SiProperty) * Max(properties->nproperties, 1));

	for (int i = 0; i < properties->nproperties; i++)
	{
		copy[i].name = pstrdup(properties->properties[i].name);
		copy[i].value = pstrdup(properties->properties[i].value);
	}
	MemoryContextSwitchTo(old);
	destination->properties = copy;
	destination->nproperties = properties->nproperties;
}

static Destination *
add_destination(Oid server, Oid mapped)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "stream_ingest destination",
												  ALLOCSET_SMALL_SIZES);
	Destination *destination = MemoryContextAllocZero(context, sizeof(Destination));

	destination->context = context;
	destination->server = server;
	destination->mapped = mapped;
	destination->next = destinations;
	destinations = destination;
	return destination;
}

/*
 * The destination of the current user's messages to that server.  Errors for
 * a server that is not there, not ours or not open to the user.
 */
static Destination *
find_destination(const char *name)
{
	Oid			user = GetUserId();
	Oid			server = get_foreign_server_oid(name, true);
	SiServerProperties *properties = NULL;
	Destination *destination;
	Oid			mapped;

	if (!OidIsValid(server))
		server = si_server_properties(name, user)->server;	/* words the error */
	if (!has_server_usage_compat(server, user))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, name);
	mapped = SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user),
								   ObjectIdGetDatum(server)) ? user : InvalidOid;

	for (destination = destinations; destination != NULL; destination = destination->next)
	{
		if (destination->server == server && destination->mapped == mapped)
			break;
	}
	if (destination != NULL && destination->valid)
		return destination;

	properties = si_server_properties(name, user);
	if (held.n == 0 && destination == NULL)
		sweep_destinations();
	if (destination == NULL)
		destination = add_destination(server, mapped);
	if (destination->properties == NULL || !same_properties(destination, properties))
	{
		discard_producer(destination);
		set_properties(destination, properties);
	}
	destination->valid = true;
	return destination;
}

/* Open, unless there is one that has not failed meanwhile. */
static void
need_producer(Destination *destination)
{
	if (destination->producer != NULL && si_producer_usable(destination->producer))
		return;
	discard_producer(destination);
	destination->producer =
		si_producer_open(destination->properties, destination->nproperties,
						 psprintf("stream_ingest/%s", get_database_name(MyDatabaseId)));
}

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
		held.marks_size *= 2;
		held.marks = repalloc(held.marks, sizeof(LevelMark) * held.marks_size);
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

static void
hold(Destination *destination, const SiOutgoing *outgoing)
{
	HeldMessage *message;

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
serve(const Destination *destination)
{
	SiProducerFailure failure;
	int64		outstanding = si_producer_serve(destination->producer, &failure);

	if (outstanding < 0)
		report_failure(&failure);
	CHECK_FOR_INTERRUPTS();
	return outstanding;
}

static void
wait_for_reports(const Destination *destination)
{
	int			events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE |
										   WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
										   si_producer_fd(destination->producer), WAIT_MS,
										   PG_WAIT_EXTENSION);

	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
send_message(const HeldMessage *message)
{
	Destination *destination = message->destination;
	SiProducerFailure failure;
	SiSendResult result;

	if (!destination->sending)
	{
		need_producer(destination);
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
	for (Destination *d = destinations; d != NULL; d = d->next)
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
			for (Destination *d = destinations; d != NULL; d = d->next)
			{
				if (d->sending)
					discard_producer(d);
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
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, server_changed, (Datum) 0);
	registered = true;
}

/* ---- the function ---- */

/* Kafka's text is UTF-8; the result may be the argument itself. */
static const char *
to_utf8(const char *bytes, int len, size_t *result_len)
{
	char	   *result = pg_server_to_any(bytes, len, PG_UTF8);

	*result_len = result == bytes ? len : strlen(result);
	return result;
}

static const char *
utf8_argument(FunctionCallInfo fcinfo, int i, size_t *len)
{
	struct varlena *value;

	*len = 0;
	if (PG_ARGISNULL(i))
		return NULL;
	value = PG_GETARG_TEXT_PP(i);
	return to_utf8(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), len);
}

/* A header's value; strings and numbers as they are, the rest as JSON text. */
static void
header_value(JsonbValue *value, SiHeader *header)
{
	const char *bytes;
	int			len = -1;

	header->value = NULL;
	header->value_len = 0;
	switch (value->type)
	{
		case jbvNull:
			return;
		case jbvString:
			bytes = value->val.string.val;
			len = value->val.string.len;
			break;
		case jbvNumeric:
			bytes = DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(value->val.numeric)));
			break;
		case jbvBool:
			bytes = value->val.boolean ? "true" : "false";
			break;
		default:
			Assert(value->type == jbvBinary);
			bytes = JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
			break;
	}
	header->value = to_utf8(bytes, len >= 0 ? len : strlen(bytes), &header->value_len);
}

static void
headers_argument(FunctionCallInfo fcinfo, int i, SiOutgoing *outgoing)
{
	Jsonb	   *object;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	SiHeader   *headers;
	size_t		len;

	if (PG_ARGISNULL(i))
		return;
	object = PG_GETARG_JSONB_P(i);
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"headers\" must be a JSON object"),
				 errhint("For example: {\"source\": \"orders\", \"version\": 2}.")));
	headers = palloc(sizeof(SiHeader) * Max(JB_ROOT_COUNT(object), 1));
	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			headers[outgoing->nheaders].name =
				to_utf8(pnstrdup(value.val.string.val, value.val.string.len),
						value.val.string.len, &len);
		else if (token == WJB_VALUE)
			header_value(&value, &headers[outgoing->nheaders++]);
	}
	outgoing->headers = headers;
}

/* Hold a message until the transaction commits. */
Datum
si_sql_produce(PG_FUNCTION_ARGS)
{
	SiOutgoing	outgoing = {0};
	Destination *destination;

	si_arguments_require(fcinfo, 0, "server");
	si_arguments_require(fcinfo, 1, "topic");
	/* a parallel worker's end is not the transaction's */
	PreventCommandIfParallelMode("stream_ingest.produce()");
	PreventCommandDuringRecovery("stream_ingest.produce()");

	outgoing.topic = text_to_cstring(PG_GETARG_TEXT_PP(1));
	si_server_check_topic(outgoing.topic);
	outgoing.value = utf8_argument(fcinfo, 2, &outgoing.value_len);
	outgoing.key = utf8_argument(fcinfo, 3, &outgoing.key_len);
	headers_argument(fcinfo, 4, &outgoing);
	outgoing.partition = PG_ARGISNULL(5) ? -1 : PG_GETARG_INT32(5);
	if (!PG_ARGISNULL(5) && outgoing.partition < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid partition %d", outgoing.partition),
				 errhint("Partitions are numbered from 0; NULL lets the key decide.")));

	register_callbacks();
	destination = find_destination(NameStr(*PG_GETARG_NAME(0)));
	/* connects while the transaction does other things */
	need_producer(destination);
	si_producer_need_topic(destination->producer, outgoing.topic);
	hold(destination, &outgoing);
	PG_RETURN_VOID();
}
