/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  A transaction's messages to Kafka, sent with its commit.
 *
 * A message is held in memory until its transaction commits, and is discarded
 * with its subtransaction.  So what is rolled back, halved by a worker or
 * previewed sends nothing.  At pre-commit, when all that can still fail is
 * rare, everything is handed to the library and its acknowledgement awaited;
 * a message that is not acknowledged is an ERROR of the COMMIT.  What was
 * acknowledged before that message, and what a crash or one of the rare
 * failures leaves between the acknowledgement and the commit, stays in Kafka
 * and is sent again when the transaction is tried again: at least once.
 *
 * Called by functions_produce.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OUTBOX_H
#define SI_OUTBOX_H

#include "functions/destination.h"

/* Hold a copy of a message until the transaction commits. */
extern void si_outbox_hold(SiDestination *destination, const SiOutgoing *outgoing);

/* Does the running transaction hold no message? */
extern bool si_outbox_is_empty(void);

#endif							/* SI_OUTBOX_H */
