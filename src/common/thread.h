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
 * How late a sleep with a timeout may end, in the calling thread and in those that it
 * starts from now on.  Returns what it was, or 0 if that stays; a call with 0 sets
 * the process's default.
 */
extern unsigned long si_thread_set_timer_slack(unsigned long ns);

#endif							/* SI_THREAD_H */
