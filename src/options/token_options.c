/*-------------------------------------------------------------------------
 *
 * token_options.c
 *	  The options of servers and user mappings about OAUTHBEARER's tokens.
 *
 * They have the names of librdkafka's properties, but kafka/token reads them:
 * librdkafka has them only if it was built with libcurl.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "kafka/http.h"
#include "kafka/token.h"
#include "options/token_options.h"
#include "options/url.h"

const char *
si_token_check_url(const char *value)
{
	if (!si_http_is_supported())
		return "This build of stream_ingest has no HTTP client to request tokens: it was made with with_schema_registry=no.";
	return si_url_check(value, strlen(value),
						"The client's id and secret are the options \"sasl_oauthbearer_client_id\" and \"sasl_oauthbearer_client_secret\".",
						true);
}

const char *
si_token_check_method(const char *value)
{
	if (strcmp(value, "oidc") == 0)
		return NULL;
	return "The only valid value is \"oidc\".";
}

/* A client's id, secret or scope: what HTTP and a form can carry. */
const char *
si_token_check_text(const char *value)
{
	if (value[0] == '\0')
		return "It is empty.";
	if (si_property_has_control_character(value))
		return "It contains a control character.";
	return NULL;
}

/* Check one of the extensions, of so many bytes, as RFC 7628 and Kafka take them. */
static const char *
check_extension(const char *pair, size_t len)
{
	size_t		key = strspn(pair, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	if (key == 0 || key >= len || pair[key] != '=')
		return "Extensions are \"key=value\", separated by commas; a key has letters only.";
	if (key == 4 && strncmp(pair, "auth", 4) == 0)
		return "The key \"auth\" is reserved for the token.";
	for (size_t i = key + 1; i < len; i++)
	{
		if (pair[i] < ' ' || pair[i] > '~')
			return "A value has printable ASCII characters only.";
	}
	return NULL;
}

const char *
si_token_check_extensions(const char *value)
{
	const char *rest = value;
	int			n = 0;

	while (rest != NULL)
	{
		const char *comma = strchr(rest, ',');
		const char *reason = check_extension(rest, comma != NULL ? comma - rest : strlen(rest));

		if (reason != NULL)
			return reason;
		if (++n > SI_TOKEN_MAX_EXTENSIONS)
			return "There are more than 32 extensions.";
		rest = comma != NULL ? comma + 1 : NULL;
	}
	return NULL;
}

/*
 * Whether there is such a function is asked when it is called: a dump restores servers
 * before functions.  The name has a schema, so that no search_path takes part.
 */
const char *
si_token_check_function(const char *value)
{
	bool		quoted = (strchr(value, '"') != NULL);
	List	   *names;

	if (SplitIdentifierString(pstrdup(value), '.', &names) && list_length(names) == 2 &&
		(quoted || strpbrk(value, "()") == NULL))
		return NULL;
	return "Valid values are names of functions with their schemas, such as \"auth.kafka_token\", without parentheses.";
}

/* ---- several options of a server ---- */

/* The options by which tokens are requested, with which no function goes. */
static const char *const endpoint_properties[] = {
	"sasl.oauthbearer.method",
	"sasl.oauthbearer.token.endpoint.url",
	"sasl.oauthbearer.client.id",
	"sasl.oauthbearer.scope",
	"https.ca.pem",
	"https.ca.location",
};

void
si_token_options_check_server(const SiGivenOption *given, int ngiven)
{
	const SiGivenOption *function = si_property_find_given(given, ngiven, "sasl.oauthbearer.function");

	for (int i = 0; function != NULL && i < lengthof(endpoint_properties); i++)
	{
		const SiGivenOption *other = si_property_find_given(given, ngiven, endpoint_properties[i]);

		if (other != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" does not go with option \"%s\"", function->name, other->name),
					 errdetail("Tokens are given by a function or requested from a token endpoint, not both.")));
	}
	if (si_property_is_given(given, ngiven, "sasl.mechanism", "OAUTHBEARER") && function == NULL &&
		si_property_find_given(given, ngiven, "sasl.oauthbearer.token.endpoint.url") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"sasl_oauthbearer_token_endpoint_url\" or \"sasl_oauthbearer_function\" is required where \"sasl_mechanism\" is \"OAUTHBEARER\""),
				 errhint("Give the URL of the identity provider's token endpoint, and the client's id and secret in \"sasl_oauthbearer_client_id\" and, in a user mapping, \"sasl_oauthbearer_client_secret\"; or the name of a function of your own that gives tokens.")));
}
