/*-------------------------------------------------------------------------
 *
 * group.c
 *	  A consumer group's offsets in Kafka: under which name they are
 *	  published, and how they go away.
 *
 * Only the offsets of our own topic's partitions are deleted and never the
 * group: others may have theirs in it.  Kafka itself forgets a group that has
 * neither offsets nor members.
 *
 * The library's threads run none of our code: the answer, and what is heard of
 * brokers meanwhile, are events of queues which the main thread empties when
 * the descriptor says so.  Destroying the handle can take long, so a thread of
 * its own does that.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "compat.h"
#include "group.h"
#include "utils/timestamp.h"

struct SiGroupDeletion
{
	rd_kafka_t *rk;
	rd_kafka_queue_t *events;	/* errors of brokers, and logs */
	rd_kafka_queue_t *answers;
	int			fd;
	bool		answered;
	char		words[256];		/* why it failed; empty: it did not */
	char		trouble[256];	/* newest words about a broker */
};

char *
si_group_name(const char *group_id, const char *prefix, const char *database,
			  const char *subscription)
{
	if (group_id != NULL)
		return pstrdup(group_id);
	return psprintf("%s%s.%s", prefix, database, subscription);
}

/* ---- asking ---- */

/* The library's handle; any kind of client may ask. */
static bool
create_handle(SiGroupDeletion *deletion, const SiProperty *properties, int nproperties,
			  const char *client_id, SiClientFailure *failure)
{
	rd_kafka_conf_t *conf;
	uint64		one = 1;

	conf = si_client_configure(NULL, 0, properties, nproperties, NULL, 0, client_id, failure);
	if (conf == NULL)
		return false;
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
	deletion->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, failure->words, sizeof(failure->words));
	if (deletion->rk == NULL)
	{
		failure->sqlstate =
			rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE ?
			ERRCODE_INSUFFICIENT_RESOURCES : ERRCODE_INVALID_PARAMETER_VALUE;
		rd_kafka_conf_destroy(conf);
		return false;
	}
	deletion->events = rd_kafka_queue_get_main(deletion->rk);
	deletion->answers = rd_kafka_queue_new(deletion->rk);
	rd_kafka_queue_io_event_enable(deletion->events, deletion->fd, &one, sizeof(one));
	rd_kafka_queue_io_event_enable(deletion->answers, deletion->fd, &one, sizeof(one));
	rd_kafka_set_log_queue(deletion->rk, deletion->events);
	return true;
}

static void
send_request(SiGroupDeletion *deletion, const char *group, const char *topic,
			 const int32 *partitions, int n, int timeout_ms)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
	rd_kafka_DeleteConsumerGroupOffsets_t *request;
	rd_kafka_AdminOptions_t *options;

	for (int i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, topic, partitions[i]);
	request = rd_kafka_DeleteConsumerGroupOffsets_new(group, list);
	options = rd_kafka_AdminOptions_new(deletion->rk,
										RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS);
	(void) rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
	rd_kafka_DeleteConsumerGroupOffsets(deletion->rk, &request, 1, options, deletion->answers);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_DeleteConsumerGroupOffsets_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
}

SiGroupDeletion *
si_group_delete_offsets(const SiProperty *properties, int nproperties, const char *client_id,
						const char *group, const char *topic, const int32 *partitions, int n,
						int timeout_ms)
{
	SiGroupDeletion *deletion = palloc0(sizeof(SiGroupDeletion));
	SiClientFailure failure = {0};

	deletion->fd = si_client_open_fd();
	if (deletion->fd < 0)
	{
		failure.error_number = errno;
		failure.sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
		strlcpy(failure.words, "could not create event descriptor", sizeof(failure.words));
		si_client_report_failure(&failure, "client");
	}
	if (!create_handle(deletion, properties, nproperties, client_id, &failure))
	{
		si_client_close_fd(deletion->fd);
		si_client_report_failure(&failure, "client");
	}
	send_request(deletion, group, topic, partitions, n, timeout_ms);
	return deletion;
}

/* ---- the answer ---- */

int
si_group_fd(const SiGroupDeletion *deletion)
{
	return deletion->fd;
}

/* The first failure counts; that there was nothing to delete is none. */
static void
note_failure(SiGroupDeletion *deletion, rd_kafka_resp_err_t err, const char *words)
{
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR || err == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND ||
		err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || deletion->words[0] != '\0')
		return;
	/* that no broker answered says less than what was heard of them */
	if (err == RD_KAFKA_RESP_ERR__TIMED_OUT && deletion->trouble[0] != '\0')
		words = deletion->trouble;
	strlcpy(deletion->words, words ? words : rd_kafka_err2str(err), sizeof(deletion->words));
}

static void
note_group(SiGroupDeletion *deletion, const rd_kafka_group_result_t *group)
{
	const rd_kafka_error_t *error = rd_kafka_group_result_error(group);
	const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(group);

	if (error != NULL)
		note_failure(deletion, rd_kafka_error_code(error), rd_kafka_error_string(error));
	for (int i = 0; list != NULL && i < list->cnt; i++)
		note_failure(deletion, list->elems[i].err, NULL);
}

static void
take_answer(SiGroupDeletion *deletion, rd_kafka_event_t *event)
{
	const		rd_kafka_DeleteConsumerGroupOffsets_result_t *result;
	const rd_kafka_group_result_t **groups;
	size_t		n = 0;

	deletion->answered = true;
	note_failure(deletion, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
	result = rd_kafka_event_DeleteConsumerGroupOffsets_result(event);
	if (result == NULL)
		return;
	groups = rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &n);
	for (size_t i = 0; i < n; i++)
		note_group(deletion, groups[i]);
}

bool
si_group_done(SiGroupDeletion *deletion, char *words, size_t size)
{
	rd_kafka_event_t *event;
	uint64		count;

	while (read(deletion->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	while ((event = rd_kafka_queue_poll(deletion->events, 0)) != NULL)
	{
		/* "1/1 brokers are down" says less than what came just before */
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR &&
			(rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
			 deletion->trouble[0] == '\0'))
			strlcpy(deletion->trouble, rd_kafka_event_error_string(event),
					sizeof(deletion->trouble));
		rd_kafka_event_destroy(event);
	}
	while ((event = rd_kafka_queue_poll(deletion->answers, 0)) != NULL)
	{
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DELETECONSUMERGROUPOFFSETS_RESULT)
			take_answer(deletion, event);
		rd_kafka_event_destroy(event);
	}
	if (deletion->answered)
		strlcpy(words, deletion->words, size);
	return deletion->answered;
}

/* ---- the end ---- */

/* No server function here. */
static void *
closer_main(void *arg)
{
	rd_kafka_destroy(arg);
	return NULL;
}

bool
si_group_close(SiGroupDeletion *deletion, int timeout_ms)
{
	TimestampTz start = GetCurrentTimestamp();
	uint64		one = 1;
	pthread_t	closer;

	rd_kafka_queue_io_event_enable(deletion->events, -1, &one, sizeof(one));
	rd_kafka_queue_io_event_enable(deletion->answers, -1, &one, sizeof(one));
	rd_kafka_queue_destroy(deletion->events);
	rd_kafka_queue_destroy(deletion->answers);
	si_client_close_fd(deletion->fd);

	/* without a thread the handle is left: better than to hang in the end */
	if (si_client_start_thread(&closer, closer_main, deletion->rk) != 0)
		return false;
	pfree(deletion);
	while (pthread_tryjoin_np(closer, NULL) != 0)
	{
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), timeout_ms))
		{
			pthread_detach(closer);
			return false;
		}
		pg_usleep(1000L);
	}
	return true;
}
