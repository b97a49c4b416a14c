/*-------------------------------------------------------------------------
 *
 * worker_internal.h
 *	  What the worker's files share; see worker.c.
 *
 * The state of a worker, by owner, and the functions that one of its files calls in
 * another.  Calls go one way: worker.c calls the phases (prepare, contact, stream),
 * stream calls fetch, apply, limits and run, prepare and apply call schemas, and all of
 * them call wait, partitions, rate, status and token, which call none of those.  Included
 * by the worker's files alone.
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
#include "common/clock.h"
#include "common/reason.h"
#include "kafka/consumer.h"
#include "kafka/tls_files.h"
#include "process/publisher.h"
#include "shmem/slots.h"

#define SI_TOPIC_CHECK_MS	30000	/* between questions about the topic */
#define SI_RETRY_MIN_MS		1000
#define SI_LAST_PUBLICATION_MS	2000	/* most that the end of a run waits
										 * for one */

/* A reject limit in percent is of so many messages, kept in so many parts. */
#define SI_REJECT_WINDOW_PARTS 10

/* What a worker waits for, as pg_stat_activity shows it. */
typedef enum SiWorkerWait
{
	SI_WAIT_IDLE,
	SI_WAIT_FETCH,				/* an answer of the brokers */
	SI_WAIT_RETRY,
	SI_WAIT_SCHEMA,				/* an answer of the schema registry */
	SI_NWAITS
} SiWorkerWait;

typedef enum SiWorkerPhase
{
	SI_PHASE_PREPARE,
	SI_PHASE_CONTACT,
	SI_PHASE_STREAM
} SiWorkerPhase;

/* When the launcher may start a successor of a worker that ends. */
typedef enum SiSuccessor
{
	SI_SUCCESSOR_AT_ONCE,		/* the worker was told to end, or what it
								 * works for has changed */
	SI_SUCCESSOR_DELAYED		/* it has failed */
} SiSuccessor;

/* A partition of this worker. */
typedef struct SiPartition
{
	SiProgress	progress;
	int64		expected;		/* next offset to take; lower ones are dropped */
	int64		stop;			/* where the run ends: dropped from there on */
	bool		assigned;		/* the consumer reads it */
	int64		end;			/* its end, if seen behind the fetched
								 * messages; -1 */
	bool		at_end;			/* nothing came since its end was seen */
	int64		high;			/* its high watermark when ends were checked
								 * last, negative if unknown */
	int			refused;		/* messages refused in a row */
	bool		in_batch;
	bool		missing;		/* the topic was created again without it */
	pg_atomic_uint64 *shown_offset; /* in shared memory; NULL if there is none */
} SiPartition;

/*
 * Messages fetched and not applied yet (worker_fetch.c): entries[first .. n), up to
 * two batches.
 */
typedef struct SiIntake
{
	SiEntry    *entries;
	SiFetched  *chunk;			/* what the consumer delivers at a time */
	int			first;
	int			n;
	int64		bytes;			/* of these messages */
	TimestampTz oldest;			/* when the first of them was fetched */
	int			skips;			/* messages that a user wants skipped */
	char	   *broken;			/* why a partition cannot be read further, or
								 * NULL */
	int			limit;			/* most messages of the next batch */
	SiFailure  *refusal;		/* why COMMIT refused the next message, which
								 * is then a batch of its own; or NULL */
	MemoryContext refusal_context;
} SiIntake;

/* How fast the worker is, and may be (worker_rate.c). */
typedef struct SiRate
{
	double		tokens;			/* messages that rate_limit allows */
	TimestampTz tokens_at;
	int			allowed;		/* of the fetched messages, now */
	TimestampTz since;			/* messages counted since then */
	int64		messages;
	double		per_second;
} SiRate;

/* Messages refused lately, for a limit in percent (worker_limits.c). */
typedef struct SiRejects
{
	int			messages;		/* in the current part of the window */
	int			refused[SI_REJECT_WINDOW_PARTS];
	int			part;
} SiRejects;

/* The end of a run with stop_at (worker_run.c). */
typedef struct SiRun
{
	bool		arrived;		/* the run is over in our partitions */
	TimestampTz arrived_at;
	bool		checked;		/* and was not yet over in those of others */
} SiRun;

/* Schemas that messages name (worker_schemas.c). */
typedef struct SiSchemaContact
{
	struct SiRegistry *registry;	/* NULL: none is needed */
	int64		unknown_until_ms;	/* until then a schema that the registry
									 * does not have is asked for again */
} SiSchemaContact;

/* What is known of brokers and topic (worker_contact.c, worker_stream.c). */
typedef struct SiContact
{
	int			partitions;		/* of the topic */
	TimestampTz next_check;
	bool		asked;			/* about the topic; the answer is due */
	bool		failing;		/* brokers or topic are not as they should be */
} SiContact;

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
	SiTlsFiles *tls_files;		/* that it was opened with; NULL: none */
	bool		tls_files_unusable; /* they have changed, and cannot be used */
	int			number;			/* which of the subscription's workers */
	int			team;			/* how many share the partitions */

	SiPartition *partitions;	/* in order of their numbers */
	int			npartitions;
	SiIntake	intake;
	SiRate		rate;
	SiRejects	rejects;
	SiRun		run;
	SiContact	contact;
	SiSchemaContact schemas;
	SiPublisher publisher;
	TimestampTz next_orphans;	/* when orphans are due to be retried; 0:
								 * there are none */

	/* the state as shown (worker_status.c) */
	bool		announce;		/* it has changed */
	bool		streaming;		/* it is this one */
	TimestampTz ends_checked_at;	/* si_worker_check_ends */

	/* waiting (worker_wait.c) */
	WaitEventSet *events;
	SiWorkerWait wait;
	int			retry_ms;		/* the last delay before a retry; 0: none */
	int			retries_at_once;
	TimestampTz report_due;		/* of table statistics held back; 0: none */
} SiWorker;

/* Our slot in shared memory. */
extern int	si_worker_my_slot;

/* ---- worker_status.c: showing the state, and leaving ---- */

/* Show the state; announced, also in the log, when it changes. */
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
 * If a statement on our own tables threw the error, and it is no temporary one, show
 * that and return true: no message is at fault then.  Once, after the transaction
 * was undone.
 */
extern bool si_worker_show_own_failure(SiWorker *worker, SiFailure *failure);

/* Show by which path rows will be written; each batch shows it, too. */
extern void si_worker_show_write_path(SiWorker *worker);

/* Show when the next try is; 0: there is none to wait for. */
extern void si_worker_set_retry_at(TimestampTz at);

/* End the process.  Does not return. */
extern void si_worker_leave(SiSuccessor successor);

/* Show that brokers or topic are not as they should be. */
extern void si_worker_report_broker_error(SiWorker *worker, const SiBrokerError *broker_error);

/*
 * Leave if the subscription has changed or is gone.  Called before a retry: the
 * failure may be due to that.
 */
extern void si_worker_leave_if_changed(SiWorker *worker);

/* Leave after the subscription was stopped, and that is committed. */
extern void si_worker_leave_stopped(SiWorker *worker, SiState state, const char *reason);

/* Stop the subscription until a user enables it, and leave. */
extern void si_worker_stop_subscription(SiWorker *worker, SiState state, const char *reason,
										const char *sqlstate);

/* ---- worker_partitions.c ---- */

/* A partition of ours by its number, or NULL. */
extern SiPartition *si_worker_find_partition(SiWorker *worker, int32 number);

/* Was everything of a partition, or of all of ours, fetched that this run reads? */
extern bool si_worker_has_read_all(const SiPartition *partition);
extern bool si_worker_has_read_run(const SiWorker *worker);

/* Was everything applied, up to the ends as they were seen? */
extern bool si_worker_all_at_end(const SiWorker *worker);

/*
 * Nothing more is to be fetched now: are partitions at their ends although messages
 * never stop coming?  About once a second while the state is not streaming.
 */
extern void si_worker_check_ends(SiWorker *worker);

/* Stop reading the partitions of which everything was fetched. */
extern void si_worker_stop_reading(SiWorker *worker);

/* Have the watermarks of our partitions written to shared memory. */
extern void si_worker_watch_watermarks(SiWorker *worker);

/* Show the offsets of the partitions in the last batch in shared memory. */
extern void si_worker_show_offsets(SiWorker *worker);

/*
 * Publish our offsets under the consumer group, for Kafka's own tools.  A refusal
 * is reported once, and nothing else suffers.
 */
extern void si_worker_publish_offsets(SiWorker *worker);

/* ---- worker_rate.c ---- */

/*
 * How many messages rate_limit allows now: each worker has its share, and what
 * it does not use within a second is lost.
 */
extern int	si_worker_allowed_messages(SiRate *rate, int rate_limit, int team);

/* Count messages, and show their rate about once a second. */
extern void si_worker_update_rate(SiRate *rate, int64 messages);

/* ---- worker_token.c ---- */

/* In how many milliseconds a token is due that a function gives; -1: none is. */
extern long si_worker_token_ms(const SiWorker *worker);

/* If one is due, call the function.  No transaction may be open. */
extern void si_worker_serve_token(SiWorker *worker);

/* ---- worker_wait.c ---- */

/* Prepare for waits: their names, and the caches whose changes end the worker. */
extern void si_worker_init_waits(void);

/*
 * From now on only changes of this server, and of the user mappings that its owner may
 * use there, end the worker; before, those of all did.  In a transaction, and before
 * the options are read.
 */
extern void si_worker_watch_server(Oid server, Oid owner);

/*
 * Wait for the latch, the consumer or the time (-1: without end), and take what came
 * from outside meanwhile.  No transaction may be open.
 */
extern void si_worker_wait(SiWorker *worker, long timeout_ms);

/* Wait before a retry, twice as long each time, up to max_ms. */
extern void si_worker_back_off(SiWorker *worker, int max_ms);

/* Take the launcher's requests: leave if it wants that, or if the server changed. */
extern void si_worker_take_requests(SiWorker *worker);

/*
 * Take interrupts where no statement runs: as in an idle session, there is
 * nothing that a cancel could cancel.
 */
extern void si_worker_check_interrupts(void);

/* ---- the phases; each sets the next one if it succeeds ---- */

extern void si_worker_prepare(SiWorker *worker);	/* worker_prepare.c */
extern void si_worker_contact(SiWorker *worker);	/* worker_contact.c */
extern void si_worker_stream(SiWorker *worker); /* worker_stream.c */

/* ---- worker_fetch.c ---- */

/*
 * Fetch until the batch is full or nothing is left.  The descriptor fires again
 * only after the queue was found empty, so a worker must not stop earlier and then
 * wait.  Returns false if something may be left.
 */
extern bool si_worker_fetch(SiWorker *worker);

/* Give the first n fetched messages back to the library. */
extern void si_worker_release(SiWorker *worker, int n);

/* ---- worker_apply.c ---- */

/* Retry the orphans that are due, in a transaction that touches no progress. */
extern void si_worker_retry_orphans(SiWorker *worker);

/*
 * Apply the next batch of the fetched messages, as one transaction, or wait for the
 * session that is changing the subscription.  A batch that is undone by a
 * temporary error is retried later; any other error ends the worker.
 */
extern void si_worker_apply(SiWorker *worker);

/* Is there something to apply, and is it time?  Else *wait_ms: how long until then. */
extern bool si_worker_batch_due(SiWorker *worker, bool drained, long *wait_ms);

/* ---- worker_schemas.c ---- */

/* Start the client of the server's schema registry, if messages name schemas. */
extern void si_worker_open_registry(SiWorker *worker);

/*
 * How many of the next n messages can be decoded with the schemas there are.  If it
 * is none, the registry was asked, and the answer taken: try again.
 */
extern int	si_worker_with_schemas(SiWorker *worker, int n);

/* ---- worker_limits.c: messages that were refused ---- */

/* Stop the subscription at a message that cannot be applied, with on_error = stop. */
extern void si_worker_stop_at_message(SiWorker *worker, const SiFailure *failure);

/*
 * Check the limits that keep a broken table from turning a topic into dead letters.
 * The refused messages of the batch are stored already.
 */
extern void si_worker_check_limits(SiWorker *worker, const SiBatch *batch);

/* ---- worker_run.c: the end of a run ---- */

/*
 * Check whether the run is over, when there is nothing to apply.  *wait_ms: how long
 * until the next check, or -1.
 */
extern void si_worker_check_run(SiWorker *worker, long *wait_ms);

#endif							/* SI_WORKER_INTERNAL_H */
