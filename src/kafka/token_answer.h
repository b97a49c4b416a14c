/*-------------------------------------------------------------------------
 *
 * token_answer.h
 *	  What the HTTP answer of a token endpoint (OAuth 2.0, RFC 6749) means.
 *
 * Pure C, for the token's thread.  Called by token.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TOKEN_ANSWER_H
#define SI_TOKEN_ANSWER_H

#include <stdint.h>

#include "kafka/http.h"

/* The largest answer that is read, and the longest token (Kafka's own limit is twice that). */
#define SI_TOKEN_MAX_BODY	((size_t) 256 * 1024)

typedef enum SiTokenOutcome
{
	SI_TOKEN_FOUND,
	SI_TOKEN_AWAY,				/* no answer, or one that says later */
	SI_TOKEN_REFUSED			/* trying again is of no use until something
								 * is corrected */
} SiTokenOutcome;

typedef struct SiTokenAnswer
{
	SiTokenOutcome outcome;
	char	   *token;			/* malloc'd: the caller's; NULL unless found */
	int64_t		lifetime_s;
	char		words[160];		/* what is wrong; nothing of the answer but
								 * RFC 6749's own error codes */
	long		retry_after_s;	/* as the endpoint wishes; 0: it does not say */
} SiTokenAnswer;

/* Read an answer that came at now_s, in seconds since 1970. */
extern void si_token_read_answer(const SiHttpAnswer *http, int64_t now_s, SiTokenAnswer *answer);

#endif							/* SI_TOKEN_ANSWER_H */
