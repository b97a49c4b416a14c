/*-------------------------------------------------------------------------
 *
 * kafka_admin.c
 *	  Topics of a broker, from the command line and without a JVM.
 *
 *	kafka_admin [-b BOOTSTRAP] COMMAND
 *
 *	create TOPIC PARTITIONS [config=value...]
 *	delete TOPIC
 *	partitions TOPIC COUNT				let the topic grow
 *	delete-records TOPIC PARTITION OFFSET	forget what is below OFFSET
 *	offsets TOPIC PARTITION				print "low high"
 *	group GROUP							print "topic partition offset", a line each
 *
 * BOOTSTRAP defaults to the environment variable STREAM_INGEST_BOOTSTRAP.
 * For tests and examples.  It returns when the broker has carried out the
 * command and its metadata shows it; else it says why not and exits with 1.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#define TIMEOUT_MS 30000
#define LIFETIME_S 60
#define POLL_MS 20

static rd_kafka_t *rk;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_admin: %s: %s\n", what, why);
	exit(1);
}

static void
usage(void)
{
	fprintf(stderr, "usage: kafka_admin [-b BOOTSTRAP] COMMAND\n"
			"  create TOPIC PARTITIONS [config=value...]\n"
			"  delete TOPIC\n"
			"  partitions TOPIC COUNT\n"
			"  delete-records TOPIC PARTITION OFFSET\n"
			"  offsets TOPIC PARTITION\n"
			"  group GROUP\n");
	exit(2);
}

static void
connect_to(const char *bootstrap)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		errstr[512];

	if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap,
						  errstr, sizeof(errstr)) != RD_KAFKA_CONF_OK)
		die(bootstrap, errstr);
	/* ending waits up to 1 s for it; older libraries do not have it */
	rd_kafka_conf_set(conf, "enable.metrics.push", "false", NULL, 0);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		die(bootstrap, errstr);
}

/*
 * How many partitions the broker's metadata shows; 0: no such topic.  Asks
 * for all topics, because to ask for one can create it.
 */
static int
count_partitions(const char *topic)
{
	const struct rd_kafka_metadata *metadata;
	int			count = 0;

	if (rd_kafka_metadata(rk, 1, NULL, &metadata, TIMEOUT_MS) != 0)
		return -1;
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (strcmp(metadata->topics[i].topic, topic) == 0)
			count = metadata->topics[i].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return count;
}

/*
 * Waits until the topic has so many partitions, each with a leader's
 * watermarks: a request is answered before all of the broker knows of it.
 */
static void
wait_for_partitions(const char *topic, int count)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	int64_t		low;
	int64_t		high;

	for (int waited = 0; waited < TIMEOUT_MS; waited += POLL_MS)
	{
		if (count_partitions(topic) == count &&
			(count == 0 ||
			 rd_kafka_query_watermark_offsets(rk, topic, count - 1, &low,
											  &high, TIMEOUT_MS) == 0))
			return;
		nanosleep(&pause, NULL);
	}
	die(topic, "the change does not show in the broker's metadata");
}

/* Waits for an admin request's answer; the caller destroys the event. */
static rd_kafka_event_t *
wait_for_answer(rd_kafka_queue_t *queue, const char *what)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);

	if (event == NULL)
		die(what, "no answer");
	if (rd_kafka_event_error(event))
		die(what, rd_kafka_event_error_string(event));
	return event;
}

/* Dies when the one topic that the event is about has an error. */
static void
check_topic_result(const rd_kafka_topic_result_t **results)
{
	if (rd_kafka_topic_result_error(results[0]))
		die(rd_kafka_topic_result_name(results[0]),
			rd_kafka_topic_result_error_string(results[0]));
}

/*
 * A broker that did not run for a while, as under a test that suspends it, is
 * fenced until the controller hears of it again; until then no partition can be
 * placed, and the broker says that the replication factor is invalid.
 */
static void
create_topic(rd_kafka_queue_t *queue, const char *topic, int partitions,
			 int nconfigs, char **configs)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	char		errstr[512];
	rd_kafka_NewTopic_t *request =
		rd_kafka_NewTopic_new(topic, partitions, -1, errstr, sizeof(errstr));
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	size_t		count;

	if (request == NULL)
		die(topic, errstr);
	for (int i = 0; i < nconfigs; i++)
	{
		char	   *value = strchr(configs[i], '=');

		if (value == NULL)
			usage();
		*value++ = '\0';
		rd_kafka_NewTopic_set_config(request, configs[i], value);
	}
	for (int waited = 0;; waited += POLL_MS)
	{
		rd_kafka_CreateTopics(rk, &request, 1, NULL, queue);
		event = wait_for_answer(queue, topic);
		results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
		if (rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR ||
			waited >= TIMEOUT_MS)
			break;
		rd_kafka_event_destroy(event);
		nanosleep(&pause, NULL);
	}
	check_topic_result(results);
	rd_kafka_event_destroy(event);
	rd_kafka_NewTopic_destroy(request);
	wait_for_partitions(topic, partitions);
}

static void
delete_topic(rd_kafka_queue_t *queue, const char *topic)
{
	rd_kafka_DeleteTopic_t *request = rd_kafka_DeleteTopic_new(topic);
	rd_kafka_event_t *event;
	size_t		count;

	rd_kafka_DeleteTopics(rk, &request, 1, NULL, queue);
	event = wait_for_answer(queue, topic);
	check_topic_result(rd_kafka_DeleteTopics_result_topics
					   (rd_kafka_event_DeleteTopics_result(event), &count));
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteTopic_destroy(request);
	wait_for_partitions(topic, 0);
}

static void
grow_topic(rd_kafka_queue_t *queue, const char *topic, int partitions)
{
	char		errstr[512];
	rd_kafka_NewPartitions_t *request =
		rd_kafka_NewPartitions_new(topic, partitions, errstr, sizeof(errstr));
	rd_kafka_event_t *event;
	size_t		count;

	if (request == NULL)
		die(topic, errstr);
	rd_kafka_CreatePartitions(rk, &request, 1, NULL, queue);
	event = wait_for_answer(queue, topic);
	check_topic_result(rd_kafka_CreatePartitions_result_topics
					   (rd_kafka_event_CreatePartitions_result(event), &count));
	rd_kafka_event_destroy(event);
	rd_kafka_NewPartitions_destroy(request);
	wait_for_partitions(topic, partitions);
}

static void
delete_records(rd_kafka_queue_t *queue, const char *topic, int partition,
			   int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	const rd_kafka_topic_partition_list_t *result;
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_event_t *event;

	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
	request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
	event = wait_for_answer(queue, topic);
	result = rd_kafka_DeleteRecords_result_offsets
		(rd_kafka_event_DeleteRecords_result(event));
	if (result->elems[0].err)
		die(topic, rd_kafka_err2str(result->elems[0].err));
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
}

static void
print_offsets(const char *topic, int partition)
{
	int64_t		low;
	int64_t		high;
	rd_kafka_resp_err_t err =
		rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high,
										 TIMEOUT_MS);

	if (err)
		die(topic, rd_kafka_err2str(err));
	printf("%lld %lld\n", (long long) low, (long long) high);
}

/* The offsets that were committed for a group; of none there are none. */
static void
print_group(rd_kafka_queue_t *queue, const char *group)
{
	rd_kafka_ListConsumerGroupOffsets_t *request =
		rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
	const rd_kafka_group_result_t **groups;
	const rd_kafka_topic_partition_list_t *list;
	rd_kafka_event_t *event;
	size_t		count;

	rd_kafka_ListConsumerGroupOffsets(rk, &request, 1, NULL, queue);
	event = wait_for_answer(queue, group);
	groups = rd_kafka_ListConsumerGroupOffsets_result_groups
		(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
	if (rd_kafka_group_result_error(groups[0]) != NULL)
		die(group, rd_kafka_error_string(rd_kafka_group_result_error(groups[0])));
	list = rd_kafka_group_result_partitions(groups[0]);
	for (int i = 0; list != NULL && i < list->cnt; i++)
	{
		if (list->elems[i].offset >= 0)
			printf("%s %d %lld\n", list->elems[i].topic, list->elems[i].partition,
				   (long long) list->elems[i].offset);
	}
	rd_kafka_event_destroy(event);
	rd_kafka_ListConsumerGroupOffsets_destroy(request);
}

int
main(int argc, char **argv)
{
	const char *bootstrap = getenv("STREAM_INGEST_BOOTSTRAP");
	rd_kafka_queue_t *queue;
	const char *command;
	const char *topic;
	int			option;
	int			nargs;
	char	  **args;

	while ((option = getopt(argc, argv, "+b:")) != -1)
	{
		if (option != 'b')
			usage();
		bootstrap = optarg;
	}
	if (argc - optind < 2 || bootstrap == NULL)
		usage();
	command = argv[optind];
	topic = argv[optind + 1];
	args = argv + optind + 2;
	nargs = argc - optind - 2;

	/* librdkafka before 2.3 forgets the timeout of a watermark query */
	alarm(LIFETIME_S);
	connect_to(bootstrap);
	queue = rd_kafka_queue_new(rk);
	if (strcmp(command, "create") == 0 && nargs >= 1)
		create_topic(queue, topic, atoi(args[0]), nargs - 1, args + 1);
	else if (strcmp(command, "delete") == 0 && nargs == 0)
		delete_topic(queue, topic);
	else if (strcmp(command, "partitions") == 0 && nargs == 1)
		grow_topic(queue, topic, atoi(args[0]));
	else if (strcmp(command, "delete-records") == 0 && nargs == 2)
		delete_records(queue, topic, atoi(args[0]), atoll(args[1]));
	else if (strcmp(command, "offsets") == 0 && nargs == 1)
		print_offsets(topic, atoi(args[0]));
	else if (strcmp(command, "group") == 0 && nargs == 0)
		print_group(queue, topic);
	else
		usage();
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
	return 0;
}
