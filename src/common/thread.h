/*-------------------------------------------------------------------------
 *
 * thread.h
 *	  Threads beside the server's own.
 *
 * The file needs no server header.  Called by kafka's modules and by ahead.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_THREAD_H
#define SI_THREAD_H

#include <pthread.h>

/*
 * Start a thread with all signals blocked: the server's signal handlers must run
 * in the main thread.  Returns an error number.
 */
extern int	si_thread_start(pthread_t *thread, void *(*main) (void *), void *arg);

/*
 * Say how late a sleep of the calling thread may end that has a timeout, in nanoseconds.
 * Threads that it starts inherit it, also as their default.  Returns what it was, or 0
 * where the system has no such setting.
 */
extern unsigned long si_thread_set_timer_slack(unsigned long ns);

#endif							/* SI_THREAD_H */
