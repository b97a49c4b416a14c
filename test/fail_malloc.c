/*-------------------------------------------------------------------------
 *
 * fail_malloc.c
 *	  Lets single allocations of a running process fail.  For LD_PRELOAD.
 *
 * FAIL_MALLOC_FILE names a file of SLOTS orders of four 32-bit integers, which
 * a test writes and reads while the processes run:
 *
 *	pid			of the process; 0: this slot is free.  Written last
 *	callers		1: calls by the extension; 2: those by the server, too
 *	countdown	so many of these calls succeed, then one fails
 *	failed		set to 1 when it has
 *
 * Calls by other libraries always succeed: librdkafka ends the process when
 * it gets no memory.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 8

typedef struct Order
{
	volatile int32_t pid;
	volatile int32_t callers;
	volatile int32_t countdown;
	volatile int32_t failed;
} Order;

static Order *orders = NULL;

/* The C library's own, under names that nobody replaces. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *former, size_t size);

__attribute__((constructor))
static void
map_orders(void)
{
	const char *path = getenv("FAIL_MALLOC_FILE");
	int			fd = path ? open(path, O_RDWR) : -1;
	void	   *map;

	if (fd < 0)
		return;
	map = mmap(NULL, SLOTS * sizeof(Order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		orders = map;
}

/* Is the caller the extension (1), the server (2) or another library (0)? */
static int
caller_kind(const void *address)
{
	Dl_info		info;
	const char *name;

	if (dladdr(address, &info) == 0 || info.dli_fname == NULL)
		return 0;
	name = strrchr(info.dli_fname, '/');
	name = name ? name + 1 : info.dli_fname;
	if (strcmp(name, "stream_ingest.so") == 0)
		return 1;
	return strcmp(name, "postgres") == 0 || strncmp(name, "postgres:", 9) == 0 ? 2 : 0;
}

/* Shall this call fail? */
static int
must_fail(const void *caller)
{
	for (int i = 0; orders != NULL && i < SLOTS; i++)
	{
		Order	   *order = &orders[i];
		int			kind;

		if (order->pid == 0 || order->pid != getpid())
			continue;
		kind = caller_kind(caller);
		if (kind == 0 || kind > order->callers)
			continue;
		if (order->countdown-- > 0)
			continue;
		order->failed = 1;
		order->pid = 0;
		errno = ENOMEM;
		return 1;
	}
	return 0;
}

void *
malloc(size_t size)
{
	return must_fail(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return must_fail(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *former, size_t size)
{
	return must_fail(__builtin_return_address(0)) ? NULL : __libc_realloc(former, size);
}
