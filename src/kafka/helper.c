/*-------------------------------------------------------------------------
 *
 * helper.c
 *	  The helper thread of a consumer.
 *
 * The thread calls no server function but atomics: no palloc, no elog.  All that
 * it touches is malloc'd, and it runs with all signals blocked.
 *
 * The lock guards what main and helper thread share.  Neither holds it during a
 * library call, so a library that is stuck can delay neither si_helper_watch
 * nor si_helper_end: after each call the helper checks under the lock whether
 * the result is still wanted.
 *
 * Ending during a call of the helper is safe because the helper destroys the
 * handle itself, after the call; up to 2.0.2 that hangs forever once a consumed
 * topic was deleted, and nothing can interrupt it.  If it takes too long, the
 * main thread abandons the helper (side_thread.h).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <pthread.h>
#include <sys/time.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/thread.h"
#include "kafka/client.h"
#include "kafka/helper.h"
#include "kafka/lookup.h"
#include "kafka/side_thread.h"
#include "kafka/ticket.h"
#include "datatype/timestamp.h"

/*
 * Timeouts of a request.  A timeout makes the library close the connection, so
 * it is longer where a quota delays responses (11 s at most by default).
 */
#define REQUEST_MS				3000
#define THROTTLED_REQUEST_MS	15000

struct SiHelper
{
	/* constant once it runs, except the timeout, which the helper sets */
	SiLookup	lookup;
	int			fd;
	SiTicket   *ticket;			/* NULL unless it authenticates by Kerberos */

	SiBrokerErrors broker_errors;	/* has a lock of its own, below this one */

	SiSideThread side;

	/* what follows is guarded by its lock */
	bool		topic_asked;
	bool		topic_answered;
	SiTopicInfo topic_info;

	bool		topics_asked;
	bool		topics_answered;
	SiTopicList topic_list;		/* the helper's from asked to answered */

	SiOffsetQuery *offsets_asked;	/* NULL if nothing is asked */
	int			noffsets_asked;
	SiOffsetQuery *offsets_answered;	/* NULL if there is no answer */
	int			noffsets_answered;

	SiWatermarkSink *sinks;
	int			nsinks;
	bool		ends_asked;		/* the high watermarks alone, at once */
	int			watch_interval;
	int64_t		watch_due;		/* by si_client_now_ms() */
};

/* GetCurrentTimestamp() for threads. */
static int64
now_timestamptz(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return ((int64) now.tv_sec -
			(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) *
		USECS_PER_SEC + now.tv_usec;
}

/* ---- the thread: no server function from here on, but atomics ---- */

/* Sleep, without the lock, until there may be something to do. */
static void
wait_for_work(SiHelper *helper)
{
	struct timespec until;

	if (helper->nsinks > 0)
	{
		until = si_side_thread_deadline(helper->watch_due);
		pthread_cond_timedwait(&helper->side.work, &helper->side.lock, &until);
	}
	else
		pthread_cond_wait(&helper->side.work, &helper->side.lock);
}

/* SiLookup.cancelled */
static bool
is_closing(void *arg)
{
	SiHelper   *helper = arg;

	return si_side_thread_is_closing(&helper->side);
}

/*
 * Look the topic up.  Called, and returns, with the lock held, as the functions
 * below; all release it during the lookup.
 */
static void
answer_topic(SiHelper *helper)
{
	SiTopicInfo info;

	helper->topic_asked = false;
	pthread_mutex_unlock(&helper->side.lock);
	si_lookup_topic(&helper->lookup, &info);
	pthread_mutex_lock(&helper->side.lock);

	/* asked again meanwhile: this answer is outdated */
	if (helper->topic_asked || helper->side.closing)
		return;
	helper->topic_info = info;
	helper->topic_answered = true;
	si_client_wake_fd(helper->fd);
}

/* List the topics of the cluster. */
static void
answer_topics(SiHelper *helper)
{
	SiTopicList list;

	helper->topics_asked = false;
	pthread_mutex_unlock(&helper->side.lock);
	si_lookup_topics(&helper->lookup, &list);
	pthread_mutex_lock(&helper->side.lock);

	/* asked again meanwhile: this answer is outdated */
	if (helper->topics_asked || helper->side.closing)
	{
		free(list.topics);
		return;
	}
	free(helper->topic_list.topics);
	helper->topic_list = list;
	helper->topics_answered = true;
	si_client_wake_fd(helper->fd);
}

/* Look up the offsets asked for. */
static void
answer_offsets(SiHelper *helper)
{
	SiOffsetQuery *queries = helper->offsets_asked;
	int			n = helper->noffsets_asked;

	helper->offsets_asked = NULL;
	pthread_mutex_unlock(&helper->side.lock);
	si_lookup_offsets(&helper->lookup, queries, n);
	pthread_mutex_lock(&helper->side.lock);

	if (helper->offsets_asked != NULL || helper->side.closing)
	{
		free(queries);			/* asked again meanwhile */
		return;
	}
	helper->offsets_answered = queries;
	helper->noffsets_answered = n;
	si_client_wake_fd(helper->fd);
}

/*
 * Write what was answered to the sinks; low is NULL if it was not asked for.  The
 * caller holds the lock.  The sinks may have been replaced meanwhile, mostly by
 * others of the same partitions.
 */
static void
store_watermarks(SiHelper *helper,
				 const rd_kafka_topic_partition_list_t *low,
				 const rd_kafka_topic_partition_list_t *high, int64 asked_at)
{
	int			i;

	for (i = 0; i < Min(helper->nsinks, high->cnt); i++)
	{
		SiWatermarkSink *sink = &helper->sinks[i];

		if (sink->partition != high->elems[i].partition ||
			high->elems[i].err || high->elems[i].offset < 0 ||
			(low != NULL && (low->elems[i].err || low->elems[i].offset < 0)))
			continue;			/* asked_at shows that the old ones are old */
		if (low != NULL)
			pg_atomic_write_u64(sink->low, low->elems[i].offset);
		pg_atomic_write_u64(sink->high, high->elems[i].offset);
		pg_write_barrier();
		pg_atomic_write_u64(sink->asked_at, asked_at);
	}
}

/* A question about all partitions: at is the special offset asked for. */
static rd_kafka_topic_partition_list_t *
make_question(const SiHelper *helper, int64_t at)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(helper->nsinks);
	int			i;

	for (i = 0; i < helper->nsinks; i++)
		rd_kafka_topic_partition_list_add(list, helper->lookup.topic,
										  helper->sinks[i].partition)->offset = at;
	return list;
}

/*
 * Ask for all watermarks, and write them to their sinks; only for the high ones if not
 * all are due: each question waits behind a fetch that finds no messages.
 */
static void
write_watermarks(SiHelper *helper)
{
	rd_kafka_topic_partition_list_t *low = NULL;
	rd_kafka_topic_partition_list_t *high = make_question(helper, SI_OFFSET_END);
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	SiBrokerError broker_error = {SI_BROKER_ERROR_NONE};
	int64_t		now = si_client_now_ms();
	int64		asked_at;
	int			i;

	if (now >= helper->watch_due)
	{
		low = make_question(helper, SI_OFFSET_BEGINNING);
		helper->watch_due = now + helper->watch_interval;
	}
	helper->ends_asked = false;
	pthread_mutex_unlock(&helper->side.lock);

	asked_at = now_timestamptz();
	if (low != NULL)
		err = si_lookup_list(&helper->lookup, low);
	if (is_closing(helper))
		err = RD_KAFKA_RESP_ERR__DESTROY;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = si_lookup_list(&helper->lookup, high);
	for (i = 0; i < high->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		err = high->elems[i].err;
	si_lookup_explain(&helper->lookup, err, &broker_error);

	pthread_mutex_lock(&helper->side.lock);
	if (!helper->side.closing)
	{
		store_watermarks(helper, low, high, asked_at);
		if (si_broker_error_note_graver(&helper->broker_errors, &broker_error))
			si_client_wake_fd(helper->fd);
	}
	if (low != NULL)
		rd_kafka_topic_partition_list_destroy(low);
	rd_kafka_topic_partition_list_destroy(high);
}

void
si_helper_free(SiHelper *helper)
{
	si_side_thread_destroy(&helper->side);
	si_broker_error_destroy(&helper->broker_errors);
	si_ticket_release(helper->ticket);
	free(helper->offsets_asked);
	free(helper->offsets_answered);
	free(helper->topic_list.topics);
	free(helper->sinks);
	free(unconstify(char *, helper->lookup.topic));
	free(helper);
}

static void
release_helper(void *arg)
{
	si_helper_free(arg);
}

/* The thread: answer questions until told to end, then destroy the handle. */
static void *
helper_main(void *arg)
{
	SiHelper   *helper = arg;

	pthread_mutex_lock(&helper->side.lock);
	while (!helper->side.closing)
	{
		helper->lookup.timeout_ms = si_broker_error_throttled(&helper->broker_errors) ?
			THROTTLED_REQUEST_MS : REQUEST_MS;
		if (helper->topic_asked)
			answer_topic(helper);
		else if (helper->topics_asked)
			answer_topics(helper);
		else if (helper->offsets_asked != NULL)
			answer_offsets(helper);
		else if (helper->nsinks > 0 &&
				 (helper->ends_asked || si_client_now_ms() >= helper->watch_due))
			write_watermarks(helper);
		else
			wait_for_work(helper);
	}
	pthread_mutex_unlock(&helper->side.lock);

	rd_kafka_destroy(helper->lookup.rk);

	si_side_thread_finish(&helper->side, release_helper, helper);
	return NULL;
}

/* ---- the main thread: begin and end ---- */

SiHelper *
si_helper_create(const char *topic, int fd)
{
	SiHelper   *helper = calloc(1, sizeof(SiHelper));

	if (helper == NULL)
		return NULL;
	si_side_thread_init(&helper->side);
	si_broker_error_init(&helper->broker_errors);
	helper->fd = fd;
	helper->lookup.topic = strdup(topic);
	helper->lookup.cancelled = is_closing;
	helper->lookup.arg = helper;
	if (helper->lookup.topic != NULL)
		return helper;
	si_helper_free(helper);
	return NULL;
}

SiBrokerErrors *
si_helper_broker_errors(SiHelper *helper)
{
	return &helper->broker_errors;
}

void
si_helper_keep_ticket(SiHelper *helper, SiTicket *ticket)
{
	helper->ticket = si_ticket_hold(ticket);
}

SiTicket *
si_helper_ticket(SiHelper *helper)
{
	return helper->ticket;
}

int
si_helper_start(SiHelper *helper, rd_kafka_t *rk)
{
	helper->lookup.rk = rk;
	return si_thread_start(&helper->side.thread, helper_main, helper);
}

void
si_helper_end(SiHelper *helper)
{
	si_side_thread_close(&helper->side);
}

bool
si_helper_await(SiHelper *helper, int timeout_ms)
{
	bool		ended = si_side_thread_await(&helper->side, timeout_ms);

	if (ended)
		si_helper_free(helper);
	return ended;
}

/* ---- the main thread: questions ---- */

void
si_helper_ask_topic(SiHelper *helper)
{
	pthread_mutex_lock(&helper->side.lock);
	helper->topic_asked = true;
	helper->topic_answered = false;
	pthread_cond_signal(&helper->side.work);
	pthread_mutex_unlock(&helper->side.lock);
}

bool
si_helper_topic_answer(SiHelper *helper, SiTopicInfo *info)
{
	bool		answered;

	pthread_mutex_lock(&helper->side.lock);
	answered = helper->topic_answered;
	if (answered)
	{
		*info = helper->topic_info;
		si_broker_error_explain(&helper->broker_errors, &info->broker_error);
	}
	helper->topic_answered = false;
	pthread_mutex_unlock(&helper->side.lock);
	return answered;
}

void
si_helper_ask_topics(SiHelper *helper)
{
	pthread_mutex_lock(&helper->side.lock);
	helper->topics_asked = true;
	helper->topics_answered = false;
	pthread_cond_signal(&helper->side.work);
	pthread_mutex_unlock(&helper->side.lock);
}

const SiTopicList *
si_helper_topics_answer(SiHelper *helper)
{
	bool		answered;

	pthread_mutex_lock(&helper->side.lock);
	answered = helper->topics_answered;
	if (answered)
		si_broker_error_explain(&helper->broker_errors, &helper->topic_list.broker_error);
	pthread_mutex_unlock(&helper->side.lock);
	return answered ? &helper->topic_list : NULL;
}

void
si_helper_ask_offsets(SiHelper *helper, const SiOffsetQuery *queries,
					  int n)
{
	SiOffsetQuery *copy;

	Assert(n > 0);
	copy = malloc(n * sizeof(SiOffsetQuery));
	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	memcpy(copy, queries, n * sizeof(SiOffsetQuery));

	pthread_mutex_lock(&helper->side.lock);
	free(helper->offsets_asked);
	free(helper->offsets_answered);
	helper->offsets_asked = copy;
	helper->noffsets_asked = n;
	helper->offsets_answered = NULL;
	pthread_cond_signal(&helper->side.work);
	pthread_mutex_unlock(&helper->side.lock);
}

bool
si_helper_offsets_answer(SiHelper *helper, SiOffsetQuery *queries, int n)
{
	SiOffsetQuery *answer;

	pthread_mutex_lock(&helper->side.lock);
	answer = helper->offsets_answered;
	Assert(answer == NULL || n == helper->noffsets_answered);
	if (answer != NULL)
		memcpy(queries, answer,
			   Min(n, helper->noffsets_answered) * sizeof(SiOffsetQuery));
	helper->offsets_answered = NULL;
	pthread_mutex_unlock(&helper->side.lock);
	free(answer);
	return answer != NULL;
}

void
si_helper_watch(SiHelper *helper, const SiWatermarkSink *sinks, int n,
				int interval_ms)
{
	SiWatermarkSink *copy = NULL;
	SiWatermarkSink *former;

	if (n > 0)
	{
		copy = malloc(n * sizeof(SiWatermarkSink));
		if (copy == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		memcpy(copy, sinks, n * sizeof(SiWatermarkSink));
	}

	pthread_mutex_lock(&helper->side.lock);
	former = helper->sinks;
	helper->ends_asked = (n > 0 && former != NULL);
	helper->sinks = copy;
	helper->nsinks = n;
	helper->watch_interval = interval_ms;
	if (!helper->ends_asked)
		helper->watch_due = si_client_now_ms();
	pthread_cond_signal(&helper->side.work);
	pthread_mutex_unlock(&helper->side.lock);
	free(former);
}
