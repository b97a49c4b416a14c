/*-------------------------------------------------------------------------
 *
 * token.h
 *	  The tokens with which a client authenticates (sasl_mechanism OAUTHBEARER).
 *
 * A thread of its own requests a token from the token endpoint by the client's
 * credentials, gives it to librdkafka, and gets the next one before that expires.
 * (librdkafka could do this itself only if built with libcurl, which Debian's is not.)
 * The endpoint is given by properties of the client, which this module alone reads.
 *
 * Or a function of the user's gives them.  Then there is no thread: the caller, in whose
 * process it can run, asks when the next token is due, and hands it over, or says why
 * there is none.
 *
 * Called by consumer and producer; of tokens that a function gives also by the worker
 * and by the functions that connect.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TOKEN_H
#define SI_TOKEN_H

#include "kafka/client.h"
#include "kafka/consumer_values.h"

struct rd_kafka_s;

typedef struct SiToken SiToken;

/* So many extensions may a client name to a broker. */
#define SI_TOKEN_MAX_EXTENSIONS	32

/*
 * Do the properties want tokens?  Then *token is a source that does not run yet.
 * False, and why, if the properties lack something, or there is no memory.  ERROR
 * 53200 if libcurl cannot be initialized.
 */
extern bool si_token_create(const SiProperty *properties, int nproperties, SiToken **token,
							SiClientFailure *failure);

/* The name of the function that gives the tokens for these properties, or NULL. */
extern const char *si_token_properties_function(const SiProperty *properties, int nproperties);

/* Free one that was never started, or NULL. */
extern void si_token_free(SiToken *token);

/*
 * Start it: the handle gets its tokens from now on, and fd is made readable at each
 * news.  Returns an error number.
 */
extern int	si_token_start(SiToken *token, struct rd_kafka_s *rk, int fd);

/*
 * Has something changed?  Then the error says why there is no new token; its kind is
 * NONE if there is one.
 */
extern bool si_token_news(SiToken *token, SiBrokerError *news);

/*
 * A broker has refused the token: get another one, at once or when the refused one is
 * some seconds old.
 */
extern void si_token_renew(SiToken *token);

/* The function that gives its tokens; NULL: none does. */
extern const char *si_token_function(const SiToken *token);

/*
 * In how many milliseconds that function is to be called; 0: now; -1: never, as of NULL.
 */
extern int64 si_token_due_ms(SiToken *token);

/* Has it ever given one? */
extern bool si_token_has_come(SiToken *token);

/* Hand over a token of that function, and for how long it is valid. */
extern void si_token_give(SiToken *token, const char *text, int64 life_ms);

/* The function gave none; passing: that may change by itself, and soon. */
extern void si_token_deny(SiToken *token, bool passing, const char *words);

/* Tell it to end: it does not use the handle, nor the descriptor, from now on. */
extern void si_token_end(SiToken *token);

/* Wait for the end, and free it; it frees itself if that takes longer. */
extern void si_token_await(SiToken *token, int timeout_ms);

#endif							/* SI_TOKEN_H */
