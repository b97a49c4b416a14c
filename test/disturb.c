/*-------------------------------------------------------------------------
 *
 * disturb.c
 *	  Lets the clock jump under running processes, and librdkafka hang when it
 *	  destroys a handle.  For LD_PRELOAD.
 *
 * DISTURB_FILE names a file of two 64-bit integers, which a test writes while the
 * processes run:
 *
 *	offset		seconds that the clock is ahead
 *	hang		not 0: rd_kafka_destroy does not return
 *
 * The monotonic clock stays as it is, as when an administrator sets the clock.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef struct Orders
{
	volatile int64_t offset;
	volatile int64_t hang;
} Orders;

static Orders *orders = NULL;

__attribute__((constructor))
static void
map_orders(void)
{
	const char *path = getenv("DISTURB_FILE");
	int			fd = path ? open(path, O_RDONLY) : -1;
	void	   *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(Orders), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		orders = map;
}

int
clock_gettime(clockid_t clock, struct timespec *at)
{
	int			rc = syscall(SYS_clock_gettime, clock, at);

	if (rc == 0 && orders != NULL && clock == CLOCK_REALTIME)
		at->tv_sec += orders->offset;
	return rc;
}

int
gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now;

	(void) zone;
	(void) clock_gettime(CLOCK_REALTIME, &now);
	at->tv_sec = now.tv_sec;
	at->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *at)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	if (at != NULL)
		*at = now.tv_sec;
	return now.tv_sec;
}

void
rd_kafka_destroy(void *handle)
{
	static void (*destroy) (void *) = NULL;

	while (orders != NULL && orders->hang)
		usleep(100000);
	if (destroy == NULL)
		*(void **) &destroy = dlsym(RTLD_NEXT, "rd_kafka_destroy");

	/*
	 * librdkafka is no dependency of the program, so it comes behind
	 * RTLD_NEXT
	 */
	if (destroy == NULL)
		*(void **) &destroy = dlsym(dlopen("librdkafka.so.1", RTLD_LAZY | RTLD_NOLOAD), "rd_kafka_destroy");
	destroy(handle);
}
