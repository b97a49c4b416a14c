/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  Arguments that several SQL functions have.
 *
 * Called by SQL functions (functions*.c) only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ARGUMENTS_H
#define SI_ARGUMENTS_H

#include "catalog/subscriptions.h"
#include "common/message.h"
#include "fmgr.h"

/* Error 22004 if the i-th argument is null. */
extern void si_arguments_require(FunctionCallInfo fcinfo, int i, const char *name);

/* A text, or the text of a JSON document; NULL where the argument is null. */
extern char *si_arguments_text(FunctionCallInfo fcinfo, int i);
extern char *si_arguments_jsonb(FunctionCallInfo fcinfo, int i);

/* A format; error 22004 if it is null, 22023 if there is no such format. */
extern char *si_arguments_format(FunctionCallInfo fcinfo, int i);

/* Error 22023, with the words there are, unless there is such a one. */
extern void si_arguments_check_format(const char *format);
extern SiInsertModeId si_arguments_insert_mode(const char *name);

/* A number of messages; error 22023 if it is not positive. */
extern int	si_arguments_max_messages(FunctionCallInfo fcinfo, int i);

/*
 * The subscription that the first argument names, for a function that writes:
 * it must exist, and the current role have the owner's privileges.  lock: lock
 * its row until the transaction ends.
 */
extern SiSubscription *si_arguments_subscription(FunctionCallInfo fcinfo, const char *function,
												 bool lock);

/* The same, NULL if there is no such subscription. */
extern SiSubscription *si_arguments_subscription_if_any(FunctionCallInfo fcinfo,
														const char *function, bool lock);

/* Kafka's text is UTF-8; the result may be the argument itself. */
extern const char *si_arguments_to_utf8(const char *bytes, int len, size_t *result_len);

/*
 * The headers that a JSON object has, in UTF-8: strings and numbers as they are,
 * the rest as JSON text; with hex, a string in bytea's hex form as its bytes.
 * NULL where the argument is null; error 22023 if it is no object.
 */
extern const SiHeader *si_arguments_headers(FunctionCallInfo fcinfo, int i, bool hex, int *n);

#endif							/* SI_ARGUMENTS_H */
