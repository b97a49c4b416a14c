/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The client of a schema registry: its thread.
 *
 * The thread calls no server function: no palloc, no elog.  All that it touches is
 * malloc'd, and it runs with all signals blocked.  The lock guards what both sides
 * share; the thread does not hold it during a request.  A thread that takes longer to
 * end than its closer waits owns the struct then.
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
#include "kafka/registry_http.h"

struct SiRegistry
{
	/* constant once the thread runs */
	SiRegistryHttp *http;		/* the thread's own */
	int			fd;
	pthread_t	thread;

	/* what follows is guarded by the lock */
	pthread_mutex_t lock;
	pthread_cond_t work;		/* for the thread: there is work */
	pthread_cond_t end;			/* for the closer: it has ended */
	bool		closing;
	bool		ended;
	bool		abandoned;		/* the thread frees this struct */
	SiSchemaId	questions[SI_SCHEMA_MOST_LACKING];
	int			nquestions;
	uint64		asked;			/* number of the question */
	SiRegistryAnswer answers[SI_SCHEMA_MOST_LACKING];
	int			nanswers;
};

/* The abandoned threads of this process that have not ended yet. */
static pthread_mutex_t abandoned_lock = PTHREAD_MUTEX_INITIALIZER;
static int	abandoned_threads = 0;

/* Change the number of abandoned threads; returns it. */
static int
count_abandoned(int change)
{
	int			n;

	pthread_mutex_lock(&abandoned_lock);
	n = abandoned_threads += change;
	pthread_mutex_unlock(&abandoned_lock);
	return n;
}

/* ---- the thread ---- */

/* May requests end? */
static bool
is_closing(void *arg)
{
	SiRegistry *registry = arg;
	bool		closing;

	pthread_mutex_lock(&registry->lock);
	closing = registry->closing;
	pthread_mutex_unlock(&registry->lock);
	return closing;
}

static void
free_answers(SiRegistryAnswer *answers, int n)
{
	for (int i = 0; i < n; i++)
		free(answers[i].text);
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
	pthread_mutex_unlock(&registry->lock);
	while (n < nquestions && !vain)
	{
		si_registry_http_ask(registry->http, &questions[n], &answers[n]);
		vain = answers[n].outcome >= SI_REGISTRY_AWAY;
		n++;
	}
	pthread_mutex_lock(&registry->lock);

	/* asked again meanwhile: these answers are outdated */
	if (registry->asked != asked || registry->closing)
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
	pthread_cond_destroy(&registry->work);
	pthread_cond_destroy(&registry->end);
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

static void *
registry_main(void *arg)
{
	SiRegistry *registry = arg;
	bool		abandoned;

	pthread_mutex_lock(&registry->lock);
	while (!registry->closing)
	{
		if (registry->nquestions > 0)
			answer_questions(registry);
		else
			pthread_cond_wait(&registry->work, &registry->lock);
	}
	pthread_mutex_unlock(&registry->lock);

	si_registry_http_end(registry->http);

	pthread_mutex_lock(&registry->lock);
	registry->ended = true;
	abandoned = registry->abandoned;
	pthread_cond_signal(&registry->end);
	pthread_mutex_unlock(&registry->lock);
	if (abandoned)
	{
		free_registry(registry);
		(void) count_abandoned(-1);
	}
	return NULL;
}

/* ---- the main thread: begin and end ---- */

static void
init_synchronization(SiRegistry *registry)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&registry->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&registry->work, &attributes);
	pthread_cond_init(&registry->end, &attributes);
	pthread_condattr_destroy(&attributes);
}

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
	init_synchronization(registry);
	registry->http = si_registry_http_create(options, type, is_closing, registry);
	if (registry->http == NULL)
	{
		free_registry(registry);
		report_memory();
	}
	registry->fd = si_client_open_fd();
	error = registry->fd < 0 ? errno :
		si_thread_start(&registry->thread, registry_main, registry);
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
	int64_t		until_ms = si_client_now_ms() + timeout_ms;
	struct timespec until = {until_ms / 1000, (until_ms % 1000) * 1000000};
	pthread_t	thread = registry->thread;
	int			fd = registry->fd;
	bool		ended;
	int			rc = 0;

	pthread_mutex_lock(&registry->lock);
	registry->closing = true;
	pthread_cond_signal(&registry->work);
	while (!registry->ended && rc == 0)
		rc = pthread_cond_timedwait(&registry->end, &registry->lock, &until);
	ended = registry->ended;
	registry->abandoned = !ended;
	if (!ended)
		(void) count_abandoned(1);
	pthread_mutex_unlock(&registry->lock);

	/* a thread that is closing wakes nothing */
	si_client_close_fd(fd);
	if (!ended)
	{
		pthread_detach(thread);
		return false;
	}
	pthread_join(thread, NULL);
	free_registry(registry);
	return true;
}

bool
si_registry_await_abandoned(int timeout_ms)
{
	int64_t		until = si_client_now_ms() + timeout_ms;

	while (count_abandoned(0) > 0)
	{
		if (si_client_now_ms() >= until)
			return false;
		pg_usleep(10 * 1000L);
	}
	return true;
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
	pthread_mutex_lock(&registry->lock);
	memcpy(registry->questions, ids, n * sizeof(SiSchemaId));
	registry->nquestions = n;
	registry->asked++;
	free_answers(registry->answers, registry->nanswers);
	registry->nanswers = 0;
	pthread_cond_signal(&registry->work);
	pthread_mutex_unlock(&registry->lock);
}

int
si_registry_answers(SiRegistry *registry, SiRegistryAnswer *answers)
{
	int			n;

	pthread_mutex_lock(&registry->lock);
	n = registry->nanswers;
	memcpy(answers, registry->answers, n * sizeof(SiRegistryAnswer));
	registry->nanswers = 0;
	pthread_mutex_unlock(&registry->lock);
	return n;
}
