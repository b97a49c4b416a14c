/*-------------------------------------------------------------------------
 *
 * consumer.c
 *	  Reading from Kafka: the only door to librdkafka's consumer.
 *
 * Three kinds of thread meet here, and each has its own rules:
 *
 * - The main thread (the server's) calls the functions of consumer.h.  It
 *	 takes messages and events with a timeout of zero and never waits for the
 *	 network.  It may raise an ERROR, but only after the library's call has
 *	 returned, without the lock, and with every message taken noted in "held".
 *
 * - The helper thread, one per consumer, makes the library's blocking calls
 *	 and at last destroys the library's handle: up to 2.0.2 that hangs for ever
 *	 once a consumed topic was deleted, and nothing can interrupt it.  It knows
 *	 no server function but atomics: no palloc, no elog.  Everything it touches
 *	 is malloc'd, and it runs with all signals blocked.
 *
 * - The library's own threads run none of our code.  Logs and errors come as
 *	 events, and error_cb (some errors come by no other way) is called from the
 *	 thread that polls a queue; it copies into a fixed buffer.
 *
 * The lock guards what main and helper thread share (the second half of
 * SiConsumer).  Nobody holds it during a library call, so a library that is
 * stuck can delay neither si_consumer_watch nor si_consumer_close: whatever the
 * helper brings home, it looks under the lock whether that is still wanted.
 *
 * Closing while the helper sits in a call is safe because the helper destroys
 * the handle itself, after its call.  If that takes too long, the closer walks
 * away and the helper owns the SiConsumer from then on.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <pthread.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "client.h"
#include "compat.h"
#include "consumer.h"
#include "datatype/timestamp.h"

/* messages taken by one library call; more gains nothing and spoils caches */
#define FETCH_CHUNK			1000

/* the longest that the helper lets a call to the brokers take */
#define LIBRARY_TIMEOUT_MS	3000

/* Our defaults; the caller's properties may replace them. */
static const SiSetting default_settings[] = {
	/* memory: about 60 to 80 MB at most, whatever the number of partitions */
	{"queued.min.messages", "50000", false},
	{"queued.max.messages.kbytes", "32768", false},
	{"fetch.max.bytes", "16777216", false},
	{"max.partition.fetch.bytes", "1048576", false},
	/* questions about offsets wait behind a fetch that waits for data */
	{"fetch.wait.max.ms", "100", false},
	/* a full queue must not stop fetching for a whole second (see kick) */
	{"fetch.queue.backoff.ms", "5", true},
	{"isolation.level", "read_committed", false},
	{"check.crcs", "true", false},
	{"topic.metadata.refresh.interval.ms", "30000", false},
	/* how long an unknown topic is taken for one that is just being made */
	{"topic.metadata.propagation.max.ms", "2000", false},
	/* how long a commit without a coordinator holds up the end */
	{"session.timeout.ms", "2000", false},
	{"heartbeat.interval.ms", "1000", false},
};

/* What this module relies on; nobody may change it. */
static const SiSetting fixed_settings[] = {
	{"enable.auto.commit", "false", false},
	{"enable.auto.offset.store", "false", false},
	/* never skip or rewind silently */
	{"auto.offset.reset", "error", false},
	{"enable.partition.eof", "true", false},
	{"allow.auto.create.topics", "false", false},
};

/* A message that the caller has not released yet. */
typedef struct HeldMessage
{
	rd_kafka_message_t *rkmessage;	/* NULL if the slot is free */
	SiHeader   *headers;
	int			next_free;		/* -1 ends the list */
} HeldMessage;

/* A question about an offset, as the library understands it. */
typedef struct Lookup
{
	int32_t		partition;
	int64_t		at;
	int64_t		answer;			/* -1 if nothing is that new */
	rd_kafka_resp_err_t err;
	int			index;			/* in the list of the running round, or -1 */
	bool		done;
} Lookup;

struct SiConsumer
{
	/* set by si_consumer_open and constant then */
	rd_kafka_t *rk;
	rd_kafka_queue_t *messages;
	rd_kafka_queue_t *events;
	rd_kafka_queue_t *logs;
	char	   *topic;
	int			fd;
	bool		want_headers;
	pthread_t	helper;

	/* the main thread's own */
	rd_kafka_topic_partition_list_t *assigned;
	rd_kafka_message_t *chunk[FETCH_CHUNK];
	HeldMessage *held;
	int			nheld;			/* slots allocated */
	int			nfree;			/* of these, free */
	int			first_free;

	/* for kick_fetchers(); low_messages is 0 where there is no need */
	int64_t		low_messages;
	int64_t		low_bytes;
	int64_t		taken_messages;
	int64_t		taken_bytes;

	/* publishing */
	rd_kafka_topic_partition_list_t *publish_next;
	bool		publishing;
	bool		publish_failed; /* publish_error has not been told yet */
	char		publish_error[256];

	/* what follows is guarded by the lock */
	pthread_mutex_t lock;
	pthread_cond_t work;		/* for the helper: something to do */
	pthread_cond_t end;			/* for the closer: the helper has ended */
	bool		closing;
	bool		ended;
	bool		abandoned;		/* the helper frees this struct */

	SiTrouble	trouble;
	SiTrouble	last_failure;	/* of a broker, until all is well again */

	bool		topic_asked;
	bool		topic_answered;
	SiTopicInfo topic_info;

	bool		topics_asked;
	bool		topics_answered;
	SiTopicList topic_list;		/* written by the helper between the two */

	SiOffsetQuery *offsets_asked;	/* NULL if nothing is asked */
	int			noffsets_asked;
	SiOffsetQuery *offsets_answered;	/* NULL if there is no answer */
	int			noffsets_answered;

	SiWatermarkSink *sinks;
	int			nsinks;
	uint64		watch_generation;
	int			watch_interval;
	int64_t		watch_due;		/* in now_ms() */
};

/* Helpers that were left alone and have not ended yet, in this process. */
static pthread_mutex_t abandoned_lock = PTHREAD_MUTEX_INITIALIZER;
static int	abandoned_helpers = 0;

/* opening and closing */
static SiConsumer *create_consumer(const char *topic, bool want_headers,
								   SiClientFailure *failure);
static void init_synchronization(SiConsumer *consumer);
static rd_kafka_conf_t *make_configuration(const SiProperty *properties,
										   int nproperties,
										   const char *group_id,
										   const char *client_id,
										   SiClientFailure *failure);
static bool create_handle(SiConsumer *consumer, rd_kafka_conf_t *conf,
						  SiClientFailure *failure);
static void open_queues(SiConsumer *consumer);
static void close_queues(SiConsumer *consumer);
static void watch_queue(SiConsumer *consumer, rd_kafka_queue_t *queue,
						bool on);
static void find_low_water(SiConsumer *consumer);
static bool start_helper(SiConsumer *consumer, SiClientFailure *failure);
static void free_consumer(SiConsumer *consumer);
static void release_fd(SiConsumer *consumer);
static bool await_helper(SiConsumer *consumer, int timeout_ms);
static int	count_abandoned(int change);

/* fetching */
static void change_assignment(SiConsumer *consumer,
							  rd_kafka_topic_partition_list_t *list,
							  bool add);
static void reserve_slots(SiConsumer *consumer, int n);
static int	take_chunk(SiConsumer *consumer, int got, SiFetched *items);
static bool fill_item(SiConsumer *consumer, int slot, SiFetched *item);
static bool read_headers(HeldMessage *held, SiMessage *message);
static SiFetchKind fetch_kind(rd_kafka_resp_err_t err);
static void release_slot(SiConsumer *consumer, int slot);
static void kick_fetchers(SiConsumer *consumer);

/* trouble */
static void say_why_unanswered(SiConsumer *consumer, SiTrouble *trouble);
static void serve_events(SiConsumer *consumer);
static void note_log(SiConsumer *consumer, rd_kafka_event_t *event);
static void error_cb(rd_kafka_t *rk, int err, const char *reason,
					 void *opaque);
static void note_failure(SiConsumer *consumer, rd_kafka_resp_err_t err,
						 const char *text);
static void note_message_error(SiConsumer *consumer,
							   const rd_kafka_message_t *rkmessage);
static void forget_failure(SiConsumer *consumer);
static void set_trouble(SiConsumer *consumer, SiTroubleKind kind,
						const char *text);
static SiTroubleKind trouble_kind(rd_kafka_resp_err_t err);

/* publishing */
static void note_publication(SiConsumer *consumer, int32_t partition,
							 int64_t offset, bool newer);
static void send_publication(SiConsumer *consumer);
static void finish_publication(SiConsumer *consumer, rd_kafka_event_t *event);
static void note_publish_error(SiConsumer *consumer, rd_kafka_resp_err_t err,
							   const char *text);

/* the helper thread */
static void *helper_main(void *arg);
static void wait_for_work(SiConsumer *consumer);
static void notify(SiConsumer *consumer);
static bool is_closing(SiConsumer *consumer);
static void answer_topic(SiConsumer *consumer);
static void describe_topic(SiConsumer *consumer, SiTopicInfo *info);
static void identify_topic(SiConsumer *consumer, SiTopicInfo *info);
static void answer_topics(SiConsumer *consumer);
static void list_topics(SiConsumer *consumer, SiTopicList *list);
static bool copy_topics(const struct rd_kafka_metadata *metadata,
						SiTopicList *list);
#ifdef SI_RDKAFKA_HAS_TOPIC_ID
static void read_topic_id(SiConsumer *consumer, SiTopicInfo *info);
#endif
static void answer_offsets(SiConsumer *consumer);
static void resolve_offsets(SiConsumer *consumer, SiOffsetQuery *queries,
							int n);
static rd_kafka_resp_err_t look_up(SiConsumer *consumer, Lookup *lookups,
								   int n);
static rd_kafka_resp_err_t ask_offsets(SiConsumer *consumer,
									   rd_kafka_topic_partition_list_t *list);
static void write_watermarks(SiConsumer *consumer);
static void store_watermarks(SiConsumer *consumer,
							 const rd_kafka_topic_partition_list_t *low,
							 const rd_kafka_topic_partition_list_t *high,
							 int64 asked_at);
static void explain_error(SiConsumer *consumer, rd_kafka_resp_err_t err,
						  SiTrouble *trouble);

/* times */
static int64_t now_ms(void);
static int64 now_timestamptz(void);
static struct timespec deadline(int64_t at_ms);


/* ----------
 * Opening and closing
 * ----------
 */

SiConsumer *
si_consumer_open(const SiProperty *properties, int nproperties,
				 const char *topic, const char *group_id,
				 const char *client_id, bool want_headers)
{
	SiClientFailure failure = {0};
	SiConsumer *consumer;
	rd_kafka_conf_t *conf;

	conf = make_configuration(properties, nproperties, group_id, client_id,
							  &failure);
	if (conf == NULL)
		si_client_report_failure(&failure, "consumer");
	consumer = create_consumer(topic, want_headers, &failure);
	if (consumer == NULL || !create_handle(consumer, conf, &failure))
	{
		rd_kafka_conf_destroy(conf);
		if (consumer != NULL)
			free_consumer(consumer);
		si_client_report_failure(&failure, "consumer");
	}
	open_queues(consumer);
	find_low_water(consumer);
	if (!start_helper(consumer, &failure))
	{
		close_queues(consumer);
		/* nothing was ever assigned: this takes milliseconds */
		rd_kafka_destroy(consumer->rk);
		free_consumer(consumer);
		si_client_report_failure(&failure, "consumer");
	}
	return consumer;
}

int
si_consumer_fd(const SiConsumer *consumer)
{
	return consumer->fd;
}

void
si_consumer_drain_fd(SiConsumer *consumer)
{
	uint64		count;

	while (read(consumer->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/*
 * The order matters: a message still held would let the library's end hang for
 * ever, and the descriptor must be written by nobody when it is closed.
 */
bool
si_consumer_close(SiConsumer *consumer, int timeout_ms)
{
	int			slot;

	for (slot = 0; slot < consumer->nheld; slot++)
	{
		if (consumer->held[slot].rkmessage != NULL)
			release_slot(consumer, slot);
	}
	close_queues(consumer);

	pthread_mutex_lock(&consumer->lock);
	consumer->closing = true;
	release_fd(consumer);
	pthread_cond_signal(&consumer->work);
	pthread_mutex_unlock(&consumer->lock);

	return await_helper(consumer, timeout_ms);
}

char *
si_consumer_check_property(const char *name, const char *value)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_res_t result;
	char		errstr[512] = "";
	char		words[512];

	result = rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr));
	rd_kafka_conf_destroy(conf);
	if (result == RD_KAFKA_CONF_OK)
		return NULL;
	si_client_describe_refusal(name, errstr, words, sizeof(words));
	return pstrdup(words);
}

/* Allocate the struct and its descriptor; NULL on failure. */
static SiConsumer *
create_consumer(const char *topic, bool want_headers, SiClientFailure *failure)
{
	SiConsumer *consumer = calloc(1, sizeof(SiConsumer));

	if (consumer == NULL)
	{
		failure->sqlstate = ERRCODE_OUT_OF_MEMORY;
		strlcpy(failure->words, "out of memory", sizeof(failure->words));
		return NULL;
	}
	init_synchronization(consumer);
	consumer->want_headers = want_headers;
	consumer->first_free = -1;
	consumer->topic = strdup(topic);
	consumer->fd = consumer->topic != NULL ? si_client_open_fd() : -1;
	if (consumer->fd < 0)
	{
		failure->error_number = errno;
		failure->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
		strlcpy(failure->words, "could not create event descriptor",
				sizeof(failure->words));
		free_consumer(consumer);
		return NULL;
	}
	return consumer;
}

/* Locks of default kind; deadlines are by the clock that never jumps. */
static void
init_synchronization(SiConsumer *consumer)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&consumer->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&consumer->work, &attributes);
	pthread_cond_init(&consumer->end, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* Without a group the library has no consumer. */
static rd_kafka_conf_t *
make_configuration(const SiProperty *properties, int nproperties,
				   const char *group_id, const char *client_id,
				   SiClientFailure *failure)
{
	rd_kafka_conf_t *conf;

	conf = si_client_configure(default_settings, lengthof(default_settings),
							   properties, nproperties,
							   fixed_settings, lengthof(fixed_settings),
							   client_id, failure);
	if (conf == NULL)
		return NULL;
	if (!si_client_set(conf, "group.id", group_id, failure))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR |
							 RD_KAFKA_EVENT_OFFSET_COMMIT);
	rd_kafka_conf_set_error_cb(conf, error_cb);
	return conf;
}

/* The library's handle; it owns the configuration if this succeeds. */
static bool
create_handle(SiConsumer *consumer, rd_kafka_conf_t *conf,
			  SiClientFailure *failure)
{
	rd_kafka_conf_set_opaque(conf, consumer);
	consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, failure->words,
								sizeof(failure->words));
	if (consumer->rk != NULL)
		return true;
	failure->sqlstate =
		rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE ?
		ERRCODE_INSUFFICIENT_RESOURCES : ERRCODE_INVALID_PARAMETER_VALUE;
	return false;
}

/*
 * The queues are kept apart (no rd_kafka_poll_set_consumer), so that an error
 * does not wait behind 50,000 messages.  All write to one descriptor, and only
 * when they cease to be empty: enabled too late, that moment is missed.  The
 * main queue may have got its first error already, hence the first wake-up.
 */
static void
open_queues(SiConsumer *consumer)
{
	consumer->assigned = rd_kafka_topic_partition_list_new(8);
	consumer->publish_next = rd_kafka_topic_partition_list_new(8);
	consumer->messages = rd_kafka_queue_get_consumer(consumer->rk);
	consumer->events = rd_kafka_queue_get_main(consumer->rk);
	consumer->logs = rd_kafka_queue_new(consumer->rk);
	watch_queue(consumer, consumer->messages, true);
	watch_queue(consumer, consumer->events, true);
	watch_queue(consumer, consumer->logs, true);
	rd_kafka_set_log_queue(consumer->rk, consumer->logs);
	notify(consumer);
}

static void
close_queues(SiConsumer *consumer)
{
	watch_queue(consumer, consumer->messages, false);
	watch_queue(consumer, consumer->events, false);
	watch_queue(consumer, consumer->logs, false);
	rd_kafka_queue_destroy(consumer->messages);
	rd_kafka_queue_destroy(consumer->events);
	rd_kafka_queue_destroy(consumer->logs);
	rd_kafka_topic_partition_list_destroy(consumer->assigned);
	rd_kafka_topic_partition_list_destroy(consumer->publish_next);
}

/* Let the queue write to our descriptor, or no more. */
static void
watch_queue(SiConsumer *consumer, rd_kafka_queue_t *queue, bool on)
{
	uint64		one = 1;

	rd_kafka_queue_io_event_enable(queue, on ? consumer->fd : -1, &one,
								   sizeof(one));
}

/* Below which fill of the queue the fetchers may have to be woken. */
static void
find_low_water(SiConsumer *consumer)
{
	const rd_kafka_conf_t *conf = rd_kafka_conf(consumer->rk);
	char		value[64];
	size_t		size = sizeof(value);

	if (rd_kafka_conf_get(conf, "fetch.queue.backoff.ms", value,
						  &size) == RD_KAFKA_CONF_OK)
		return;					/* the library sees to it (2.2) */

	size = sizeof(value);
	if (rd_kafka_conf_get(conf, "queued.min.messages", value,
						  &size) == RD_KAFKA_CONF_OK)
		consumer->low_messages = Max(atoll(value) / 2, 1);
	size = sizeof(value);
	if (rd_kafka_conf_get(conf, "queued.max.messages.kbytes", value,
						  &size) == RD_KAFKA_CONF_OK)
		consumer->low_bytes = Max(atoll(value) * 1024 / 2, 1);
}

static bool
start_helper(SiConsumer *consumer, SiClientFailure *failure)
{
	int			rc = si_client_start_thread(&consumer->helper, helper_main, consumer);

	if (rc == 0)
		return true;
	failure->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
	failure->error_number = rc;
	strlcpy(failure->words, "could not create thread", sizeof(failure->words));
	return false;
}

/* By the main thread, or by a helper that was left alone. */
static void
free_consumer(SiConsumer *consumer)
{
	release_fd(consumer);
	pthread_cond_destroy(&consumer->work);
	pthread_cond_destroy(&consumer->end);
	pthread_mutex_destroy(&consumer->lock);
	free(consumer->offsets_asked);
	free(consumer->offsets_answered);
	free(consumer->topic_list.topics);
	free(consumer->sinks);
	free(consumer->held);
	free(consumer->topic);
	free(consumer);
}

/* Nobody may write to it any more. */
static void
release_fd(SiConsumer *consumer)
{
	if (consumer->fd < 0)
		return;
	si_client_close_fd(consumer->fd);
	consumer->fd = -1;
}

/*
 * Wait until the helper has destroyed the library's handle, or leave it alone
 * with that.  The struct belongs to somebody else afterwards.
 */
static bool
await_helper(SiConsumer *consumer, int timeout_ms)
{
	struct timespec until = deadline(now_ms() + timeout_ms);
	pthread_t	helper = consumer->helper;
	bool		ended;
	int			rc = 0;

	pthread_mutex_lock(&consumer->lock);
	while (!consumer->ended && rc == 0)
		rc = pthread_cond_timedwait(&consumer->end, &consumer->lock, &until);
	ended = consumer->ended;
	consumer->abandoned = !ended;
	if (!ended)
		(void) count_abandoned(1);
	pthread_mutex_unlock(&consumer->lock);

	if (!ended)
	{
		pthread_detach(helper);
		return false;
	}
	pthread_join(helper, NULL);
	free_consumer(consumer);
	return true;
}

/* Change the number of helpers left alone; returns it. */
static int
count_abandoned(int change)
{
	int			n;

	pthread_mutex_lock(&abandoned_lock);
	n = abandoned_helpers += change;
	pthread_mutex_unlock(&abandoned_lock);
	return n;
}

/* There is nothing to be woken by that outlives a helper, so look again. */
bool
si_consumer_await_abandoned(int timeout_ms)
{
	int64_t		until = now_ms() + timeout_ms;

	while (count_abandoned(0) > 0)
	{
		if (now_ms() >= until)
			return false;
		pg_usleep(10 * 1000L);
	}
	return true;
}


/* ----------
 * Fetching
 * ----------
 */

/*
 * A partition that is assigned already is taken out first: the library wants
 * it so, and what is queued of it is outdated from that moment on, so that
 * nothing from before a move backwards can come after it.
 */
void
si_consumer_assign(SiConsumer *consumer, const int32_t *partitions,
				   const int64_t *offsets, const int32_t *leader_epochs,
				   int n)
{
	rd_kafka_topic_partition_list_t *list;
	int			i;

	/* without a proper offset the library would use the group's */
	for (i = 0; i < n; i++)
	{
		if (offsets[i] < 0 && offsets[i] != SI_OFFSET_BEGINNING &&
			offsets[i] != SI_OFFSET_END)
			elog(ERROR, "unexpected offset %lld", (long long) offsets[i]);
	}

	si_consumer_unassign(consumer, partitions, n);
	list = rd_kafka_topic_partition_list_new(n);
	for (i = 0; i < n; i++)
	{
		rd_kafka_topic_partition_t *partition;

		partition = rd_kafka_topic_partition_list_add(list, consumer->topic,
													  partitions[i]);
		partition->offset = offsets[i];
#ifdef SI_RDKAFKA_HAS_LEADER_EPOCH
		if (leader_epochs != NULL)
			rd_kafka_topic_partition_set_leader_epoch(partition,
													  leader_epochs[i]);
#endif
	}
	change_assignment(consumer, list, true);
}

void
si_consumer_unassign(SiConsumer *consumer, const int32_t *partitions, int n)
{
	rd_kafka_topic_partition_list_t *list;
	int			i;

	list = rd_kafka_topic_partition_list_new(n);
	for (i = 0; i < n; i++)
	{
		if (rd_kafka_topic_partition_list_find(consumer->assigned,
											   consumer->topic,
											   partitions[i]) != NULL)
			rd_kafka_topic_partition_list_add(list, consumer->topic,
											  partitions[i]);
	}
	change_assignment(consumer, list, false);
}

/* Tell the library, keep our own list in step, and destroy the argument. */
static void
change_assignment(SiConsumer *consumer, rd_kafka_topic_partition_list_t *list,
				  bool add)
{
	rd_kafka_error_t *error = NULL;
	char		words[256];
	int			i;

	if (list->cnt > 0)
		error = add ? rd_kafka_incremental_assign(consumer->rk, list) :
			rd_kafka_incremental_unassign(consumer->rk, list);
	for (i = 0; error == NULL && i < list->cnt; i++)
	{
		if (add)
			rd_kafka_topic_partition_list_add(consumer->assigned,
											  list->elems[i].topic,
											  list->elems[i].partition);
		else
			rd_kafka_topic_partition_list_del(consumer->assigned,
											  list->elems[i].topic,
											  list->elems[i].partition);
	}
	rd_kafka_topic_partition_list_destroy(list);
	if (error == NULL)
		return;

	strlcpy(words, rd_kafka_error_string(error), sizeof(words));
	rd_kafka_error_destroy(error);
	ereport(ERROR,
			(errcode(ERRCODE_SYSTEM_ERROR),
			 errmsg("could not change the partitions read from topic \"%s\": %s",
					consumer->topic, words)));
}

int
si_consumer_fetch(SiConsumer *consumer, SiFetched *items, int max)
{
	int			n = 0;

	serve_events(consumer);
	while (n < max)
	{
		int			want = Min(max - n, FETCH_CHUNK);
		ssize_t		got;

		reserve_slots(consumer, want);
		got = rd_kafka_consume_batch_queue(consumer->messages, 0,
										   consumer->chunk, want);
		if (got > 0)
			n += take_chunk(consumer, got, items + n);

		/*
		 * What came while the library found its queue empty may not have
		 * written to the descriptor.
		 */
		if (got < 0 ||
			(got < want && rd_kafka_queue_length(consumer->messages) == 0))
			break;
	}
	if (n > 0 && items[n - 1].kind <= SI_FETCH_END)
		forget_failure(consumer);
	kick_fetchers(consumer);
	return n;
}

void
si_consumer_release(SiConsumer *consumer, SiFetched *items, int n)
{
	int			i;

	/* backwards, so that the free list hands the slots out in order again */
	for (i = n - 1; i >= 0; i--)
	{
		release_slot(consumer, (int) (intptr_t) items[i].message.handle - 1);
		items[i].message.handle = NULL;
	}
}

/* Make room for n messages before they are taken from the library. */
static void
reserve_slots(SiConsumer *consumer, int n)
{
	HeldMessage *held;
	int			size;
	int			slot;

	if (consumer->nfree >= n)
		return;
	size = consumer->nheld + Max(n, consumer->nheld);
	held = realloc(consumer->held, size * sizeof(HeldMessage));
	if (held == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	consumer->held = held;
	for (slot = size - 1; slot >= consumer->nheld; slot--)
	{
		held[slot].rkmessage = NULL;
		held[slot].headers = NULL;
		held[slot].next_free = consumer->first_free;
		consumer->first_free = slot;
	}
	consumer->nfree += size - consumer->nheld;
	consumer->nheld = size;
}

/*
 * Turn what the library gave into items; returns how many.  No ERROR before
 * every message has its slot: a lost one would let the library's end hang.
 */
static int
take_chunk(SiConsumer *consumer, int got, SiFetched *items)
{
	bool		complete = true;
	int			n = 0;
	int			i;

	for (i = 0; i < got; i++)
	{
		rd_kafka_message_t *rkmessage = consumer->chunk[i];
		int			slot;

		if (rkmessage->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			note_message_error(consumer, rkmessage);
		if (rkmessage->rkt == NULL)
		{
			rd_kafka_message_destroy(rkmessage);	/* of no partition */
			continue;
		}
		slot = consumer->first_free;
		consumer->first_free = consumer->held[slot].next_free;
		consumer->nfree--;
		consumer->held[slot].rkmessage = rkmessage;
		complete &= fill_item(consumer, slot, &items[n++]);
	}
	if (!complete)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return n;
}

/* False if there is no memory for the headers. */
static bool
fill_item(SiConsumer *consumer, int slot, SiFetched *item)
{
	HeldMessage *held = &consumer->held[slot];
	rd_kafka_message_t *rkmessage = held->rkmessage;
	SiMessage  *message = &item->message;

	item->kind = fetch_kind(rkmessage->err);
	item->error = NULL;
	memset(message, 0, sizeof(SiMessage));
	message->partition = rkmessage->partition;
	message->leader_epoch = -1;
	message->offset = rkmessage->offset;
	message->timestamp = -1;
	message->handle = (void *) (intptr_t) (slot + 1);
	if (item->kind != SI_FETCH_MESSAGE)
	{
		if (item->kind != SI_FETCH_END)
			item->error = rd_kafka_message_errstr(rkmessage);
		return true;
	}
#ifdef SI_RDKAFKA_HAS_LEADER_EPOCH
	message->leader_epoch = rd_kafka_message_leader_epoch(rkmessage);
#endif
	message->timestamp = rd_kafka_message_timestamp(rkmessage, NULL);
	message->key = rkmessage->key;
	message->key_len = rkmessage->key_len;
	message->value = rkmessage->payload;
	message->value_len = rkmessage->len;
	consumer->taken_messages++;
	consumer->taken_bytes += rkmessage->len;
	return !consumer->want_headers || read_headers(held, message);
}

bool
si_consumer_read_headers(SiConsumer *consumer, SiMessage *message)
{
	HeldMessage *held = &consumer->held[(int) (intptr_t) message->handle - 1];

	if (held->headers == NULL)
		return read_headers(held, message);
	return true;
}

/* The library parses headers only now, when they are asked for. */
static bool
read_headers(HeldMessage *held, SiMessage *message)
{
	rd_kafka_headers_t *headers;
	int			count;
	int			i;

	if (rd_kafka_message_headers(held->rkmessage,
								 &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;			/* none */
	count = rd_kafka_header_cnt(headers);
	if (count == 0)
		return true;
	held->headers = malloc(count * sizeof(SiHeader));
	if (held->headers == NULL)
		return false;
	for (i = 0; i < count; i++)
	{
		SiHeader   *header = &held->headers[i];
		const void *value = NULL;

		header->value_len = 0;
		if (rd_kafka_header_get_all(headers, i, &header->name, &value,
									&header->value_len) != RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		header->value = value;
	}
	message->headers = held->headers;
	message->nheaders = i;
	return true;
}

static SiFetchKind
fetch_kind(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR_NO_ERROR:
			return SI_FETCH_MESSAGE;
		case RD_KAFKA_RESP_ERR__PARTITION_EOF:
			return SI_FETCH_END;
		case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
			return SI_FETCH_OUT_OF_RANGE;

			/* after these the library goes on behind what it could not read */
		case RD_KAFKA_RESP_ERR__BAD_MSG:
		case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
		case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
			return SI_FETCH_CORRUPT;
		default:
			return SI_FETCH_ERROR;
	}
}

static void
release_slot(SiConsumer *consumer, int slot)
{
	HeldMessage *held;

	Assert(slot >= 0 && slot < consumer->nheld);
	held = &consumer->held[slot];
	Assert(held->rkmessage != NULL);
	rd_kafka_message_destroy(held->rkmessage);
	held->rkmessage = NULL;
	if (held->headers != NULL)
	{
		free(held->headers);
		held->headers = NULL;
	}
	held->next_free = consumer->first_free;
	consumer->first_free = slot;
	consumer->nfree++;
}

/*
 * Before 2.2 a thread that finds the queue full sleeps for a second and does
 * not notice that we emptied it, which leaves a tenth of the speed.  Any
 * request to its broker wakes it; the cheapest is a question for offsets whose
 * answer nobody waits for.  Once per crossing of the low-water mark is enough,
 * and no more, or the requests pile up behind a broker that is down.
 */
static void
kick_fetchers(SiConsumer *consumer)
{
	rd_kafka_topic_partition_list_t *list;
	int64_t		queued;
	int64_t		queued_bytes;
	int			i;

	if (consumer->low_messages == 0 || consumer->assigned->cnt == 0 ||
		(consumer->taken_messages < consumer->low_messages &&
		 consumer->taken_bytes < consumer->low_bytes))
		return;
	queued = rd_kafka_queue_length(consumer->messages);
	queued_bytes = queued * (consumer->taken_bytes / consumer->taken_messages);
	if (queued >= consumer->low_messages || queued_bytes >= consumer->low_bytes)
		return;

	list = rd_kafka_topic_partition_list_copy(consumer->assigned);
	for (i = 0; i < list->cnt; i++)
		list->elems[i].offset = SI_OFFSET_END;
	(void) rd_kafka_offsets_for_times(consumer->rk, list, 0);
	rd_kafka_topic_partition_list_destroy(list);
	consumer->taken_messages = 0;
	consumer->taken_bytes = 0;
}


/* ----------
 * Trouble
 * ----------
 */

bool
si_consumer_trouble(SiConsumer *consumer, SiTrouble *trouble)
{
	serve_events(consumer);
	pthread_mutex_lock(&consumer->lock);
	*trouble = consumer->trouble;
	consumer->trouble.kind = SI_TROUBLE_NONE;
	pthread_mutex_unlock(&consumer->lock);
	return trouble->kind != SI_TROUBLE_NONE;
}

/*
 * Libraries before 2.6.1 repeat the client's nonce in a way that Kafka 4 takes
 * for an attack, and then says that the credentials are invalid.
 */
const char *
si_consumer_hint(const SiConsumer *consumer, SiTroubleKind kind)
{
	char		mechanism[64];
	size_t		size = sizeof(mechanism);

	if (kind != SI_TROUBLE_AUTHENTICATION ||
		rd_kafka_version() >= 0x020601ff ||
		rd_kafka_conf_get(rd_kafka_conf(consumer->rk), "sasl.mechanisms",
						  mechanism, &size) != RD_KAFKA_CONF_OK ||
		strncmp(mechanism, "SCRAM", strlen("SCRAM")) != 0)
		return NULL;
	return "If the password is right: librdkafka older than 2.6.1 cannot use SCRAM with Kafka 4; update it, or use sasl_mechanism \"PLAIN\" over TLS.";
}

/* Empty the main and the log queue. */
static void
serve_events(SiConsumer *consumer)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(consumer->events, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			note_failure(consumer, rd_kafka_event_error(event),
						 rd_kafka_event_error_string(event));
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT)
			finish_publication(consumer, event);
		rd_kafka_event_destroy(event);
	}
	while ((event = rd_kafka_queue_poll(consumer->logs, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_LOG)
			note_log(consumer, event);
		rd_kafka_event_destroy(event);
	}
}

/*
 * A serious line, unless a broker's failure is known: then it is more of the
 * same, without its kind.
 */
static void
note_log(SiConsumer *consumer, rd_kafka_event_t *event)
{
	const char *facility;
	const char *text;
	int			level;
	bool		known;

	if (rd_kafka_event_log(event, &facility, &text, &level) != 0 ||
		level > LOG_ERR || strcmp(facility, "FAIL") == 0)
		return;
	pthread_mutex_lock(&consumer->lock);
	known = consumer->last_failure.kind != SI_TROUBLE_NONE;
	pthread_mutex_unlock(&consumer->lock);
	if (!known)
		set_trouble(consumer, SI_TROUBLE_BROKER, text);
}

/*
 * The only way by which the library tells of an assigned partition that is not
 * there.  Called by whichever thread polls, below a frame of the library: copy
 * and return.
 */
static void
error_cb(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	note_failure(opaque, err, reason);
}

/*
 * "1/1 brokers are down" says nothing, so it is told with the kind and the
 * words of what happened just before.
 */
static void
note_failure(SiConsumer *consumer, rd_kafka_resp_err_t err, const char *text)
{
	SiTrouble	trouble;
	char	   *after;

	trouble.kind = trouble_kind(err);
	strlcpy(trouble.words, text ? text : rd_kafka_err2str(err),
			sizeof(trouble.words));

	/* how many milliseconds it took would make each time another failure */
	after = strstr(trouble.words, " (after ");
	if (after != NULL)
		*after = '\0';

	pthread_mutex_lock(&consumer->lock);
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
	{
		if (consumer->last_failure.kind != SI_TROUBLE_NONE)
			trouble = consumer->last_failure;
	}
	else if (trouble.kind <= SI_TROUBLE_AUTHENTICATION)
		consumer->last_failure = trouble;
	pthread_mutex_unlock(&consumer->lock);

	set_trouble(consumer, trouble.kind, trouble.words);
}

/* The error of a fetched item, as far as it concerns more than the item. */
static void
note_message_error(SiConsumer *consumer, const rd_kafka_message_t *rkmessage)
{
	SiTroubleKind kind = trouble_kind(rkmessage->err);
	const char *text;

	if (fetch_kind(rkmessage->err) != SI_FETCH_ERROR)
		return;
	text = rd_kafka_message_errstr(rkmessage);

	if (rkmessage->rkt == NULL && kind == SI_TROUBLE_BROKER)
		note_publish_error(consumer, rkmessage->err, text); /* the coordinator's */
	else if (kind != SI_TROUBLE_BROKER)
		set_trouble(consumer, kind, text);
}

/* Something was read: what a broker said before is old. */
static void
forget_failure(SiConsumer *consumer)
{
	pthread_mutex_lock(&consumer->lock);
	consumer->last_failure.kind = SI_TROUBLE_NONE;
	pthread_mutex_unlock(&consumer->lock);
}

/* The gravest until it is read, and of equals the newest. */
static void
set_trouble(SiConsumer *consumer, SiTroubleKind kind, const char *text)
{
	pthread_mutex_lock(&consumer->lock);
	if (kind >= consumer->trouble.kind)
	{
		consumer->trouble.kind = kind;
		strlcpy(consumer->trouble.words, text, sizeof(consumer->trouble.words));
	}
	pthread_mutex_unlock(&consumer->lock);
}

static SiTroubleKind
trouble_kind(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
		case RD_KAFKA_RESP_ERR__SSL:
			return SI_TROUBLE_AUTHENTICATION;
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
			return SI_TROUBLE_AUTHORIZATION;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return SI_TROUBLE_TOPIC;
		case RD_KAFKA_RESP_ERR__FATAL:
			return SI_TROUBLE_FATAL;
		default:
			return SI_TROUBLE_BROKER;
	}
}


/* ----------
 * Publishing offsets
 * ----------
 */

/*
 * One commit is under way at a time.  What is said meanwhile waits, a newer
 * offset of a partition replacing an older one, so that nothing piles up while
 * the coordinator is away.
 */
void
si_consumer_publish(SiConsumer *consumer, const int32_t *partitions,
					const int64_t *offsets, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		note_publication(consumer, partitions[i], offsets[i], true);
	if (!consumer->publishing)
		send_publication(consumer);
}

bool
si_consumer_is_publishing(SiConsumer *consumer)
{
	serve_events(consumer);
	return consumer->publishing;
}

bool
si_consumer_publish_error(SiConsumer *consumer, char *text, size_t size)
{
	serve_events(consumer);
	if (!consumer->publish_failed)
		return false;
	consumer->publish_failed = false;
	strlcpy(text, consumer->publish_error, size);
	return true;
}

/* To be sent with the next commit; unless newer, only if there is none yet. */
static void
note_publication(SiConsumer *consumer, int32_t partition, int64_t offset,
				 bool newer)
{
	rd_kafka_topic_partition_list_t *list = consumer->publish_next;
	rd_kafka_topic_partition_t *element;

	element = rd_kafka_topic_partition_list_find(list, consumer->topic,
												 partition);
	if (element != NULL && !newer)
		return;
	if (element == NULL)
		element = rd_kafka_topic_partition_list_add(list, consumer->topic,
													partition);
	element->offset = offset;
}

static void
send_publication(SiConsumer *consumer)
{
	rd_kafka_resp_err_t err;

	if (consumer->publish_next->cnt == 0)
		return;
	err = rd_kafka_commit_queue(consumer->rk, consumer->publish_next,
								consumer->events, NULL, NULL);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		note_publish_error(consumer, err, rd_kafka_err2str(err));
		return;
	}
	rd_kafka_topic_partition_list_destroy(consumer->publish_next);
	consumer->publish_next = rd_kafka_topic_partition_list_new(8);
	consumer->publishing = true;
}

/*
 * A commit came back; send what was said meanwhile.  After a failure that
 * waits for the next call of si_consumer_publish, and takes what failed along.
 */
static void
finish_publication(SiConsumer *consumer, rd_kafka_event_t *event)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	int			n;
	int			i;

	list = rd_kafka_event_topic_partition_list(event);
	n = list != NULL ? list->cnt : 0;
	for (i = 0; i < n && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		err = list->elems[i].err;

	consumer->publishing = false;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		consumer->publish_error[0] = '\0';
		send_publication(consumer);
		return;
	}
	for (i = 0; i < n; i++)
		note_publication(consumer, list->elems[i].partition,
						 list->elems[i].offset, false);
	note_publish_error(consumer, err, rd_kafka_err2str(err));
}

/*
 * Each reason is told once, until a publication succeeds.  A coordinator that
 * is only away, or not yet found, is no reason.
 */
static void
note_publish_error(SiConsumer *consumer, rd_kafka_resp_err_t err,
				   const char *text)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__DESTROY:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__WAIT_COORD:
		case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
		case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
		case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
			return;
		default:
			break;
	}
	if (strncmp(consumer->publish_error, text,
				sizeof(consumer->publish_error) - 1) == 0)
		return;
	strlcpy(consumer->publish_error, text, sizeof(consumer->publish_error));
	consumer->publish_failed = true;
}


/* ----------
 * Questions to the helper thread
 * ----------
 */

void
si_consumer_ask_topic(SiConsumer *consumer)
{
	pthread_mutex_lock(&consumer->lock);
	consumer->topic_asked = true;
	consumer->topic_answered = false;
	pthread_cond_signal(&consumer->work);
	pthread_mutex_unlock(&consumer->lock);
}

/*
 * What a broker said tells more than that a question was not answered.  It
 * comes as an event, which must have been taken before.  With the lock held.
 */
static void
say_why_unanswered(SiConsumer *consumer, SiTrouble *trouble)
{
	if (trouble->kind == SI_TROUBLE_BROKER &&
		consumer->last_failure.kind != SI_TROUBLE_NONE)
		*trouble = consumer->last_failure;
}

bool
si_consumer_topic_answer(SiConsumer *consumer, SiTopicInfo *info)
{
	bool		answered;

	serve_events(consumer);
	pthread_mutex_lock(&consumer->lock);
	answered = consumer->topic_answered;
	if (answered)
	{
		*info = consumer->topic_info;
		say_why_unanswered(consumer, &info->trouble);
	}
	consumer->topic_answered = false;
	pthread_mutex_unlock(&consumer->lock);
	return answered;
}

void
si_consumer_ask_topics(SiConsumer *consumer)
{
	pthread_mutex_lock(&consumer->lock);
	consumer->topics_asked = true;
	consumer->topics_answered = false;
	pthread_cond_signal(&consumer->work);
	pthread_mutex_unlock(&consumer->lock);
}

const SiTopicList *
si_consumer_topics_answer(SiConsumer *consumer)
{
	bool		answered;

	serve_events(consumer);
	pthread_mutex_lock(&consumer->lock);
	answered = consumer->topics_answered;
	if (answered)
		say_why_unanswered(consumer, &consumer->topic_list.trouble);
	pthread_mutex_unlock(&consumer->lock);
	return answered ? &consumer->topic_list : NULL;
}

void
si_consumer_ask_offsets(SiConsumer *consumer, const SiOffsetQuery *queries,
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

	pthread_mutex_lock(&consumer->lock);
	free(consumer->offsets_asked);
	free(consumer->offsets_answered);
	consumer->offsets_asked = copy;
	consumer->noffsets_asked = n;
	consumer->offsets_answered = NULL;
	pthread_cond_signal(&consumer->work);
	pthread_mutex_unlock(&consumer->lock);
}

bool
si_consumer_offsets_answer(SiConsumer *consumer, SiOffsetQuery *queries, int n)
{
	SiOffsetQuery *answer;

	pthread_mutex_lock(&consumer->lock);
	answer = consumer->offsets_answered;
	Assert(answer == NULL || n == consumer->noffsets_answered);
	if (answer != NULL)
		memcpy(queries, answer,
			   Min(n, consumer->noffsets_answered) * sizeof(SiOffsetQuery));
	consumer->offsets_answered = NULL;
	pthread_mutex_unlock(&consumer->lock);
	free(answer);
	return answer != NULL;
}

void
si_consumer_watch(SiConsumer *consumer, const SiWatermarkSink *sinks, int n,
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

	pthread_mutex_lock(&consumer->lock);
	former = consumer->sinks;
	consumer->sinks = copy;
	consumer->nsinks = n;
	consumer->watch_generation++;
	consumer->watch_interval = interval_ms;
	consumer->watch_due = now_ms();
	pthread_cond_signal(&consumer->work);
	pthread_mutex_unlock(&consumer->lock);
	free(former);
}


/* ----------
 * The helper thread: no server function from here on, but atomics
 * ----------
 */

static void *
helper_main(void *arg)
{
	SiConsumer *consumer = arg;
	bool		abandoned;

	pthread_mutex_lock(&consumer->lock);
	while (!consumer->closing)
	{
		if (consumer->topic_asked)
			answer_topic(consumer);
		else if (consumer->topics_asked)
			answer_topics(consumer);
		else if (consumer->offsets_asked != NULL)
			answer_offsets(consumer);
		else if (consumer->nsinks > 0 && now_ms() >= consumer->watch_due)
			write_watermarks(consumer);
		else
			wait_for_work(consumer);
	}
	pthread_mutex_unlock(&consumer->lock);

	rd_kafka_destroy(consumer->rk);

	pthread_mutex_lock(&consumer->lock);
	consumer->ended = true;
	abandoned = consumer->abandoned;
	pthread_cond_signal(&consumer->end);
	pthread_mutex_unlock(&consumer->lock);
	if (abandoned)
	{
		free_consumer(consumer);
		(void) count_abandoned(-1);
	}
	return NULL;
}

/* Sleep, with the lock given up, until there may be something to do. */
static void
wait_for_work(SiConsumer *consumer)
{
	struct timespec until;

	if (consumer->nsinks > 0)
	{
		until = deadline(consumer->watch_due);
		pthread_cond_timedwait(&consumer->work, &consumer->lock, &until);
	}
	else
		pthread_cond_wait(&consumer->work, &consumer->lock);
}

/* Make the descriptor readable.  The caller sees to it that it is open. */
static void
notify(SiConsumer *consumer)
{
	uint64		one = 1;

	/* it can only fail when it is readable anyhow */
	while (write(consumer->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static bool
is_closing(SiConsumer *consumer)
{
	bool		closing;

	pthread_mutex_lock(&consumer->lock);
	closing = consumer->closing;
	pthread_mutex_unlock(&consumer->lock);
	return closing;
}

/* Called, and returns, with the lock held. */
static void
answer_topic(SiConsumer *consumer)
{
	SiTopicInfo info;

	consumer->topic_asked = false;
	pthread_mutex_unlock(&consumer->lock);
	describe_topic(consumer, &info);
	pthread_mutex_lock(&consumer->lock);

	/* asked again meanwhile, this answer is too old */
	if (consumer->topic_asked || consumer->closing)
		return;
	consumer->topic_info = info;
	consumer->topic_answered = true;
	notify(consumer);
}

static void
describe_topic(SiConsumer *consumer, SiTopicInfo *info)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t err;
	rd_kafka_topic_t *topic;

	memset(info, 0, sizeof(SiTopicInfo));

	/* naming the one topic; it is not made by that */
	topic = rd_kafka_topic_new(consumer->rk, consumer->topic, NULL);
	if (topic == NULL)
		err = rd_kafka_last_error();
	else
	{
		err = rd_kafka_metadata(consumer->rk, 0, topic, &metadata,
								LIBRARY_TIMEOUT_MS);
		rd_kafka_topic_destroy(topic);
	}
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (metadata->topic_cnt != 1)
			err = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
		else
		{
			err = metadata->topics[0].err;
			info->partitions = metadata->topics[0].partition_cnt;
		}
	}
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		info->trouble.kind = trouble_kind(err);
		snprintf(info->trouble.words, sizeof(info->trouble.words), "%s%s",
				 info->trouble.kind == SI_TROUBLE_BROKER ? "no broker answered: " : "",
				 rd_kafka_err2str(err));
		return;
	}
	info->valid = true;
	identify_topic(consumer, info);
}

/* Which cluster, and which of the topics that ever had this name. */
static void
identify_topic(SiConsumer *consumer, SiTopicInfo *info)
{
	char	   *cluster_id;

	/* known since the metadata came, so this does not wait */
	cluster_id = rd_kafka_clusterid(consumer->rk, LIBRARY_TIMEOUT_MS);
	if (cluster_id != NULL)
	{
		strlcpy(info->cluster_id, cluster_id, sizeof(info->cluster_id));
		rd_kafka_mem_free(consumer->rk, cluster_id);
	}

#ifdef SI_RDKAFKA_HAS_TOPIC_ID
	read_topic_id(consumer, info);
#endif
}

/* Called, and returns, with the lock held. */
static void
answer_topics(SiConsumer *consumer)
{
	SiTopicList list;

	consumer->topics_asked = false;
	pthread_mutex_unlock(&consumer->lock);
	list_topics(consumer, &list);
	pthread_mutex_lock(&consumer->lock);

	/* asked again meanwhile, this answer is too old */
	if (consumer->topics_asked || consumer->closing)
	{
		free(list.topics);
		return;
	}
	free(consumer->topic_list.topics);
	consumer->topic_list = list;
	consumer->topics_answered = true;
	notify(consumer);
}

static void
list_topics(SiConsumer *consumer, SiTopicList *list)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t err;

	memset(list, 0, sizeof(SiTopicList));
	err = rd_kafka_metadata(consumer->rk, 1, NULL, &metadata,
							LIBRARY_TIMEOUT_MS);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR && !copy_topics(metadata, list))
		err = RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);

	list->valid = (err == RD_KAFKA_RESP_ERR_NO_ERROR);
	if (list->valid)
		return;
	list->trouble.kind = trouble_kind(err);
	strlcpy(list->trouble.words, rd_kafka_err2str(err),
			sizeof(list->trouble.words));
}

/* False if there is no memory for them. */
static bool
copy_topics(const struct rd_kafka_metadata *metadata, SiTopicList *list)
{
	int			i;

	list->topics = calloc(Max(metadata->topic_cnt, 1), sizeof(SiTopicName));
	if (list->topics == NULL)
		return false;
	for (i = 0; i < metadata->topic_cnt; i++)
	{
		strlcpy(list->topics[i].name, metadata->topics[i].topic,
				sizeof(list->topics[i].name));
		list->topics[i].partitions = metadata->topics[i].partition_cnt;
	}
	list->n = metadata->topic_cnt;
	return true;
}

#ifdef SI_RDKAFKA_HAS_TOPIC_ID
static void
read_topic_id(SiConsumer *consumer, SiTopicInfo *info)
{
	const char *name = consumer->topic;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->rk);
	rd_kafka_TopicCollection_t *topics;
	const		rd_kafka_DescribeTopics_result_t *result = NULL;
	const		rd_kafka_TopicDescription_t **descriptions = NULL;
	const		rd_kafka_Uuid_t *id;
	rd_kafka_event_t *event;
	size_t		n = 0;

	topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
	rd_kafka_DescribeTopics(consumer->rk, topics, NULL, queue);
	rd_kafka_TopicCollection_destroy(topics);
	event = rd_kafka_queue_poll(queue, LIBRARY_TIMEOUT_MS);
	if (event != NULL)
		result = rd_kafka_event_DescribeTopics_result(event);
	if (result != NULL)
		descriptions = rd_kafka_DescribeTopics_result_topics(result, &n);
	if (n == 1)
	{
		id = rd_kafka_TopicDescription_topic_id(descriptions[0]);
		if (id != NULL)
			strlcpy(info->topic_id, rd_kafka_Uuid_base64str(id),
					sizeof(info->topic_id));
	}
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
}
#endif

/* Called, and returns, with the lock held. */
static void
answer_offsets(SiConsumer *consumer)
{
	SiOffsetQuery *queries = consumer->offsets_asked;
	int			n = consumer->noffsets_asked;

	consumer->offsets_asked = NULL;
	pthread_mutex_unlock(&consumer->lock);
	resolve_offsets(consumer, queries, n);
	pthread_mutex_lock(&consumer->lock);

	if (consumer->offsets_asked != NULL || consumer->closing)
	{
		free(queries);			/* asked again meanwhile */
		return;
	}
	consumer->offsets_answered = queries;
	consumer->noffsets_answered = n;
	notify(consumer);
}

/*
 * A question for a time is preceded by one for the end: where nothing is that
 * new, the end as it was *before* is the answer, so that what arrives between
 * the two questions is not passed over.
 */
static void
resolve_offsets(SiConsumer *consumer, SiOffsetQuery *queries, int n)
{
	Lookup	   *ends = calloc(2 * n, sizeof(Lookup));
	Lookup	   *own = ends ? ends + n : NULL;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__FAIL;
	int			i;

	if (ends != NULL)
	{
		for (i = 0; i < n; i++)
		{
			ends[i].partition = own[i].partition = queries[i].partition;
			ends[i].at = SI_OFFSET_END;
			ends[i].done = (queries[i].at < 0); /* not needed */
			own[i].at = queries[i].at;
		}
		err = look_up(consumer, ends, 2 * n);
	}
	for (i = 0; i < n; i++)
	{
		SiOffsetQuery *query = &queries[i];
		rd_kafka_resp_err_t its_err = err;

		if (its_err == RD_KAFKA_RESP_ERR_NO_ERROR)
			its_err = ends[i].err ? ends[i].err : own[i].err;
		if (its_err != RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			query->offset = SI_OFFSET_UNKNOWN;
			strlcpy(query->error, rd_kafka_err2str(its_err),
					sizeof(query->error));
			continue;
		}
		query->error[0] = '\0';
		query->offset = own[i].answer;
		if (query->at >= 0 &&
			(own[i].answer < 0 || own[i].answer > ends[i].answer))
			query->offset = ends[i].answer;
	}
	free(ends);
}

/*
 * Ask all lookups.  A partition may only be once in a request, so the second
 * lookup of a partition has to wait for the second round, and so on.
 */
static rd_kafka_resp_err_t
look_up(SiConsumer *consumer, Lookup *lookups, int n)
{
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	bool		more = true;

	while (more && err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		rd_kafka_topic_partition_list_t *list;
		int			i;

		list = rd_kafka_topic_partition_list_new(n);
		more = false;
		for (i = 0; i < n; i++)
		{
			lookups[i].index = -1;
			if (lookups[i].done)
				continue;
			if (rd_kafka_topic_partition_list_find(list, consumer->topic,
												   lookups[i].partition) != NULL)
			{
				more = true;
				continue;
			}
			lookups[i].index = list->cnt;
			rd_kafka_topic_partition_list_add(list, consumer->topic,
											  lookups[i].partition)->offset = lookups[i].at;
		}
		err = is_closing(consumer) ? RD_KAFKA_RESP_ERR__DESTROY :
			ask_offsets(consumer, list);
		for (i = 0; i < n; i++)
		{
			if (lookups[i].index < 0)
				continue;
			lookups[i].done = true;
			lookups[i].answer = list->elems[lookups[i].index].offset;
			lookups[i].err = list->elems[lookups[i].index].err;
		}
		rd_kafka_topic_partition_list_destroy(list);
	}
	return err;
}

/*
 * One answer per partition of the list, in place.  rd_kafka_query_watermark_
 * offsets would be the obvious call, but ignores its timeout before 2.3.
 */
static rd_kafka_resp_err_t
ask_offsets(SiConsumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	return rd_kafka_offsets_for_times(consumer->rk, list, LIBRARY_TIMEOUT_MS);
}

/* Called, and returns, with the lock held. */
static void
write_watermarks(SiConsumer *consumer)
{
	uint64		generation = consumer->watch_generation;
	int			n = consumer->nsinks;
	rd_kafka_topic_partition_list_t *low;
	rd_kafka_topic_partition_list_t *high;
	rd_kafka_resp_err_t err;
	SiTrouble	trouble = {SI_TROUBLE_NONE};
	int64		asked_at;
	int			i;

	low = rd_kafka_topic_partition_list_new(n);
	for (i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(low, consumer->topic,
										  consumer->sinks[i].partition);
	consumer->watch_due = now_ms() + consumer->watch_interval;
	pthread_mutex_unlock(&consumer->lock);

	high = rd_kafka_topic_partition_list_copy(low);
	for (i = 0; i < n; i++)
	{
		low->elems[i].offset = SI_OFFSET_BEGINNING;
		high->elems[i].offset = SI_OFFSET_END;
	}
	asked_at = now_timestamptz();
	err = ask_offsets(consumer, low);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = ask_offsets(consumer, high);
	for (i = 0; i < n && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		err = high->elems[i].err;
	explain_error(consumer, err, &trouble);

	pthread_mutex_lock(&consumer->lock);
	if (generation == consumer->watch_generation && !consumer->closing)
	{
		store_watermarks(consumer, low, high, asked_at);
		if (trouble.kind > consumer->trouble.kind)
		{
			consumer->trouble = trouble;
			notify(consumer);
		}
	}
	rd_kafka_topic_partition_list_destroy(low);
	rd_kafka_topic_partition_list_destroy(high);
}

/* With the lock held, and the lists in the order of the sinks. */
static void
store_watermarks(SiConsumer *consumer,
				 const rd_kafka_topic_partition_list_t *low,
				 const rd_kafka_topic_partition_list_t *high, int64 asked_at)
{
	int			i;

	for (i = 0; i < consumer->nsinks; i++)
	{
		SiWatermarkSink *sink = &consumer->sinks[i];

		if (low->elems[i].err || low->elems[i].offset < 0 ||
			high->elems[i].err || high->elems[i].offset < 0)
			continue;			/* what is there grows old, as asked_at says */
		pg_atomic_write_u64(sink->low, low->elems[i].offset);
		pg_atomic_write_u64(sink->high, high->elems[i].offset);
		pg_write_barrier();
		pg_atomic_write_u64(sink->asked_at, asked_at);
	}
}

/*
 * That a topic may not be read is told nowhere but in the answer to a question
 * for just this; elsewhere the library finds its partitions unknown.  What
 * concerns brokers comes as an event, with better words.
 */
static void
explain_error(SiConsumer *consumer, rd_kafka_resp_err_t err,
			  SiTrouble *trouble)
{
	SiTroubleKind kind = trouble_kind(err);
	SiTopicInfo info;

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR || kind == SI_TROUBLE_BROKER)
		return;
	if (kind == SI_TROUBLE_TOPIC && !is_closing(consumer))
	{
		describe_topic(consumer, &info);
		if (!info.valid && info.trouble.kind != SI_TROUBLE_BROKER)
		{
			*trouble = info.trouble;
			return;
		}
	}
	trouble->kind = kind;
	strlcpy(trouble->words, rd_kafka_err2str(err), sizeof(trouble->words));
}


/* ----------
 * Times
 * ----------
 */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

/* A moment of now_ms() as the condition variables want it. */
static struct timespec
deadline(int64_t at_ms)
{
	struct timespec at;

	at.tv_sec = at_ms / 1000;
	at.tv_nsec = (at_ms % 1000) * 1000000;
	return at;
}
