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

#include "common/compat.h"
#include "functions/arguments.h"
#include "functions/destination.h"
#include "functions/outbox.h"
#include "options/server_options.h"

PG_FUNCTION_INFO_V1(si_sql_produce);

static const char *
utf8_argument(FunctionCallInfo fcinfo, int i, size_t *len)
{
	struct varlena *value;

	*len = 0;
	if (PG_ARGISNULL(i))
		return NULL;
	value = PG_GETARG_TEXT_PP(i);
	return si_arguments_to_utf8(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), len);
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
	outgoing.headers = si_arguments_headers(fcinfo, 4, false, &outgoing.nheaders);
	outgoing.partition = PG_ARGISNULL(5) ? -1 : PG_GETARG_INT32(5);
	if (!PG_ARGISNULL(5) && outgoing.partition < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid partition %d", outgoing.partition),
				 errhint("Partitions are numbered from 0; NULL lets the key decide.")));

	destination = si_destination_find(NameStr(*PG_GETARG_NAME(0)), si_outbox_is_empty());
	/* connects while the transaction does other things */
	si_destination_open(destination);
	si_destination_serve_token(destination);
	si_producer_need_topic(destination->producer, outgoing.topic);
	si_outbox_hold(destination, &outgoing);
	PG_RETURN_VOID();
}
