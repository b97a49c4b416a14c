/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  What went wrong with a message or a batch, and what kind of error it is.
 *
 * One table decides the kind (failure.c).  A failure's message and detail may
 * quote a payload (they are the server's words); log, status and reason show the
 * text of si_failure_describe instead.
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
	SI_ERROR_TEMPORARY,			/* retry the same batch */
	SI_ERROR_DATA				/* a message's fault, if isolation shows it */
} SiErrorKind;

typedef struct SiFailure
{
	int			sqlerrcode;
	char	   *message;
	char	   *detail;			/* NULL if there is none, as the following */
	char	   *hint;			/* what to do; quotes no payload */
	char	   *column;
	char	   *type;
	char	   *constraint;
	bool		safe;			/* message is our own, it quotes no payload */
	bool		of_row;			/* raised by the executor for the row, and
								 * depends on nothing else */
	int			record;			/* of a message that holds several, from 1; 0
								 * where there is one, or it is not known */
} SiFailure;

/* The failure of a message that skip() names. */
extern const SiFailure si_failure_skipped;

/*
 * The name of a type for SiFailure's type, palloc'd: with its schema unless that
 * is pg_catalog, so that it does not depend on the current search_path.
 */
extern char *si_failure_type_name(Oid type);

/* Make a failure of a caught error, in the current memory context. */
extern SiFailure *si_failure_from_error(const ErrorData *edata);

/*
 * Make a failure of a decoder's error, in the current memory context.  A temporary
 * error is thrown: no message is at fault then.
 */
extern SiFailure *si_failure_from_decode(const SiDecodeError *error);

/* Throw an error if it is temporary. */
extern void si_failure_throw_if_temporary(int sqlerrcode, const char *message);

/* The same for a decoder's error. */
extern void si_failure_check_decode(const SiDecodeError *error);

extern SiFailure *si_failure_copy(const SiFailure *failure, MemoryContext context);

/* Temporary or data?  By SQLSTATE, from the table. */
extern SiErrorKind si_failure_kind(int sqlerrcode);

/*
 * May the batch be retried at once (with jitter)?  Only if it conflicted with
 * another transaction, which has ended by now.
 */
extern bool si_failure_retry_at_once(int sqlerrcode);

/* Did the server run out of a resource of which a smaller batch takes less? */
extern bool si_failure_of_resources(int sqlerrcode);

/*
 * What stands beside the message of a dead letter: which record is at fault, and
 * the detail or else the hint; NULL if there is nothing.
 */
extern char *si_failure_detail(const SiFailure *failure);

/* The error alone, also without any payload. */
extern char *si_failure_words(const SiFailure *failure);

/*
 * One sentence without any payload.  topic and message may be NULL where no
 * single message is at fault.
 */
extern char *si_failure_describe(const SiFailure *failure, const char *topic,
								 const SiMessage *message);

#endif							/* SI_FAILURE_H */
