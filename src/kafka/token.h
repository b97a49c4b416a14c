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
 * Called by consumer and producer.
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

/* Tell it to end: it does not use the handle, nor the descriptor, from now on. */
extern void si_token_end(SiToken *token);

/* Wait for the end, and free it; it frees itself if that takes longer. */
extern void si_token_await(SiToken *token, int timeout_ms);

#endif							/* SI_TOKEN_H */
