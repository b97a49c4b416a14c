/*-------------------------------------------------------------------------
 *
 * ahead.c
 *	  A thread that decodes messages while the main thread is at others.
 *
 * The messages of a job are divided into chunks, and each chunk has a state,
 * which one atomic operation changes.  A chunk that the main thread has taken
 * stays its own; the records of one that the thread has taken are the main
 * thread's to read once the state says that it is done.  Everything else of a
 * job is handed over under the lock.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/thread.h"
#include "format/ahead.h"

/* Messages in a chunk: a few ten microseconds' work. */
#define CHUNK_MESSAGES	32

/* Whose a chunk is. */
enum
{
	CHUNK_FREE,
	CHUNK_OF_MAIN,
	CHUNK_OF_THREAD,
	CHUNK_DONE					/* the thread's, and complete */
};

struct SiAhead
{
	/* the main thread's */
	bool		running;		/* there is a thread */
	bool		active;			/* there is a job */
	pthread_t	thread;

	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work;		/* for the thread: pending or closing */
	pthread_cond_t idle;		/* for the main thread: no longer busy */
	bool		pending;		/* the job has not been begun */
	bool		busy;			/* the thread is at the job */
	bool		closing;

	/* of the job; changed while the thread is not busy */
	SiAheadJob	job;
	SiArena    *arena;
	SiMessage  *messages;
	SiRecord   *records;		/* by message; without fields: left */
	unsigned char *states;		/* by chunk; atomic */
	int			nchunks;

	bool		cancelled;		/* atomic: the job is to end */
};

/* ---- the thread ---- */

static bool
is_cancelled(const SiAhead *ahead)
{
	return __atomic_load_n(&ahead->cancelled, __ATOMIC_RELAXED);
}

/* Take a chunk; false if it is not free. */
static bool
take_chunk(SiAhead *ahead, int chunk, unsigned char taker)
{
	unsigned char expected = CHUNK_FREE;

	return __atomic_compare_exchange_n(&ahead->states[chunk], &expected, taker, false,
									   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Decode one message; its record has no fields if it is left. */
static void
decode_message(const SiAhead *ahead, int i)
{
	const SiAheadJob *job = &ahead->job;
	const SiMessage *message = &ahead->messages[i];
	SiRecord   *record = &ahead->records[i];
	SiDecodeError error;

	record->fields = NULL;
	if (message->value == NULL || si_message_size(message) > job->most)
		return;
	if (!si_decoder_decode(job->decoder, message, ahead->arena, record, &error))
		record->fields = NULL;
	else if (job->convert != NULL)
		job->convert(job->arg, record, ahead->arena);
}

/*
 * Decode chunk by chunk, until the main thread is met or ends the job, or what was
 * decoded has become too large.
 */
static void
run_job(SiAhead *ahead)
{
	for (int chunk = ahead->nchunks - 1; chunk >= 0; chunk--)
	{
		int			first = chunk * CHUNK_MESSAGES;
		int			end = first + CHUNK_MESSAGES;

		if (end > ahead->job.n)
			end = ahead->job.n;
		if (is_cancelled(ahead) || !take_chunk(ahead, chunk, CHUNK_OF_THREAD))
			return;
		for (int i = first; i < end; i++)
		{
			if (is_cancelled(ahead))
				return;
			decode_message(ahead, i);
			if (si_arena_used(ahead->arena) > ahead->job.most_decoded)
				return;
		}
		__atomic_store_n(&ahead->states[chunk], CHUNK_DONE, __ATOMIC_RELEASE);
	}
}

/*
 * A locale of its own: jansson reads the decimal point of the process's, which
 * some functions of the server change for a moment.
 */
static locale_t
enter_locale(void)
{
	locale_t	locale = newlocale(LC_ALL_MASK, "C", (locale_t) 0);

	if (locale != (locale_t) 0)
		(void) uselocale(locale);
	return locale;
}

static void
leave_locale(locale_t locale)
{
	(void) uselocale(LC_GLOBAL_LOCALE);
	if (locale != (locale_t) 0)
		freelocale(locale);
}

static void *
ahead_main(void *arg)
{
	SiAhead    *ahead = arg;
	locale_t	locale = enter_locale();

#if defined(__GLIBC__) && defined(_GNU_SOURCE)
	(void) pthread_setname_np(pthread_self(), "si:decode");
#endif
	pthread_mutex_lock(&ahead->lock);
	while (!ahead->closing)
	{
		if (!ahead->pending)
		{
			pthread_cond_wait(&ahead->work, &ahead->lock);
			continue;
		}
		ahead->pending = false;
		ahead->busy = true;
		pthread_mutex_unlock(&ahead->lock);
		run_job(ahead);
		pthread_mutex_lock(&ahead->lock);
		ahead->busy = false;
		pthread_cond_signal(&ahead->idle);
	}
	pthread_mutex_unlock(&ahead->lock);
	leave_locale(locale);
	return NULL;
}

/* ---- the main thread ---- */

SiAhead *
si_ahead_create(void)
{
	SiAhead    *ahead = calloc(1, sizeof(SiAhead));

	if (ahead == NULL)
		return NULL;
	ahead->arena = si_arena_create();
	if (ahead->arena == NULL)
	{
		free(ahead);
		return NULL;
	}
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_cond_init(&ahead->work, NULL);
	pthread_cond_init(&ahead->idle, NULL);
	return ahead;
}

/* Memory for a job, with its messages. */
static bool
copy_messages(SiAhead *ahead)
{
	const SiAheadJob *job = &ahead->job;
	size_t		n = (size_t) job->n;

	si_arena_reset(ahead->arena);
	ahead->nchunks = (job->n + CHUNK_MESSAGES - 1) / CHUNK_MESSAGES;
	ahead->messages = si_arena_alloc(ahead->arena, sizeof(SiMessage) * n);
	ahead->records = si_arena_alloc(ahead->arena, sizeof(SiRecord) * n);
	ahead->states = si_arena_alloc(ahead->arena, (size_t) ahead->nchunks);
	if (ahead->messages == NULL || ahead->records == NULL || ahead->states == NULL)
		return false;
	memset(ahead->states, CHUNK_FREE, (size_t) ahead->nchunks);
	for (size_t i = 0; i < n; i++)
		ahead->messages[i] = *(const SiMessage *) ((const char *) job->first + i * job->stride);
	return true;
}

bool
si_ahead_begin(SiAhead *ahead, const SiAheadJob *job)
{
	ahead->job = *job;
	if (!copy_messages(ahead))
		return false;
	ahead->job.most_decoded += si_arena_used(ahead->arena);
	if (!ahead->running && si_thread_start(&ahead->thread, ahead_main, ahead) != 0)
		return false;
	ahead->running = true;
	ahead->active = true;
	__atomic_store_n(&ahead->cancelled, false, __ATOMIC_RELAXED);
	pthread_mutex_lock(&ahead->lock);
	ahead->pending = true;
	pthread_cond_signal(&ahead->work);
	pthread_mutex_unlock(&ahead->lock);
	return true;
}

/* A message is the same only while its bytes have been kept for it. */
static bool
is_same(const SiMessage *a, const SiMessage *b)
{
	return a->offset == b->offset && a->partition == b->partition && a->value == b->value &&
		a->key == b->key && a->handle == b->handle;
}

int
si_ahead_begins_with(const SiAhead *ahead, const SiMessage *message)
{
	return ahead->active && is_same(&ahead->messages[0], message) ? ahead->job.n : 0;
}

const SiRecord *
si_ahead_take(SiAhead *ahead, int i, const SiMessage *message)
{
	int			chunk = i / CHUNK_MESSAGES;
	unsigned char state;

	if (!ahead->active || i >= ahead->job.n)
		return NULL;
	state = __atomic_load_n(&ahead->states[chunk], __ATOMIC_ACQUIRE);
	if (state == CHUNK_FREE)
		(void) take_chunk(ahead, chunk, CHUNK_OF_MAIN);
	if (state != CHUNK_DONE || ahead->records[i].fields == NULL ||
		!is_same(&ahead->messages[i], message))
		return NULL;
	return &ahead->records[i];
}

void
si_ahead_end(SiAhead *ahead)
{
	if (!ahead->active)
		return;
	__atomic_store_n(&ahead->cancelled, true, __ATOMIC_RELAXED);
	pthread_mutex_lock(&ahead->lock);
	ahead->pending = false;
	while (ahead->busy)
		pthread_cond_wait(&ahead->idle, &ahead->lock);
	pthread_mutex_unlock(&ahead->lock);
	ahead->active = false;
}

void
si_ahead_destroy(SiAhead *ahead)
{
	if (ahead == NULL)
		return;
	if (ahead->running)
	{
		si_ahead_end(ahead);
		pthread_mutex_lock(&ahead->lock);
		ahead->closing = true;
		pthread_cond_signal(&ahead->work);
		pthread_mutex_unlock(&ahead->lock);
		pthread_join(ahead->thread, NULL);
	}
	pthread_cond_destroy(&ahead->work);
	pthread_cond_destroy(&ahead->idle);
	pthread_mutex_destroy(&ahead->lock);
	si_arena_destroy(ahead->arena);
	free(ahead);
}
