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
 * main thread abandons the helper, which then owns its struct.
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
	pthread_t	thread;

	SiBrokerErrors broker_errors;	/* has a lock of its own, below this one */

	/* what follows is guarded by the lock */
	pthread_mutex_t lock;
	pthread_cond_t work;		/* for the helper: there is work */
	pthread_cond_t end;			/* for si_helper_await(): it has ended */
	bool		closing;
	bool		ended;
	bool		abandoned;		/* the helper frees this struct */

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
	uint64		watch_generation;
	int			watch_interval;
	int64_t		watch_due;		/* by si_client_now_ms() */
};

/* The abandoned helpers of this process that have not ended yet. */
static pthread_mutex_t abandoned_lock = PTHREAD_MUTEX_INITIALIZER;
static int	abandoned_helpers = 0;

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

/* A time of si_client_now_ms() as the condition variables take it. */
static struct timespec
deadline(int64_t at_ms)
{
	struct timespec at;

	at.tv_sec = at_ms / 1000;
	at.tv_nsec = (at_ms % 1000) * 1000000;
	return at;
}

/* ---- the thread: no server function from here on, but atomics ---- */

/* Change the number of abandoned helpers; returns it. */
static int
count_abandoned(int change)
{
	int			n;

	pthread_mutex_lock(&abandoned_lock);
	n = abandoned_helpers += change;
	pthread_mutex_unlock(&abandoned_lock);
	return n;
}

/* Sleep, without the lock, until there may be something to do. */
static void
wait_for_work(SiHelper *helper)
{
	struct timespec until;

	if (helper->nsinks > 0)
	{
		until = deadline(helper->watch_due);
		pthread_cond_timedwait(&helper->work, &helper->lock, &until);
	}
	else
		pthread_cond_wait(&helper->work, &helper->lock);
}

/* SiLookup.cancelled */
static bool
is_closing(void *arg)
{
	SiHelper   *helper = arg;
	bool		closing;

	pthread_mutex_lock(&helper->lock);
	closing = helper->closing;
	pthread_mutex_unlock(&helper->lock);
	return closing;
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
	pthread_mutex_unlock(&helper->lock);
	si_lookup_topic(&helper->lookup, &info);
	pthread_mutex_lock(&helper->lock);

	/* asked again meanwhile: this answer is outdated */
	if (helper->topic_asked || helper->closing)
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
	pthread_mutex_unlock(&helper->lock);
	si_lookup_topics(&helper->lookup, &list);
	pthread_mutex_lock(&helper->lock);

	/* asked again meanwhile: this answer is outdated */
	if (helper->topics_asked || helper->closing)
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
	pthread_mutex_unlock(&helper->lock);
	si_lookup_offsets(&helper->lookup, queries, n);
	pthread_mutex_lock(&helper->lock);

	if (helper->offsets_asked != NULL || helper->closing)
	{
		free(queries);			/* asked again meanwhile */
		return;
	}
	helper->offsets_answered = queries;
	helper->noffsets_answered = n;
	si_client_wake_fd(helper->fd);
}

/* The caller holds the lock; the lists are in the order of the sinks. */
static void
store_watermarks(SiHelper *helper,
				 const rd_kafka_topic_partition_list_t *low,
				 const rd_kafka_topic_partition_list_t *high, int64 asked_at)
{
	int			i;

	for (i = 0; i < helper->nsinks; i++)
	{
		SiWatermarkSink *sink = &helper->sinks[i];

		if (low->elems[i].err || low->elems[i].offset < 0 ||
			high->elems[i].err || high->elems[i].offset < 0)
			continue;			/* asked_at shows that the old ones are old */
		pg_atomic_write_u64(sink->low, low->elems[i].offset);
		pg_atomic_write_u64(sink->high, high->elems[i].offset);
		pg_write_barrier();
		pg_atomic_write_u64(sink->asked_at, asked_at);
	}
}

/* Ask for all watermarks, and write them to their sinks. */
static void
write_watermarks(SiHelper *helper)
{
	uint64		generation = helper->watch_generation;
	int			n = helper->nsinks;
	rd_kafka_topic_partition_list_t *low;
	rd_kafka_topic_partition_list_t *high;
	rd_kafka_resp_err_t err;
	SiBrokerError broker_error = {SI_BROKER_ERROR_NONE};
	int64		asked_at;
	int			i;

	low = rd_kafka_topic_partition_list_new(n);
	for (i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(low, helper->lookup.topic,
										  helper->sinks[i].partition);
	helper->watch_due = si_client_now_ms() + helper->watch_interval;
	pthread_mutex_unlock(&helper->lock);

	high = rd_kafka_topic_partition_list_copy(low);
	for (i = 0; i < n; i++)
	{
		low->elems[i].offset = SI_OFFSET_BEGINNING;
		high->elems[i].offset = SI_OFFSET_END;
	}
	asked_at = now_timestamptz();
	err = si_lookup_list(&helper->lookup, low);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = si_lookup_list(&helper->lookup, high);
	for (i = 0; i < n && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		err = high->elems[i].err;
	si_lookup_explain(&helper->lookup, err, &broker_error);

	pthread_mutex_lock(&helper->lock);
	if (generation == helper->watch_generation && !helper->closing)
	{
		store_watermarks(helper, low, high, asked_at);
		if (si_broker_error_note_graver(&helper->broker_errors, &broker_error))
			si_client_wake_fd(helper->fd);
	}
	rd_kafka_topic_partition_list_destroy(low);
	rd_kafka_topic_partition_list_destroy(high);
}

void
si_helper_free(SiHelper *helper)
{
	pthread_cond_destroy(&helper->work);
	pthread_cond_destroy(&helper->end);
	pthread_mutex_destroy(&helper->lock);
	si_broker_error_destroy(&helper->broker_errors);
	free(helper->offsets_asked);
	free(helper->offsets_answered);
	free(helper->topic_list.topics);
	free(helper->sinks);
	free(unconstify(char *, helper->lookup.topic));
	free(helper);
}

/* The thread: answer questions until told to end, then destroy the handle. */
static void *
helper_main(void *arg)
{
	SiHelper   *helper = arg;
	bool		abandoned;

	pthread_mutex_lock(&helper->lock);
	while (!helper->closing)
	{
		helper->lookup.timeout_ms = si_broker_error_throttled(&helper->broker_errors) ?
			THROTTLED_REQUEST_MS : REQUEST_MS;
		if (helper->topic_asked)
			answer_topic(helper);
		else if (helper->topics_asked)
			answer_topics(helper);
		else if (helper->offsets_asked != NULL)
			answer_offsets(helper);
		else if (helper->nsinks > 0 && si_client_now_ms() >= helper->watch_due)
			write_watermarks(helper);
		else
			wait_for_work(helper);
	}
	pthread_mutex_unlock(&helper->lock);

	rd_kafka_destroy(helper->lookup.rk);

	pthread_mutex_lock(&helper->lock);
	helper->ended = true;
	abandoned = helper->abandoned;
	pthread_cond_signal(&helper->end);
	pthread_mutex_unlock(&helper->lock);
	if (abandoned)
	{
		si_helper_free(helper);
		(void) count_abandoned(-1);
	}
	return NULL;
}

/* ---- the main thread: begin and end ---- */

/* Deadlines are by the monotonic clock. */
static void
init_synchronization(SiHelper *helper)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&helper->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&helper->work, &attributes);
	pthread_cond_init(&helper->end, &attributes);
	pthread_condattr_destroy(&attributes);
	si_broker_error_init(&helper->broker_errors);
}

SiHelper *
si_helper_create(const char *topic, int fd)
{
	SiHelper   *helper = calloc(1, sizeof(SiHelper));

	if (helper == NULL)
		return NULL;
	init_synchronization(helper);
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

int
si_helper_start(SiHelper *helper, rd_kafka_t *rk)
{
	helper->lookup.rk = rk;
	return si_thread_start(&helper->thread, helper_main, helper);
}

void
si_helper_end(SiHelper *helper)
{
	pthread_mutex_lock(&helper->lock);
	helper->closing = true;
	pthread_cond_signal(&helper->work);
	pthread_mutex_unlock(&helper->lock);
}

bool
si_helper_await(SiHelper *helper, int timeout_ms)
{
	struct timespec until = deadline(si_client_now_ms() + timeout_ms);
	pthread_t	thread = helper->thread;
	bool		ended;
	int			rc = 0;

	pthread_mutex_lock(&helper->lock);
	while (!helper->ended && rc == 0)
		rc = pthread_cond_timedwait(&helper->end, &helper->lock, &until);
	ended = helper->ended;
	helper->abandoned = !ended;
	if (!ended)
		(void) count_abandoned(1);
	pthread_mutex_unlock(&helper->lock);

	if (!ended)
	{
		pthread_detach(thread);
		return false;
	}
	pthread_join(thread, NULL);
	si_helper_free(helper);
	return true;
}

/* No condition variable outlives a helper, hence polling. */
bool
si_helper_await_abandoned(int timeout_ms)
{
	int64_t		until = si_client_now_ms() + timeout_ms;

	while (count_abandoned(0) > 0)
	{
		if (si_client_now_ms() >= until)
			return false;
		pg_usleep(10 * 1000L);
	}
	return true;
}

/* ---- the main thread: questions ---- */

void
si_helper_ask_topic(SiHelper *helper)
{
	pthread_mutex_lock(&helper->lock);
	helper->topic_asked = true;
	helper->topic_answered = false;
	pthread_cond_signal(&helper->work);
	pthread_mutex_unlock(&helper->lock);
}

bool
si_helper_topic_answer(SiHelper *helper, SiTopicInfo *info)
{
	bool		answered;

	pthread_mutex_lock(&helper->lock);
	answered = helper->topic_answered;
	if (answered)
	{
		*info = helper->topic_info;
		si_broker_error_explain(&helper->broker_errors, &info->broker_error);
	}
	helper->topic_answered = false;
	pthread_mutex_unlock(&helper->lock);
	return answered;
}

void
si_helper_ask_topics(SiHelper *helper)
{
	pthread_mutex_lock(&helper->lock);
	helper->topics_asked = true;
	helper->topics_answered = false;
	pthread_cond_signal(&helper->work);
	pthread_mutex_unlock(&helper->lock);
}

const SiTopicList *
si_helper_topics_answer(SiHelper *helper)
{
	bool		answered;

	pthread_mutex_lock(&helper->lock);
	answered = helper->topics_answered;
	if (answered)
		si_broker_error_explain(&helper->broker_errors, &helper->topic_list.broker_error);
	pthread_mutex_unlock(&helper->lock);
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

	pthread_mutex_lock(&helper->lock);
	free(helper->offsets_asked);
	free(helper->offsets_answered);
	helper->offsets_asked = copy;
	helper->noffsets_asked = n;
	helper->offsets_answered = NULL;
	pthread_cond_signal(&helper->work);
	pthread_mutex_unlock(&helper->lock);
}

bool
si_helper_offsets_answer(SiHelper *helper, SiOffsetQuery *queries, int n)
{
	SiOffsetQuery *answer;

	pthread_mutex_lock(&helper->lock);
	answer = helper->offsets_answered;
	Assert(answer == NULL || n == helper->noffsets_answered);
	if (answer != NULL)
		memcpy(queries, answer,
			   Min(n, helper->noffsets_answered) * sizeof(SiOffsetQuery));
	helper->offsets_answered = NULL;
	pthread_mutex_unlock(&helper->lock);
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

	pthread_mutex_lock(&helper->lock);
	former = helper->sinks;
	helper->sinks = copy;
	helper->nsinks = n;
	helper->watch_generation++;
	helper->watch_interval = interval_ms;
	helper->watch_due = si_client_now_ms();
	pthread_cond_signal(&helper->work);
	pthread_mutex_unlock(&helper->lock);
	free(former);
}
