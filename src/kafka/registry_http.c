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
#include "kafka/registry_http.h"

/* The longest URL of an option, and a path below it. */
#define URL_ROOM		(2048 + SI_REGISTRY_PATH_ROOM + 32)

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

bool
si_registry_http_is_apicurio(const SiRegistryHttp *http)
{
	return http->options.apicurio;
}

/* Is it version 3 of Apicurio's API? */
static bool
is_v3(const SiRegistryHttp *http)
{
	const char *url = http->urls[http->url];
	size_t		len = strlen(url);

	return http->options.apicurio && len > 3 && strcmp(url + len - 3, "/v3") == 0;
}

/* Version 2 of Apicurio's API does it, but fails to for Protobuf. */
bool
si_registry_http_dereferences(const SiRegistryHttp *http, const SiSchemaId *id)
{
	return http->options.apicurio && !is_v3(http) && id->kind == SI_SCHEMA_NUMBER &&
		strcmp(http->type, "AVRO") == 0;
}

/* What is behind a path: version 3 has texts elsewhere. */
static const char *
suffix(const SiRegistryHttp *http, SiRegistryPart part, const SiSchemaId *id)
{
	if (part == SI_REGISTRY_OWN && si_registry_http_dereferences(http, id))
		return "?dereference=true";
	return part == SI_REGISTRY_REFERRED && is_v3(http) ? "/content" : "";
}

/* Ask one URL. */
static void
request(SiRegistryHttp *http, const char *path, SiRegistryPart part,
		SiRegistryDocument *document, SiRegistryAnswer *answer)
{
	char		url[URL_ROOM];
	SiHttpAnswer got;

	snprintf(url, sizeof(url), "%s%s%s", http->urls[http->url], path,
			 suffix(http, part, &answer->id));
	si_http_request(http->http, url, NULL, &got);
	if (got.outcome == SI_HTTP_ANSWERED)
		si_registry_read_answer(&got, http->options.apicurio, http->type, part, document, answer);
	else if (got.outcome == SI_HTTP_TOO_LARGE)
		si_registry_set_part_unusable(answer, part, "54000", "is too large");
	else
		si_registry_set_outcome(answer,
								got.outcome == SI_HTTP_UNTRUSTED ? SI_REGISTRY_UNTRUSTED
								: SI_REGISTRY_AWAY, "%s", got.words);
}

void
si_registry_http_get(SiRegistryHttp *http, const char *path, SiRegistryPart part,
					 SiRegistryDocument *document, SiRegistryAnswer *answer)
{
	int			tries;

	memset(document, 0, sizeof(*document));
	for (tries = 0; tries < http->nurls; tries++)
	{
		/*
		 * a schema with many references takes many requests, of which each
		 * may be short
		 */
		if (http->cancelled(http->arg))
		{
			si_registry_set_outcome(answer, SI_REGISTRY_AWAY, "it is no longer asked");
			return;
		}
		request(http, path, part, document, answer);
		if (answer->outcome != SI_REGISTRY_AWAY)
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
