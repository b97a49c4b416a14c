/*-------------------------------------------------------------------------
 *
 * preview.h
 *	  What the next messages of a subscription would become, and why not.
 *
 * Called by the SQL function.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PREVIEW_H
#define SI_PREVIEW_H

#include "catalog/subscriptions.h"
#include "common/failure.h"

/*
 * A message that was tried.  It is refused if there is a failure; else, without
 * a row, it would be ignored.
 */
typedef struct SiPreviewed
{
	int32		partition;
	int64		offset;
	Datum		row;			/* jsonb; 0 if it is none */
	const SiFailure *failure;	/* NULL if it would be applied */
} SiPreviewed;

/*
 * Try up to max_messages as a worker would, in subtransactions of the current
 * transaction that are rolled back.  The result is in the current memory
 * context, by partition and offset.  Throws what makes the plan impossible,
 * temporary errors, and what si_upcoming_read does.
 */
extern SiPreviewed *si_preview(const SiSubscription *subscription, const SiOptions *options,
							   int max_messages, int *n);

#endif							/* SI_PREVIEW_H */
