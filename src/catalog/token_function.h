/*-------------------------------------------------------------------------
 *
 * token_function.h
 *	  Tokens that a user's function gives (option sasl_oauthbearer_function of a
 *	  server): calling it.
 *
 * The function runs in the main thread of the process that connects, as the role that
 * connects: the owner of the subscription, or the role that calls one of our functions.
 * What it does is rolled back; only its token counts, and that belongs to this process.
 *
 * Whose function it is matters, since the server's owner chooses the name: it must be
 * that role's own or a superuser's, and the server's owner, whose brokers are sent the
 * token, needs EXECUTE, and USAGE on its schema.
 *
 * Called by the worker, and by the functions that connect or store a subscription.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TOKEN_FUNCTION_H
#define SI_TOKEN_FUNCTION_H

#include "common/failure.h"
#include "kafka/token.h"

/*
 * If a token is due, call the function as that role, and hand its token over, or the
 * words of why there is none.  Returns that failure, in the current memory context; its
 * message and hint hold nothing of what the function threw but the SQLSTATE.  NULL:
 * there was nothing to do, or it is done.  In a transaction with a snapshot.
 */
extern SiFailure *si_token_function_serve(SiToken *token, Oid server, Oid role);

/*
 * Throw within a function that gives tokens: it must not connect to Kafka, for which it
 * might need itself.
 */
extern void si_token_function_refuse_inside(void);

/* Throw such a failure. */
extern void si_token_function_throw(const SiFailure *failure,
									const char *server) __attribute__((noreturn));

/*
 * Throw unless the function is there, may be called by that role for that server, and
 * has the right result.  It is not called.
 */
extern void si_token_function_check(const char *function, Oid server, const char *server_name,
									Oid role);

#endif							/* SI_TOKEN_FUNCTION_H */
