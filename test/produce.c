/*-------------------------------------------------------------------------
 *
 * produce.c
 *	  A small, fast and exact Kafka producer for tests and benchmarks.
 *
 *	produce [-b BOOTSTRAP] -t TOPIC [OPTION...] < LINES
 *	produce [-b BOOTSTRAP] -t TOPIC -n COUNT [OPTION...]
 *
 * Each line of the input becomes a message, in order.  With -n the messages
 * are made up: {"id": <i>, "payload": "xxx..."}.
 *
 *	-b BOOTSTRAP	default: the environment variable STREAM_INGEST_BOOTSTRAP
 *	-t TOPIC
 *	-p PARTITION	all of them there; or
 *	-r N			by turns to the partitions 0 to N - 1; else by key
 *	-f FILE			read from there
 *	-K SEPARATOR	a line is key, separator, value
 *	-Z				an empty value is a null value (a tombstone)
 *	-x				values are written in hexadecimal
 *	-y				keys are written in hexadecimal
 *	-H NAME=VALUE	a header of every message (repeatable); NAME alone: a null one
 *	-M MS			the time of every message, in milliseconds since 1970
 *	-T HOW			in one transaction, which is then committed ("commit"),
 *					rolled back ("abort") or left as it is ("open"); or each line
 *					in one that is committed at once ("each")
 *	-n COUNT		that many made-up messages
 *	-i FIRST		the first id (0)
 *	-s BYTES		about the size of a made-up message (100)
 *	-N COUNT		that many headers more, named "a" and without a value
 *	-A				one after the other: send a line, wait, and print the
 *					partition and the offset that the broker gave it
 *	-c CODEC		compress: gzip, snappy, lz4, zstd
 *	-X NAME=VALUE	any librdkafka property (repeatable)
 *
 * Prints how many messages the broker acknowledged; exits with 1 unless
 * that is all of them.  The producer is idempotent: a message is there once
 * and in its place, however often a broker went away meanwhile.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#define TRANSACTION_TIMEOUT_MS 60000
#define FLUSH_SLICE_MS 500
#define FULL_QUEUE_POLL_MS 50
#define POLL_EVERY 10000

typedef struct Options
{
	const char *topic;
	const char *separator;
	const char *transaction;
	const char *file;
	int			partition;
	int			round_robin;
	bool		empty_is_null;
	bool		hex;
	bool		hex_key;
	bool		acknowledge;
	long long	count;
	long long	first;
	int			size;
	long long	timestamp;		/* 0: that of sending */
	rd_kafka_headers_t *headers;
} Options;

typedef struct Message
{
	const char *key;
	size_t		key_len;
	const char *value;
	size_t		value_len;
} Message;

static rd_kafka_t *rk;
static rd_kafka_topic_t *rkt;
static Options opt = {.partition = RD_KAFKA_PARTITION_UA,.count = -1,.size = 100};

static long long sent = 0;
static long long failed = 0;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "produce: %s: %s\n", what, why);
	exit(1);
}

static void
usage(void)
{
	fprintf(stderr, "usage: produce [-b BOOTSTRAP] -t TOPIC "
			"[-p PARTITION | -r N] [-f FILE | -n COUNT [-i FIRST] [-s BYTES]]\n"
			"       [-K SEPARATOR] [-Z] [-x] [-A] [-H NAME[=VALUE]]... [-N COUNT] "
			"[-M MS] [-T commit|abort|open] [-c CODEC] [-X NAME=VALUE]...\n");
	exit(2);
}

/* Is called for failures only (delivery.report.only.error), but with -A. */
static void
on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	(void) handle;
	(void) opaque;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		printf("%d %lld\n", (int) message->partition, (long long) message->offset);
		fflush(stdout);
		return;
	}
	if (failed++ == 0)
		fprintf(stderr, "produce: %s\n", rd_kafka_err2str(message->err));
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		errstr[512];

	if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr)) !=
		RD_KAFKA_CONF_OK)
		die(name, errstr);
}

/* Splits NAME=VALUE in place; returns the value. */
static char *
split(char *pair)
{
	char	   *value = strchr(pair, '=');

	if (value == NULL)
		usage();
	*value = '\0';
	return value + 1;
}

static void
add_header(const char *name, const char *value)
{
	if (opt.headers == NULL)
		opt.headers = rd_kafka_headers_new(4);
	rd_kafka_header_add(opt.headers, name, -1, value, -1);
}

static rd_kafka_conf_t *
default_conf(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	/*
	 * The embedded broker loses no answer; and with librdkafka 2.10 or later
	 * each producer would wait 0.5 s for its id (its bootstrap connection
	 * ends as soon as the broker is known, and only a timer asks again).
	 */
	set(conf, "enable.idempotence", getenv("STREAM_INGEST_MOCK") ? "false" : "true");
	set(conf, "delivery.report.only.error", "true");
	set(conf, "linger.ms", "5");
	set(conf, "reconnect.backoff.max.ms", "500");
	/* errors only, not each retry */
	set(conf, "log_level", "3");
	set(conf, "batch.size", "1000000");
	set(conf, "batch.num.messages", "100000");
	set(conf, "message.max.bytes", "10485760");
	set(conf, "queue.buffering.max.messages", "1000000");
	set(conf, "queue.buffering.max.kbytes", "262144");
	/* ending waits up to 1 s for it; older libraries do not have it */
	rd_kafka_conf_set(conf, "enable.metrics.push", "false", NULL, 0);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	return conf;
}

static void
parse_options(int argc, char **argv, rd_kafka_conf_t *conf)
{
	const char *bootstrap = getenv("STREAM_INGEST_BOOTSTRAP");
	char	   *value;
	int			option;

	while ((option = getopt(argc, argv, "b:t:p:r:f:K:ZxyAH:N:M:T:n:i:s:c:X:")) != -1)
	{
		switch (option)
		{
			case 'b':
				bootstrap = optarg;
				break;
			case 't':
				opt.topic = optarg;
				break;
			case 'p':
				opt.partition = atoi(optarg);
				break;
			case 'r':
				opt.round_robin = atoi(optarg);
				break;
			case 'f':
				opt.file = optarg;
				break;
			case 'K':
				opt.separator = optarg;
				break;
			case 'Z':
				opt.empty_is_null = true;
				break;
			case 'x':
				opt.hex = true;
				break;
			case 'y':
				opt.hex_key = true;
				break;
			case 'A':
				opt.acknowledge = true;
				set(conf, "delivery.report.only.error", "false");
				set(conf, "linger.ms", "0");
				break;
			case 'H':
				value = strchr(optarg, '=') ? split(optarg) : NULL;
				add_header(optarg, value);
				break;
			case 'N':
				for (long long i = atoll(optarg); i > 0; i--)
					add_header("a", NULL);
				break;
			case 'M':
				opt.timestamp = atoll(optarg);
				break;
			case 'T':
				opt.transaction = optarg;
				break;
			case 'n':
				opt.count = atoll(optarg);
				break;
			case 'i':
				opt.first = atoll(optarg);
				break;
			case 's':
				opt.size = atoi(optarg);
				break;
			case 'c':
				set(conf, "compression.codec", optarg);
				break;
			case 'X':
				value = split(optarg);
				set(conf, optarg, value);
				break;
			default:
				usage();
		}
	}
	if (optind != argc || opt.topic == NULL || bootstrap == NULL)
		usage();
	if (opt.transaction && strcmp(opt.transaction, "commit") != 0 &&
		strcmp(opt.transaction, "abort") != 0 &&
		strcmp(opt.transaction, "open") != 0 && strcmp(opt.transaction, "each") != 0)
		usage();
	set(conf, "bootstrap.servers", bootstrap);
}

static void
check(rd_kafka_error_t *error)
{
	if (error)
		die("transaction", rd_kafka_error_string(error));
}

/* Connects, and begins the transaction if there is to be one. */
static void
start(rd_kafka_conf_t *conf)
{
	char		errstr[512];

	if (opt.transaction)
	{
		char		id[64];
		size_t		len = sizeof(id);
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		if (rd_kafka_conf_get(conf, "transactional.id", id, &len) !=
			RD_KAFKA_CONF_OK || len <= 1)
		{
			snprintf(id, sizeof(id), "produce-%d-%lld.%09ld", (int) getpid(),
					 (long long) now.tv_sec, now.tv_nsec);
			set(conf, "transactional.id", id);
		}
	}
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		die("could not start", errstr);
	rkt = rd_kafka_topic_new(rk, opt.topic, NULL);
	if (opt.transaction)
	{
		check(rd_kafka_init_transactions(rk, TRANSACTION_TIMEOUT_MS));
		check(rd_kafka_begin_transaction(rk));
	}
}

/* Hands the message to librdkafka; returns false when its queue is full. */
static bool
enqueue(int partition, const Message *m)
{
	rd_kafka_resp_err_t err;

	if (opt.headers == NULL && opt.timestamp == 0)
		err = rd_kafka_produce(rkt, partition, RD_KAFKA_MSG_F_COPY,
							   (void *) m->value, m->value_len,
							   m->key, m->key_len, NULL) == 0 ?
			RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
	else
	{
		rd_kafka_headers_t *headers = opt.headers ? rd_kafka_headers_copy(opt.headers) : NULL;

		err = rd_kafka_producev(rk, RD_KAFKA_V_RKT(rkt),
								RD_KAFKA_V_PARTITION(partition),
								RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
								RD_KAFKA_V_VALUE((void *) m->value, m->value_len),
								RD_KAFKA_V_KEY(m->key, m->key_len),
								RD_KAFKA_V_TIMESTAMP(opt.timestamp),
								RD_KAFKA_V_HEADERS(headers),
								RD_KAFKA_V_END);
		if (err && headers != NULL)
			rd_kafka_headers_destroy(headers);
	}
	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return false;
	if (err)
		die("could not send", rd_kafka_err2str(err));
	return true;
}

static void
send_message(const Message *m)
{
	int			partition = opt.partition;

	if (opt.round_robin > 0)
		partition = sent % opt.round_robin;
	while (!enqueue(partition, m))
		rd_kafka_poll(rk, FULL_QUEUE_POLL_MS);
	if (++sent % POLL_EVERY == 0)
		rd_kafka_poll(rk, 0);
	while (opt.acknowledge && rd_kafka_outq_len(rk) > 0)
		rd_kafka_poll(rk, FULL_QUEUE_POLL_MS);
}

/* Make bytes of their hexadecimal digits, in place. */
static void
decode_hex(char *digits, size_t *len)
{
	unsigned int byte;
	size_t		i;

	for (i = 0; i < *len / 2; i++)
	{
		if (sscanf(digits + 2 * i, "%2x", &byte) != 1)
			die("no hexadecimal digits in line", digits);
		digits[i] = (char) byte;
	}
	*len /= 2;
}

static void
send_line(char *line, size_t len)
{
	Message		m = {.value = line,.value_len = len};

	if (opt.separator)
	{
		size_t		separator_len = strlen(opt.separator);
		char	   *end = memmem(line, len, opt.separator, separator_len);

		if (end == NULL)
			die("no key separator in line", line);
		m.key = line;
		m.key_len = end - line;
		m.value = end + separator_len;
		m.value_len = len - m.key_len - separator_len;
		if (opt.hex_key)
			decode_hex(line, &m.key_len);
	}
	if (opt.empty_is_null && m.value_len == 0)
		m.value = NULL;
	else if (opt.hex)
		decode_hex((char *) m.value, &m.value_len);
	send_message(&m);
}

/* Waits for every acknowledgement, and ends the transaction. */
static void
finish(void)
{
	while (rd_kafka_outq_len(rk) > 0)
		rd_kafka_flush(rk, FLUSH_SLICE_MS);
	if (opt.transaction && (strcmp(opt.transaction, "commit") == 0 || strcmp(opt.transaction, "each") == 0))
		check(rd_kafka_commit_transaction(rk, TRANSACTION_TIMEOUT_MS));
	else if (opt.transaction && strcmp(opt.transaction, "abort") == 0)
		check(rd_kafka_abort_transaction(rk, TRANSACTION_TIMEOUT_MS));
}

static void
send_input(void)
{
	FILE	   *input = opt.file ? fopen(opt.file, "r") : stdin;
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;

	if (input == NULL)
		die(opt.file, strerror(errno));
	while ((len = getline(&line, &size, input)) > 0)
	{
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		send_line(line, len);
		if (opt.transaction && strcmp(opt.transaction, "each") == 0)
		{
			finish();
			check(rd_kafka_begin_transaction(rk));
		}
	}
	if (ferror(input))
		die("could not read the input", strerror(errno));
	free(line);
	if (opt.file)
		fclose(input);
}

static void
send_made_up(void)
{
	int			filler = opt.size - (int) strlen("{\"id\": 1234567, \"payload\": \"\"}");
	size_t		room = strlen("{\"id\": , \"payload\": \"\"}") + 21 +
		(filler > 0 ? filler : 0) + 1;
	char	   *buffer = malloc(room);
	char	   *payload = malloc(room);
	size_t		payload_len;

	if (buffer == NULL || payload == NULL)
		die("-s", strerror(ENOMEM));
	memset(payload, 'x', room);
	payload_len = filler > 0 ? filler : 0;
	strcpy(payload + payload_len, "\"}");
	for (long long i = 0; i < opt.count; i++)
	{
		Message		m = {.value = buffer};
		int			len = sprintf(buffer, "{\"id\": %lld, \"payload\": \"",
								  opt.first + i);

		memcpy(buffer + len, payload, payload_len + 3);
		m.value_len = len + payload_len + 2;
		send_message(&m);
	}
	free(buffer);
	free(payload);
}

int
main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = default_conf();

	parse_options(argc, argv, conf);
	start(conf);
	if (opt.count >= 0)
		send_made_up();
	else
		send_input();
	finish();
	printf("%lld\n", sent - failed);
	fflush(stdout);

	/* destroying the handle would end an open transaction */
	if (opt.transaction && strcmp(opt.transaction, "open") == 0)
		_exit(failed > 0);
	rd_kafka_topic_destroy(rkt);
	rd_kafka_destroy(rk);
	return failed > 0;
}
