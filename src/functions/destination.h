/*-------------------------------------------------------------------------
 *
 * destination.h
 *	  Where a backend's messages to Kafka go.
 *
 * A destination is a server as a mapped user sees it, with its producer.
 * Destinations belong to the backend and are kept.  Rights and mapping are
 * those of the current user at the time of the call, as for any function, so
 * that a trigger or a batch sends as its owner.
 *
 * Called by functions_produce and outbox.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DESTINATION_H
#define SI_DESTINATION_H

#include "kafka/producer.h"
#include "kafka/tls_files.h"
#include "options/server_options.h"

/* Where messages go: a server, as a mapped user sees it. */
typedef struct SiDestination
{
	Oid			server;
	Oid			mapped;			/* InvalidOid: PUBLIC's mapping, or none */
	Oid			role;			/* the one whose function gives the tokens,
								 * and who alone may send; InvalidOid: no
								 * function does */
	bool		valid;			/* false: read the properties again */
	MemoryContext context;		/* of this struct and the properties */
	int			nproperties;
	SiProperty *properties;
	SiTlsFiles *tls_files;		/* that it was opened with; NULL: none */
	SiProducer *producer;		/* NULL until needed, and after a failure */
	bool		sending;		/* in the running round */
	struct SiDestination *next;
} SiDestination;

/* All of this backend. */
extern SiDestination *si_destinations;

/*
 * The destination of the current user's messages to that server.  Errors for
 * a server that does not exist, is of another wrapper, or that the user may
 * not use.  sweep: close those that have lost their server or user mapping,
 * as may be done while no message is held for them.
 */
extern SiDestination *si_destination_find(const char *name, bool sweep);

/*
 * Open its producer, unless there is one that has not failed meanwhile, and whose files
 * of certificates and keys are not replaced.
 */
extern void si_destination_open(SiDestination *destination);

/*
 * If a token is due that a function gives, call it.  Where users' code can run, which
 * is not the case in a commit.
 */
extern void si_destination_serve_token(SiDestination *destination);

/* Close its producer; messages that were not sent are discarded. */
extern void si_destination_close(SiDestination *destination);

#endif							/* SI_DESTINATION_H */
