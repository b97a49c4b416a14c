/*-------------------------------------------------------------------------
 *
 * registry_http.c
 *	  HTTP requests to a schema registry: the only file that uses libcurl.
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

#include "kafka/registry_answer.h"
#include "kafka/registry_http.h"

#ifdef SI_SCHEMA_REGISTRY

#include <curl/curl.h>

#if LIBCURL_VERSION_NUM < 0x074D00
#error "stream_ingest needs libcurl 7.77 or newer (CURLOPT_CAINFO_BLOB)"
#endif

#define URL_ROOM		4096

/* A connection may take this part of the time for an answer. */
#define CONNECT_PART	3

struct SiRegistryHttp
{
	SiRegistryOptions options;
	char	   *urls[SI_REGISTRY_MAX_URLS];
	int			nurls;
	int			url;			/* the one that has answered last */
	char	   *type;
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
	SiRegistryHttp *http = arg;
	size_t		needed = http->body_len + size * n;

	if (needed > SI_REGISTRY_MAX_BODY)
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
	SiRegistryHttp *http = arg;

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
	/* nor does it wait for the thread that looks up a name */
	done &= curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
#endif
	done &= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
	done &= curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED) == CURLE_OK;
	return done;
}

/* Who we are to the registry. */
static bool
set_credentials(CURL *curl, const SiRegistryOptions *options)
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
make_handle(SiRegistryHttp *http)
{
	const SiRegistryOptions *options = &http->options;
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

/* Is the error about a certificate, the registry's or ours? */
static bool
is_untrusted(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
		code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
		code == CURLE_SSL_INVALIDCERTSTATUS;
}

/* A request that brought no answer.  libcurl's words for a code are fixed ones. */
static void
explain_failure(const SiRegistryHttp *http, CURLcode code, SiRegistryAnswer *answer)
{
	const char *words = curl_easy_strerror(code);

	if (http->body_too_large)
		si_registry_set_unusable(answer, "54000", "is too large");
	else if (is_untrusted(code))
		si_registry_set_outcome(answer, SI_REGISTRY_UNTRUSTED, "%s", words);
	else
		si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "%s", words);
}

static void
read_answer(SiRegistryHttp *http, SiRegistryAnswer *answer)
{
	SiHttpAnswer got = {.body = http->body ? http->body : "",.body_len = http->body_len};
	char	   *content_type = NULL;
	curl_off_t	retry_after = 0;

	(void) curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &got.status);
	(void) curl_easy_getinfo(http->curl, CURLINFO_CONTENT_TYPE, &content_type);
	(void) curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &retry_after);
	got.content_type = content_type;
	got.retry_after_s = (long) Min(retry_after, (curl_off_t) INT_MAX);
	si_registry_read_answer(&got, http->options.apicurio, http->type, answer);
}

/* The URL of a schema; false if the API has none for such an id. */
static bool
make_url(const SiRegistryHttp *http, const SiSchemaId *id, char *url)
{
	const char *base = http->urls[http->url];
	const char *format = "%s/schemas/ids/%s";
	char text[	SI_SCHEMA_ID_ROOM];

	if (http->options.apicurio)
	{
		if (id->kind == SI_SCHEMA_GUID)
			return false;
		format = id->kind == SI_SCHEMA_CONTENT ? "%s/ids/contentIds/%s" :
			"%s/ids/globalIds/%s?dereference=true";
	}
	else if (id->kind == SI_SCHEMA_GUID)
		format = "%s/schemas/guids/%s";
	si_schema_id_text(id, text);
	snprintf(url, URL_ROOM, format, base, text);
	return true;
}

/* Ask one URL for one schema. */
static void
request(SiRegistryHttp *http, SiRegistryAnswer *answer)
{
	char		url[URL_ROOM];
	CURLcode	code;

	http->body_len = 0;
	http->body_too_large = false;
	if (!make_url(http, &answer->id, url))
	{
		si_registry_set_unusable(answer, "0A000", "cannot be asked for by a GUID");
		return;
	}
	code = curl_easy_setopt(http->curl, CURLOPT_URL, url);
	if (code == CURLE_OK)
		code = curl_easy_perform(http->curl);
	if (code == CURLE_OK)
		read_answer(http, answer);
	else
		explain_failure(http, code, answer);
}

void
si_registry_http_ask(SiRegistryHttp *http, const SiSchemaId *id, SiRegistryAnswer *answer)
{
	int			tries;

	memset(answer, 0, sizeof(*answer));
	answer->id = *id;
	if (http->curl == NULL)
		http->curl = make_handle(http);
	if (http->curl == NULL)
	{
		si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "libcurl cannot be set up");
		return;
	}
	for (tries = 0; tries < http->nurls; tries++)
	{
		request(http, answer);
		if (answer->outcome != SI_REGISTRY_AWAY || http->cancelled(http->arg))
			return;
		http->url = (http->url + 1) % http->nurls;
	}
}

/* ---- begin and end ---- */

static bool
copy_text(const char **text)
{
	if (*text == NULL)
		return true;
	*text = strdup(*text);
	return *text !=NULL;
}

/* Copy all texts; those after a failure are NULL. */
static bool
copy_options(SiRegistryHttp *http, const SiRegistryOptions *options)
{
	SiRegistryOptions *copy = &http->options;
	const char **texts[] = {
		&copy->url, &copy->ca_pem, &copy->ca_location, &copy->proxy, &copy->username,
		&copy->password, &copy->token, &copy->certificate_pem, &copy->key_pem
	};
	bool		done = true;

	*copy = *options;
	for (int i = 0; i < lengthof(texts); i++)
	{
		if (!done)
			*texts[i] = NULL;
		else
			done = copy_text(texts[i]);
	}
	return done;
}

/* Split the list of URLs, without blanks and slashes at their ends. */
static bool
copy_urls(SiRegistryHttp *http)
{
	const char *rest = http->options.url;

	while (rest != NULL && http->nurls < SI_REGISTRY_MAX_URLS)
	{
		size_t		len;
		const char *begin = rest + strspn(rest, " ");
		const char *comma = strchr(begin, ',');

		len = comma != NULL ? (size_t) (comma - begin) : strlen(begin);
		while (len > 0 && (begin[len - 1] == '/' || begin[len - 1] == ' '))
			len--;
		http->urls[http->nurls] = strndup(begin, len);
		if (http->urls[http->nurls] == NULL)
			return false;
		http->nurls++;
		rest = comma != NULL ? comma + 1 : NULL;
	}
	return true;
}

/* libcurl's own initialization is not safe beside other threads of libcurl. */
void
si_registry_http_init(void)
{
	static bool done = false;

	if (!done && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	done = true;
}

SiRegistryHttp *
si_registry_http_create(const SiRegistryOptions *options, const char *type,
						bool (*cancelled) (void *arg), void *arg)
{
	SiRegistryHttp *http = calloc(1, sizeof(SiRegistryHttp));

	if (http == NULL)
		return NULL;
	http->cancelled = cancelled;
	http->arg = arg;
	http->type = strdup(type);
	if (copy_options(http, options) && copy_urls(http) && http->type != NULL)
		return http;
	si_registry_http_free(http);
	return NULL;
}

void
si_registry_http_end(SiRegistryHttp *http)
{
	curl_easy_cleanup(http->curl);
	http->curl = NULL;
}

static void
free_options(SiRegistryOptions *options)
{
	const char *texts[] = {
		options->url, options->ca_pem, options->ca_location, options->proxy, options->username,
		options->password, options->token, options->certificate_pem, options->key_pem
	};

	for (int i = 0; i < lengthof(texts); i++)
		free(unconstify(char *, texts[i]));
}

void
si_registry_http_free(SiRegistryHttp *http)
{
	if (http == NULL)
		return;
	free_options(&http->options);
	for (int i = 0; i < http->nurls; i++)
		free(http->urls[i]);
	free(http->type);
	free(http->body);
	free(http);
}

bool
si_registry_is_supported(void)
{
	return true;
}

#else							/* !SI_SCHEMA_REGISTRY */

/* No server can have a registry's URL, but one that another build has accepted. */
void
si_registry_http_init(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("this build of stream_ingest has no client for schema registries"),
			 errhint("It was made with with_schema_registry=no; build it with libcurl.")));
}

SiRegistryHttp *
si_registry_http_create(const SiRegistryOptions *options, const char *type,
						bool (*cancelled) (void *arg), void *arg)
{
	return NULL;
}

void
si_registry_http_ask(SiRegistryHttp *http, const SiSchemaId *id, SiRegistryAnswer *answer)
{
}

void
si_registry_http_end(SiRegistryHttp *http)
{
}

void
si_registry_http_free(SiRegistryHttp *http)
{
}

bool
si_registry_is_supported(void)
{
	return false;
}

#endif							/* SI_SCHEMA_REGISTRY */
