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
 * A child process talks to the brokers.  In all versions of the library up to
 * now a request to a group's coordinator that fails can end in abort() (its
 * issues 3663 and 4605: a broker older than 2.4, a connection that breaks at
 * the wrong moment), and if a process that the postmaster knows aborts, the
 * whole server goes through recovery.  This one it does not know.  The child
 * lets go of shared memory first, runs nothing of the server's, tells its
 * answer by a pipe and ends by _exit.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "compat.h"
#include "group.h"
#include "storage/fd.h"
#include "storage/pg_shmem.h"
#include "utils/timestamp.h"

/* The child gives up by itself; this long after that it is ended. */
#define GRACE_MS	2000

struct SiGroupDeletion
{
	pid_t		child;			/* 0: it has been waited for */
	int			fd;				/* its answer comes here */
	TimestampTz deadline;
	size_t		len;
	char		words[256];		/* the answer so far: why it failed */
};

/* What the child works with; it has its own copy of all memory. */
typedef struct Request
{
	rd_kafka_conf_t *conf;
	const char *group;
	const char *topic;
	const int32 *partitions;
	int			n;
	int			timeout_ms;
	char		words[256];		/* why it failed; empty: it did not */
	char		trouble[256];	/* newest words about a broker */
} Request;

char *
si_group_name(const char *group_id, const char *prefix, const char *database,
			  const char *subscription)
{
	if (group_id != NULL)
		return pstrdup(group_id);
	return psprintf("%s%s.%s", prefix, database, subscription);
}

/* ---- the child: no server function from here on ---- */

/* The first failure counts; that there was nothing to delete is none. */
static void
note_failure(Request *request, rd_kafka_resp_err_t err, const char *words)
{
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR || err == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND ||
		err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || request->words[0] != '\0')
		return;
	/* that no broker answered says less than what was heard of them */
	if (err == RD_KAFKA_RESP_ERR__TIMED_OUT && request->trouble[0] != '\0')
		words = request->trouble;
	strlcpy(request->words, words ? words : rd_kafka_err2str(err), sizeof(request->words));
}

static void
note_group(Request *request, const rd_kafka_group_result_t *group)
{
	const rd_kafka_error_t *error = rd_kafka_group_result_error(group);
	const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(group);

	if (error != NULL)
		note_failure(request, rd_kafka_error_code(error), rd_kafka_error_string(error));
	for (int i = 0; list != NULL && i < list->cnt; i++)
		note_failure(request, list->elems[i].err, NULL);
}

/* One event; true if it is the answer. */
static bool
take_event(Request *request, rd_kafka_event_t *event)
{
	const		rd_kafka_DeleteConsumerGroupOffsets_result_t *result;
	const rd_kafka_group_result_t **groups;
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	size_t		n = 0;

	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
	{
		/* "1/1 brokers are down" says less than what came just before */
		if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || request->trouble[0] == '\0')
			strlcpy(request->trouble, rd_kafka_event_error_string(event),
					sizeof(request->trouble));
		return false;
	}
	result = rd_kafka_event_DeleteConsumerGroupOffsets_result(event);
	if (result == NULL)
		return false;
	note_failure(request, err, NULL);
	groups = rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &n);
	for (size_t i = 0; i < n; i++)
		note_group(request, groups[i]);
	return true;
}

/* Ask, and wait for the answer.  Nothing is freed: the process ends. */
static void
run_request(Request *request)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(request->n);
	rd_kafka_DeleteConsumerGroupOffsets_t *deletion;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;
	rd_kafka_t *rk;

	/* any kind of client may ask */
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, request->conf, request->words, sizeof(request->words));
	if (rk == NULL)
		return;
	queue = rd_kafka_queue_get_main(rk);
	rd_kafka_set_log_queue(rk, queue);
	for (int i = 0; i < request->n; i++)
		rd_kafka_topic_partition_list_add(list, request->topic, request->partitions[i]);
	deletion = rd_kafka_DeleteConsumerGroupOffsets_new(request->group, list);
	options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS);
	(void) rd_kafka_AdminOptions_set_request_timeout(options, request->timeout_ms, NULL, 0);
	rd_kafka_DeleteConsumerGroupOffsets(rk, &deletion, 1, options, queue);
	do
	{
		/* an event comes in any case: the library keeps the time */
		event = rd_kafka_queue_poll(queue, -1);
	} while (event == NULL || !take_event(request, event));
}

/*
 * Become a process that can harm nobody: no handler, no shared memory, nothing
 * written to the server's log, no core, and no life beyond the parent's.
 */
static void
detach_from_server(pid_t parent)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGCHLD, SIGFPE
	};
	struct rlimit none = {0, 0};
	int			null = open("/dev/null", O_RDWR);

	for (int i = 0; i < lengthof(signals); i++)
		(void) signal(signals[i], i == 0 ? SIG_IGN : SIG_DFL);
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	PGSharedMemoryDetach();
	(void) setrlimit(RLIMIT_CORE, &none);
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		(void) dup2(null, fd);
}

static void
child_main(Request *request, pid_t parent, int fd)
{
	detach_from_server(parent);
	run_request(request);
	while (write(fd, request->words, strlen(request->words)) < 0 && errno == EINTR)
		;
	_exit(0);
}

/* ---- the parent ---- */

static void
out_of_resources(const char *words)
{
	SiClientFailure failure = {ERRCODE_INSUFFICIENT_RESOURCES};

	failure.error_number = errno;
	strlcpy(failure.words, words, sizeof(failure.words));
	si_client_report_failure(&failure, "client");
}

/* Start the child; false, and why by errno, if that cannot be done. */
static bool
start_child(SiGroupDeletion *deletion, Request *request)
{
	pid_t		parent = getpid();
	int			fds[2];

	if (!AcquireExternalFD())
		return false;
	if (pipe2(fds, O_CLOEXEC) < 0)
	{
		ReleaseExternalFD();
		return false;
	}
	fflush(NULL);
	deletion->child = fork();
	if (deletion->child == 0)
		child_main(request, parent, fds[1]);
	close(fds[1]);
	if (deletion->child < 0)
	{
		si_client_close_fd(fds[0]);
		return false;
	}
	deletion->fd = fds[0];
	(void) fcntl(deletion->fd, F_SETFL, O_NONBLOCK);
	return true;
}

SiGroupDeletion *
si_group_delete_offsets(const SiProperty *properties, int nproperties, const char *client_id,
						const char *group, const char *topic, const int32 *partitions, int n,
						int timeout_ms)
{
	SiGroupDeletion *deletion = palloc0(sizeof(SiGroupDeletion));
	Request		request = {NULL, group, topic, partitions, n, timeout_ms};
	SiClientFailure failure = {0};
	bool		started;

	request.conf = si_client_configure(NULL, 0, properties, nproperties, NULL, 0, client_id,
									   &failure);
	if (request.conf == NULL)
		si_client_report_failure(&failure, "client");
	rd_kafka_conf_set_events(request.conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
	started = start_child(deletion, &request);
	rd_kafka_conf_destroy(request.conf);
	if (!started)
		out_of_resources("could not create process");
	deletion->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 timeout_ms + GRACE_MS);
	return deletion;
}

int
si_group_fd(const SiGroupDeletion *deletion)
{
	return deletion->fd;
}

/* Wait for the end of the child, which is near; returns how it ended. */
static int
await_child(SiGroupDeletion *deletion)
{
	int			status = 0;

	while (deletion->child > 0 && waitpid(deletion->child, &status, 0) < 0 && errno == EINTR)
		;
	deletion->child = 0;
	return status;
}

/* Take what the child has written; true when it has closed its end. */
static bool
read_answer(SiGroupDeletion *deletion)
{
	size_t		room = sizeof(deletion->words) - 1 - deletion->len;
	ssize_t		got;

	do
	{
		got = read(deletion->fd, deletion->words + deletion->len, room);
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		deletion->len += got;
	return got == 0;
}

bool
si_group_done(SiGroupDeletion *deletion, char *words, size_t size)
{
	int			status;

	if (!read_answer(deletion))
	{
		if (GetCurrentTimestamp() < deletion->deadline)
			return false;
		(void) kill(deletion->child, SIGKILL);
	}
	status = await_child(deletion);
	strlcpy(words, deletion->words, size);
	if (words[0] == '\0' && status != 0)
		strlcpy(words, "librdkafka broke off; brokers older than 2.4 know no such request", size);
	return true;
}

void
si_group_close(SiGroupDeletion *deletion)
{
	if (deletion->child > 0)
	{
		(void) kill(deletion->child, SIGKILL);
		(void) await_child(deletion);
	}
	si_client_close_fd(deletion->fd);
	pfree(deletion);
}
