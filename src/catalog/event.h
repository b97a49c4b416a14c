/*-------------------------------------------------------------------------
 *
 * event.h
 *	  Changes of state, announced by NOTIFY.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_EVENT_H
#define SI_EVENT_H

#include "shmem/slots.h"

/*
 * Announce a subscription's state on channel "stream_ingest" when the current
 * transaction commits.  Anybody can listen to a channel or forge an event, so
 * it carries nothing but the id and the state: a hint to read status.
 */
extern void si_event_announce(int32 subscription, SiState state);

#endif							/* SI_EVENT_H */
