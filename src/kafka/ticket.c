/*-------------------------------------------------------------------------
 *
 * ticket.c
 *	  The Kerberos ticket with which a client authenticates: the thread that gets it.
 *
 * The thread calls no server function: no palloc, no elog.  All that it touches is
 * malloc'd, and it runs with all signals blocked.  The lock guards what all sides
 * share, and is not held while the KDC is asked, which nothing can interrupt: the main
 * thread abandons the thread then (side_thread.h).
 *
 * Each client has a cache of its own, whose name is never used again in the process, so
 * that no client finds the ticket of another one.  The name is given to GSSAPI in the
 * very threads of the library that connect: the environment would be the whole
 * process's, and the library's interceptors, which could tell of new threads, are freed
 * twice when rd_kafka_new() fails (2.0.2).
 *
 * Where there is no cache, GSSAPI would take whatever principal the environment's client
 * keytab has.  So no socket is opened before there is a ticket, and the cache, which
 * keeps its principal whatever becomes of the ticket, outlives the library's threads.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/compat.h"
#include "common/thread.h"
#include "common/words.h"
#include "kafka/kerberos.h"
#include "kafka/side_thread.h"
#include "kafka/ticket.h"

/* How long a connection waits for the first ticket, before the reason is told. */
#define FIRST_MS			5000

/* A ticket is replaced when this part of its life is over, but not more often than that. */
#define REFRESH_PERCENT		80
#define MIN_REFRESH_MS		1000

/* Between logins that fail, twice as long each time; one that was refused needs a user. */
#define RETRY_MIN_MS		1000
#define RETRY_AWAY_MS		10000
#define RETRY_REFUSED_MS	60000

/* A ticket that brokers refuse is replaced when it is so old. */
#define RENEW_MS			10000

/* What errno is, and the library's words are, where there is no ticket. */
#define NO_TICKET_ERRNO		ENOKEY
#define NO_TICKET_WORDS		"Failed to create socket"

struct SiTicket
{
	/* constant once the thread runs */
	char	   *principal;
	char	   *keytab;
	char		cache[SI_KERBEROS_CACHE_SIZE];
	SiSideThread side;

	/* what follows is guarded by its lock */
	int			fd;				/* -1 until it is started */
	pthread_cond_t answered;	/* for the library's threads */
	int			references;
	bool		is_answered;	/* the first login has ended */
	int64		end_ms;			/* of the ticket, by si_client_now_ms() */
	int64		due_ms;			/* of the next login */
	int64		got_ms;			/* when the ticket came; 0: there was none */
	int			retry_ms;
	bool		is_news;
	SiBrokerError news;
};

/* ---- the thread ---- */

/* Show the main thread that there is a ticket, or why not. */
static void
tell(SiTicket *ticket, SiBrokerErrorKind kind, const char *words)
{
	ticket->news.kind = kind;
	strlcpy(ticket->news.words, words, sizeof(ticket->news.words));
	ticket->is_news = true;
	if (!ticket->side.closing && ticket->fd >= 0)
		si_client_wake_fd(ticket->fd);
}

/* No ticket: say why, and when the next login is due. */
static void
fail(SiTicket *ticket, const SiKerberosAnswer *answer)
{
	bool		away = (answer->outcome == SI_KERBEROS_AWAY);

	ticket->retry_ms = ticket->retry_ms == 0 ? RETRY_MIN_MS
		: Min(ticket->retry_ms * 2, away ? RETRY_AWAY_MS : RETRY_REFUSED_MS);
	ticket->due_ms = si_client_now_ms() + ticket->retry_ms;
	tell(ticket, away ? SI_BROKER_ERROR_TOKEN_AWAY : SI_BROKER_ERROR_TICKET_REFUSED, answer->words);
}

/* There is one in the cache: connections use it from now on. */
static void
take(SiTicket *ticket, const SiKerberosAnswer *answer)
{
	ticket->got_ms = si_client_now_ms();
	ticket->end_ms = ticket->got_ms + answer->lifetime_s * 1000;
	ticket->due_ms = ticket->got_ms + Max(answer->lifetime_s * 10 * REFRESH_PERCENT, MIN_REFRESH_MS);
	ticket->retry_ms = 0;
	tell(ticket, SI_BROKER_ERROR_NONE, "");
}

/* Get a ticket.  Called, and returns, with the lock held, which is released meanwhile. */
static void
log_in(SiTicket *ticket)
{
	SiKerberosAnswer answer;

	pthread_mutex_unlock(&ticket->side.lock);
	si_kerberos_login(ticket->principal, ticket->keytab, ticket->cache, &answer);
	pthread_mutex_lock(&ticket->side.lock);

	if (answer.outcome == SI_KERBEROS_DONE)
		take(ticket, &answer);
	else
		fail(ticket, &answer);
	ticket->is_answered = true;
	pthread_cond_broadcast(&ticket->answered);
}

static void
release_ticket(void *arg)
{
	si_ticket_release(arg);
}

static void *
ticket_main(void *arg)
{
	SiTicket   *ticket = arg;

	pthread_mutex_lock(&ticket->side.lock);
	while (!ticket->side.closing)
	{
		struct timespec until = si_side_thread_deadline(ticket->due_ms);

		if (si_client_now_ms() >= ticket->due_ms)
			log_in(ticket);
		else
			(void) pthread_cond_timedwait(&ticket->side.work, &ticket->side.lock, &until);
	}
	pthread_mutex_unlock(&ticket->side.lock);

	si_side_thread_finish(&ticket->side, release_ticket, ticket);
	return NULL;
}

/* ---- threads of the library ---- */

/* Wait for the first ticket.  False if there is none that is valid. */
static bool
await_ticket(SiTicket *ticket)
{
	struct timespec until = si_side_thread_deadline(si_client_now_ms() + FIRST_MS);
	bool		found;
	int			rc = 0;

	pthread_mutex_lock(&ticket->side.lock);
	while (!ticket->side.closing && !ticket->is_answered && rc == 0)
		rc = pthread_cond_timedwait(&ticket->answered, &ticket->side.lock, &until);
	found = !ticket->side.closing && si_client_now_ms() < ticket->end_ms;
	if (!found && !ticket->side.closing && ticket->news.kind == SI_BROKER_ERROR_NONE)
	{
		/* the thread still waits for the KDC; the next connection does not */
		ticket->is_answered = true;
		tell(ticket, SI_BROKER_ERROR_TOKEN_AWAY, "no Kerberos ticket: the KDC has not answered");
	}
	pthread_mutex_unlock(&ticket->side.lock);
	return found;
}

int
si_ticket_open_socket(SiTicket *ticket, int domain, int type, int protocol)
{
	if (!await_ticket(ticket) || !si_kerberos_use(ticket->cache))
	{
		errno = NO_TICKET_ERRNO;
		return -1;
	}
	return socket(domain, type | SOCK_CLOEXEC, protocol);
}

bool
si_ticket_is_lacking(const char *words)
{
	return strstr(words, NO_TICKET_WORDS) != NULL;
}

/* ---- the main thread ---- */

/* What keeps these properties from giving a ticket, or NULL. */
static const char *
find_lack(const char *principal, const char *keytab)
{
	if (!si_kerberos_is_supported())
		return "This build of stream_ingest has no Kerberos: it was made with with_kerberos=no.";
	if (keytab == NULL)
		return "The option \"sasl_kerberos_keytab\" of the server is missing.";
	if (principal == NULL)
		return "The option \"sasl_kerberos_principal\" of the server is missing.";
	return NULL;
}

/* Allocate one with a reference; NULL when out of memory. */
static SiTicket *
allocate(const char *principal, const char *keytab)
{
	static uint64 last_id = 0;
	SiTicket   *ticket = calloc(1, sizeof(SiTicket));
	pthread_condattr_t attributes;

	if (ticket == NULL)
		return NULL;
	snprintf(ticket->cache, sizeof(ticket->cache), "MEMORY:stream_ingest_" UINT64_FORMAT, ++last_id);
	ticket->references = 1;
	ticket->fd = -1;
	si_side_thread_init(&ticket->side);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ticket->answered, &attributes);
	pthread_condattr_destroy(&attributes);
	ticket->principal = strdup(principal);
	ticket->keytab = strdup(keytab);
	if (ticket->principal != NULL && ticket->keytab != NULL)
		return ticket;
	si_ticket_release(ticket);
	return NULL;
}

bool
si_ticket_create(const SiProperty *properties, int nproperties, SiTicket **ticket,
				 SiClientFailure *failure)
{
	const char *mechanism = si_client_sasl_mechanism(properties, nproperties);
	const char *principal = si_client_property(properties, nproperties, "sasl.kerberos.principal");
	const char *keytab = si_client_property(properties, nproperties, "sasl.kerberos.keytab");
	const char *lack;

	*ticket = NULL;
	/* without SASL the broker would never be shown the ticket */
	if (mechanism == NULL || strcmp(mechanism, "GSSAPI") != 0)
		return true;
	if (principal != NULL)
		principal = si_words_to_kafka(principal);
	lack = find_lack(principal, keytab);
	if (lack == NULL)
		*ticket = allocate(principal, keytab);
	if (*ticket != NULL)
		return true;
	failure->sqlstate = lack != NULL ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_OUT_OF_MEMORY;
	strlcpy(failure->words, lack != NULL ? lack : "out of memory", sizeof(failure->words));
	return false;
}

SiTicket *
si_ticket_hold(SiTicket *ticket)
{
	pthread_mutex_lock(&ticket->side.lock);
	ticket->references++;
	pthread_mutex_unlock(&ticket->side.lock);
	return ticket;
}

void
si_ticket_release(SiTicket *ticket)
{
	bool		last;

	if (ticket == NULL)
		return;
	pthread_mutex_lock(&ticket->side.lock);
	last = (--ticket->references == 0);
	pthread_mutex_unlock(&ticket->side.lock);
	if (!last)
		return;
	si_kerberos_forget(ticket->cache);
	pthread_cond_destroy(&ticket->answered);
	si_side_thread_destroy(&ticket->side);
	free(ticket->principal);
	free(ticket->keytab);
	free(ticket);
}

int
si_ticket_start(SiTicket *ticket, int fd)
{
	si_side_thread_await_at_exit();
	pthread_mutex_lock(&ticket->side.lock);
	ticket->fd = fd;
	pthread_mutex_unlock(&ticket->side.lock);
	return si_thread_start(&ticket->side.thread, ticket_main, ticket);
}

bool
si_ticket_news(SiTicket *ticket, SiBrokerError *news)
{
	bool		is_news;

	pthread_mutex_lock(&ticket->side.lock);
	is_news = ticket->is_news;
	*news = ticket->news;
	ticket->is_news = false;
	pthread_mutex_unlock(&ticket->side.lock);
	return is_news;
}

void
si_ticket_renew(SiTicket *ticket)
{
	pthread_mutex_lock(&ticket->side.lock);
	if (ticket->got_ms != 0 && ticket->retry_ms == 0)
	{
		ticket->due_ms = Min(ticket->due_ms, ticket->got_ms + RENEW_MS);
		pthread_cond_signal(&ticket->side.work);
	}
	pthread_mutex_unlock(&ticket->side.lock);
}

void
si_ticket_end(SiTicket *ticket)
{
	si_side_thread_close(&ticket->side);
	pthread_mutex_lock(&ticket->side.lock);
	pthread_cond_broadcast(&ticket->answered);
	pthread_mutex_unlock(&ticket->side.lock);
}

void
si_ticket_await(SiTicket *ticket, int timeout_ms)
{
	if (si_side_thread_await(&ticket->side, timeout_ms))
		si_ticket_release(ticket);
}
