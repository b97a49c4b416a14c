/*-------------------------------------------------------------------------
 *
 * worker_internal.h
 *	  What the worker's files share; see worker.c.
 *
 * The arrows between them go from worker.c outwards, but for the waits: whoever
 * waits does so in worker.c, which looks after everything meanwhile.  Included by
 * the worker's files alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_WORKER_INTERNAL_H
#define SI_WORKER_INTERNAL_H

#include "storage/latch.h"
#include "utils/timestamp.h"

#include "apply/apply.h"
#include "catalog/position.h"
#include "common/reason.h"
#include "kafka/consumer.h"
#include "process/publisher.h"
#include "shmem/slots.h"

#define SI_TOPIC_CHECK_MS	30000	/* partitions added, topic gone */
#define SI_RETRY_MIN_MS		1000
#define SI_LAST_PUBLICATION_MS	2000	/* most that the end of a run waits
										 * for one */

#define SI_FETCH_CHUNK		1000	/* messages fetched at a time */

/* A reject limit in percent is of so many messages, kept in so many parts. */
#define SI_REJECT_WINDOW_PARTS 10

/* What a worker waits for, as pg_stat_activity shows it. */
typedef enum SiWorkerWait
{
	SI_WAIT_IDLE,
	SI_WAIT_FETCH,				/* an answer of the brokers */
	SI_WAIT_RETRY,
	SI_NWAITS
} SiWorkerWait;

typedef enum SiWorkerPhase
{
	SI_PHASE_PREPARE,
	SI_PHASE_CONTACT,
	SI_PHASE_STREAM
} SiWorkerPhase;

/* One of our partitions. */
typedef struct SiPartition
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
} SiPartition;

typedef struct SiWorker
{
	SiWorkerPhase phase;
	MemoryContext context;		/* as long as the process */
	MemoryContext plan_context; /* what PREPARE and CONTACT found out */
	MemoryContext scratch;		/* reset before each turn of the loop */
	SiSubscription *stub;		/* id and name, all there is before PREPARE */
	SiSubscription *subscription;
	SiOptions  *options;
	SiProgressKey key;
	SiPlan	   *plan;
	SiConsumer *consumer;
	WaitEventSet *events;
	int			number;			/* which of the subscription's workers */
	int			team;			/* of how many that take part */

	SiPartition *partitions;
	int			npartitions;
	int			topic_partitions;
	int			skips;			/* messages that are to be skipped */
	bool		arrived;		/* the run is over in all of them ... */
	bool		run_checked;	/* ... and then it was not in others' */
	TimestampTz arrived_at;

	/* messages fetched and not applied yet: entries[first .. nentries) */
	SiEntry    *entries;
	SiFetched  *chunk;			/* what the consumer delivers at a time */
	int			first;
	int			nentries;
	int64		bytes;			/* of those */
	TimestampTz oldest;			/* when the first of them was taken */
	int			limit;			/* most messages of the next batch */
	char	   *broken;			/* why a partition cannot continue, or NULL */
	SiFailure  *refusal;		/* what COMMIT said of the next message, which
								 * is then a batch of its own; or NULL */
	MemoryContext refusal_context;

	/* messages refused lately, for a limit in percent; see count_window */
	int			window_messages;	/* in the part at hand */
	int			window_refused[SI_REJECT_WINDOW_PARTS];
	int			window_part;
	TimestampTz next_orphans;	/* when orphans are due to be tried again; 0:
								 * there are none */

	/* waiting and looking around */
	SiWorkerWait wait;
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
	TimestampTz report_due;		/* when statistics that were held back are to
								 * be reported; 0: there are none */
	TimestampTz rate_since;
	int64		rate_messages;
	double		rate;
} SiWorker;

/* Our slot in shared memory. */
extern int	si_worker_my_slot;

/* ---- telling our state, and leaving (worker_status.c) ---- */

/* Tell what we are doing; announced, also in the log, when it changes. */
extern void si_worker_set_state(SiWorker *worker, SiState state, const char *reason);

/* Announce the state if it has changed, in a transaction of its own. */
extern void si_worker_announce_state(SiWorker *worker);

/* Show an error: words without a payload. */
extern void si_worker_set_error(int sqlerrcode, const char *text);

/*
 * Show the state that an error which is no message's leads to, with the reason
 * that these words give.
 */
extern void si_worker_show_failure(SiWorker *worker, const SiFailure *failure, const char *words);

/*
 * If it was a statement on our own tables that threw, and no passing error,
 * show that and return true: then no message is at fault, whichever it came
 * with.  Once, after the transaction was undone.
 */
extern bool si_worker_show_own_failure(SiWorker *worker, SiFailure *failure);

/* Show when the next try is; 0: none is waited for. */
extern void si_worker_set_retry_at(TimestampTz at);

/*
 * Leave.  asked: because somebody wants us to, or the ground has changed, so
 * that a successor may start at once.  Does not return.
 */
extern void si_worker_leave(bool asked);

/* Brokers or topic are not as they should be: show it. */
extern void si_worker_report_trouble(SiWorker *worker, const SiTrouble *trouble);

/*
 * Leave if the subscription is not what we work for any more.  Asked before
 * trying again: what failed may have failed because it is gone.
 */
extern void si_worker_leave_if_changed(SiWorker *worker);

/* The subscription has been stopped, and that is committed: leave. */
extern void si_worker_leave_stopped(SiWorker *worker, SiState state, const char *reason);

/* Stop the subscription until somebody enables it, and leave. */
extern void si_worker_stop_subscription(SiWorker *worker, SiState state, const char *reason,
										const char *sqlstate);

/* ---- CONTACT (worker_contact.c) ---- */

/* Have the watermarks of our partitions written to shared memory. */
extern void si_worker_watch_watermarks(SiWorker *worker);

/* The phase CONTACT; sets the next one if it succeeds. */
extern void si_worker_contact(SiWorker *worker);

/* ---- STREAM: fetching (worker_fetch.c) ---- */

/* Has all of a partition been read that this run is to read? */
extern bool si_worker_has_read_all(const SiPartition *partition);

/* One of ours by its number, or NULL. */
extern SiPartition *si_worker_find_partition(SiWorker *worker, int32 number);

/* Read no further where all has been read that this run is to read. */
extern void si_worker_leave_partitions(SiWorker *worker);

/*
 * Fetch until the batch is full or there is nothing more.  The descriptor
 * fires again only after the queue was found empty, so we must not stop before
 * and then wait.  Returns false if something may be left.
 */
extern bool si_worker_fetch(SiWorker *worker);

/* Give the first n messages that were fetched back to the library. */
extern void si_worker_release(SiWorker *worker, int n);

/* ---- STREAM: applying (worker_apply.c) ---- */

/*
 * Messages of the next batch: as many as its limits allow.  *skip: it is one
 * that a user wants skipped.
 */
extern int	si_worker_batch_messages(SiWorker *worker, bool *skip);

/* The messages per second of the last second or more. */
extern void si_worker_update_rate(SiWorker *worker, int64 messages);

/* Has everything been taken, up to the ends as they were seen? */
extern bool si_worker_all_at_end(const SiWorker *worker);

/*
 * Try orphans again whose time has come: their parents may have arrived by
 * another topic.  In a transaction of its own that touches no progress.
 */
extern void si_worker_retry_orphans(SiWorker *worker);

/*
 * Apply the next batch of what was fetched, as one transaction, or wait for the
 * session that is changing the subscription.  A batch that is undone by a
 * passing error is tried again later; what else is thrown ends the worker.
 */
extern void si_worker_apply(SiWorker *worker);

/* Is there something to apply, and is it time? */
extern bool si_worker_batch_due(SiWorker *worker, bool drained, long *wait_ms);

/* ---- STREAM: messages that were refused (worker_limits.c) ---- */

/* A message cannot be applied, and the subscription says to stop there. */
extern void si_worker_stop_at_message(SiWorker *worker, const SiFailure *failure);

/*
 * The limits that keep a broken table from turning a topic into dead letters.
 * What is refused is put away already; here it is decided whether to go on.
 */
extern void si_worker_check_limits(SiWorker *worker, const SiBatch *batch);

/* ---- STREAM: the end of a run (worker_run.c) ---- */

/*
 * What is to be done about the end of the run when there is nothing to apply.
 * How long until there is more of it, or -1, goes to *wait_ms.
 */
extern void si_worker_tend_run(SiWorker *worker, long *wait_ms);

/* ---- the loop (worker.c) ---- */

/* Wait before trying again, a little longer each time. */
extern void si_worker_back_off(SiWorker *worker, int max_ms);

/*
 * Take interrupts where no statement runs: as in an idle session, there is
 * nothing that a cancel could cancel.
 */
extern void si_worker_check_interrupts(void);

/*
 * Tell Kafka how far we are, under the group, for its own tools to see.  That
 * it does not want to know is said once, and nothing else suffers.
 */
extern void si_worker_publish_offsets(SiWorker *worker);

/*
 * Wait for the latch, the consumer or the time.  Everything that may come from
 * outside is looked at here.
 */
extern void si_worker_wait_for_something(SiWorker *worker, long timeout_ms);

#endif							/* SI_WORKER_INTERNAL_H */
