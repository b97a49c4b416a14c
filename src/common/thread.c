/*-------------------------------------------------------------------------
 *
 * thread.c
 *	  Threads beside the server's own.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <signal.h>
#include <stddef.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "common/thread.h"

/* Enough for what decoders and jansson nest, whatever the process's limit is. */
#define STACK_BYTES		((size_t) 8 * 1024 * 1024)

int
si_thread_start(pthread_t *thread, void *(*main) (void *), void *arg)
{
	sigset_t	all;
	sigset_t	before;
	pthread_attr_t attributes;
	int			rc = pthread_attr_init(&attributes);

	if (rc != 0)
		return rc;
	(void) pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, &attributes, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void) pthread_attr_destroy(&attributes);
	return rc;
}

unsigned long
si_thread_set_timer_slack(unsigned long ns)
{
#ifdef PR_SET_TIMERSLACK
	int			before = prctl(PR_GET_TIMERSLACK);

	if (before > 0 && prctl(PR_SET_TIMERSLACK, ns) == 0)
		return before;
#endif
	return 0;
}
