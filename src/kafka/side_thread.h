/*-------------------------------------------------------------------------
 *
 * side_thread.h
 *	  A thread that answers the main thread's questions, and whose end is awaited
 *	  for a bounded time.
 *
 * The owner's struct holds one of these; its lock guards what both threads share.
 * A thread that takes longer to end than the main thread waits is abandoned, and
 * owns the struct then.  The thread calls no server function, and what it touches is
 * malloc'd.
 *
 * Called by helper, registry, ticket and token; si_side_thread_await_at_exit also by the callers
 * that close these with a short timeout.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SIDE_THREAD_H
#define SI_SIDE_THREAD_H

#include <pthread.h>

typedef struct SiSideThread
{
	pthread_t	thread;
	pthread_mutex_t lock;

	/* guarded by the lock */
	pthread_cond_t work;		/* for the thread: there is work */
	pthread_cond_t end;			/* for si_side_thread_await(): it has ended */
	bool		closing;
	bool		ended;
	bool		abandoned;		/* the thread frees the owner's struct */
} SiSideThread;

/* In memory that is all zeroes. */
extern void si_side_thread_init(SiSideThread *side);

/* Of one that does not run. */
extern void si_side_thread_destroy(SiSideThread *side);

/* A time of si_client_now_ms() as the condition variables take it. */
extern struct timespec si_side_thread_deadline(int64 at_ms);

/* Has it been told to end?  Takes the lock. */
extern bool si_side_thread_is_closing(SiSideThread *side);

/* Tell it to end. */
extern void si_side_thread_close(SiSideThread *side);

/*
 * What the thread does last.  If it has been abandoned, release is called to free
 * the owner's struct.
 */
extern void si_side_thread_finish(SiSideThread *side, void (*release) (void *), void *owner);

/*
 * Wait for the end of one that was told to end.  True: the caller frees the
 * owner's struct.  False if that takes longer: the thread is abandoned, and the
 * caller must not use the struct any more.
 */
extern bool si_side_thread_await(SiSideThread *side, int timeout_ms);

/*
 * Have the exit of this process wait some seconds for abandoned threads: exit()
 * beside a living TLS connection can crash.
 */
extern void si_side_thread_await_at_exit(void);

#endif							/* SI_SIDE_THREAD_H */
