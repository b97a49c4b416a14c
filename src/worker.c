/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The process that applies batches.
 *
 * A worker connects as its subscription's owner and goes through three phases:
 *
 *	PREPARE		read the subscription, check the plan, open the consumer
 *	CONTACT		ask the brokers about the topic; make or move the rows of
 *				progress; assign its own partitions
 *	STREAM		fetch, apply, wait
 *
 * With the option stop_at there is an end: who has come to it in all its
 * partitions waits for the others, and the last one ends the run.
 *
 * An error in a phase is shown in status, waited out and the phase tried
 * again; messages in hand stay in hand.  Whatever changes the ground (the
 * subscription, the server's options, partitions, an offset that is gone) ends
 * the process, and the launcher starts another: there is no half-changed
 * state.  What must survive: SIGTERM anywhere (die), SIGSTOP anywhere (the
 * fence in progress), brokers gone for any time.
 *
 * No transaction is open while waiting, and the only waits are on the latch
 * and the consumer's descriptor.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "event.h"
#include "group.h"
#include "ingest.h"
#include "position.h"
#include "publisher.h"
#include "retry.h"
#include "server_options.h"
#include "session.h"
#include "worker.h"
#include "writer.h"

#define TOPIC_CHECK_MS		30000	/* partitions added, topic gone */
#define TROUBLE_CHECK_MS	2000	/* the same while something is wrong */
#define RETRY_MIN_MS		1000
#define RETRY_MAX_MS		60000
#define CONTACT_RETRY_MAX_MS 5000	/* brokers and topics come back
									 * unannounced */
#define CLOSE_MS			5000	/* most that the end of a worker may take */
#define PUBLISH_MS			5000
#define LAST_PUBLICATION_MS	2000	/* most that the end of a run waits for
									 * one */
#define FETCH_CHUNK			1000

/* A reject limit in percent is of this many messages, kept in so many parts. */
#define REJECT_WINDOW		10000
#define REJECT_WINDOW_PARTS 10

/* So often a batch is tried again at once; then it is not mere contention. */
#define RETRIES_AT_ONCE		10

/* When orphans are looked at again after that has failed. */
#define ORPHANS_ERROR_MS	60000

/* What a worker waits for, as pg_stat_activity shows it. */
typedef enum Wait
{
	WAIT_IDLE,
	WAIT_FETCH,					/* an answer of the brokers */
	WAIT_RETRY,
	NWAITS
} Wait;

static const char *const wait_names[NWAITS] = {
	[WAIT_IDLE] = "StreamIngestIdle",
	[WAIT_FETCH] = "StreamIngestFetch",
	[WAIT_RETRY] = "StreamIngestRetry",
};

static uint32 wait_events[NWAITS];

typedef enum Phase
{
	PHASE_PREPARE,
	PHASE_CONTACT,
	PHASE_STREAM
} Phase;

/* One of our partitions. */
typedef struct Partition
{
	SiProgress	progress;
	int64		expected;		/* next offset to take; lower ones are dropped */
	int64		stop;			/* and so is this, and what is behind it */
	bool		assigned;		/* the consumer reads it */
	int64		end;			/* its end, if seen behind what is in hand; -1 */
	bool		at_end;			/* nothing came since its end was seen */
	int			refused;		/* messages refused in a row */
	bool		in_batch;
	bool		missing;		/* the topic, made anew, does not have it */
	pg_atomic_uint64 *shown_offset; /* in our slots; NULL if there is none */
} Partition;

typedef struct Worker
{
	int			slot;
	Phase		phase;
	MemoryContext context;		/* as long as the process */
	MemoryContext plan_context; /* what PREPARE and CONTACT found out */
	MemoryContext scratch;		/* reset before each turn of the loop */
	SiSubscription *stub;		/* id and name, all there is before PREPARE */
	SiSubscription *subscription;
	SiOptions  *options;
	SiProgressKey key;
	SiIngest   *ingest;
	SiConsumer *consumer;
	WaitEventSet *events;
	int			number;			/* which of the subscription's workers */

	Partition  *partitions;
	int			npartitions;
	int			topic_partitions;
	int			skips;			/* messages that are to be skipped */
	bool		arrived;		/* the run is over in all of them ... */
	bool		run_checked;	/* ... and then it was not in others' */
	TimestampTz arrived_at;

	/* messages in hand: items[first .. nitems) */
	SiFetched  *items;
	SiMessage  *messages;		/* the same, as a batch wants them */
	int			first;
	int			nitems;
	int64		bytes;			/* of those */
	TimestampTz oldest;			/* when the first of them was taken */
	int			limit;			/* most messages of the next batch */
	char	   *broken;			/* why a partition cannot go on, or NULL */
	SiFailure  *refusal;		/* what COMMIT said of the next message, which
								 * is then a batch of its own; or NULL */
	MemoryContext refusal_context;

	/* messages refused lately, for a limit in percent; see count_window */
	int			window_messages;	/* in the part at hand */
	int			window_refused[REJECT_WINDOW_PARTS];
	int			window_part;
	TimestampTz next_orphans;	/* when orphans are due to be tried again; 0:
								 * there are none */
	bool		trying_orphans;

	/* waiting and looking around */
	Wait		wait;
	bool		announce;		/* the state has changed */
	bool		streaming;		/* and is this */
	SiPublisher publisher;
	double		tokens;			/* messages that rate_limit allows */
	int			allowed;		/* of those in hand, now */
	TimestampTz tokens_at;
	TimestampTz next_topic_check;
	bool		topic_asked;
	bool		troubled;
	int			retry_ms;
	int			retries_at_once;
	TimestampTz rate_since;
	int64		rate_messages;
	double		rate;
} Worker;

/* The worker of this process; reached by exit callbacks only. */
static Worker *my_worker = NULL;
static int	my_slot = -1;

/* The server's options or the user mapping may have changed. */
static volatile sig_atomic_t server_changed = false;

/* The owner could not connect. */
static bool not_permitted = false;

static void wait_for_something(Worker *worker, long timeout_ms);

/* ---- the slot ---- */

/* Does all go well?  Between these states one may go to and fro all day. */
static bool
is_well(SiState state)
{
	return state == SI_STATE_CATCHING_UP || state == SI_STATE_STREAMING;
}

/* A line of the log for a change of state that somebody may want to know of. */
static void
log_state(const Worker *worker, SiState before, SiState state, const char *reason)
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
static void
set_state(Worker *worker, SiState state, const char *reason)
{
	SiWorkerSlot *slot;
	SiState		before;
	char		told[SI_REASON_LEN];
	bool		changed;

	si_reason_put(told, reason ? reason : "");
	worker->streaming = (state == SI_STATE_STREAMING);
	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(my_slot);
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
static void
announce_state(Worker *worker)
{
	SiState		state;

	if (!worker->announce)
		return;
	worker->announce = false;
	si_slots_lock(LW_SHARED);
	state = si_slots_worker(my_slot)->state;
	si_slots_unlock();

	StartTransactionCommand();
	si_event_announce(worker->subscription->id, state);
	CommitTransactionCommand();
}

static void
set_error(int sqlerrcode, const char *text)
{
	SiWorkerSlot *slot;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(my_slot);
	si_reason_put(slot->last_error, text);
	slot->last_error_sqlstate = sqlerrcode;
	slot->last_error_at = GetCurrentTimestamp();
	slot->retries++;
	si_slots_unlock();
}

static void
set_retry_at(TimestampTz at)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(my_slot)->retry_at = at;
	si_slots_unlock();
}

/*
 * Leave.  asked: because somebody wants us to, or the ground has changed, so
 * that a successor may start at once.
 */
static void
leave(bool asked)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(my_slot)->left = asked;
	si_slots_unlock();
	proc_exit(0);
}

/* Last thing of all: the process is gone, its locks and transaction too. */
static void
detach_slot(int code, Datum arg)
{
	SiWorkerSlot *slot;
	Oid			database;
	int			launcher;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(my_slot);
	slot->pid = 0;
	database = slot->database;
	launcher = si_shared->launcher_pid;
	si_slots_free_partitions(my_slot);
	si_slots_unlock();
	if (not_permitted)
		si_slots_request_scan(database);
	si_slots_wake(launcher);
	ereport(LOG,
			(errmsg("worker %d of subscription \"%s\" has stopped", my_worker->number,
					NameStr(my_worker->stub->name))));
}

/*
 * Close the consumer before shared memory goes: its helper thread writes
 * there.  Bounded, so that a broker that is gone cannot hold up a shutdown.
 */
static void
close_consumer(int code, Datum arg)
{
	SiConsumer *consumer = my_worker->consumer;

	if (consumer == NULL)
		return;
	my_worker->consumer = NULL;
	si_consumer_release(consumer, my_worker->items + my_worker->first,
						my_worker->nitems - my_worker->first);
	if (!si_consumer_close(consumer, CLOSE_MS))
		ereport(LOG,
				(errmsg("the Kafka consumer of subscription \"%s\" did not stop in time",
						NameStr(my_worker->subscription->name))));
}

/* ---- retrying ---- */

/* Wait before trying again, a little longer each time. */
static void
back_off(Worker *worker, int max_ms)
{
	TimestampTz until;
	Wait		wait = worker->wait;

	worker->retry_ms = (worker->retry_ms == 0) ? RETRY_MIN_MS
		: Min(worker->retry_ms * 2, max_ms);
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), worker->retry_ms);
	set_retry_at(until);
	worker->wait = WAIT_RETRY;
	for (;;)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		if (left <= 0)
			break;
		wait_for_something(worker, left);
	}
	worker->wait = wait;
	set_retry_at(0);
}

/* The SQLSTATE under which a trouble is shown. */
static int
trouble_sqlstate(SiTroubleKind kind)
{
	switch (kind)
	{
		case SI_TROUBLE_AUTHENTICATION:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case SI_TROUBLE_AUTHORIZATION:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case SI_TROUBLE_TOPIC:
			return ERRCODE_UNDEFINED_OBJECT;
		default:
			return ERRCODE_CONNECTION_FAILURE;
	}
}

/* The sentence in which it is told, with what to do. */
static SiReason
trouble_reason(Worker *worker, SiTroubleKind kind)
{
	switch (kind)
	{
		case SI_TROUBLE_AUTHENTICATION:
			return si_consumer_hint(worker->consumer, kind) ? SI_REASON_SCRAM
				: SI_REASON_AUTHENTICATION;
		case SI_TROUBLE_AUTHORIZATION:
			return SI_REASON_AUTHORIZATION;
		case SI_TROUBLE_TOPIC:
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
static void
report_trouble(Worker *worker, const SiTrouble *trouble)
{
	bool		about_topic = trouble->kind == SI_TROUBLE_TOPIC ||
		trouble->kind == SI_TROUBLE_AUTHORIZATION;
	const char *text = trouble->words;

	/* of a topic, the library does not always say which */
	if (about_topic && !names_topic(text, worker->subscription->topic))
		text = psprintf("topic \"%s\": %s", worker->subscription->topic, trouble->words);

	worker->troubled = true;
	set_error(trouble_sqlstate(trouble->kind), text);
	set_state(worker, about_topic ? SI_STATE_STOPPED : SI_STATE_RETRYING,
			  si_reason(trouble_reason(worker, trouble->kind), text));
}

/*
 * Is the subscription still what we work for?  Asked before trying again: what
 * failed may have failed because it is gone.
 */
static void
leave_if_changed(Worker *worker)
{
	SiSubscription *now = NULL;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(si_catalog_lock_extension()))
		now = si_catalog_get(worker->subscription->id);
	if (now == NULL || now->epoch != worker->key.epoch || !now->enabled ||
		now->stop_state != NULL)
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
		leave(true);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * The subscription has been stopped (and that is committed): leave.  A scan
 * will tell it to the launcher, but until then this slot would have the next
 * worker started.
 */
static void
leave_stopped(Worker *worker, SiState state, const char *reason)
{
	SiSubscriptionSlot *slot;

	set_state(worker, state, reason);
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
	leave(true);
}

/* Stop the subscription until somebody enables it, and leave. */
static void
stop_subscription(Worker *worker, SiState state, const char *reason, const char *sqlstate)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (si_catalog_stop(worker->subscription->id, worker->key.epoch, si_slots_state_name(state),
						reason, sqlstate))
		si_event_announce(worker->subscription->id, state);
	PopActiveSnapshot();
	CommitTransactionCommand();
	leave_stopped(worker, state, reason);
}

/* ---- PREPARE ---- */

static void
open_consumer(Worker *worker)
{
	SiSubscription *s = worker->subscription;
	SiServerProperties *server = si_server_properties(s->server, s->owner);
	int			n = server->nproperties + worker->options->nproperties;
	SiProperty *properties = palloc(sizeof(SiProperty) * Max(n, 1));
	char	   *client_id = psprintf("stream_ingest/%s/%s", get_database_name(MyDatabaseId),
									 NameStr(s->name));
	char	   *group;

	/* the launcher asks when it starts us, but may have asked long ago */
	if (!has_server_usage_compat(server->server, s->owner))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, s->server);

	if (server->nproperties > 0)
		memcpy(properties, server->properties, sizeof(SiProperty) * server->nproperties);
	if (worker->options->nproperties > 0)
		memcpy(properties + server->nproperties, worker->options->properties,
			   sizeof(SiProperty) * worker->options->nproperties);

	group = si_group_name(worker->options->group_id, server->group_prefix,
						  get_database_name(MyDatabaseId), NameStr(s->name));
	worker->consumer = si_consumer_open(properties, n, s->topic, group, client_id,
										si_ingest_wants_headers(worker->ingest));
	worker->events = create_wait_event_set_compat(worker->context, 3);
	AddWaitEventToSet(worker->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker->events, WL_SOCKET_READABLE, si_consumer_fd(worker->consumer),
					  NULL, NULL);
}

/* Read the subscription, or leave if there is nothing to do for it. */
static void
read_subscription(Worker *worker)
{
	MemoryContext old = MemoryContextSwitchTo(worker->plan_context);
	SiSubscription *s = NULL;

	if (OidIsValid(si_catalog_lock_extension()))
		s = si_catalog_get(worker->subscription->id);
	if (s == NULL || !s->enabled || s->stop_state != NULL)
		leave(true);
	worker->subscription = s;
	worker->options = si_options_parse(s->options_text);
	worker->key.subscription = s->id;
	worker->key.topic = s->topic;
	worker->key.epoch = s->epoch;
	MemoryContextSwitchTo(old);

	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(my_slot)->epoch = s->epoch;
	si_slots_unlock();
}

/* Batches wait for their commit as the options or the target want it. */
static void
set_synchronous_commit(Worker *worker)
{
	const char *value = worker->options->synchronous_commit;

	if (value == NULL)
		value = si_writer_is_remote(worker->subscription->target) ? "on" : "off";
	SetConfigOption("synchronous_commit", value, PGC_USERSET, PGC_S_OVERRIDE);
}

static void
prepare(Worker *worker)
{
	MemoryContext old;

	if (worker->ingest != NULL)
		si_ingest_destroy(worker->ingest);
	worker->ingest = NULL;
	worker->subscription = worker->stub;
	MemoryContextReset(worker->plan_context);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	read_subscription(worker);
	set_synchronous_commit(worker);
	old = MemoryContextSwitchTo(worker->plan_context);
	worker->ingest = si_ingest_create(worker->subscription, worker->options);
	MemoryContextSwitchTo(old);
	si_ingest_check(worker->ingest);
	if (worker->consumer == NULL)
		open_consumer(worker);
	PopActiveSnapshot();
	CommitTransactionCommand();

	worker->items = MemoryContextAllocHuge(worker->context,
										   sizeof(SiFetched) * worker->options->batch_size);
	worker->messages = MemoryContextAllocHuge(worker->context,
											  sizeof(SiMessage) * worker->options->batch_size);
	worker->limit = worker->options->batch_size;
	worker->phase = PHASE_CONTACT;
	worker->retry_ms = 0;
}

/* ---- CONTACT ---- */

/* Wait for what the brokers say of the topic; false if they say it is bad. */
static bool
ask_topic(Worker *worker, SiTopicInfo *info)
{
	worker->wait = WAIT_FETCH;
	si_consumer_ask_topic(worker->consumer);
	while (!si_consumer_topic_answer(worker->consumer, info))
		wait_for_something(worker, -1);
	if (!info->valid)
		report_trouble(worker, &info->trouble);
	return info->valid;
}

/* The same for offsets. */
static bool
ask_offsets(Worker *worker, SiPositionQuestions *questions)
{
	si_consumer_ask_offsets(worker->consumer, questions->queries, questions->nqueries);
	while (!si_consumer_offsets_answer(worker->consumer, questions->queries, questions->nqueries))
		wait_for_something(worker, -1);
	for (int i = 0; i < questions->nqueries; i++)
	{
		SiOffsetQuery *query = &questions->queries[i];
		SiTrouble	trouble = {SI_TROUBLE_BROKER};

		if (query->offset != SI_OFFSET_UNKNOWN)
			continue;
		snprintf(trouble.words, sizeof(trouble.words),
				 "could not get offsets of topic \"%s\", partition %d: %s",
				 worker->subscription->topic, query->partition, query->error);
		report_trouble(worker, &trouble);
		return false;
	}
	return true;
}

static SiPositionQuestions *
make_questions(Worker *worker, const SiTopicInfo *info)
{
	MemoryContext old;
	SiPositionQuestions *questions;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	old = MemoryContextSwitchTo(worker->scratch);
	questions = si_position_questions(worker->subscription, worker->options, info);
	MemoryContextSwitchTo(old);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return questions;
}

/* Make and move rows of progress; false to ask once more. */
static bool
resolve_positions(Worker *worker, const SiTopicInfo *info, SiPositionQuestions *answered)
{
	char	   *reason = NULL;
	SiPositionEnd end;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	end = si_position_resolve(worker->subscription, worker->options, &worker->key, info,
							  answered, &reason);
	if (end == SI_POSITION_STOP || end == SI_POSITION_GAP)
	{
		/* in this transaction: the gaps that it tells of are in it, too */
		reason = MemoryContextStrdup(worker->scratch, reason);
		(void) si_catalog_stop(worker->subscription->id, worker->key.epoch, "stopped", reason,
							   end == SI_POSITION_GAP ? SI_GAP_SQLSTATE : NULL);
		si_event_announce(worker->subscription->id, SI_STATE_STOPPED);
	}
	if (end == SI_POSITION_FENCED || end == SI_POSITION_AGAIN)
	{
		AbortCurrentTransaction();
		if (end == SI_POSITION_FENCED)
			leave(true);
		return false;
	}
	PopActiveSnapshot();
	CommitTransactionCommand();

	if (end == SI_POSITION_STOP || end == SI_POSITION_GAP)
		leave_stopped(worker, SI_STATE_STOPPED, reason);
	return true;
}

/* Has all of a partition been read that this run is to read? */
static bool
has_read_all(const Partition *partition)
{
	return partition->expected >= partition->stop;
}

/*
 * Which partitions are ours: those that the subscription takes are dealt out
 * in turn, so that a partition that is added changes nothing for the others.
 */
static void
load_partitions(Worker *worker, int topic_partitions)
{
	SiProgress *rows;
	int			nrows,
				rank = 0;
	MemoryContext old;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	old = MemoryContextSwitchTo(worker->plan_context);
	rows = si_progress_load(worker->subscription->id, worker->subscription->topic, &nrows);
	worker->partitions = palloc0(sizeof(Partition) * Max(nrows, 1));
	worker->npartitions = 0;
	for (int i = 0; i < nrows; i++)
	{
		Partition  *partition;

		if (!si_options_takes(worker->options, rows[i].partition))
			continue;
		if (rank++ % worker->options->workers != worker->number)
			continue;
		partition = &worker->partitions[worker->npartitions++];
		partition->progress = rows[i];
		worker->skips += rows[i].nskips;
		partition->expected = rows[i].next_offset;
		partition->stop = rows[i].stop_offset >= 0 ? rows[i].stop_offset : PG_INT64_MAX;
		partition->end = -1;
		partition->missing = (rows[i].partition >= topic_partitions);
		partition->at_end = partition->missing || has_read_all(partition);
	}
	MemoryContextSwitchTo(old);
	worker->next_orphans = si_dead_letter_next_retry(worker->subscription->id);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Have the watermarks of our partitions written to shared memory. */
static void
watch_watermarks(Worker *worker)
{
	SiWatermarkSink *sinks = palloc(sizeof(SiWatermarkSink) * Max(worker->npartitions, 1));
	int			n = 0;

	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(my_slot)->partitions = worker->npartitions;
	for (int i = 0; i < worker->npartitions; i++)
	{
		int32		partition = worker->partitions[i].progress.partition;
		SiPartitionSlot *slot = si_slots_make_partition(MyDatabaseId, worker->subscription->id,
														partition, my_slot);

		if (slot == NULL)
			break;
		worker->partitions[i].shown_offset = &slot->next_offset;
		pg_atomic_write_u64(&slot->next_offset, worker->partitions[i].progress.next_offset);
		pg_atomic_write_u64(&slot->stop_offset, worker->partitions[i].stop);
		if (worker->partitions[i].missing)
		{
			/* nobody can be asked, and it has no end to wait for */
			pg_atomic_write_u64(&slot->low, 0);
			pg_atomic_write_u64(&slot->high, 0);
			pg_atomic_write_u64(&slot->asked_at, DT_NOEND);
			continue;
		}
		sinks[n].partition = partition;
		sinks[n].low = &slot->low;
		sinks[n].high = &slot->high;
		sinks[n].asked_at = &slot->asked_at;
		n++;
	}
	si_slots_unlock();
	si_consumer_watch(worker->consumer, sinks, n, SI_WATERMARK_MS);
	pfree(sinks);
}

static void
assign_partitions(Worker *worker)
{
	int			most = Max(worker->npartitions, 1);
	int32	   *partitions = palloc(sizeof(int32) * most);
	int64	   *offsets = palloc(sizeof(int64) * most);
	int32	   *epochs = palloc(sizeof(int32) * most);
	int			n = 0;

	for (int i = 0; i < worker->npartitions; i++)
	{
		const SiProgress *progress = &worker->partitions[i].progress;

		if (worker->partitions[i].missing || has_read_all(&worker->partitions[i]))
			continue;
		worker->partitions[i].assigned = true;
		partitions[n] = progress->partition;
		offsets[n] = progress->next_offset;
		epochs[n] = progress->leader_epoch;
		n++;
	}
	if (n > 0)
		si_consumer_assign(worker->consumer, partitions, offsets, epochs, n);
	pfree(partitions);
	pfree(offsets);
	pfree(epochs);
}

static void
contact(Worker *worker)
{
	MemoryContext old;
	SiTopicInfo info;
	SiPositionQuestions *questions;

	if (!worker->troubled)
		set_state(worker, SI_STATE_CONNECTING, NULL);
	if (!ask_topic(worker, &info))
	{
		back_off(worker, CONTACT_RETRY_MAX_MS);
		leave_if_changed(worker);
		return;
	}
	questions = make_questions(worker, &info);
	if (!ask_offsets(worker, questions) || !resolve_positions(worker, &info, questions))
	{
		back_off(worker, CONTACT_RETRY_MAX_MS);
		leave_if_changed(worker);
		return;
	}
	load_partitions(worker, info.partitions);
	watch_watermarks(worker);
	assign_partitions(worker);
	old = MemoryContextSwitchTo(worker->plan_context);
	si_publisher_start(&worker->publisher, worker->consumer, worker->options->publish_offsets,
					   worker->npartitions);
	MemoryContextSwitchTo(old);

	worker->topic_partitions = info.partitions;
	worker->troubled = false;
	worker->retry_ms = 0;
	worker->next_topic_check =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TOPIC_CHECK_MS);
	worker->phase = PHASE_STREAM;
	worker->wait = WAIT_IDLE;
	set_state(worker, worker->npartitions > 0 ? SI_STATE_CATCHING_UP : SI_STATE_STREAMING,
			  worker->npartitions > 0 ? NULL : si_reason_fixed(SI_REASON_NO_PARTITION));
}

/* ---- STREAM: fetching ---- */

static Partition *
find_partition(Worker *worker, int32 number)
{
	int			low = 0,
				high = worker->npartitions - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		Partition  *partition = &worker->partitions[middle];

		if (partition->progress.partition == number)
			return partition;
		if (partition->progress.partition < number)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/* There is nothing in a partition below this offset, but what is in hand. */
static void
pass_to(Partition *partition, int64 offset)
{
	partition->at_end = true;
	partition->expected = Max(partition->expected, Min(offset, partition->stop));
	if (partition->expected > partition->progress.next_offset)
		partition->end = partition->expected;
}

/* Take one fetched item; true if it is a message for the batch. */
static bool
take_item(Worker *worker, const SiFetched *item)
{
	Partition  *partition = find_partition(worker, item->message.partition);

	/* from behind the end of the run even an error is of no interest */
	if (partition == NULL || has_read_all(partition))
		return false;
	switch (item->kind)
	{
		case SI_FETCH_MESSAGE:
			/* the library may deliver again what it has delivered */
			if (item->message.offset < partition->expected)
				return false;
			if (item->message.offset >= partition->stop)
			{
				pass_to(partition, partition->stop);
				return false;
			}
			partition->expected = item->message.offset + 1;
			partition->at_end = has_read_all(partition);
			return true;
		case SI_FETCH_END:
			pass_to(partition, item->message.offset);
			return false;
		case SI_FETCH_OUT_OF_RANGE:
		case SI_FETCH_CORRUPT:
			/* nothing behind it may be taken; see abandon */
			partition->expected = PG_INT64_MAX;
			worker->broken = MemoryContextStrdup(worker->plan_context, psprintf("topic \"%s\", partition %d, offset " INT64_FORMAT ": %s",
																				worker->subscription->topic, item->message.partition,
																				item->message.offset, item->error));
			return false;
		case SI_FETCH_ERROR:
			set_error(ERRCODE_CONNECTION_FAILURE, item->error);
			return false;
	}
	return false;
}

/* Move what is in hand to the front of the arrays. */
static void
compact_items(Worker *worker)
{
	int			n = worker->nitems - worker->first;

	if (worker->first == 0)
		return;
	memmove(worker->items, worker->items + worker->first, sizeof(SiFetched) * n);
	memmove(worker->messages, worker->messages + worker->first, sizeof(SiMessage) * n);
	worker->first = 0;
	worker->nitems = n;
}

/* Read no further where all has been read that this run is to read. */
static void
leave_partitions(Worker *worker)
{
	int32	   *partitions = palloc(sizeof(int32) * Max(worker->npartitions, 1));
	int			n = 0;

	for (int i = 0; i < worker->npartitions; i++)
	{
		Partition  *partition = &worker->partitions[i];

		if (!partition->assigned || !has_read_all(partition))
			continue;
		partition->assigned = false;
		partitions[n++] = partition->progress.partition;
	}
	if (n > 0)
		si_consumer_unassign(worker->consumer, partitions, n);
	pfree(partitions);
}

/*
 * Fetch until the batch is full or there is nothing more.  The descriptor
 * fires again only after the queue was found empty, so we must not stop before
 * and then wait.  Returns false if something may be left.
 */
static bool
fetch(Worker *worker)
{
	int64		most_bytes = worker->options->batch_bytes;

	compact_items(worker);
	while (worker->nitems < worker->options->batch_size && worker->bytes < most_bytes)
	{
		int			room = Min(FETCH_CHUNK, worker->options->batch_size - worker->nitems);
		SiFetched  *chunk = worker->items + worker->nitems;
		int			n = si_consumer_fetch(worker->consumer, chunk, room);

		if (n == 0)
			return true;
		if (worker->nitems == 0)
			worker->oldest = GetCurrentTimestamp();
		for (int i = 0; i < n; i++)
		{
			SiFetched	item = chunk[i];

			if (!take_item(worker, &item))
			{
				si_consumer_release(worker->consumer, &item, 1);
				continue;
			}
			/* nitems never overtakes i: items move to the front, if at all */
			worker->items[worker->nitems] = item;
			worker->messages[worker->nitems] = item.message;
			worker->bytes += item.message.key_len + item.message.value_len;
			worker->nitems++;
		}
	}
	return false;
}

/* ---- STREAM: applying ---- */

/*
 * How many messages rate_limit allows now: each worker has its share, and what
 * it does not use within a second is lost.
 */
static int
allowed_messages(Worker *worker)
{
	double		share = (double) worker->options->rate_limit / worker->options->workers;
	TimestampTz now = GetCurrentTimestamp();

	if (worker->options->rate_limit == 0)
		return INT_MAX;
	worker->tokens += share * (now - worker->tokens_at) / USECS_PER_SEC;
	worker->tokens = Min(worker->tokens, Max(share, 1));
	worker->tokens_at = now;
	return Max((int) worker->tokens, 0);
}

/* Is this message to be skipped? */
static bool
is_skipped(Worker *worker, const SiMessage *message)
{
	const SiProgress *progress = &find_partition(worker, message->partition)->progress;

	for (int i = 0; i < progress->nskips; i++)
	{
		if (progress->skips[i] == message->offset)
			return true;
	}
	return false;
}

/*
 * Messages of a batch of at most n, so that one to be skipped stands alone;
 * *skip tells whether it is that.
 */
static int
up_to_skip(Worker *worker, int n, bool *skip)
{
	for (int i = 0; worker->skips > 0 && i < n; i++)
	{
		if (!is_skipped(worker, &worker->messages[worker->first + i]))
			continue;
		*skip = (i == 0);
		return Max(i, 1);
	}
	return n;
}

/*
 * Messages of the next batch: as many as its limits allow.  *skip: it is one
 * that somebody wants skipped.
 */
static int
batch_messages(Worker *worker, bool *skip)
{
	int			n = worker->nitems - worker->first;
	int64		bytes = 0;

	*skip = false;
	n = Min(n, worker->limit);
	n = Min(n, worker->allowed);
	n = up_to_skip(worker, n, skip);
	if (worker->bytes <= worker->options->batch_bytes)
		return n;
	for (int i = 0; i < n; i++)
	{
		const SiMessage *message = &worker->messages[worker->first + i];

		bytes += message->key_len + message->value_len;
		if (bytes > worker->options->batch_bytes)
			return Max(i, 1);
	}
	return n;
}

/* The rows of progress that a batch of n messages touches. */
static void
make_request(Worker *worker, int n, SiBatchRequest *request)
{
	bool		all = (n == worker->nitems - worker->first);
	int			last = -1;

	request->consumer = worker->consumer;
	request->messages = worker->messages + worker->first;
	request->nmessages = n;
	request->rows = palloc(sizeof(SiProgress *) * worker->npartitions);
	request->ends = palloc(sizeof(int64) * worker->npartitions);
	request->nrows = 0;

	for (int i = 0; i < worker->npartitions; i++)
		worker->partitions[i].in_batch = all && worker->partitions[i].end >= 0;
	for (int i = 0; i < n; i++)
	{
		if (request->messages[i].partition != last)
			find_partition(worker, request->messages[i].partition)->in_batch = true;
		last = request->messages[i].partition;
	}
	for (int i = 0; i < worker->npartitions; i++)
	{
		Partition  *partition = &worker->partitions[i];

		if (!partition->in_batch)
			continue;
		request->rows[request->nrows] = &partition->progress;
		request->ends[request->nrows] = all ? partition->end : -1;
		request->nrows++;
	}
}

/* Let go of the first n messages in hand. */
static void
release_messages(Worker *worker, int n)
{
	for (int i = worker->first; i < worker->first + n; i++)
		worker->bytes -= worker->messages[i].key_len + worker->messages[i].value_len;
	si_consumer_release(worker->consumer, worker->items + worker->first, n);
	worker->first += n;
	if (worker->first == worker->nitems)
		worker->first = worker->nitems = 0;
}

/* The messages per second of the last second or more. */
static void
update_rate(Worker *worker, int64 messages)
{
	TimestampTz now = GetCurrentTimestamp();
	long		ms = TimestampDifferenceMilliseconds(worker->rate_since, now);

	worker->rate_messages += messages;
	if (ms < 1000)
		return;
	worker->rate = worker->rate_messages * 1000.0 / ms;
	worker->rate_messages = 0;
	worker->rate_since = now;
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(my_slot)->messages_per_second = worker->rate;
	si_slots_worker(my_slot)->rate_at = now;
	si_slots_unlock();
}

/* Has all been read that this run is to read, in all our partitions? */
static bool
has_read_run(const Worker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!has_read_all(&worker->partitions[i]))
			return false;
	}
	return true;
}

static bool
all_at_end(const Worker *worker)
{
	if (worker->first < worker->nitems)
		return false;
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!worker->partitions[i].at_end)
			return false;
	}
	return true;
}

/* How far we are, for the views to tell how long it will take. */
static void
show_offsets(Worker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		const Partition *partition = &worker->partitions[i];

		if (partition->in_batch && partition->shown_offset != NULL)
			pg_atomic_write_u64(partition->shown_offset, partition->progress.next_offset);
	}
}

/* What went on after a batch. */
static void
report_batch(Worker *worker, int messages, instr_time duration)
{
	si_slots_lock(LW_EXCLUSIVE);
	si_slots_worker(my_slot)->batch_messages = messages;
	si_slots_worker(my_slot)->batch_ms = INSTR_TIME_GET_MILLISEC(duration);
	si_slots_unlock();
	update_rate(worker, messages);
	show_offsets(worker);
	ConditionVariableBroadcast(si_slots_bell(MyDatabaseId, worker->subscription->id));

	/* the collector never learns of our rows otherwise, nor does autovacuum */
	pgstat_report_stat(false);
	worker->retry_ms = 0;
	worker->retries_at_once = 0;
}

/* ---- STREAM: messages that were refused ---- */

/* A message cannot be applied, and the subscription says to stop there. */
static void
stop_at_message(Worker *worker, const SiFailure *failure)
{
	char	   *reason = si_failure_describe(failure, worker->subscription->topic,
											 &worker->messages[worker->first]);

	set_error(failure->sqlerrcode, reason);
	stop_subscription(worker, SI_STATE_STOPPED, si_reason(SI_REASON_BAD_MESSAGE, reason),
					  unpack_sql_state(failure->sqlerrcode));
}

/*
 * Count refusals in a row per partition.  Returns the partition whose run has
 * reached the breaker, with the failure that did it, or NULL.
 */
static Partition *
count_runs(Worker *worker, const SiBatchResult *result, int *at)
{
	int			breaker = worker->options->breaker;
	Partition  *partition = NULL;

	for (int i = 0; i < result->done; i++)
	{
		const SiMessage *message = &worker->messages[worker->first + i];

		if (partition == NULL || partition->progress.partition != message->partition)
			partition = find_partition(worker, message->partition);
		partition->refused = (result->failures[i] != NULL) ? partition->refused + 1 : 0;
		*at = i;
		if (breaker > 0 && partition->refused >= breaker)
			return partition;
	}
	return NULL;
}

/*
 * Count messages refused for the first time.  Returns the most that there were
 * at any time among the last REJECT_WINDOW messages or so.
 */
static int
count_window(Worker *worker, const SiBatchResult *result)
{
	int			total = 0,
				most = 0;

	for (int i = 0; i < REJECT_WINDOW_PARTS; i++)
		total += worker->window_refused[i];
	for (int i = 0; i < result->done; i++)
	{
		if (worker->window_messages++ == REJECT_WINDOW / REJECT_WINDOW_PARTS)
		{
			worker->window_messages = 1;
			worker->window_part = (worker->window_part + 1) % REJECT_WINDOW_PARTS;
			total -= worker->window_refused[worker->window_part];
			worker->window_refused[worker->window_part] = 0;
		}
		if (result->failures[i] == NULL || result->met[i])
			continue;
		worker->window_refused[worker->window_part]++;
		total++;
		most = Max(most, total);
	}
	return most;
}

/* Has the reject limit been reached?  Then *why says how. */
static bool
limit_reached(Worker *worker, const SiBatchResult *result, char **why)
{
	const SiRejectLimit *limit = &worker->options->reject_limit;
	int			recent = count_window(worker, result);

	if (limit->count > 0 && result->rejected >= limit->count)
	{
		*why = psprintf(INT64_FORMAT " dead letters since the subscription was enabled",
						result->rejected);
		return true;
	}
	if (limit->percent > 0 && recent >= limit->percent * REJECT_WINDOW / 100)
	{
		*why = psprintf("%d dead letters among the last %d messages", recent, REJECT_WINDOW);
		return true;
	}
	return false;
}

/*
 * The limits that keep a broken table from turning a topic into dead letters.
 * What is refused is put away already; here it is decided whether to go on.
 */
static void
check_limits(Worker *worker, const SiBatchResult *result)
{
	int			at = 0;
	Partition  *partition = count_runs(worker, result, &at);
	char	   *why = NULL;
	const SiFailure *failure;

	if (worker->options->on_error != SI_ON_ERROR_DEAD_LETTER)
		return;
	if (partition != NULL)
	{
		failure = result->failures[at];
		why = si_reason(SI_REASON_BREAKER, partition->refused,
						si_failure_describe(failure, worker->subscription->topic,
											&worker->messages[worker->first + at]));
		stop_subscription(worker, SI_STATE_STOPPED, why, unpack_sql_state(failure->sqlerrcode));
	}
	if (limit_reached(worker, result, &why))
		stop_subscription(worker, SI_STATE_STOPPED, si_reason(SI_REASON_REJECT_LIMIT, why), NULL);
	if (result->dead_letters > 0 && worker->options->fk_retries > 0)
		worker->next_orphans = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   RETRY_MIN_MS);
}

/*
 * Try orphans again whose time has come: their parents may have arrived by
 * another topic.  In a transaction of its own that touches no progress.
 */
static void
retry_orphans(Worker *worker)
{
	SiDeadLetterFilter filter = {worker->subscription->id, worker->subscription->topic,
	-1, 0, PG_INT64_MAX, true};

	if (worker->next_orphans == 0 || GetCurrentTimestamp() < worker->next_orphans)
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	worker->trying_orphans = true;
	(void) si_retry_dead_letters(worker->subscription, worker->options, &filter);
	worker->next_orphans = si_dead_letter_next_retry(worker->subscription->id);
	PopActiveSnapshot();
	CommitTransactionCommand();
	worker->trying_orphans = false;
}

/*
 * The batch was refused as a whole by the fence.  Wait for whoever is changing
 * the subscription, with no other lock in hand; if nothing has changed then,
 * the batch is tried again.
 */
static void
step_aside(Worker *worker, SiBatchRequest *request)
{
	bool		as_before;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	as_before = si_progress_lock(&worker->key, request->rows, request->nrows, true);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(worker->scratch);
	if (as_before)
		return;
	leave_if_changed(worker);

	/* the epoch is ours: somebody else moved the rows; begin anew, but slowly */
	set_error(ERRCODE_T_R_SERIALIZATION_FAILURE, "progress was changed by somebody else");
	leave(false);
}

static void
apply(Worker *worker)
{
	bool		skip;
	int			n = batch_messages(worker, &skip);
	SiBatchRequest request;
	SiBatchResult result;
	instr_time	start,
				duration;

	make_request(worker, n, &request);
	request.refusal = skip ? &si_failure_skipped : worker->refusal;
	request.skip = skip;
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, "applying a batch");
	INSTR_TIME_SET_CURRENT(start);
	si_ingest_batch(worker->ingest, &worker->key, &request, &result);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	if (result.end == SI_BATCH_FENCED)
	{
		step_aside(worker, &request);
		return;
	}

	for (int i = 0; i < request.nrows && result.done == n; i++)
	{
		if (request.ends[i] >= 0)
			find_partition(worker, request.rows[i]->partition)->end = -1;
	}
	si_publisher_progressed(&worker->publisher, XactLastCommitEnd);
	worker->tokens -= result.done;
	report_batch(worker, result.done, duration);
	check_limits(worker, &result);
	release_messages(worker, result.done);
	worker->limit = worker->options->batch_size;
	worker->refusal = NULL;
	if (result.end == SI_BATCH_STOPPED)
		stop_at_message(worker, result.failures[result.done]);
	if (worker->troubled)
		return;

	/* who was at the end is behind again only if a whole batch was waiting */
	if (all_at_end(worker))
		set_state(worker, SI_STATE_STREAMING, NULL);
	else if (n >= worker->options->batch_size || !worker->streaming)
		set_state(worker, SI_STATE_CATCHING_UP, NULL);
}

/* Is there something to apply, and is it time? */
static bool
batch_due(Worker *worker, bool drained, long *wait_ms)
{
	int			n = worker->nitems - worker->first;
	bool		full = !drained || n >= worker->limit;
	long		age;

	*wait_ms = -1;
	if (n == 0)
	{
		for (int i = 0; i < worker->npartitions; i++)
		{
			if (worker->partitions[i].end > worker->partitions[i].progress.next_offset)
				return true;
		}
		return false;
	}
	worker->allowed = allowed_messages(worker);
	if (worker->allowed == 0)
	{
		*wait_ms = 1 + 1000L * worker->options->workers / worker->options->rate_limit;
		return false;
	}
	if (full || worker->options->batch_interval == 0 || has_read_run(worker))
		return true;
	age = TimestampDifferenceMilliseconds(worker->oldest, GetCurrentTimestamp());
	*wait_ms = worker->options->batch_interval - age;
	return *wait_ms <= 0;
}

/* ---- STREAM: publishing progress ---- */

/*
 * Tell Kafka how far we are, under the group, for its own tools to see.  That
 * it does not want to know is said once, and nothing else suffers.
 */
static void
publish_offsets(Worker *worker)
{
	int			n = worker->npartitions;
	int32	   *partitions;
	int64	   *offsets;
	char	   *failure = si_publisher_failure(&worker->publisher);

	if (failure != NULL)
	{
		set_error(ERRCODE_CONNECTION_FAILURE, failure);
		ereport(LOG,
				(errmsg("subscription \"%s\": %s", NameStr(worker->subscription->name), failure)));
	}
	if (worker->troubled)
		return;
	if (si_publisher_due(&worker->publisher))
	{
		partitions = palloc(sizeof(int32) * n);
		offsets = palloc(sizeof(int64) * n);
		n = 0;
		for (int i = 0; i < worker->npartitions; i++)
		{
			if (worker->partitions[i].missing)
				continue;
			partitions[n] = worker->partitions[i].progress.partition;
			offsets[n++] = worker->partitions[i].progress.next_offset;
		}
		si_publisher_hand_in(&worker->publisher, partitions, offsets, n);
	}
	si_publisher_send(&worker->publisher);
}

/* ---- STREAM: looking around ---- */

/*
 * Take what the brokers said of the topic.  Partitions that were added, and a
 * topic that was away, want a new contact: by a new process.
 */
static void
take_topic_info(Worker *worker)
{
	SiTopicInfo info;

	if (!si_consumer_topic_answer(worker->consumer, &info))
		return;
	worker->topic_asked = false;
	worker->next_topic_check =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									info.valid ? TOPIC_CHECK_MS : TROUBLE_CHECK_MS);
	if (!info.valid)
	{
		report_trouble(worker, &info.trouble);
		return;
	}
	if (info.partitions != worker->topic_partitions)
		leave(true);
	if (worker->troubled)
	{
		/* whether it is still the log that we know is asked at contact */
		leave(true);
	}
}

static void
look_around(Worker *worker)
{
	SiTrouble	trouble;
	TimestampTz now = GetCurrentTimestamp();

	if (si_consumer_trouble(worker->consumer, &trouble) && !worker->troubled)
	{
		/* is it one broker, or all? */
		worker->next_topic_check = now;
		if (trouble.kind == SI_TROUBLE_FATAL)
		{
			report_trouble(worker, &trouble);
			leave(false);
		}
		set_error(ERRCODE_CONNECTION_FAILURE, trouble.words);
	}
	take_topic_info(worker);
	if (!worker->topic_asked && now >= worker->next_topic_check)
	{
		si_consumer_ask_topic(worker->consumer);
		worker->topic_asked = true;
	}
}

/* How long there is nothing to do unless something happens. */
static long
idle_ms(Worker *worker, long batch_ms)
{
	long		ms = worker->topic_asked ? TOPIC_CHECK_MS
		: TimestampDifferenceMilliseconds(GetCurrentTimestamp(), worker->next_topic_check);

	if (worker->rate > 0)
		ms = Min(ms, 1000);
	if (batch_ms >= 0)
		ms = Min(ms, batch_ms);
	if (!worker->troubled)
		ms = Min(ms, si_publisher_wait_ms(&worker->publisher));
	if (worker->next_orphans != 0)
		ms = Min(ms, TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													 worker->next_orphans));
	return ms;
}

/* ---- STREAM: the end of a run ---- */

/* Has the run ended in all our partitions?  What was read may not count yet. */
static bool
has_arrived(const Worker *worker)
{
	for (int i = 0; i < worker->npartitions; i++)
	{
		if (!si_progress_stopped(&worker->partitions[i].progress))
			return false;
	}
	return worker->options->nstops > 0;
}

/*
 * The run has ended here.  Nobody will publish how far it came after the
 * process is gone, so that has a moment now; it must be durable before.
 */
static void
arrive(Worker *worker)
{
	worker->arrived = true;
	worker->arrived_at = GetCurrentTimestamp();
	si_publisher_hurry(&worker->publisher);
	publish_offsets(worker);
}

/* Is the run over in all partitions of the subscription? */
static bool
run_is_over(Worker *worker)
{
	SiProgress *rows;
	int			nrows;

	rows = si_progress_load(worker->subscription->id, worker->subscription->topic, &nrows);
	for (int i = 0; i < nrows; i++)
	{
		if (si_options_takes(worker->options, rows[i].partition) &&
			!si_progress_stopped(&rows[i]))
			return false;
	}
	return true;
}

/*
 * End the run if it is over everywhere, and leave.  The workers do that one
 * after the other, each after its last batch: the last one sees that all are
 * there, and no later one finds the subscription as it was.
 */
static void
end_run(Worker *worker)
{
	static const char *const reason =
		"stop_at reached in all partitions; enable the subscription for the next run";
	bool		ours,
				over,
				ended = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	ours = si_catalog_hold(worker->subscription->id, worker->key.epoch);
	over = ours && run_is_over(worker);
	if (over)
		ended = si_catalog_stop(worker->subscription->id, worker->key.epoch,
								si_slots_state_name(SI_STATE_FINISHED), reason, NULL);
	if (ended)
	{
		si_event_announce(worker->subscription->id, SI_STATE_FINISHED);

		/* a crash must not take back what others build on */
		ForceSyncCommit();
	}
	PopActiveSnapshot();
	CommitTransactionCommand();

	if (ended)
		leave_stopped(worker, SI_STATE_FINISHED, reason);
	if (!ours || over)
		leave(true);
	worker->run_checked = true;
	if (worker->npartitions > 0)
		set_state(worker, SI_STATE_STREAMING,
				  "the run has ended in the partitions of this worker, and goes on in others");
}

/*
 * What is to be done about the end of the run when there is nothing to apply.
 * How long until there is more of it, or -1, goes to *wait_ms.
 */
static void
tend_run(Worker *worker, long *wait_ms)
{
	*wait_ms = -1;
	if (worker->run_checked || !has_arrived(worker))
		return;
	if (!worker->arrived)
		arrive(worker);
	if (si_publisher_is_busy(&worker->publisher))
	{
		*wait_ms = LAST_PUBLICATION_MS -
			TimestampDifferenceMilliseconds(worker->arrived_at, GetCurrentTimestamp());
		if (*wait_ms > 0)
			return;
		*wait_ms = -1;
	}
	end_run(worker);
}

/*
 * A partition cannot go on from where it is.  What is in hand is given up: it
 * is all still at the broker, and a new process begins at the stored offset.
 */
static void
abandon(Worker *worker)
{
	set_error(ERRCODE_DATA_CORRUPTED, worker->broken);
	set_state(worker, SI_STATE_RETRYING, worker->broken);
	leave(false);
}

static void
stream(Worker *worker)
{
	bool		drained;
	long		batch_ms,
				run_ms;

	look_around(worker);
	retry_orphans(worker);
	publish_offsets(worker);
	drained = fetch(worker);
	leave_partitions(worker);
	if (worker->broken != NULL && worker->first == worker->nitems)
		abandon(worker);
	if (batch_due(worker, drained, &batch_ms))
	{
		apply(worker);
		return;
	}
	if (!drained && batch_ms < 0)
		return;
	tend_run(worker, &run_ms);
	if (!worker->troubled && !worker->arrived && all_at_end(worker) && worker->npartitions > 0)
		set_state(worker, SI_STATE_STREAMING, NULL);
	update_rate(worker, 0);
	pgstat_report_activity(STATE_IDLE, NULL);
	(void) pgstat_report_stat(false);
	wait_for_something(worker, idle_ms(worker, run_ms >= 0 ? run_ms : batch_ms));
}

/* ---- waiting ---- */

/*
 * Is it the last word about a run that is being published?  Another worker may
 * have ended the run meanwhile, which must not cut it off.
 */
static bool
is_publishing_last(Worker *worker)
{
	return worker->arrived && si_publisher_is_busy(&worker->publisher) &&
		!TimestampDifferenceExceeds(worker->arrived_at, GetCurrentTimestamp(),
									LAST_PUBLICATION_MS);
}

static void
take_requests(Worker *worker)
{
	SiWorkerSlot *slot;
	bool		stop,
				refresh;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(my_slot);
	stop = slot->stop;
	refresh = slot->refresh_watermarks;
	slot->refresh_watermarks = false;
	si_slots_unlock();

	if (server_changed || (stop && !is_publishing_last(worker)))
		leave(true);
	if (refresh && worker->phase == PHASE_STREAM)
		watch_watermarks(worker);
}

/*
 * Wait for the latch, the consumer or the time.  Everything that may come from
 * outside is looked at here.
 */
static void
wait_for_something(Worker *worker, long timeout_ms)
{
	WaitEvent	occurred[3];
	int			n;

	Assert(!IsTransactionState());
	announce_state(worker);
	if (worker->events != NULL)
		n = WaitEventSetWait(worker->events, timeout_ms, occurred, lengthof(occurred),
							 wait_events[worker->wait]);
	else
		n = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					  timeout_ms, wait_events[worker->wait]) ? 1 : 0;
	if (n > 0)
		ResetLatch(MyLatch);
	if (worker->consumer != NULL)
		si_consumer_drain_fd(worker->consumer);

	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	AcceptInvalidationMessages();
	take_requests(worker);
}

/* ---- errors ---- */

/*
 * An error at COMMIT, or another that no message could be told by: the batch
 * is split into transactions until the message at fault stands alone.  If it
 * was COMMIT that refused it, it is bad like any other; if it was one of our
 * own statements, something is wrong with us.
 */
static void
split_batch(Worker *worker, const SiFailure *failure)
{
	bool		skip;
	int			n = batch_messages(worker, &skip);

	worker->limit = Max(n / 2, 1);
	if (n > 1)
		return;
	if (worker->refusal != NULL || !si_ingest_commit_failed(worker->ingest) ||
		worker->options->on_error == SI_ON_ERROR_STOP)
	{
		stop_at_message(worker, failure);
		return;
	}
	MemoryContextReset(worker->refusal_context);
	worker->refusal = si_failure_copy(failure, worker->refusal_context);
}

/*
 * Orphans could not be tried again.  The stream does not wait for them, and
 * what is wrong with it, if it is, will show with the next batch.
 */
static void
postpone_orphans(Worker *worker, const SiFailure *failure)
{
	worker->trying_orphans = false;
	worker->next_orphans = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   ORPHANS_ERROR_MS);
	set_error(failure->sqlerrcode,
			  psprintf("dead letters could not be tried again: %s",
					   si_failure_describe(failure, worker->subscription->topic, NULL)));
}

/* The sentence in which an error is told that is not a message's. */
static SiReason
error_reason(Worker *worker, int sqlerrcode, bool passing)
{
	if (passing)
		return SI_REASON_PASSING;
	if (sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return SI_REASON_PRIVILEGE;
	if (sqlerrcode == ERRCODE_UNDEFINED_TABLE && worker->subscription->apply == NULL)
		return SI_REASON_NO_TARGET;
	return SI_REASON_LASTING;
}

/*
 * Deal with an error that a phase threw: show it, wait, and let the phase be
 * tried again.  The text of a passing error may come from a user's function
 * and quote a payload, so it is not shown.
 */
static void
handle_error(Worker *worker, ErrorData *edata)
{
	SiFailure  *failure = si_failure_from_error(edata);
	bool		passing = (si_failure_kind(failure->sqlerrcode) == SI_ERROR_PASSING);
	bool		plan = (worker->phase != PHASE_STREAM || si_ingest_plan_failed(worker->ingest));
	char	   *text;

	if (worker->trying_orphans)
	{
		postpone_orphans(worker, failure);
		return;
	}
	if (!passing && !plan && worker->first < worker->nitems)
	{
		split_batch(worker, failure);
		return;
	}
	failure->safe = plan;
	text = plan ? si_failure_words(failure) : si_failure_describe(failure, NULL, NULL);

	set_error(failure->sqlerrcode, text);
	set_state(worker, passing ? SI_STATE_RETRYING : SI_STATE_STOPPED,
			  si_reason(error_reason(worker, failure->sqlerrcode, passing), text));
	if (si_failure_retry_at_once(failure->sqlerrcode) &&
		worker->retries_at_once++ < RETRIES_AT_ONCE)
	{
		set_retry_at(0);
		wait_for_something(worker, 10 + pg_prng_uint64_range(&pg_global_prng_state, 0, 100));
	}
	else
		back_off(worker, RETRY_MAX_MS);
	if (worker->phase != PHASE_PREPARE)
		leave_if_changed(worker);
}

static void
run_phase(Worker *worker)
{
	switch (worker->phase)
	{
		case PHASE_PREPARE:
			prepare(worker);
			break;
		case PHASE_CONTACT:
			contact(worker);
			break;
		case PHASE_STREAM:
			stream(worker);
			break;
	}
}

/* Run a phase; the error that it threw, if it did, in the scratch context. */
static ErrorData *
try_phase(Worker *worker)
{
	ErrorData  *volatile edata = NULL;

	/* the worker outlives errors, and keeps the messages that it has in hand */
	PG_TRY();
	{
		run_phase(worker);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(worker->scratch);
		edata = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		LWLockReleaseAll();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(worker->scratch);
	return edata;
}

/* ---- the process ---- */

static void
server_options_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	server_changed = true;
}

/* Make the slot ours, or go: it may have been given to somebody else. */
static void
attach_slot(int index, Worker *worker, Oid *database, Oid *owner)
{
	SiWorkerArgs args;
	SiWorkerSlot *slot;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_worker(index);
	if (!slot->in_use || slot->generation != args.generation || slot->pid != 0)
	{
		si_slots_unlock();
		proc_exit(0);
	}
	slot->pid = MyProcPid;
	slot->launching = false;
	slot->left = false;
	worker->stub->id = slot->subscription;
	worker->stub->name = slot->name;
	worker->number = slot->number;
	*database = slot->database;
	*owner = slot->owner;
	si_slots_unlock();

	my_slot = index;
	my_worker = worker;
	before_shmem_exit(detach_slot, (Datum) 0);
}

/*
 * The allocator gives memory back to the system after each batch, and takes it
 * again for the next one; measured, that costs a tenth of the throughput and
 * more.
 */
static void
keep_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
	(void) mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
	(void) mallopt(M_TOP_PAD, 4 * 1024 * 1024);
#endif
}

/*
 * A FATAL while connecting leaves its reason in the slot.  What the scanner
 * would have refused has changed since it looked: it shall look again.
 */
static emit_log_hook_type prev_emit_log_hook = NULL;

static void
note_fatal(ErrorData *edata)
{
	if (edata->elevel == FATAL && edata->sqlerrcode != ERRCODE_ADMIN_SHUTDOWN &&
		!LWLockHeldByMe(si_shared->lock))
	{
		char	   *reason = si_reason(SI_REASON_PASSING, edata->message);

		set_error(edata->sqlerrcode, edata->message);
		si_slots_lock(LW_EXCLUSIVE);
		si_reason_put(si_slots_worker(my_slot)->reason, reason);
		si_slots_unlock();
		not_permitted = edata->sqlerrcode == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION ||
			edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

static void
connect_database(Oid database, Oid owner)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = note_fatal;
	BackgroundWorkerInitializeConnectionByOid(database, owner, worker_connect_flags_compat());
	emit_log_hook = prev_emit_log_hook;
}

void
si_worker_main(Datum arg)
{
	Worker	   *worker;
	SiSubscription *stub;
	Oid			database,
				owner;

	worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));
	stub = MemoryContextAllocZero(TopMemoryContext, sizeof(SiSubscription));
	worker->stub = worker->subscription = stub;
	attach_slot(DatumGetInt32(arg), worker, &database, &owner);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/*
	 * Before connecting, so that at exit the transaction ends first: closing
	 * may take its time, and must not do so while locks are held.
	 */
	before_shmem_exit(close_consumer, (Datum) 0);
	connect_database(database, owner);

	pgstat_report_appname(psprintf("stream_ingest %s", NameStr(stub->name)));
	si_session_init_worker();
	keep_memory();
	for (int i = 0; i < NWAITS; i++)
		wait_events[i] = new_wait_event_compat(wait_names[i]);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_options_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, server_options_changed, (Datum) 0);

	worker->context = AllocSetContextCreate(TopMemoryContext, "stream_ingest worker",
											ALLOCSET_DEFAULT_SIZES);
	worker->plan_context = AllocSetContextCreate(worker->context, "stream_ingest worker plan",
												 ALLOCSET_DEFAULT_SIZES);
	worker->refusal_context = AllocSetContextCreate(worker->context, "stream_ingest worker refusal",
													ALLOCSET_SMALL_SIZES);
	worker->scratch = AllocSetContextCreate(worker->context, "stream_ingest worker scratch",
											ALLOCSET_DEFAULT_SIZES);
	worker->rate_since = worker->tokens_at = GetCurrentTimestamp();
	ereport(LOG,
			(errmsg("worker %d of subscription \"%s\" has started", worker->number,
					NameStr(stub->name))));
	for (;;)
	{
		ErrorData  *edata;

		MemoryContextReset(worker->scratch);
		MemoryContextSwitchTo(worker->scratch);
		edata = try_phase(worker);
		CHECK_FOR_INTERRUPTS();
		if (edata != NULL)
			handle_error(worker, edata);
	}
}
