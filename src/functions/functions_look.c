/*-------------------------------------------------------------------------
 *
 * functions_look.c
 *	  The SQL functions that look before one leaps: topics, peek, infer_table.
 *
 * They need a server and USAGE on it, no subscription.  See topic_reader.h for
 * what they promise.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "common/bytes.h"
#include "common/kafka_time.h"
#include "functions/arguments.h"
#include "functions/infer.h"
#include "functions/shown_text.h"
#include "functions/topic_reader.h"
#include "options/server_options.h"
#include "shmem/slots.h"

PG_FUNCTION_INFO_V1(si_sql_topics);
PG_FUNCTION_INFO_V1(si_sql_peek);
PG_FUNCTION_INFO_V1(si_sql_infer_table);

/* Of messages to infer from: beyond this, fewer have to do. */
#define MAX_INFER_BYTES		INT64CONST(67108864)

/* The server, which all have as their first argument. */
static const char *
server_argument(FunctionCallInfo fcinfo)
{
	si_slots_require();
	si_arguments_require(fcinfo, 0, "server");
	return NameStr(*PG_GETARG_NAME(0));
}

static char *
topic_argument(FunctionCallInfo fcinfo, int i)
{
	char	   *topic;

	si_arguments_require(fcinfo, i, "topic");
	topic = text_to_cstring(PG_GETARG_TEXT_PP(i));
	si_server_check_topic(topic);
	return topic;
}

/* Options of a subscription; a definition of version 1.0 has no such argument. */
static SiOptions *
options_argument(FunctionCallInfo fcinfo, int i)
{
	char	   *options = i < PG_NARGS() ? si_arguments_jsonb(fcinfo, i) : NULL;

	return si_options_parse(options != NULL ? options : "{}");
}

/* ---- topics ---- */

Datum
si_sql_topics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *server = server_argument(fcinfo);
	SiTopicName *topics;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	topics = si_topic_reader_topics(server, &n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = CStringGetTextDatum(topics[i].name);
		values[1] = Int32GetDatum(topics[i].partitions);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- peek ---- */

/* A null key or value stays null. */
static void
put_text(Datum *values, bool *nulls, int i, SiShownText *shown, const SiMessage *message,
		 bool of_key)
{
	nulls[i] = (of_key ? message->key : message->value) == NULL;
	if (!nulls[i])
		values[i] = CStringGetTextDatum(si_shown_text(shown, message, of_key));
}

static void
put_message(ReturnSetInfo *rsinfo, SiShownText *shown, const SiMessage *message)
{
	Datum		values[6];
	bool		nulls[6] = {false, false, false, false, false, false};
	TimestampTz timestamp;

	values[0] = Int32GetDatum(message->partition);
	values[1] = Int64GetDatum(message->offset);
	nulls[2] = !si_kafka_time_to_timestamptz(message->timestamp, &timestamp);
	values[2] = TimestampTzGetDatum(timestamp);
	if (si_message_is_reduced(message))
		ereport(NOTICE,
				(errmsg("the message at partition %d, offset %lld is not shown: it has %llu bytes",
						message->partition, (long long) message->offset,
						(unsigned long long) message->value_len)));
	if (message->nheaders == SI_UNREADABLE_HEADERS)
		ereport(NOTICE,
				(errmsg("the headers of the message at partition %d, offset %lld cannot be read",
						message->partition, (long long) message->offset)));
	put_text(values, nulls, 3, shown, message, true);
	put_text(values, nulls, 4, shown, message, false);
	nulls[5] = message->nheaders == SI_UNREADABLE_HEADERS;
	values[5] = si_bytes_headers_jsonb(message->headers, message->nheaders);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* How to show messages of the format that is given; NULL without one. */
static SiShownText *
create_shown(FunctionCallInfo fcinfo, int i, const char *server)
{
	SiOptions  *options = options_argument(fcinfo, i + 1);

	if (i < PG_NARGS() && !PG_ARGISNULL(i))
		return si_shown_text_create(si_arguments_format(fcinfo, i), server, options);
	if (i < PG_NARGS() && !PG_ARGISNULL(i + 1) &&
		JB_ROOT_COUNT(PG_GETARG_JSONB_P(i + 1)) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"options\" needs argument \"format\"")));
	return NULL;
}

Datum
si_sql_peek(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *server = server_argument(fcinfo);
	char	   *topic = topic_argument(fcinfo, 1);
	int			max_messages = si_arguments_max_messages(fcinfo, 2);
	SiShownText *shown = create_shown(fcinfo, 4, server);
	SiStart		position;
	SiMessage  *messages;
	MemoryContext scratch;
	MemoryContext old;
	int			n;

	si_arguments_require(fcinfo, 3, "position");
	position = si_options_parse_position(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	InitMaterializedSRF(fcinfo, 0);
	messages = si_topic_reader_by_time(server, topic, &position, max_messages, 0, &n);
	if (shown != NULL)
		si_shown_text_await(shown, messages, n);

	scratch = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest peek",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_message(rsinfo, shown, &messages[i]);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return (Datum) 0;
}

/* ---- infer_table ---- */

/* A table's name as one writes it, quoted where it must be. */
static char *
target_argument(FunctionCallInfo fcinfo, int i)
{
	RangeVar   *target;

	si_arguments_require(fcinfo, i, "target");
	target = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(i)));
	return quote_qualified_identifier(target->schemaname, target->relname);
}

Datum
si_sql_infer_table(PG_FUNCTION_ARGS)
{
	static const SiStart newest = {-1, SI_START_LATEST, 0};
	const char *server = server_argument(fcinfo);
	char	   *topic = topic_argument(fcinfo, 1);
	char	   *target = target_argument(fcinfo, 2);
	char	   *format = si_arguments_format(fcinfo, 3);
	int			max_messages = si_arguments_max_messages(fcinfo, 4);
	SiInference *inference = si_infer_create(format, server, options_argument(fcinfo, 5));
	SiMessage  *messages;
	int			n;

	messages = si_topic_reader_by_time(server, topic, &newest, max_messages, MAX_INFER_BYTES, &n);
	si_infer_take(inference, messages, n);
	PG_RETURN_TEXT_P(cstring_to_text(si_infer_table(inference, target, topic)));
}
