/*-------------------------------------------------------------------------
 *
 * worker_wait.c
 *	  How a worker waits.
 *
 * All waits of a worker are here.  Each one waits for the process's latch, the
 * consumer's descriptor or a time, with no transaction open, and then takes what
 * came from outside: interrupts, a new configuration, invalidations, and the
 * launcher's requests.  A token that is due is got then, too.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "common/compat.h"
#include "kafka/registry.h"
#include "process/worker_internal.h"

#define REPORT_MS			1000	/* as often as the server's backends
									 * report statistics */

static const char *const wait_names[SI_NWAITS] = {
	[SI_WAIT_IDLE] = "StreamIngestIdle",
	[SI_WAIT_FETCH] = "StreamIngestFetch",
	[SI_WAIT_RETRY] = "StreamIngestRetry",
	[SI_WAIT_SCHEMA] = "StreamIngestSchema",
};

static uint32 wait_events[SI_NWAITS];

/* The server's options or the user mapping may have changed. */
static volatile sig_atomic_t server_changed = false;

/* Hashes of the rows that the worker's connection is made of. */
typedef struct Watched
{
	bool		known;
	uint32		server;
	uint32		mappings[2];	/* the owner's and PUBLIC's */
} Watched;

static Watched watched;

/* A hash of 0 stands for all rows. */
static void
server_options_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (!watched.known || hashvalue == 0 || hashvalue == watched.server)
		server_changed = true;
}

static void
user_mapping_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (!watched.known || hashvalue == 0 ||
		hashvalue == watched.mappings[0] || hashvalue == watched.mappings[1])
		server_changed = true;
}

void
si_worker_init_waits(void)
{
	for (int i = 0; i < SI_NWAITS; i++)
		wait_events[i] = new_wait_event_compat(wait_names[i]);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_options_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGUSERSERVER, user_mapping_changed, (Datum) 0);
}

void
si_worker_watch_server(Oid server, Oid owner)
{
	Datum		id = ObjectIdGetDatum(server);

	watched.server = GetSysCacheHashValue1(FOREIGNSERVEROID, id);
	watched.mappings[0] = GetSysCacheHashValue2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(owner), id);
	watched.mappings[1] = GetSysCacheHashValue2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), id);
	watched.known = true;
	server_changed = false;
}

/*
 * Does the publisher still send the final offsets of a run?  Another worker may
 * have ended the run meanwhile, which must not interrupt that.
 */
static bool
is_publishing_last(SiWorker *worker)
{
	return worker->run.arrived && si_publisher_is_busy(&worker->publisher) &&
		!TimestampDifferenceExceeds(worker->run.arrived_at, si_clock_now(),
									SI_LAST_PUBLICATION_MS);
}

/*
 * Certificates and keys may have been replaced: the next process opens a consumer with
 * the new ones.  While these cannot be used, the state says so.
 */
static void
check_tls_files(SiWorker *worker)
{
	SiTlsFilesState state;
	bool		changed;

	if (worker->tls_files == NULL || is_publishing_last(worker))
		return;
	state = si_tls_files_check(worker->tls_files);
	changed = (worker->tls_files_unusable != (state == SI_TLS_FILES_UNUSABLE));
	worker->tls_files_unusable = (state == SI_TLS_FILES_UNUSABLE);

	/* where messages never cease to come, nothing else sets the state again */
	if (changed && worker->phase == SI_PHASE_STREAM && !worker->contact.failing && !worker->run.arrived)
		si_worker_set_state(worker, worker->streaming ? SI_STATE_STREAMING : SI_STATE_CATCHING_UP, NULL);
	if (state != SI_TLS_FILES_NEW)
		return;
	ereport(LOG,
			(errmsg("subscription \"%s\" reconnects, since a file of certificates or keys has changed",
					NameStr(worker->subscription->name))));
	si_worker_leave(SI_SUCCESSOR_AT_ONCE);
}

void
si_worker_take_requests(SiWorker *worker)
{
	SiWorkerSlot *slot;
	bool		stop,
				refresh;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(si_worker_my_slot);
	stop = slot->stop;
	refresh = slot->refresh_watermarks;
	slot->refresh_watermarks = false;
	si_slots_unlock();

	if (server_changed || (stop && !is_publishing_last(worker)))
		si_worker_leave(SI_SUCCESSOR_AT_ONCE);
	if (refresh && worker->phase == SI_PHASE_STREAM)
		si_worker_watch_watermarks(worker);
	check_tls_files(worker);
}

/* A worker that has much to do waits for nothing that would tell it of the postmaster. */
void
si_worker_check_interrupts(void)
{
	if (!PostmasterIsAlive())
		proc_exit(1);
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

/* The sooner of two times to wait, of which each may be -1: without end. */
static long
sooner(long a, long b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/*
 * Report the statistics of tables that were held back: the server does that with
 * the next transaction, and there may be none for days.  Returns how long until
 * the next report is due, or -1.
 */
static long
report_statistics(SiWorker *worker)
{
	TimestampTz now = si_clock_now();
	bool		force = (worker->report_due != 0 && now >= worker->report_due);

	if (pgstat_report_stat(force) == 0)
	{
		worker->report_due = 0;
		return -1;
	}
	if (worker->report_due == 0 || force)
		worker->report_due = TimestampTzPlusMilliseconds(now, REPORT_MS);
	return TimestampDifferenceMilliseconds(now, worker->report_due);
}

void
si_worker_wait(SiWorker *worker, long timeout_ms)
{
	WaitEvent	occurred[4];
	int			n;

	Assert(!IsTransactionState());
	si_worker_announce_state(worker);
	timeout_ms = sooner(timeout_ms, report_statistics(worker));
	timeout_ms = sooner(timeout_ms, si_worker_token_ms(worker));
	n = WaitEventSetWait(worker->events, timeout_ms, occurred, lengthof(occurred),
						 wait_events[worker->wait]);
	if (n > 0)
		ResetLatch(MyLatch);
	si_client_drain_fd(worker->consumer->fd);
	if (worker->schemas.registry != NULL)
		si_client_drain_fd(si_registry_fd(worker->schemas.registry));

	si_worker_check_interrupts();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	AcceptInvalidationMessages();
	si_worker_take_requests(worker);
	si_worker_serve_token(worker);
}

void
si_worker_back_off(SiWorker *worker, int max_ms)
{
	TimestampTz until;
	SiWorkerWait wait = worker->wait;

	worker->retry_ms = (worker->retry_ms == 0) ? SI_RETRY_MIN_MS
		: Min(worker->retry_ms * 2, max_ms);
	until = TimestampTzPlusMilliseconds(si_clock_now(), worker->retry_ms);
	si_worker_set_retry_at(until);
	worker->wait = SI_WAIT_RETRY;
	for (;;)
	{
		long		left = TimestampDifferenceMilliseconds(si_clock_now(), until);

		if (left <= 0)
			break;
		si_worker_wait(worker, left);
	}
	worker->wait = wait;
	si_worker_set_retry_at(0);
}
