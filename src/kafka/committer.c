/*-------------------------------------------------------------------------
 *
 * committer.c
 *	  Committing offsets under a consumer's group.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/committer.h"

void
si_committer_init(SiCommitter *committer, rd_kafka_t *rk, rd_kafka_queue_t *events,
				  const char *topic)
{
	memset(committer, 0, sizeof(SiCommitter));
	committer->rk = rk;
	committer->events = events;
	committer->topic = topic;
	committer->next = rd_kafka_topic_partition_list_new(8);
}

void
si_committer_destroy(SiCommitter *committer)
{
	rd_kafka_topic_partition_list_destroy(committer->next);
}

SiPublishState
si_committer_state(const SiCommitter *committer)
{
	if (committer->under_way)
		return SI_PUBLISH_UNDER_WAY;
	return committer->next->cnt > 0 ? SI_PUBLISH_FAILED : SI_PUBLISH_DONE;
}

bool
si_committer_error(SiCommitter *committer, char *words, size_t size)
{
	if (!committer->failed)
		return false;
	committer->failed = false;
	strlcpy(words, committer->words, size);
	return true;
}

/*
 * Each reason is reported once, until a commit succeeds.  A coordinator that is
 * only unavailable, or not found yet, is not reported.
 */
void
si_committer_note_error(SiCommitter *committer, int err, const char *text)
{
	char		words[sizeof(committer->words)];

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
	si_words_copy(words, sizeof(words), text);
	if (strcmp(committer->words, words) == 0)
		return;
	strlcpy(committer->words, words, sizeof(committer->words));
	committer->failed = true;
}

/*
 * Add an offset to the next commit.  An offset of a failed commit (not newer)
 * does not replace one that was given since.
 */
static void
add_offset(SiCommitter *committer, int32_t partition, int64_t offset,
		   bool newer)
{
	rd_kafka_topic_partition_list_t *list = committer->next;
	rd_kafka_topic_partition_t *element;

	element = rd_kafka_topic_partition_list_find(list, committer->topic,
												 partition);
	if (element != NULL && !newer)
		return;
	if (element == NULL)
		element = rd_kafka_topic_partition_list_add(list, committer->topic,
													partition);
	element->offset = offset;
}

/* Send the next commit, if it has any offset. */
static void
send_next(SiCommitter *committer)
{
	rd_kafka_resp_err_t err;

	if (committer->next->cnt == 0)
		return;
	err = rd_kafka_commit_queue(committer->rk, committer->next,
								committer->events, NULL, NULL);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		si_committer_note_error(committer, err, rd_kafka_err2str(err));
		return;
	}
	rd_kafka_topic_partition_list_destroy(committer->next);
	committer->next = rd_kafka_topic_partition_list_new(8);
	committer->under_way = true;
}

/*
 * One commit is under way at a time.  Offsets given meanwhile wait, a newer one
 * of a partition replacing an older one, so that nothing piles up while the
 * coordinator is unavailable.
 */
void
si_committer_commit(SiCommitter *committer, const int32 *partitions,
					const int64 *offsets, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		add_offset(committer, partitions[i], offsets[i], true);
	if (!committer->under_way)
		send_next(committer);
}

/*
 * After success, commit the offsets given meanwhile.  After a failure they wait
 * for the next call of si_committer_commit, together with those that failed.
 */
void
si_committer_finish(SiCommitter *committer, rd_kafka_event_t *event)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	int			n;
	int			i;

	list = rd_kafka_event_topic_partition_list(event);
	n = list != NULL ? list->cnt : 0;
	for (i = 0; i < n && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		err = list->elems[i].err;

	committer->under_way = false;
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		committer->words[0] = '\0';
		send_next(committer);
		return;
	}
	for (i = 0; i < n; i++)
		add_offset(committer, list->elems[i].partition,
				   list->elems[i].offset, false);
	si_committer_note_error(committer, err, rd_kafka_err2str(err));
}
