/*-------------------------------------------------------------------------
 *
 * http.h
 *	  HTTP requests by libcurl.
 *
 * For threads of the client: no server function, and all memory is malloc'd.  Only
 * http and https; redirects are not followed, proxies and passwords of the environment
 * are not used, and no file is read but ca_location.  Called by registry_http and
 * token; options asks whether there is a client.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_HTTP_H
#define SI_HTTP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct SiHttp SiHttp;

/* What holds for all requests; texts are NULL where they were not given. */
typedef struct SiHttpOptions
{
	size_t		max_body;		/* the largest answer that is read */
	int			timeout_ms;		/* of an answer; connecting may take a third */
	const char *ca_pem;
	const char *ca_location;
	const char *proxy;
	const char *username;
	const char *password;
	const char *token;			/* a bearer token, instead of both */
	const char *certificate_pem;
	const char *key_pem;
} SiHttpOptions;

typedef enum SiHttpOutcome
{
	SI_HTTP_ANSWERED,
	SI_HTTP_TOO_LARGE,			/* the answer */
	SI_HTTP_UNTRUSTED,			/* the server's certificate, or ours, is
								 * refused */
	SI_HTTP_AWAY				/* no answer */
} SiHttpOutcome;

typedef struct SiHttpAnswer
{
	SiHttpOutcome outcome;
	const char *words;			/* why there is no answer; fixed ones */
	long		status;
	const char *content_type;	/* or NULL */
	const char *body;			/* until the next request */
	size_t		body_len;
	long		retry_after_s;	/* 0: none */
} SiHttpAnswer;

/* May a request that got this status succeed when it is repeated? */
static inline bool
si_http_is_passing(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* Is this a build with libcurl? */
extern bool si_http_is_supported(void);

/*
 * Initialize libcurl, once; for the main thread, before any other.  Error: 53200.
 */
extern void si_http_init(void);

/*
 * A client; the options must live as long.  cancelled is called about once a second,
 * and ends a request.  NULL when out of memory.
 */
extern SiHttp *si_http_create(const SiHttpOptions *options, bool (*cancelled) (void *arg),
							  void *arg);

/* Get the URL, or post a form to it where that is not NULL. */
extern void si_http_request(SiHttp *http, const char *url, const char *form, SiHttpAnswer *answer);

/* Close connections; for the thread that has made the requests. */
extern void si_http_end(SiHttp *http);

extern void si_http_free(SiHttp *http);

#endif							/* SI_HTTP_H */
