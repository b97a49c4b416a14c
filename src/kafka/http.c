/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP requests: the only file that uses libcurl.
 *
 * The thread that libcurl makes to look up a name is born in the caller's, which has
 * all signals blocked, and so it has them blocked, too.  A request that must end early is
 * ended by its progress callback, which libcurl calls about once a second also while
 * it waits for a name.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "kafka/http.h"

#ifdef SI_SCHEMA_REGISTRY

#include <curl/curl.h>

#include "kafka/client.h"

#if LIBCURL_VERSION_NUM < 0x074D00
#error "stream_ingest needs libcurl 7.77 or newer (CURLOPT_CAINFO_BLOB)"
#endif

/* A connection may take this part of the time for an answer. */
#define CONNECT_PART	3

/* A server may wish no longer than this before the next request. */
#define MAX_RETRY_AFTER_S	60

struct SiHttp
{
	SiHttpOptions options;
	bool		(*cancelled) (void *arg);
	void	   *arg;
	CURL	   *curl;
	char	   *body;
	size_t		body_len;
	size_t		body_room;
	bool		body_too_large;
};

/* ---- a request ---- */

/* libcurl's callback for bytes of the body. */
static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	SiHttp	   *http = arg;
	size_t		needed = http->body_len + size * n;

	if (needed > http->options.max_body)
	{
		http->body_too_large = true;
		return 0;
	}
	if (needed > http->body_room)
	{
		size_t		room = Max(needed, http->body_room * 2);
		char	   *larger = realloc(http->body, room);

		if (larger == NULL)
			return 0;
		http->body = larger;
		http->body_room = room;
	}
	memcpy(http->body + http->body_len, data, size * n);
	http->body_len = needed;
	return size * n;
}

/* libcurl's callback for progress: not 0 ends the request. */
static int
check_cancelled(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
	SiHttp	   *http = arg;

	return http->cancelled(http->arg);
}

static bool
set_text(CURL *curl, CURLoption option, const char *value)
{
	return value == NULL || curl_easy_setopt(curl, option, value) == CURLE_OK;
}

/* The text of a certificate or key, which libcurl does not copy. */
static bool
set_blob(CURL *curl, CURLoption option, const char *text)
{
	struct curl_blob blob;

	if (text == NULL)
		return true;
	blob.data = unconstify(char *, text);
	blob.len = strlen(text);
	blob.flags = CURL_BLOB_NOCOPY;
	return curl_easy_setopt(curl, option, &blob) == CURLE_OK;
}

/* Only HTTP, which follows nothing and reads no file but the CAs. */
static bool
set_protocol(CURL *curl)
{
	bool		done;

#if LIBCURL_VERSION_NUM >= 0x075500
	done = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
	done = curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS) == CURLE_OK;
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* a file of CAs may be replaced */
	(void) curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, 60L);

	/* the end of a client does not wait for a thread that looks up a name */
	done &= curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
#endif
	done &= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED) == CURLE_OK;
	return done;
}

/* Who we are to the server. */
static bool
set_credentials(CURL *curl, const SiHttpOptions *options)
{
	bool		done = true;

	if (options->token != NULL)
	{
		done &= curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BEARER) == CURLE_OK;
		done &= set_text(curl, CURLOPT_XOAUTH2_BEARER, options->token);
	}
	else if (options->username != NULL)
	{
		done &= curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC) == CURLE_OK;
		done &= set_text(curl, CURLOPT_USERNAME, options->username);
		done &= set_text(curl, CURLOPT_PASSWORD, options->password ? options->password : "");
	}
	done &= set_blob(curl, CURLOPT_SSLCERT_BLOB, options->certificate_pem);
	done &= set_blob(curl, CURLOPT_SSLKEY_BLOB, options->key_pem);
	return done;
}

/* A handle for all requests, or NULL. */
static CURL *
make_handle(SiHttp *http)
{
	const SiHttpOptions *options = &http->options;
	CURL	   *curl = curl_easy_init();
	bool		done;

	if (curl == NULL)
		return NULL;
	done = set_protocol(curl) && set_credentials(curl, options);
	done &= set_text(curl, CURLOPT_PROXY, options->proxy ? options->proxy : "");
	done &= set_blob(curl, CURLOPT_CAINFO_BLOB, options->ca_pem);
	done &= set_text(curl, CURLOPT_CAINFO, options->ca_location);
	done &= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) options->timeout_ms) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
							 (long) options->timeout_ms / CONNECT_PART) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_WRITEDATA, http) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, check_cancelled) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
	if (done)
		return curl;
	curl_easy_cleanup(curl);
	return NULL;
}

/* Is the error about a certificate, the server's or ours? */
static bool
is_untrusted(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
		code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
		code == CURLE_SSL_INVALIDCERTSTATUS;
}

/* A request that brought no answer.  libcurl's words for a code are fixed ones. */
static void
explain_failure(const SiHttp *http, CURLcode code, SiHttpAnswer *answer)
{
	answer->words = curl_easy_strerror(code);
	if (http->body_too_large)
		answer->outcome = SI_HTTP_TOO_LARGE;
	else if (is_untrusted(code))
		answer->outcome = SI_HTTP_UNTRUSTED;
	else
		answer->outcome = SI_HTTP_AWAY;
}

static void
read_answer(SiHttp *http, SiHttpAnswer *answer)
{
	char	   *content_type = NULL;
	curl_off_t	retry_after = 0;

	answer->outcome = SI_HTTP_ANSWERED;
	answer->body = http->body ? http->body : "";
	answer->body_len = http->body_len;
	(void) curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	(void) curl_easy_getinfo(http->curl, CURLINFO_CONTENT_TYPE, &content_type);
	(void) curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &retry_after);
	answer->content_type = content_type;
	answer->retry_after_s = (long) Min(retry_after, (curl_off_t) MAX_RETRY_AFTER_S);
}

/* What this request asks for; the form, which libcurl does not copy, must stay. */
static CURLcode
set_request(CURL *curl, const char *url, const char *form)
{
	CURLcode	code = curl_easy_setopt(curl, CURLOPT_URL, url);

	if (code == CURLE_OK && form != NULL)
		code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
	else if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	return code;
}

void
si_http_request(SiHttp *http, const char *url, const char *form, SiHttpAnswer *answer)
{
	CURLcode	code;

	memset(answer, 0, sizeof(*answer));
	if (http->options.ca_location != NULL && si_client_refuse_file(http->options.ca_location) != NULL)
	{
		answer->outcome = SI_HTTP_UNTRUSTED;
		answer->words = "the file of CAs is no regular file, or larger than 16 MB";
		return;
	}
	if (http->curl == NULL)
		http->curl = make_handle(http);
	if (http->curl == NULL)
	{
		answer->outcome = SI_HTTP_AWAY;
		answer->words = "libcurl cannot be set up";
		return;
	}
	http->body_len = 0;
	http->body_too_large = false;
	code = set_request(http->curl, url, form);
	if (code == CURLE_OK)
		code = curl_easy_perform(http->curl);
	if (code == CURLE_OK)
		read_answer(http, answer);
	else
		explain_failure(http, code, answer);
}

/* ---- begin and end ---- */

bool
si_http_is_supported(void)
{
	return true;
}

/* libcurl's own initialization is not safe beside other threads of libcurl. */
void
si_http_init(void)
{
	static bool done = false;

	if (!done && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	done = true;
}

SiHttp *
si_http_create(const SiHttpOptions *options, bool (*cancelled) (void *arg), void *arg)
{
	SiHttp	   *http = calloc(1, sizeof(SiHttp));

	if (http == NULL)
		return NULL;
	http->options = *options;
	http->cancelled = cancelled;
	http->arg = arg;
	return http;
}

void
si_http_end(SiHttp *http)
{
	curl_easy_cleanup(http->curl);
	http->curl = NULL;
}

void
si_http_free(SiHttp *http)
{
	if (http == NULL)
		return;
	free(http->body);
	free(http);
}

#else							/* !SI_SCHEMA_REGISTRY */

/* Callers ask si_http_is_supported() first. */
bool
si_http_is_supported(void)
{
	return false;
}

void
si_http_init(void)
{
}

SiHttp *
si_http_create(const SiHttpOptions *options, bool (*cancelled) (void *arg), void *arg)
{
	return NULL;
}

void
si_http_request(SiHttp *http, const char *url, const char *form, SiHttpAnswer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->outcome = SI_HTTP_AWAY;
	answer->words = "there is no HTTP client";
}

void
si_http_end(SiHttp *http)
{
}

void
si_http_free(SiHttp *http)
{
}

#endif							/* SI_SCHEMA_REGISTRY */
