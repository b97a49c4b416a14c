/*-------------------------------------------------------------------------
 *
 * functions_produce.c
 *	  The SQL function produce(): messages to Kafka, sent with the commit.
 *
 * It reads the arguments; outbox.h tells when the message is sent.
 *
 * Nothing here needs shared memory: it works without shared_preload_libraries.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "functions/arguments.h"
#include "functions/destination.h"
#include "functions/outbox.h"
#include "options/server_options.h"

PG_FUNCTION_INFO_V1(si_sql_produce);

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
	SiDestination *destination;

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

	destination = si_destination_find(NameStr(*PG_GETARG_NAME(0)), si_outbox_is_empty());
	/* connects while the transaction does other things */
	si_destination_open(destination);
	si_producer_need_topic(destination->producer, outgoing.topic);
	si_outbox_hold(destination, &outgoing);
	PG_RETURN_VOID();
}
