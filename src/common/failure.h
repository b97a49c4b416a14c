/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  What went wrong with a message or a batch, and what kind of error it is.
 *
 * The kind is decided in one place, by one table (failure.c).  A failure's
 * message and detail may quote a payload (they are the server's words); what
 * goes to the log, to status and to reason is si_failure_describe's.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FAILURE_H
#define SI_FAILURE_H

#include "common/message.h"
#include "common/record.h"
#include "utils/elog.h"

typedef enum SiErrorKind
{
	SI_ERROR_PASSING,			/* try the same batch again */
	SI_ERROR_DATA				/* some message's fault, if isolation shows it */
} SiErrorKind;

typedef struct SiFailure
{
	int			sqlerrcode;
	char	   *message;
	char	   *detail;			/* NULL if there is none; so for the following */
	char	   *hint;			/* what to do; quotes no payload */
	char	   *column;
	char	   *type;
	char	   *constraint;
	bool		safe;			/* message is our own, it quotes no payload */
	bool		of_row;			/* the executor's own verdict on a row, which
								 * depends on nothing else */
} SiFailure;

/* Of a message that somebody wants skipped. */
extern const SiFailure si_failure_skipped;

/*
 * The name of a type for SiFailure's type, palloc'd: with its schema unless that
 * is pg_catalog, so that it does not depend on the search_path of the moment.
 */
extern char *si_failure_type_name(Oid type);

/* Copy what matters of a caught error into the current memory context. */
extern SiFailure *si_failure_from_error(const ErrorData *edata);

/*
 * A decoder's verdict as a failure, in the current memory context.  One that
 * passes is thrown: no message is at fault then.
 */
extern SiFailure *si_failure_from_decode(const SiDecodeError *error);

/* Throw a failure that passes, wherever it was found. */
extern void si_failure_throw_if_passing(int sqlerrcode, const char *message);

/* The same for a decoder's verdict. */
extern void si_failure_check_decode(const SiDecodeError *error);

extern SiFailure *si_failure_copy(const SiFailure *failure, MemoryContext context);

/* Passing or data?  By SQLSTATE, from the table. */
extern SiErrorKind si_failure_kind(int sqlerrcode);

/* May it be tried again at once (with jitter)? */
extern bool si_failure_retry_at_once(int sqlerrcode);

/* Has the server run out of something that a smaller batch takes less of? */
extern bool si_failure_of_resources(int sqlerrcode);

/* The error alone, also without any payload. */
extern char *si_failure_words(const SiFailure *failure);

/*
 * One sentence without any payload.  topic and message may be NULL where no
 * single message is at fault.
 */
extern char *si_failure_describe(const SiFailure *failure, const char *topic,
								 const SiMessage *message);

#endif							/* SI_FAILURE_H */
