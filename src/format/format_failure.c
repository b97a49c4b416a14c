/*-------------------------------------------------------------------------
 *
 * format_failure.c
 *	  A decoder's error as a failure.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "format/format_failure.h"

int
si_format_failure_code(const SiDecodeError *error)
{
	const char *c = error->sqlstate;

	return MAKE_SQLSTATE(c[0], c[1], c[2], c[3], c[4]);
}

SiFailure *
si_failure_from_decode(const SiDecodeError *error)
{
	SiFailure  *failure = palloc0(sizeof(SiFailure));

	failure->sqlerrcode = si_format_failure_code(error);
	failure->message = pstrdup(pg_any_to_server(error->message, strlen(error->message),
												PG_UTF8));
	failure->detail = error->detail[0] ? pstrdup(error->detail) : NULL;
	failure->safe = true;
	return failure;
}
