/*-------------------------------------------------------------------------
 *
 * upcoming.h
 *	  The next messages of a subscription, without consuming them.
 *
 * The calling backend reads them (topic_reader.h), with the privileges and the
 * user mapping of the subscription's owner, from where each partition would
 * resume.  Nothing is stored, and no worker is blocked.  Called by preview.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_UPCOMING_H
#define SI_UPCOMING_H

#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "common/message.h"

typedef struct SiUpcoming
{
	SiMessage  *messages;		/* by partition and offset, with headers */
	int			nmessages;
	SiProgress *rows;			/* of progress, as they were before */
	int			nrows;
} SiUpcoming;

/*
 * Up to max_messages, dealt out evenly among the partitions that have any.  In
 * the current memory context.  A gap that the subscription would stop at is a
 * NOTICE, and the messages are those behind it; where it would stop for good,
 * 22003.
 */
extern void si_upcoming_read(const SiSubscription *subscription, const SiOptions *options,
							 int max_messages, SiUpcoming *upcoming);

/*
 * Has the subscription dealt with this message in the meantime?  now: its rows
 * of progress, read again.
 */
extern bool si_upcoming_passed(const SiUpcoming *upcoming, const SiMessage *message,
							   SiProgress *now, int nnow);

/* Was skip() called for this message? */
extern bool si_upcoming_skipped(const SiUpcoming *upcoming, const SiMessage *message);

#endif							/* SI_UPCOMING_H */
