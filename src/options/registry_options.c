/*-------------------------------------------------------------------------
 *
 * registry_options.c
 *	  The options of servers and user mappings that are about a schema registry.
 *
 * A URL is shown to all users who can read the options of a server, so it must hold
 * no password; and as a mistake may have put one there, no message quotes it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "kafka/http.h"
#include "options/registry_options.h"
#include "options/url.h"

#define DEFAULT_TIMEOUT_MS	10000
#define LEAST_TIMEOUT_MS	100
#define MOST_TIMEOUT_MS		60000

#define CREDENTIALS			"User name and password are given in a user mapping, as \"schema_registry_username\" and \"schema_registry_password\"."

/* ---- checks of values ---- */

const char *
si_registry_check_url(const char *value)
{
	const char *rest = value;
	int			n = 0;

	if (!si_http_is_supported())
		return "This build of stream_ingest has no client for schema registries: it was made with with_schema_registry=no.";
	while (rest != NULL)
	{
		const char *begin = rest + strspn(rest, " ");
		const char *comma = strchr(begin, ',');
		size_t		len = comma != NULL ? comma - begin : strlen(begin);
		const char *reason;

		while (len > 0 && begin[len - 1] == ' ')
			len--;
		reason = si_url_check(begin, len, CREDENTIALS, false);
		if (reason != NULL)
			return reason;
		if (++n > SI_REGISTRY_MAX_URLS)
			return "There are more than three URLs.";
		rest = comma != NULL ? comma + 1 : NULL;
	}
	return NULL;
}

const char *
si_registry_check_api(const char *value)
{
	if (strcmp(value, "confluent") == 0 || strcmp(value, "apicurio") == 0)
		return NULL;
	return "Valid values are \"confluent\", \"apicurio\".";
}

const char *
si_registry_check_timeout(const char *value)
{
	int			ms;

	if (parse_int(value, &ms, GUC_UNIT_MS, NULL) &&
		ms >= LEAST_TIMEOUT_MS && ms <= MOST_TIMEOUT_MS)
		return NULL;
	return "Valid values are times from \"100 ms\" to \"60 s\".";
}

const char *
si_registry_check_proxy(const char *value)
{
	return si_url_check(value, strlen(value), CREDENTIALS, false);
}

/* ---- taking them ---- */

void
si_registry_options_init(SiRegistryOptions *options)
{
	memset(options, 0, sizeof(SiRegistryOptions));
	options->timeout_ms = DEFAULT_TIMEOUT_MS;
}

bool
si_registry_options_take(SiRegistryOptions *options, const char *name, const char *value)
{
	const struct
	{
		const char *name;
		const char **text;
	}			texts[] = {
		{"schema_registry_url", &options->url},
		{"schema_registry_ssl_ca_pem", &options->ca_pem},
		{"schema_registry_ssl_ca_location", &options->ca_location},
		{"schema_registry_proxy", &options->proxy},
		{"schema_registry_username", &options->username},
		{"schema_registry_password", &options->password},
		{"schema_registry_token", &options->token},
		{"schema_registry_ssl_certificate_pem", &options->certificate_pem},
		{"schema_registry_ssl_key_pem", &options->key_pem},
	};

	for (int i = 0; i < lengthof(texts); i++)
	{
		if (strcmp(name, texts[i].name) == 0)
		{
			*texts[i].text = value;
			return true;
		}
	}
	if (strcmp(name, "schema_registry_api") == 0)
		options->apicurio = strcmp(value, "apicurio") == 0;
	else if (strcmp(name, "schema_registry_timeout") == 0)
		(void) parse_int(value, &options->timeout_ms, GUC_UNIT_MS, NULL);
	else
		return false;
	return true;
}

/* Error if one of two options is given without the other. */
static void
check_pair(const char *one, const char *name, const char *other, const char *other_name)
{
	if ((one == NULL) == (other == NULL))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" needs option \"%s\"", one ? name : other_name,
					one ? other_name : name)));
}

void
si_registry_options_check_mapping(const SiRegistryOptions *options)
{
	check_pair(options->username, "schema_registry_username",
			   options->password, "schema_registry_password");
	check_pair(options->certificate_pem, "schema_registry_ssl_certificate_pem",
			   options->key_pem, "schema_registry_ssl_key_pem");
	if (options->token != NULL && options->username != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"schema_registry_token\" does not go with option \"schema_registry_username\"")));
}
