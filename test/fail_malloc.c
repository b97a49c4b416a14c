/*-------------------------------------------------------------------------
 *
 * fail_malloc.c
 *	  Lets single calls of a running process fail: allocations, and others on
 *	  the way of messages to a batch.  For LD_PRELOAD.
 *
 * FAIL_MALLOC_FILE names a file of SLOTS orders of four 32-bit integers, which
 * a test writes and reads while the processes run:
 *
 *	pid			of the process, -1: any; 0: this slot is free.  Written last
 *	what		of the following
 *	countdown	so many of these calls succeed, then one fails
 *	failed		set to 1 when it has
 *
 * What can fail:
 *
 *	1	malloc and its like, called by the extension
 *	2	the same, called by the server, too
 *	3	palloc and its like, called by the extension outside a transaction, from
 *		the next messages on that it is given by librdkafka, of which the first
 *		is shown as an unreadable one
 *	4	nothing: the process gets SIGTERM in the call that fetches messages, when
 *		"countdown" messages are queued; "failed" counts those taken from then on
 *	5	epoll_create1, called by the server after the process has made a handle
 *		of librdkafka
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
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 8

/* What an order is about, behind the two kinds of callers of malloc. */
#define OUTSIDE		3
#define TERMINATE	4
#define WAIT_SET	5

typedef struct Order
{
	volatile int32_t pid;
	volatile int32_t what;
	volatile int32_t countdown;
	volatile int32_t failed;
} Order;

static Order *orders = NULL;

/* The next malloc of the server fails: it is a palloc's. */
static volatile bool fail_palloc = false;

/* The C library's own, under names that are not replaced. */
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

/* Has the call come that the order lets fail? */
static int
is_due(Order *order)
{
	if (order->countdown-- > 0)
		return 0;
	order->failed = 1;
	order->pid = 0;
	return 1;
}

/* Shall this call of malloc fail? */
static int
must_fail(const void *caller)
{
	if (fail_palloc && caller_kind(caller) == 2)
	{
		fail_palloc = false;
		errno = ENOMEM;
		return 1;
	}
	for (int i = 0; orders != NULL && i < SLOTS; i++)
	{
		Order	   *order = &orders[i];
		int			kind;

		if (order->pid == 0 || order->pid != getpid() || order->what > 2)
			continue;
		kind = caller_kind(caller);
		if (kind == 0 || kind > order->what || !is_due(order))
			continue;
		errno = ENOMEM;
		return 1;
	}
	return 0;
}

/* The order of this kind for this process, or NULL. */
static Order *
find_order(int what)
{
	for (int i = 0; orders != NULL && i < SLOTS; i++)
	{
		if (orders[i].what == what && (orders[i].pid == -1 || orders[i].pid == getpid()))
			return &orders[i];
	}
	return NULL;
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

/* ---- the server's allocations ---- */

typedef char *(*pstrdup_function) (const char *);
typedef char *(*strdup_function) (void *, const char *);
typedef size_t (*pvsnprintf_function) (char *, size_t, const char *, va_list);
typedef void *(*palloc_function) (size_t);
typedef bool (*bool_function) (void);

/* A function of the server. */
#define SERVER(type, name) ((type) dlsym(RTLD_DEFAULT, name))

/*
 * An allocation by the extension.  If it shall fail, it does so as any other, by an
 * error; one as large as this never finds room in a block that is there already.
 */
static void
allocates(void)
{
	Order	   *order = find_order(OUTSIDE);

	if (order == NULL || SERVER(bool_function, "IsTransactionState") () || !is_due(order))
		return;
	fail_palloc = true;
	SERVER(palloc_function, "palloc") (1024 * 1024);
}

static void *
ours_palloc(size_t size)
{
	allocates();
	return SERVER(palloc_function, "palloc") (size);
}

static void *
ours_palloc0(size_t size)
{
	allocates();
	return SERVER(palloc_function, "palloc0") (size);
}

static char *
ours_pstrdup(const char *text)
{
	allocates();
	return SERVER(pstrdup_function, "pstrdup") (text);
}

static char *
ours_strdup(void *context, const char *text)
{
	allocates();
	return SERVER(strdup_function, "MemoryContextStrdup") (context, text);
}

static char *
ours_psprintf(const char *format,...)
{
	size_t		needed = 1024;

	allocates();
	for (;;)
	{
		size_t		size = needed;
		char	   *text = SERVER(palloc_function, "palloc") (size);
		va_list		args;

		va_start(args, format);
		needed = SERVER(pvsnprintf_function, "pvsnprintf") (text, size, format, args);
		va_end(args);
		if (needed < size)
			return text;
	}
}

static const struct
{
	const char *name;
	void	   *ours;
}			replaced[] = {
	{"palloc", ours_palloc},
	{"palloc0", ours_palloc0},
	{"pstrdup", ours_pstrdup},
	{"MemoryContextStrdup", ours_strdup},
	{"psprintf", ours_psprintf},
};

/* Lets an address by which the extension calls a function lead to ours. */
static void
replace(uintptr_t *address, const char *name)
{
	uintptr_t	page = (uintptr_t) sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++)
	{
		if (strcmp(name, replaced[i].name) != 0)
			continue;
		if (mprotect((void *) ((uintptr_t) address & ~(page - 1)), page, PROT_READ | PROT_WRITE) == 0)
			*address = (uintptr_t) replaced[i].ours;
	}
}

/*
 * Replaces functions in the extension's table of those that it calls: the server's own
 * come before those of any preloaded library.
 */
static int
replace_in(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *name = strrchr(info->dlpi_name, '/');
	const		ElfW(Dyn) * dynamic = NULL;
	const		ElfW(Sym) * symbols = NULL;
	const		ElfW(Rela) * calls = NULL;
	const char *names = NULL;
	size_t		n = 0;

	(void) size;
	(void) arg;
	if (name == NULL || strcmp(name, "/stream_ingest.so") != 0)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
	{
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	}
	for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++)
	{
		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const void *) dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_STRTAB)
			names = (const void *) dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_JMPREL)
			calls = (const void *) dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_PLTRELSZ)
			n = dynamic->d_un.d_val / sizeof(*calls);
	}
	for (size_t i = 0; i < n; i++)
		replace((uintptr_t *) (info->dlpi_addr + calls[i].r_offset), names + symbols[ELF64_R_SYM(calls[i].r_info)].st_name);
	return 1;
}

/* ---- fetching ---- */

/* The beginning of librdkafka's message, and its code for one that is unreadable. */
typedef struct Message
{
	int			err;
	void	   *rkt;
	int32_t		partition;
	void	   *payload;
} Message;

#define BAD_MSG	(-199)

typedef ssize_t (*fetch_function) (void *, int, Message **, size_t);
typedef size_t (*length_function) (void *);

/* Gives the order to terminate, which is a signal to this thread, when it is time. */
static void
terminate(Order *order, void *queue)
{
	length_function length = (length_function) dlsym(RTLD_NEXT, "rd_kafka_queue_length");

	if (order->countdown < 0)
		return;
	for (int i = 0; i < 20000 && length(queue) < (size_t) order->countdown; i++)
		usleep(1000);
	if (length(queue) < (size_t) order->countdown)
		return;
	order->countdown = -1;
	raise(SIGTERM);
}

ssize_t
rd_kafka_consume_batch_queue(void *queue, int timeout, Message **messages, size_t size)
{
	fetch_function fetch = (fetch_function) dlsym(RTLD_NEXT, "rd_kafka_consume_batch_queue");
	static bool began = false;
	Order	   *order;
	ssize_t		n;

	order = find_order(TERMINATE);
	if (order != NULL)
		terminate(order, queue);
	n = fetch(queue, timeout, messages, size);
	if (order != NULL && order->countdown < 0 && n > 0)
		order->failed += n;
	if (n > 0 && messages[0]->err == 0 && !began && find_order(OUTSIDE) != NULL)
	{
		began = true;
		messages[0]->err = BAD_MSG;
		messages[0]->payload = NULL;
		dl_iterate_phdr(replace_in, NULL);
	}
	return n;
}

/* ---- the wait set ---- */

static bool has_client = false;

void *
rd_kafka_new(int type, void *conf, char *words, size_t size)
{
	void	   *(*new) (int, void *, char *, size_t) = dlsym(RTLD_NEXT, "rd_kafka_new");

	has_client = true;
	return new(type, conf, words, size);
}

int
epoll_create1(int flags)
{
	int			(*create) (int) = dlsym(RTLD_NEXT, "epoll_create1");
	Order	   *order = has_client ? find_order(WAIT_SET) : NULL;

	if (order != NULL && caller_kind(__builtin_return_address(0)) == 2 && is_due(order))
	{
		errno = EMFILE;
		return -1;
	}
	return create(flags);
}
