/*-------------------------------------------------------------------------
 *
 * worker_status.c
 *	  How a worker tells its state, and how it leaves.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"

#include "catalog/event.h"
#include "catalog/fixed_sql.h"
#include "catalog/transaction.h"
#include "process/worker_internal.h"

int			si_worker_my_slot = -1;

/* States of normal operation, between which a worker changes all day. */
static bool
is_well(SiState state)
{
	return state == SI_STATE_CATCHING_UP || state == SI_STATE_STREAMING;
}

/* Log a change of state; changes back and forth while all is well only at DEBUG1. */
static void
log_state(const SiWorker *worker, SiState before, SiState state, const char *reason)
{
	const char *name = NameStr(worker->subscription->name);

	if (reason != NULL)
		ereport(LOG,
				(errmsg("subscription \"%s\" is %s: %s", name, si_slots_state_name(state), reason)));
	else
		ereport(is_well(state) && !is_well(before) ? LOG : DEBUG1,
				(errmsg("subscription \"%s\" is %s", name, si_slots_state_name(state))));
}

/* Tell what we are doing; announced, also in the log, when it changes. */
void
si_worker_set_state(SiWorker *worker, SiState state, const char *reason)
{
	SiWorkerSlot *slot;
	SiState		before;
	char		told[SI_REASON_LEN];
	bool		changed;

	if (reason == NULL && is_well(state) && worker->tls_files_unusable)
		reason = si_reason(SI_REASON_TLS_FILES, si_tls_files_words(worker->tls_files));
	si_reason_put(told, reason ? reason : "");
	worker->streaming = (state == SI_STATE_STREAMING);
	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(si_worker_my_slot);
	before = slot->state;
	changed = (before != state || (reason != NULL && strcmp(slot->reason, told) != 0));
	if (before != state)
		slot->since = GetCurrentTimestamp();
	slot->state = state;
	strlcpy(slot->reason, told, SI_REASON_LEN);
	if (state != SI_STATE_RETRYING && state != SI_STATE_STOPPED)
		slot->retry_at = 0;
	si_slots_unlock();

	if (!changed)
		return;
	worker->announce = true;
	log_state(worker, before, state, reason);
}

/* Announce the state if it has changed, in a transaction of its own. */
void
si_worker_announce_state(SiWorker *worker)
{
	MemoryContext caller;
	SiState		state;

	if (!worker->announce)
		return;
	worker->announce = false;
	si_slots_lock(LW_SHARED);
	state = si_slots_worker(si_worker_my_slot)->state;
	si_slots_unlock();

	caller = si_transaction_begin();
	si_event_announce(worker->subscription->id, state);
	si_transaction_commit(caller);
}

void
si_worker_set_error(int sqlerrcode, const char *text)
{
	SiWorkerSlot *slot;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(si_worker_my_slot);
	si_reason_put(slot->last_error, text);
	slot->last_error_sqlstate = sqlerrcode;
	slot->last_error_at = GetCurrentTimestamp();
	slot->retries++;
	si_slots_unlock();
}

/* The sentence in which an error is told that is not a message's. */
static SiReason
failure_reason(SiWorker *worker, int sqlerrcode)
{
	if (si_failure_kind(sqlerrcode) == SI_ERROR_TEMPORARY)
		return SI_REASON_TEMPORARY;
	if (sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return SI_REASON_PRIVILEGE;
	if (sqlerrcode == ERRCODE_UNDEFINED_TABLE && worker->subscription->apply == NULL)
		return SI_REASON_NO_TARGET;
	return SI_REASON_LASTING;
}

void
si_worker_show_failure(SiWorker *worker, const SiFailure *failure, const char *words)
{
	bool		temporary = (si_failure_kind(failure->sqlerrcode) == SI_ERROR_TEMPORARY);

	si_worker_set_state(worker, temporary ? SI_STATE_RETRYING : SI_STATE_STOPPED,
						si_reason(failure_reason(worker, failure->sqlerrcode), words));
}

bool
si_worker_show_own_failure(SiWorker *worker, SiFailure *failure)
{
	SiFixedSqlFailure own = si_fixed_sql_take_failure();
	char	   *words;

	if (own == SI_FIXED_SQL_DID_NOT_FAIL ||
		si_failure_kind(failure->sqlerrcode) == SI_ERROR_TEMPORARY)
		return false;
	failure->safe = (own == SI_FIXED_SQL_FAILED);
	words = si_failure_words(failure);
	si_worker_set_error(failure->sqlerrcode, words);
	si_worker_set_state(worker, SI_STATE_STOPPED, si_reason(SI_REASON_OWN_TABLES, words));
	return true;
}

void
si_worker_show_write_path(SiWorker *worker)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->direct = (worker->plan->writer->direct != NULL);
	si_slots_unlock();
}

void
si_worker_set_retry_at(TimestampTz at)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->retry_at = at;
	si_slots_unlock();
}

void
si_worker_leave(SiSuccessor successor)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(si_worker_my_slot)->left = (successor == SI_SUCCESSOR_AT_ONCE);
	si_slots_unlock();
	proc_exit(0);
}

/* The SQLSTATE under which a broker error is shown. */
static int
broker_error_sqlstate(SiBrokerErrorKind kind)
{
	switch (kind)
	{
		case SI_BROKER_ERROR_AUTHENTICATION:
		case SI_BROKER_ERROR_TOKEN_REFUSED:
		case SI_BROKER_ERROR_TICKET_REFUSED:
		case SI_BROKER_ERROR_TOKEN_FUNCTION:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case SI_BROKER_ERROR_AUTHORIZATION:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case SI_BROKER_ERROR_TOPIC:
			return ERRCODE_UNDEFINED_OBJECT;
		default:
			return ERRCODE_CONNECTION_FAILURE;
	}
}

/* The sentence in which it is told, with what to do. */
static SiReason
broker_error_reason(SiWorker *worker, SiBrokerErrorKind kind)
{
	switch (kind)
	{
		case SI_BROKER_ERROR_AUTHENTICATION:
			return si_consumer_hint(worker->consumer, kind) ? SI_REASON_SCRAM
				: SI_REASON_AUTHENTICATION;
		case SI_BROKER_ERROR_TOKEN_AWAY:
			return SI_REASON_TOKEN_AWAY;
		case SI_BROKER_ERROR_TOKEN_REFUSED:
			return SI_REASON_TOKEN_REFUSED;
		case SI_BROKER_ERROR_TICKET_REFUSED:
			return SI_REASON_TICKET_REFUSED;
		case SI_BROKER_ERROR_TOKEN_FUNCTION:
			return SI_REASON_TOKEN_FUNCTION;
		case SI_BROKER_ERROR_AUTHORIZATION:
			return SI_REASON_AUTHORIZATION;
		case SI_BROKER_ERROR_TOPIC:
			return SI_REASON_TOPIC;
		default:
			return SI_REASON_BROKER;
	}
}

/* Do these words name the topic, which may be a part of any word? */
static bool
names_topic(const char *words, const char *topic)
{
	static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t		len = strlen(topic);

	for (const char *at = strstr(words, topic); at != NULL; at = strstr(at + 1, topic))
	{
		if ((at == words || strchr(legal, at[-1]) == NULL) &&
			(at[len] == '\0' || strchr(legal, at[len]) == NULL))
			return true;
	}
	return false;
}

/* Brokers or topic are not as they should be. */
void
si_worker_report_broker_error(SiWorker *worker, const SiBrokerError *broker_error)
{
	bool		about_topic = broker_error->kind == SI_BROKER_ERROR_TOPIC ||
		broker_error->kind == SI_BROKER_ERROR_AUTHORIZATION;
	const char *text = broker_error->words;

	/* of a topic, the library does not always say which */
	if (about_topic && !names_topic(text, worker->subscription->topic))
		text = psprintf("topic \"%s\": %s", worker->subscription->topic, broker_error->words);

	worker->contact.failing = true;
	si_worker_set_error(broker_error_sqlstate(broker_error->kind), text);
	si_worker_set_state(worker, about_topic ? SI_STATE_STOPPED : SI_STATE_RETRYING,
						si_reason(broker_error_reason(worker, broker_error->kind), text));
}

/*
 * Is the subscription still what we work for?  Asked before trying again: what
 * failed may have failed because it is gone.
 */
void
si_worker_leave_if_changed(SiWorker *worker)
{
	MemoryContext caller = si_transaction_begin();
	SiSubscription *now = NULL;
	bool		changed;

	if (OidIsValid(si_catalog_lock_extension()))
		now = si_catalog_get(worker->subscription->id);
	changed = now == NULL || now->epoch != worker->key.epoch || !now->enabled ||
		now->stop_state != NULL;
	si_transaction_commit(caller);
	if (changed)
		si_worker_leave(SI_SUCCESSOR_AT_ONCE);
}

/*
 * The subscription has been stopped (and that is committed): leave.  A scan
 * will tell it to the launcher, but until then this slot would have the next
 * worker started.
 */
void
si_worker_leave_stopped(SiWorker *worker, SiState state, const char *reason)
{
	SiSubscriptionSlot *slot;

	si_worker_set_state(worker, state, reason);
	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_subscription(MyDatabaseId, worker->subscription->id);
	if (slot != NULL && slot->epoch == worker->key.epoch)
	{
		slot->workers = 0;
		slot->state = state;
		slot->since = GetCurrentTimestamp();
		si_reason_put(slot->reason, reason);
	}
	si_slots_unlock();
	si_slots_request_scan(MyDatabaseId);
	si_worker_leave(SI_SUCCESSOR_AT_ONCE);
}

void
si_worker_stop_subscription(SiWorker *worker, SiState state, const char *reason, const char *sqlstate)
{
	MemoryContext caller = si_transaction_begin();

	if (si_catalog_stop(worker->subscription->id, worker->key.epoch, si_slots_state_name(state),
						reason, sqlstate))
		si_event_announce(worker->subscription->id, state);
	si_transaction_commit(caller);
	si_worker_leave_stopped(worker, state, reason);
}
