/*-------------------------------------------------------------------------
 *
 * mock_broker.c
 *	  librdkafka's embedded broker as a program of its own, for pg_regress
 *	  and the quickstart, where a JVM would be a burden.
 *
 *	mock_broker BOOTSTRAP_FILE FIFO		run a broker
 *	mock_broker -c COMMAND...			send a command, wait until it is done
 *
 * The first form makes the FIFO, starts one broker on 127.0.0.1, writes its
 * address to BOOTSTRAP_FILE (by a rename, so that a process that sees the file sees
 * all of it) and then obeys commands, one a line:
 *
 *	create TOPIC N			a topic with N partitions
 *	down, up				refuse connections; accept them again
 *	topicerr TOPIC CODE		metadata answers for the topic, which is none of
 *							those created, carry this error
 *	rtt MS					every answer takes so long
 *	err APIKEY CODE COUNT	the next COUNT requests of that kind fail
 *	quit
 *
 * It ends at "quit", SIGTERM or SIGINT, and when its parent dies.
 *
 * The second form finds the FIFO in the environment variable
 * STREAM_INGEST_MOCK; it fails when the broker refuses the command or does
 * not answer.  A command is answered when its line begins with '!'; answers go
 * to a second FIFO, named FIFO.answer.  Commands sent with -c take turns.
 *
 * What the broker is not: it keeps at most 5 MiB (compressed) and 100,000
 * message sets of a partition and forgets the oldest beyond that; it knows
 * no timestamps for offsets, no aborted transactions, no growing topics, no
 * SASL and no TLS; and it creates every topic it is asked for, with four
 * partitions, unless "topicerr TOPIC 3" (unknown topic) was said.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define ANSWER_TIMEOUT_MS 10000
#define ALL_BROKERS (-1)
#define MAX_ERRORS 1000

static volatile sig_atomic_t stopping = 0;

static void
on_signal(int signo)
{
	(void) signo;
	stopping = 1;
}

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "mock_broker: %s: %s\n", what, why);
	exit(1);
}

/* Opens both ways, so that neither end ever waits for the other or sees EOF. */
static int
open_fifo(const char *path, bool create)
{
	int			fd;

	if (create && mkfifo(path, 0600) != 0 && errno != EEXIST)
		die(path, strerror(errno));
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die(path, strerror(errno));
	return fd;
}

static void
write_bootstrap(const char *path, const char *bootstrap)
{
	char		temporary[PATH_MAX];
	FILE	   *file;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "w");
	if (file == NULL || fprintf(file, "%s\n", bootstrap) < 0 ||
		fclose(file) != 0 || rename(temporary, path) != 0)
		die(path, strerror(errno));
}

static const char *
push_errors(rd_kafka_mock_cluster_t *cluster, int api_key, int code, int count)
{
	rd_kafka_resp_err_t errors[MAX_ERRORS];

	if (count < 1 || count > MAX_ERRORS)
		return "COUNT is out of range";
	for (int i = 0; i < count; i++)
		errors[i] = code;
	rd_kafka_mock_push_request_errors_array(cluster, api_key, count, errors);
	return NULL;
}

/*
 * Metadata answers for the topic carry the error and, as those of a real broker
 * with an error do, no partitions: librdkafka 2.4 to 2.8 crash on an answer
 * with both (its issue 4907).  So the topic is created without any first; else
 * it would get the default number.
 */
static rd_kafka_resp_err_t
set_topic_error(rd_kafka_mock_cluster_t *cluster, const char *topic, int code)
{
	rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(cluster, topic, 0, 1);

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_mock_topic_set_error(cluster, topic, code);
	return err;
}

/* Carries out one command; returns NULL or what is wrong with it. */
static const char *
obey(rd_kafka_mock_cluster_t *cluster, const char *line)
{
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	char		topic[256];
	int			a;
	int			b;
	int			c;

	if (sscanf(line, "create %255s %d", topic, &a) == 2)
		err = rd_kafka_mock_topic_create(cluster, topic, a, 1);
	else if (strcmp(line, "down") == 0)
		err = rd_kafka_mock_broker_set_down(cluster, ALL_BROKERS);
	else if (strcmp(line, "up") == 0)
		err = rd_kafka_mock_broker_set_up(cluster, ALL_BROKERS);
	else if (sscanf(line, "topicerr %255s %d", topic, &a) == 2)
		err = set_topic_error(cluster, topic, a);
	else if (sscanf(line, "rtt %d", &a) == 1)
		err = rd_kafka_mock_broker_set_rtt(cluster, ALL_BROKERS, a);
	else if (sscanf(line, "err %d %d %d", &a, &b, &c) == 3)
		return push_errors(cluster, a, b, c);
	else if (strcmp(line, "quit") == 0)
		stopping = 1;
	else
		return "unknown command";

	return err ? rd_kafka_err2str(err) : NULL;
}

/* Takes apart what has come in, line by line; keeps an unfinished line. */
static void
obey_lines(rd_kafka_mock_cluster_t *cluster, char *buffer, size_t *used,
		   int answers)
{
	char	   *line = buffer;
	char	   *end;

	while ((end = memchr(line, '\n', *used - (line - buffer))) != NULL)
	{
		bool		wants_answer = (*line == '!');
		const char *error;

		*end = '\0';
		error = obey(cluster, wants_answer ? line + 1 : line);
		if (wants_answer)
			dprintf(answers, "%s\n", error ? error : "ok");
		else if (error)
			fprintf(stderr, "mock_broker: %s: %s\n", line, error);
		line = end + 1;
	}
	*used -= line - buffer;
	memmove(buffer, line, *used);
}

static void
serve(rd_kafka_mock_cluster_t *cluster, int commands, int answers,
	  const sigset_t *awake)
{
	char		buffer[PIPE_BUF];
	size_t		used = 0;
	pid_t		parent = getppid();

	while (!stopping && getppid() == parent)
	{
		struct pollfd pfd = {.fd = commands,.events = POLLIN};
		ssize_t		got;

		if (ppoll(&pfd, 1, NULL, awake) < 0)
			continue;
		got = read(commands, buffer + used, sizeof(buffer) - used);
		if (got > 0)
		{
			used += got;
			obey_lines(cluster, buffer, &used, answers);
			if (used == sizeof(buffer))
				used = 0;
		}
	}
}

static int
run_broker(const char *bootstrap_file, const char *fifo)
{
	char		answer_fifo[PATH_MAX];
	char		errstr[512];
	sigset_t	all;
	sigset_t	awake;
	struct sigaction action = {.sa_handler = on_signal};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	int			commands;
	int			answers;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	/*
	 * The cluster's thread inherits our mask and would take our signals, so
	 * all are blocked for good; ppoll() alone lets them in.
	 */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &awake);

	commands = open_fifo(fifo, true);
	snprintf(answer_fifo, sizeof(answer_fifo), "%s.answer", fifo);
	answers = open_fifo(answer_fifo, true);

	/* no notice that this client, which is only a carrier, has no brokers */
	rd_kafka_conf_set(conf, "log_level", "4", errstr, sizeof(errstr));
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		die("could not start", errstr);
	cluster = rd_kafka_mock_cluster_new(rk, 1);
	if (cluster == NULL)
		die("could not start", "no mock cluster");
	write_bootstrap(bootstrap_file, rd_kafka_mock_cluster_bootstraps(cluster));

	serve(cluster, commands, answers, &awake);

	/* taking the cluster apart would take a second, for nothing */
	unlink(bootstrap_file);
	_exit(0);
}

/* Sends the words as one command and returns 0 when the broker says "ok". */
static int
send_command(int nwords, char **words)
{
	const char *fifo = getenv("STREAM_INGEST_MOCK");
	char		path[PATH_MAX];
	char		line[PIPE_BUF] = "!";
	struct pollfd answer = {.events = POLLIN};
	int			commands;
	ssize_t		got;

	if (fifo == NULL)
		die("-c", "STREAM_INGEST_MOCK is not set");
	for (int i = 0; i < nwords; i++)
	{
		strncat(line, words[i], sizeof(line) - strlen(line) - 2);
		strcat(line, i + 1 < nwords ? " " : "\n");
	}

	commands = open_fifo(fifo, false);
	snprintf(path, sizeof(path), "%s.answer", fifo);
	answer.fd = open_fifo(path, false);
	if (flock(commands, LOCK_EX) != 0)
		die(fifo, strerror(errno));

	/* an answer for which a caller did not wait is not ours */
	while (read(answer.fd, path, sizeof(path)) > 0)
		;
	if (write(commands, line, strlen(line)) < 0)
		die(fifo, strerror(errno));
	if (poll(&answer, 1, ANSWER_TIMEOUT_MS) != 1)
		die(fifo, "no answer");
	got = read(answer.fd, path, sizeof(path) - 1);
	path[got > 0 ? got : 0] = '\0';
	if (strcmp(path, "ok\n") == 0)
		return 0;
	fprintf(stderr, "mock_broker: %s", path);
	return 1;
}

int
main(int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "-c") == 0)
		return send_command(argc - 2, argv + 2);
	if (argc == 3 && argv[1][0] != '-')
		return run_broker(argv[1], argv[2]);
	fprintf(stderr, "usage: mock_broker BOOTSTRAP_FILE FIFO\n"
			"       mock_broker -c COMMAND...\n");
	return 2;
}
