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

#include "catalog/event.h"

#define CHANNEL "stream_ingest"

void
si_event_announce(int32 subscription, SiState state)
{
	char		payload[128];

	snprintf(payload, sizeof(payload), "{\"subscription\": %d, \"state\": \"%s\"}",
			 subscription, si_slots_state_name(state));
	Async_Notify(CHANNEL, payload);
}
