/*-------------------------------------------------------------------------
 *
 * ticket.h
 *	  The Kerberos ticket with which a client authenticates (sasl_mechanism GSSAPI).
 *
 * A thread of its own gets the ticket by the key in a keytab, and another one before
 * it ends.  (librdkafka would run the shell command kinit for that.)  The library's
 * threads find it by the callback that opens their sockets.  Principal and keytab are
 * properties of the client.
 *
 * Called by consumer and producer, and by helper, which keeps one.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TICKET_H
#define SI_TICKET_H

#include "kafka/client.h"
#include "kafka/consumer_values.h"

typedef struct SiTicket SiTicket;

/*
 * Do the properties want tickets?  Then *ticket is a source that does not run yet, with
 * one reference.  False, and why, if the properties lack something, or there is no
 * memory.
 */
extern bool si_ticket_create(const SiProperty *properties, int nproperties, SiTicket **ticket,
							 SiClientFailure *failure);

/*
 * What destroys the library's handle holds a reference until that is done, since the
 * handle's threads use the ticket.  The last release frees it; NULL is allowed.
 */
extern SiTicket *si_ticket_hold(SiTicket *ticket);
extern void si_ticket_release(SiTicket *ticket);

/*
 * Start it: fd is made readable at each news.  Returns an error number; the reference
 * of its creation is the thread's unless that is not 0.
 */
extern int	si_ticket_start(SiTicket *ticket, int fd);

/*
 * Open a socket for a thread of the library, which then authenticates by the ticket.
 * Waits some seconds for the first one.  -1, and errno, if there is none.
 */
extern int	si_ticket_open_socket(SiTicket *ticket, int domain, int type, int protocol);

/* Are these the library's words of a socket that was not opened because there is no ticket? */
extern bool si_ticket_is_lacking(const char *words);

/*
 * Has something changed?  Then the error says why there is no new ticket; its kind is
 * NONE if there is one.
 */
extern bool si_ticket_news(SiTicket *ticket, SiBrokerError *news);

/*
 * A broker has refused to authenticate us: get another ticket, at once or when that one
 * is some seconds old.
 */
extern void si_ticket_renew(SiTicket *ticket);

/* Tell it to end: it opens no socket and does not use the descriptor from now on. */
extern void si_ticket_end(SiTicket *ticket);

/* Wait for the end, and release it; it does so itself if that takes longer. */
extern void si_ticket_await(SiTicket *ticket, int timeout_ms);

#endif							/* SI_TICKET_H */
