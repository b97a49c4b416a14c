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
 *	 returned, without the lock, and with every message taken kept (held.c).
 *
 * - The helper thread (helper.c), one per consumer, makes the library's
 *	 blocking calls (lookup.c) and at last destroys the library's handle.
 *
 * - The library's own threads run none of our code.  Logs and errors come as
 *	 events, and error_cb (some errors come by no other way) is called from the
 *	 thread that polls a queue; it copies into the box of troubles (trouble.c),
 *	 which lives as long as the handle.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <syslog.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/client.h"
#include "kafka/committer.h"
#include "kafka/consumer.h"
#include "kafka/held.h"
#include "kafka/helper.h"

/* messages taken by one library call; more gains nothing and spoils caches */
#define FETCH_CHUNK			1000

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
	SiHelper   *helper;

	/* the main thread's own */
	rd_kafka_topic_partition_list_t *assigned;
	rd_kafka_message_t *chunk[FETCH_CHUNK];
	SiHeld		held;			/* what the caller has not released yet */

	/* for kick_fetchers(); low_messages is 0 where there is no need */
	int64_t		low_messages;
	int64_t		low_bytes;
	int64_t		taken_messages;
	int64_t		taken_bytes;

	SiCommitter committer;
};

/* opening and closing */
static SiConsumer *create_consumer(const char *topic, bool want_headers,
								   SiClientFailure *failure);
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

/* fetching */
static void change_assignment(SiConsumer *consumer,
							  rd_kafka_topic_partition_list_t *list,
							  bool add);
static int	take_chunk(SiConsumer *consumer, int got, SiFetched *items);
static bool fill_item(SiConsumer *consumer, rd_kafka_message_t *rkmessage,
					  SiFetched *item);
static SiFetchKind fetch_kind(rd_kafka_resp_err_t err);
static void kick_fetchers(SiConsumer *consumer);

/* trouble */
static void serve_events(SiConsumer *consumer);
static void note_log(SiConsumer *consumer, rd_kafka_event_t *event);
static void error_cb(rd_kafka_t *rk, int err, const char *reason,
					 void *opaque);
static void throttle_cb(rd_kafka_t *rk, const char *broker, int32_t id,
						int milliseconds, void *opaque);
static void note_message_error(SiConsumer *consumer,
							   const rd_kafka_message_t *rkmessage);

/* the descriptor */
static void notify(SiConsumer *consumer);


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
	SiHelper   *helper = consumer->helper;

	si_held_destroy(&consumer->held);
	close_queues(consumer);
	consumer->helper = NULL;
	si_helper_end(helper);
	free_consumer(consumer);
	return si_helper_await(helper, timeout_ms);
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
	consumer->want_headers = want_headers;
	si_held_init(&consumer->held);
	consumer->topic = strdup(topic);
	consumer->fd = consumer->topic != NULL ? si_client_open_fd() : -1;
	if (consumer->fd >= 0)
		consumer->helper = si_helper_create(topic, consumer->fd);
	if (consumer->helper == NULL)
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
	rd_kafka_conf_set_throttle_cb(conf, throttle_cb);
	return conf;
}

/* The library's handle; it owns the configuration if this succeeds. */
static bool
create_handle(SiConsumer *consumer, rd_kafka_conf_t *conf,
			  SiClientFailure *failure)
{
	/* the box outlives the handle, which the consumer does not */
	rd_kafka_conf_set_opaque(conf, si_helper_troubles(consumer->helper));
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
	consumer->messages = rd_kafka_queue_get_consumer(consumer->rk);
	consumer->events = rd_kafka_queue_get_main(consumer->rk);
	si_committer_init(&consumer->committer, consumer->rk, consumer->events,
					  consumer->topic);
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
	si_committer_destroy(&consumer->committer);
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
	int			rc = si_helper_start(consumer->helper, consumer->rk);

	if (rc == 0)
		return true;
	failure->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
	failure->error_number = rc;
	strlcpy(failure->words, "could not create thread", sizeof(failure->words));
	return false;
}

/* With the helper, if that was not started (or taken out before). */
static void
free_consumer(SiConsumer *consumer)
{
	release_fd(consumer);
	if (consumer->helper != NULL)
		si_helper_free(consumer->helper);
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

	si_words_copy(words, sizeof(words), rd_kafka_error_string(error));
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

		si_held_reserve(&consumer->held, want);
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
		si_trouble_forget_failure(si_helper_troubles(consumer->helper));
	kick_fetchers(consumer);
	return n;
}

void
si_consumer_release(SiConsumer *consumer, SiMessage *message)
{
	si_held_release(&consumer->held, message->handle);
	message->handle = NULL;
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

		if (rkmessage->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			note_message_error(consumer, rkmessage);
		if (rkmessage->rkt == NULL)
		{
			rd_kafka_message_destroy(rkmessage);	/* of no partition */
			continue;
		}
		complete &= fill_item(consumer, rkmessage, &items[n++]);
	}
	if (!complete)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return n;
}

/* Keep a message; false if there is no memory for its headers. */
static bool
fill_item(SiConsumer *consumer, rd_kafka_message_t *rkmessage, SiFetched *item)
{
	SiMessage  *message = &item->message;

	item->kind = fetch_kind(rkmessage->err);
	item->error = NULL;
	memset(message, 0, sizeof(SiMessage));
	message->partition = rkmessage->partition;
	message->leader_epoch = -1;
	message->offset = rkmessage->offset;
	message->timestamp = -1;
	message->handle = si_held_keep(&consumer->held, rkmessage);
	if (item->kind != SI_FETCH_MESSAGE)
	{
		if (item->kind != SI_FETCH_END)
			item->error = si_held_words(&consumer->held, message->handle,
										rd_kafka_message_errstr(rkmessage));
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
	return !consumer->want_headers ||
		si_held_read_headers(&consumer->held, message);
}

bool
si_consumer_read_headers(SiConsumer *consumer, SiMessage *message)
{
	return si_held_read_headers(&consumer->held, message);
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
	return si_trouble_take(si_helper_troubles(consumer->helper), trouble);
}

bool
si_consumer_throttled(SiConsumer *consumer)
{
	serve_events(consumer);
	return si_trouble_throttled(si_helper_troubles(consumer->helper));
}

void
si_consumer_explain(SiConsumer *consumer, SiTrouble *trouble)
{
	serve_events(consumer);
	si_trouble_explain(si_helper_troubles(consumer->helper), trouble);
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
			si_trouble_note_failure(si_helper_troubles(consumer->helper),
									rd_kafka_event_error(event),
									rd_kafka_event_error_string(event));
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT)
			si_committer_finish(&consumer->committer, event);
		rd_kafka_event_destroy(event);
	}
	while ((event = rd_kafka_queue_poll(consumer->logs, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_LOG)
			note_log(consumer, event);
		rd_kafka_event_destroy(event);
	}
}

static void
note_log(SiConsumer *consumer, rd_kafka_event_t *event)
{
	const char *facility;
	const char *text;
	int			level;

	if (rd_kafka_event_log(event, &facility, &text, &level) != 0 ||
		level > LOG_ERR || strcmp(facility, "FAIL") == 0)
		return;
	si_trouble_note_log(si_helper_troubles(consumer->helper), text);
}

/*
 * The only way by which the library tells of an assigned partition that is not
 * there.  Called by whichever thread polls, below a frame of the library: copy
 * and return.
 */
static void
error_cb(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	si_trouble_note_failure(opaque, err, reason);
}

/* Likewise, for a broker that holds back its answers because of a quota. */
static void
throttle_cb(rd_kafka_t *rk, const char *broker, int32_t id, int milliseconds, void *opaque)
{
	if (milliseconds > 0)
		si_trouble_note_throttle(opaque, milliseconds);
}

/* The error of a fetched item, as far as it concerns more than the item. */
static void
note_message_error(SiConsumer *consumer, const rd_kafka_message_t *rkmessage)
{
	SiTroubleKind kind = si_trouble_kind(rkmessage->err);
	const char *text;

	if (fetch_kind(rkmessage->err) != SI_FETCH_ERROR)
		return;
	text = rd_kafka_message_errstr(rkmessage);

	if (rkmessage->rkt == NULL && kind == SI_TROUBLE_BROKER)
		si_committer_note_error(&consumer->committer, rkmessage->err, text);
	else if (kind != SI_TROUBLE_BROKER)
		si_trouble_note(si_helper_troubles(consumer->helper), kind, text);
}


/* ----------
 * Publishing offsets
 * ----------
 */

void
si_consumer_publish(SiConsumer *consumer, const int32_t *partitions,
					const int64_t *offsets, int n)
{
	si_committer_commit(&consumer->committer, partitions, offsets, n);
}

SiPublishState
si_consumer_publish_state(SiConsumer *consumer)
{
	serve_events(consumer);
	if (consumer->committer.under_way)
		return SI_PUBLISH_UNDER_WAY;
	return si_committer_waits(&consumer->committer) ? SI_PUBLISH_FAILED : SI_PUBLISH_DONE;
}

bool
si_consumer_publish_error(SiConsumer *consumer, char *text, size_t size)
{
	serve_events(consumer);
	return si_committer_error(&consumer->committer, text, size);
}


/* ----------
 * Questions to the helper thread
 * ----------
 */

void
si_consumer_ask_topic(SiConsumer *consumer)
{
	si_helper_ask_topic(consumer->helper);
}

bool
si_consumer_topic_answer(SiConsumer *consumer, SiTopicInfo *info)
{
	/* what a broker said comes as an event, and explains the answer */
	serve_events(consumer);
	return si_helper_topic_answer(consumer->helper, info);
}

void
si_consumer_ask_topics(SiConsumer *consumer)
{
	si_helper_ask_topics(consumer->helper);
}

const SiTopicList *
si_consumer_topics_answer(SiConsumer *consumer)
{
	serve_events(consumer);
	return si_helper_topics_answer(consumer->helper);
}

void
si_consumer_ask_offsets(SiConsumer *consumer, const SiOffsetQuery *queries,
						int n)
{
	si_helper_ask_offsets(consumer->helper, queries, n);
}

bool
si_consumer_offsets_answer(SiConsumer *consumer, SiOffsetQuery *queries, int n)
{
	return si_helper_offsets_answer(consumer->helper, queries, n);
}

void
si_consumer_watch(SiConsumer *consumer, const SiWatermarkSink *sinks, int n,
				  int interval_ms)
{
	si_helper_watch(consumer->helper, sinks, n, interval_ms);
}

bool
si_consumer_await_abandoned(int timeout_ms)
{
	return si_helper_await_abandoned(timeout_ms);
}


/* ----------
 * The descriptor
 * ----------
 */

/* Make it readable. */
static void
notify(SiConsumer *consumer)
{
	uint64		one = 1;

	/* it can only fail when it is readable anyhow */
	while (write(consumer->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}
