/*-------------------------------------------------------------------------
 *
 * worker_token.c
 *	  Tokens that a function of the owner's gives: when a worker calls it.
 *
 * That is a matter of the main thread, between batches and while it waits, in a
 * transaction of its own.  No token is waited for: the consumer's threads wait until
 * the library has one.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgstat.h"

#include "catalog/token_function.h"
#include "catalog/transaction.h"
#include "process/worker_internal.h"

long
si_worker_token_ms(const SiWorker *worker)
{
	return worker->consumer != NULL ? si_token_due_ms(worker->consumer->token) : -1;
}

/* A failure is shown as the brokers' are: by what it leads to there. */
void
si_worker_serve_token(SiWorker *worker)
{
	const SiSubscription *s = worker->subscription;
	MemoryContext caller;

	if (si_worker_token_ms(worker) != 0)
		return;
	pgstat_report_activity(STATE_RUNNING, "calling the function of option sasl_oauthbearer_function");
	caller = si_transaction_begin();
	(void) si_token_function_serve(worker->consumer->token, s->server_oid, s->owner);
	si_transaction_commit(caller);
	pgstat_report_activity(STATE_IDLE, NULL);
}
