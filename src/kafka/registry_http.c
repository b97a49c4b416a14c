/*-------------------------------------------------------------------------
 *
 * registry_http.c
 *	  HTTP requests to a schema registry.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "kafka/http.h"
#include "kafka/registry_answer.h"
#include "kafka/registry_http.h"

#define URL_ROOM		4096

struct SiRegistryHttp
{
	SiRegistryOptions options;
	char	   *urls[SI_REGISTRY_MAX_URLS];
	int			nurls;
	int			url;			/* the one that has answered last */
	char	   *type;
	bool		(*cancelled) (void *arg);
	void	   *arg;
	SiHttp	   *http;
};

/* ---- a request ---- */

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
			strcmp(http->type, "AVRO") == 0 ? "%s/ids/globalIds/%s?dereference=true" :
			"%s/ids/globalIds/%s";
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
	SiHttpAnswer got;

	if (!make_url(http, &answer->id, url))
	{
		si_registry_set_unusable(answer, "0A000", "cannot be asked for by a GUID");
		return;
	}
	si_http_request(http->http, url, NULL, &got);
	if (got.outcome == SI_HTTP_ANSWERED)
		si_registry_read_answer(&got, http->options.apicurio, http->type, answer);
	else if (got.outcome == SI_HTTP_TOO_LARGE)
		si_registry_set_unusable(answer, "54000", "is too large");
	else
		si_registry_set_outcome(answer,
								got.outcome == SI_HTTP_UNTRUSTED ? SI_REGISTRY_UNTRUSTED
								: SI_REGISTRY_AWAY, "%s", got.words);
}

void
si_registry_http_ask(SiRegistryHttp *http, const SiSchemaId *id, SiRegistryAnswer *answer)
{
	int			tries;

	memset(answer, 0, sizeof(*answer));
	answer->id = *id;
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

/* No server can have a registry's URL, but one that another build has accepted. */
void
si_registry_http_init(void)
{
	if (!si_http_is_supported())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this build of stream_ingest has no client for schema registries"),
				 errhint("It was made with with_schema_registry=no; build it with libcurl.")));
	si_http_init();
}

/* The client for requests, whose options are in the copy. */
static SiHttp *
create_client(const SiRegistryHttp *http)
{
	const SiRegistryOptions *copy = &http->options;
	SiHttpOptions options = {
		.max_body = SI_REGISTRY_MAX_BODY,
		.timeout_ms = copy->timeout_ms,
		.ca_pem = copy->ca_pem,
		.ca_location = copy->ca_location,
		.proxy = copy->proxy,
		.username = copy->username,
		.password = copy->password,
		.token = copy->token,
		.certificate_pem = copy->certificate_pem,
		.key_pem = copy->key_pem
	};

	return si_http_create(&options, http->cancelled, http->arg);
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
		http->http = create_client(http);
	if (http->http != NULL)
		return http;
	si_registry_http_free(http);
	return NULL;
}

void
si_registry_http_end(SiRegistryHttp *http)
{
	si_http_end(http->http);
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
	si_http_free(http->http);
	free(http);
}
