/*-------------------------------------------------------------------------
 *
 * event.c
 *	  Changes of state, announced by NOTIFY.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/async.h"
#include "utils/fmgrprotos.h"

#include "catalog/event.h"

#define CHANNEL "stream_ingest"

/*
 * Part of the server's queue of notifications from which nothing is announced.
 * Any session that listens in an open transaction, and any that notifies, can
 * fill the queue for all databases, and a transaction that notifies then fails at
 * its commit: a state must be stored all the same.
 */
#define MAX_QUEUE_USAGE 0.9

void
si_event_announce(int32 subscription, SiState state)
{
	char		payload[128];

	if (DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0)) > MAX_QUEUE_USAGE)
	{
		ereport(LOG,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a change of a subscription's state is not announced, because the queue of notifications is nearly full"),
				 errhint("End the session that listens in an open transaction.")));
		return;
	}
	snprintf(payload, sizeof(payload), "{\"subscription\": %d, \"state\": \"%s\"}",
			 subscription, si_slots_state_name(state));
	Async_Notify(CHANNEL, payload);
}
