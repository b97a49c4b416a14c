/*-------------------------------------------------------------------------
 *
 * latency.c
 *	  How long a message takes from its producer to a row that others see.
 *
 *	latency BOOTSTRAP TOPIC CONNINFO TABLE RATE SECONDS
 *
 * One thread produces {"id": <i>} at the given rate with linger.ms = 1, and
 * notes when; another looks at the highest id of the table every 0.2 ms, from
 * a session of its own.  The topic has one partition, so that ids become
 * visible in order.  Prints the median and the 99th percentile in
 * milliseconds; the first second is not counted.  Both ends are in one
 * process, so that one clock serves.  run.sh builds and runs it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>

#define NAP_NS			200000
#define GIVE_UP_S		30
#define NS_PER_S		1000000000LL

typedef struct Run
{
	rd_kafka_t *kafka;
	rd_kafka_topic_t *topic;
	long		rate;
	long		count;
	int64_t    *sent;			/* by id, in ns */
	int64_t    *seen;			/* 0: not yet */
} Run;

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void
nap(int64_t ns)
{
	struct timespec t = {ns / NS_PER_S, ns % NS_PER_S};

	nanosleep(&t, NULL);
}

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "latency: %s: %s\n", what, why);
	exit(1);
}

/* ---- producing ---- */

static void *
produce(void *arg)
{
	Run		   *run = arg;
	int64_t		began = now();

	for (long i = 0; i < run->count; i++)
	{
		int64_t		due = began + i * (NS_PER_S / run->rate);
		char		value[64];
		int			len = snprintf(value, sizeof(value), "{\"id\": %ld}", i);

		/* at high rates several messages are due after one nap */
		while (due - now() > NAP_NS / 4)
			nap(due - now());
		__atomic_store_n(&run->sent[i], now(), __ATOMIC_RELEASE);
		while (rd_kafka_produce(run->topic, 0, RD_KAFKA_MSG_F_COPY, value, len, NULL, 0, NULL) != 0)
			rd_kafka_poll(run->kafka, 1);
		if (i % 64 == 0)
			rd_kafka_poll(run->kafka, 0);
	}
	if (rd_kafka_flush(run->kafka, GIVE_UP_S * 1000) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("produce", "the messages were not acknowledged");
	return NULL;
}

static void
start_producer(Run *run, const char *bootstrap, const char *topic)
{
	char		error[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof(error)) != RD_KAFKA_CONF_OK ||
		rd_kafka_conf_set(conf, "linger.ms", "1", error, sizeof(error)) != RD_KAFKA_CONF_OK)
		die("configuration", error);
	run->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (run->kafka == NULL)
		die("producer", error);
	run->topic = rd_kafka_topic_new(run->kafka, topic, NULL);
}

/* ---- looking ---- */

static void
look(Run *run, const char *conninfo, const char *table)
{
	PGconn	   *conn = PQconnectdb(conninfo);
	PGresult   *result;
	char		query[256];
	long		next = 0;
	int64_t		deadline = now() + (run->count / run->rate + GIVE_UP_S) * NS_PER_S;

	if (PQstatus(conn) != CONNECTION_OK)
		die("connection", PQerrorMessage(conn));
	snprintf(query, sizeof(query), "SELECT max(id) FROM %s", table);
	PQclear(PQprepare(conn, "look", query, 0, NULL));
	while (next < run->count)
	{
		int64_t		at;

		result = PQexecPrepared(conn, "look", 0, NULL, NULL, NULL, 0);
		at = now();
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			die("query", PQerrorMessage(conn));
		if (!PQgetisnull(result, 0, 0))
			for (long highest = atol(PQgetvalue(result, 0, 0)); next <= highest; next++)
				run->seen[next] = at;
		PQclear(result);
		if (at > deadline)
			die("rows", "they do not become visible");
		nap(NAP_NS);
	}
	PQfinish(conn);
}

static int
compare(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a,
				y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	Run			run = {0};
	pthread_t	producer;
	long		first,
				n;

	if (argc != 7)
		die("usage", "latency BOOTSTRAP TOPIC CONNINFO TABLE RATE SECONDS");
	run.rate = atol(argv[5]);
	run.count = run.rate * atol(argv[6]);
	run.sent = calloc(run.count, sizeof(int64_t));
	run.seen = calloc(run.count, sizeof(int64_t));
	if (run.sent == NULL || run.seen == NULL)
		die("memory", "there is not enough");
	start_producer(&run, argv[1], argv[2]);
	pthread_create(&producer, NULL, produce, &run);
	look(&run, argv[3], argv[4]);
	pthread_join(producer, NULL);

	first = run.rate;
	n = run.count - first;
	for (long i = 0; i < n; i++)
		run.seen[i] = run.seen[first + i] - run.sent[first + i];
	qsort(run.seen, n, sizeof(int64_t), compare);
	printf("%.2f %.2f\n", run.seen[n / 2] / 1e6, run.seen[n * 99 / 100] / 1e6);
	return 0;
}
