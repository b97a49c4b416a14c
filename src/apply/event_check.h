/*-------------------------------------------------------------------------
 *
 * event_check.h
 *	  What of a mapping does not go with change events.
 *
 * It is refused when a subscription is made, since with some events it would
 * lose what rows have, or leave rows that are no more.  Called by writer and
 * format.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_EVENT_CHECK_H
#define SI_EVENT_CHECK_H

#include "apply/key.h"
#include "apply/mapping.h"

/* For a target whose rows may get another key by an update: 0A000. */
extern void si_event_check_moves(const SiMapping *mapping, const SiKey *key,
								 SiEnvelopeKind envelope);

/* Columns whose names match_names cannot tell from the event's own: 42702. */
extern void si_event_check_names(const SiMapping *mapping, const char *relname,
								 SiEnvelopeKind envelope);

#endif							/* SI_EVENT_CHECK_H */
