/*-------------------------------------------------------------------------
 *
 * without_server.h
 *	  For programs that hold what runs in a thread beside the server: what stands
 *	  for the functions of the server that these files name.
 *
 * Included once, after postgres.h, by ahead_test.c and instructions.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* the C library's, not the server's */
#undef fprintf
#undef printf
#undef snprintf

static pthread_t main_thread;

static void
only_main(const char *what)
{
	if (pthread_equal(pthread_self(), main_thread))
		return;
	fprintf(stderr, "the thread calls %s\n", what);
	abort();
}

void *
palloc(Size size)
{
	only_main("palloc");
	return malloc(size);
}

int
GetDatabaseEncoding(void)
{
	only_main("GetDatabaseEncoding");
	return PG_UTF8;
}

text *
cstring_to_text_with_len(const char *s, int len)
{
	fprintf(stderr, "cstring_to_text_with_len is called\n");
	abort();
}

void
ExceptionalCondition(const char *conditionName,
#if PG_VERSION_NUM < 160000
					 const char *errorType,
#endif
					 const char *fileName, int lineNumber)
{
	fprintf(stderr, "assertion failed: %s, %s:%d\n", conditionName, fileName, lineNumber);
	abort();
}
