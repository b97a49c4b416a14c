/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The client of a schema registry: its thread.
 *
 * The thread calls no server function: no palloc, no elog.  All that it touches is
 * malloc'd, and it runs with all signals blocked.  The lock guards what both sides
 * share; the thread does not hold it during a request.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "common/compat.h"
#include "common/thread.h"
#include "kafka/client.h"
#include "kafka/registry.h"
#include "kafka/registry_schema.h"
#include "kafka/side_thread.h"

struct SiRegistry
{
	/* constant once the thread runs */
	SiRegistryHttp *http;		/* the thread's own */
	int			fd;
	SiSideThread side;

	/* what follows is guarded by its lock */
	SiSchemaId	questions[SI_SCHEMA_MOST_LACKING];
	int			nquestions;
	uint64		asked;			/* number of the question */
	SiRegistryAnswer answers[SI_SCHEMA_MOST_LACKING];
	int			nanswers;
};

/* ---- the thread ---- */

/* May requests end? */
static bool
is_closing(void *arg)
{
	SiRegistry *registry = arg;

	return si_side_thread_is_closing(&registry->side);
}

static void
free_answers(SiRegistryAnswer *answers, int n)
{
	for (int i = 0; i < n; i++)
		free(answers[i].texts);
}

/*
 * Answer all questions.  Called, and returns, with the lock held, which is released
 * during requests.
 */
static void
answer_questions(SiRegistry *registry)
{
	SiSchemaId	questions[SI_SCHEMA_MOST_LACKING];
	SiRegistryAnswer answers[SI_SCHEMA_MOST_LACKING];
	uint64		asked = registry->asked;
	int			nquestions = registry->nquestions;
	int			n = 0;
	bool		vain = false;

	memcpy(questions, registry->questions, sizeof(questions));
	registry->nquestions = 0;
	pthread_mutex_unlock(&registry->side.lock);
	while (n < nquestions && !vain)
	{
		si_registry_schema_ask(registry->http, &questions[n], &answers[n]);
		vain = answers[n].outcome >= SI_REGISTRY_AWAY;
		n++;
	}
	pthread_mutex_lock(&registry->side.lock);

	/* asked again meanwhile: these answers are outdated */
	if (registry->asked != asked || registry->side.closing)
	{
		free_answers(answers, n);
		return;
	}
	memcpy(registry->answers, answers, sizeof(answers));
	registry->nanswers = n;
	si_client_wake_fd(registry->fd);
}

/* Free one whose thread does not run. */
static void
free_registry(SiRegistry *registry)
{
	free_answers(registry->answers, registry->nanswers);
	si_registry_http_free(registry->http);
	si_side_thread_destroy(&registry->side);
	free(registry);
}

static void
release_registry(void *arg)
{
	free_registry(arg);
}

static void *
registry_main(void *arg)
{
	SiRegistry *registry = arg;

	pthread_mutex_lock(&registry->side.lock);
	while (!registry->side.closing)
	{
		if (registry->nquestions > 0)
			answer_questions(registry);
		else
			pthread_cond_wait(&registry->side.work, &registry->side.lock);
	}
	pthread_mutex_unlock(&registry->side.lock);

	si_registry_http_end(registry->http);

	si_side_thread_finish(&registry->side, release_registry, registry);
	return NULL;
}

/* ---- the main thread: begin and end ---- */

static void
report_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory")));
}

SiRegistry *
si_registry_open(const SiRegistryOptions *options, const char *type)
{
	SiRegistry *registry;
	int			error;

	si_registry_http_init();
	registry = calloc(1, sizeof(SiRegistry));
	if (registry == NULL)
		report_memory();
	si_side_thread_init(&registry->side);
	registry->http = si_registry_http_create(options, type, is_closing, registry);
	if (registry->http == NULL)
	{
		free_registry(registry);
		report_memory();
	}
	registry->fd = si_client_open_fd();
	error = registry->fd < 0 ? errno :
		si_thread_start(&registry->side.thread, registry_main, registry);
	if (error == 0)
		return registry;
	if (registry->fd >= 0)
		si_client_close_fd(registry->fd);
	free_registry(registry);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("could not start a client of a schema registry: %s", strerror(error))));
}

bool
si_registry_close(SiRegistry *registry, int timeout_ms)
{
	int			fd = registry->fd;
	bool		ended;

	si_side_thread_close(&registry->side);
	ended = si_side_thread_await(&registry->side, timeout_ms);

	/* a thread that is closing wakes nothing */
	si_client_close_fd(fd);
	if (ended)
		free_registry(registry);
	return ended;
}

/* ---- the main thread: questions ---- */

int
si_registry_fd(const SiRegistry *registry)
{
	return registry->fd;
}

void
si_registry_ask(SiRegistry *registry, const SiSchemaId *ids, int n)
{
	pthread_mutex_lock(&registry->side.lock);
	memcpy(registry->questions, ids, n * sizeof(SiSchemaId));
	registry->nquestions = n;
	registry->asked++;
	free_answers(registry->answers, registry->nanswers);
	registry->nanswers = 0;
	pthread_cond_signal(&registry->side.work);
	pthread_mutex_unlock(&registry->side.lock);
}

int
si_registry_answers(SiRegistry *registry, SiRegistryAnswer *answers)
{
	int			n;

	pthread_mutex_lock(&registry->side.lock);
	n = registry->nanswers;
	memcpy(answers, registry->answers, n * sizeof(SiRegistryAnswer));
	registry->nanswers = 0;
	pthread_mutex_unlock(&registry->side.lock);
	return n;
}
