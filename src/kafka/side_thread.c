/*-------------------------------------------------------------------------
 *
 * side_thread.c
 *	  A thread beside the main one, whose end is awaited for a bounded time.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "storage/ipc.h"

#include "kafka/client.h"
#include "kafka/side_thread.h"

/* How long a process's exit waits for abandoned threads. */
#define EXIT_MS		5000

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

/* Deadlines are by the monotonic clock. */
void
si_side_thread_init(SiSideThread *side)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&side->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&side->work, &attributes);
	pthread_cond_init(&side->end, &attributes);
	pthread_condattr_destroy(&attributes);
}

void
si_side_thread_destroy(SiSideThread *side)
{
	pthread_cond_destroy(&side->work);
	pthread_cond_destroy(&side->end);
	pthread_mutex_destroy(&side->lock);
}

struct timespec
si_side_thread_deadline(int64 at_ms)
{
	struct timespec at;

	at.tv_sec = at_ms / 1000;
	at.tv_nsec = (at_ms % 1000) * 1000000;
	return at;
}

bool
si_side_thread_is_closing(SiSideThread *side)
{
	bool		closing;

	pthread_mutex_lock(&side->lock);
	closing = side->closing;
	pthread_mutex_unlock(&side->lock);
	return closing;
}

void
si_side_thread_close(SiSideThread *side)
{
	pthread_mutex_lock(&side->lock);
	side->closing = true;
	pthread_cond_signal(&side->work);
	pthread_mutex_unlock(&side->lock);
}

void
si_side_thread_finish(SiSideThread *side, void (*release) (void *), void *owner)
{
	bool		abandoned;

	pthread_mutex_lock(&side->lock);
	side->ended = true;
	abandoned = side->abandoned;
	pthread_cond_signal(&side->end);
	pthread_mutex_unlock(&side->lock);
	if (abandoned)
	{
		release(owner);
		(void) count_abandoned(-1);
	}
}

bool
si_side_thread_await(SiSideThread *side, int timeout_ms)
{
	struct timespec until = si_side_thread_deadline(si_client_now_ms() + timeout_ms);
	pthread_t	thread = side->thread;
	bool		ended;
	int			rc = 0;

	pthread_mutex_lock(&side->lock);
	while (!side->ended && rc == 0)
		rc = pthread_cond_timedwait(&side->end, &side->lock, &until);
	ended = side->ended;
	side->abandoned = !ended;
	if (!ended)
		(void) count_abandoned(1);
	pthread_mutex_unlock(&side->lock);

	if (ended)
		pthread_join(thread, NULL);
	else
		pthread_detach(thread);
	return ended;
}

/* on_proc_exit callback.  No condition variable outlives a thread, hence polling. */
static void
await_abandoned(int code, Datum arg)
{
	int64		until = si_client_now_ms() + EXIT_MS;

	while (count_abandoned(0) > 0 && si_client_now_ms() < until)
		pg_usleep(10 * 1000L);
}

void
si_side_thread_await_at_exit(void)
{
	static bool registered = false;

	if (!registered)
		on_proc_exit(await_abandoned, (Datum) 0);
	registered = true;
}
