/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Questions to brokers that the library answers by blocking.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/broker_error.h"
#include "kafka/lookup.h"

/* A question about an offset, as the library takes it. */
typedef struct Question
{
	int32_t		partition;
	int64_t		at;
	int64_t		answer;			/* -1 if no message is that new */
	rd_kafka_resp_err_t err;
	int			index;			/* in the list of the current round, or -1 */
	bool		done;
} Question;

/* ---- topics ---- */

#ifdef SI_RDKAFKA_HAS_TOPIC_ID
/*
 * Does the answer list the controller that it names among its brokers?  It does
 * not while none is elected; and the library's mock broker never does.
 */
static bool
has_controller(const SiLookup *lookup, const struct rd_kafka_metadata *metadata)
{
	int32_t		controller = rd_kafka_controllerid(lookup->rk, 0);
	int			i;

	for (i = 0; i < metadata->broker_cnt; i++)
	{
		if (metadata->brokers[i].id == controller)
			return true;
	}
	return false;
}

/*
 * Read the topic's id, if the broker knows it: one that lags behind does not know the
 * topic, and older ones have no ids.  The library gives zeros then.
 */
static void
copy_topic_id(const rd_kafka_TopicDescription_t * description, SiTopicInfo *info)
{
	const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(description);
	const		rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(description);
	const char *text = id != NULL ? rd_kafka_Uuid_base64str(id) : NULL;

	if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		text !=NULL && strcmp(text, SI_ZERO_TOPIC_ID) != 0)
		si_words_copy(info->topic_id, sizeof(info->topic_id), text);
}

/* Ask for the topic's id.  The library asks the controller, and waits for one. */
static void
ask_topic_id(const SiLookup *lookup, const struct rd_kafka_metadata *metadata,
			 SiTopicInfo *info)
{
	const char *name = lookup->topic;
	rd_kafka_queue_t *queue;
	rd_kafka_TopicCollection_t *topics;
	const		rd_kafka_DescribeTopics_result_t *result = NULL;
	const		rd_kafka_TopicDescription_t **descriptions = NULL;
	rd_kafka_event_t *event;
	size_t		n = 0;

	if (!has_controller(lookup, metadata))
		return;
	queue = rd_kafka_queue_new(lookup->rk);
	topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
	rd_kafka_DescribeTopics(lookup->rk, topics, NULL, queue);
	rd_kafka_TopicCollection_destroy(topics);
	event = rd_kafka_queue_poll(queue, lookup->timeout_ms);
	if (event != NULL)
		result = rd_kafka_event_DescribeTopics_result(event);
	if (result != NULL)
		descriptions = rd_kafka_DescribeTopics_result_topics(result, &n);
	if (n == 1)
		copy_topic_id(descriptions[0], info);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
}
#endif

/* Fill in the ids of cluster and topic: a topic may be recreated by its name. */
static void
identify_topic(const SiLookup *lookup, const struct rd_kafka_metadata *metadata,
			   SiTopicInfo *info)
{
	char	   *cluster_id;

	/* known with the metadata, so this does not wait */
	cluster_id = rd_kafka_clusterid(lookup->rk, lookup->timeout_ms);
	if (cluster_id != NULL)
	{
		si_words_copy(info->cluster_id, sizeof(info->cluster_id), cluster_id);
		rd_kafka_mem_free(lookup->rk, cluster_id);
	}

#ifdef SI_RDKAFKA_HAS_TOPIC_ID
	ask_topic_id(lookup, metadata, info);
#endif
}

void
si_lookup_topic(const SiLookup *lookup, SiTopicInfo *info)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t err;
	rd_kafka_topic_t *topic;

	memset(info, 0, sizeof(SiTopicInfo));

	/* for metadata of this topic alone; this does not create it */
	topic = rd_kafka_topic_new(lookup->rk, lookup->topic, NULL);
	if (topic == NULL)
		err = rd_kafka_last_error();
	else
	{
		err = rd_kafka_metadata(lookup->rk, 0, topic, &metadata,
								lookup->timeout_ms);
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
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		info->valid = true;
		identify_topic(lookup, metadata, info);
	}
	else
	{
		info->broker_error.kind = err == RD_KAFKA_RESP_ERR__TIMED_OUT ?
			SI_BROKER_ERROR_TIMEOUT : si_broker_error_kind(err);
		snprintf(info->broker_error.words, sizeof(info->broker_error.words), "%s%s",
				 info->broker_error.kind <= SI_BROKER_ERROR_CONNECTION ? "no broker answered: " : "",
				 rd_kafka_err2str(err));
	}
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);
}

/* Copy the names of the topics; false when out of memory. */
static bool
copy_topics(const struct rd_kafka_metadata *metadata, SiTopicList *list)
{
	int			i;

	list->topics = calloc(Max(metadata->topic_cnt, 1), sizeof(SiTopicName));
	if (list->topics == NULL)
		return false;
	for (i = 0; i < metadata->topic_cnt; i++)
	{
		si_words_copy(list->topics[i].name, sizeof(list->topics[i].name),
					  metadata->topics[i].topic);
		list->topics[i].partitions = metadata->topics[i].partition_cnt;
	}
	list->n = metadata->topic_cnt;
	return true;
}

void
si_lookup_topics(const SiLookup *lookup, SiTopicList *list)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t err;

	memset(list, 0, sizeof(SiTopicList));
	err = rd_kafka_metadata(lookup->rk, 1, NULL, &metadata,
							lookup->timeout_ms);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR && !copy_topics(metadata, list))
		err = RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
	if (metadata != NULL)
		rd_kafka_metadata_destroy(metadata);

	list->valid = (err == RD_KAFKA_RESP_ERR_NO_ERROR);
	if (list->valid)
		return;
	list->broker_error.kind = si_broker_error_kind(err);
	si_words_copy(list->broker_error.words, sizeof(list->broker_error.words), rd_kafka_err2str(err));
}

/* ---- offsets ---- */

/*
 * One answer per partition of the list, in place.  rd_kafka_query_watermark_
 * offsets would be the obvious call, but ignores its timeout before 2.3.
 */
int
si_lookup_list(const SiLookup *lookup, rd_kafka_topic_partition_list_t *list)
{
	return rd_kafka_offsets_for_times(lookup->rk, list, lookup->timeout_ms);
}

/*
 * Ask all questions.  A partition may only be once in a request, so the second
 * question about a partition has to wait for the second round, and so on.
 */
static rd_kafka_resp_err_t
look_up(const SiLookup *lookup, Question *questions, int n)
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
			questions[i].index = -1;
			if (questions[i].done)
				continue;
			if (rd_kafka_topic_partition_list_find(list, lookup->topic,
												   questions[i].partition) != NULL)
			{
				more = true;
				continue;
			}
			questions[i].index = list->cnt;
			rd_kafka_topic_partition_list_add(list, lookup->topic,
											  questions[i].partition)->offset = questions[i].at;
		}
		err = lookup->cancelled(lookup->arg) ? RD_KAFKA_RESP_ERR__DESTROY :
			si_lookup_list(lookup, list);
		for (i = 0; i < n; i++)
		{
			if (questions[i].index < 0)
				continue;
			questions[i].done = true;
			questions[i].answer = list->elems[questions[i].index].offset;
			questions[i].err = list->elems[questions[i].index].err;
		}
		rd_kafka_topic_partition_list_destroy(list);
	}
	return err;
}

/*
 * A question for a time is preceded by one for the end: where no message is that
 * new, the end as it was *before* is the answer, so that messages that arrive
 * between the two questions are not skipped.
 */
void
si_lookup_offsets(const SiLookup *lookup, SiOffsetQuery *queries, int n)
{
	Question   *ends = calloc(2 * n, sizeof(Question));
	Question   *own = ends ? ends + n : NULL;
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
		err = look_up(lookup, ends, 2 * n);
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
			si_words_copy(query->error, sizeof(query->error), rd_kafka_err2str(its_err));
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

/* ---- errors ---- */

void
si_lookup_explain(const SiLookup *lookup, int err, SiBrokerError *broker_error)
{
	SiBrokerErrorKind kind = si_broker_error_kind(err);
	SiTopicInfo info;

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR || kind == SI_BROKER_ERROR_CONNECTION)
		return;
	if (kind == SI_BROKER_ERROR_TOPIC && !lookup->cancelled(lookup->arg))
	{
		si_lookup_topic(lookup, &info);
		if (!info.valid && info.broker_error.kind > SI_BROKER_ERROR_CONNECTION)
		{
			*broker_error = info.broker_error;
			return;
		}
	}
	broker_error->kind = kind;
	si_words_copy(broker_error->words, sizeof(broker_error->words), rd_kafka_err2str(err));
}
