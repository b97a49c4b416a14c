/*-------------------------------------------------------------------------
 *
 * token_answer.c
 *	  What the HTTP answer of a token endpoint means.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base64.h"
#include "kafka/token_answer.h"

/* Of a token that does not say how long it lives. */
#define DEFAULT_LIFETIME_S	300
#define MAX_LIFETIME_S		((int64_t) 30 * 24 * 3600)

/* A million years. */
#define MOST_SECONDS		((int64_t) 1000000 * 366 * 24 * 3600)

static void set_outcome(SiTokenAnswer *answer, SiTokenOutcome outcome, const char *format,...)
			__attribute__((format(printf, 3, 4)));

static void
set_outcome(SiTokenAnswer *answer, SiTokenOutcome outcome, const char *format,...)
{
	va_list		arguments;

	answer->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(answer->words, sizeof(answer->words), format, arguments);
	va_end(arguments);
}

/* ---- how long a token lives ---- */

/* Decode len characters of base64url; malloc'd, or NULL. */
static char *
decode_base64url(const char *text, size_t len, size_t *decoded_len)
{
	char	   *decoded = malloc(len + 1);
	SiDigits	digits = {decoded, 0, 0};

	for (size_t i = 0; decoded != NULL && i < len; i++)
	{
		if (!si_digits_add(&digits, 6, si_base64_digit(text[i], SI_BASE64_URL)))
			break;
	}
	*decoded_len = (size_t) (digits.out - decoded);
	return decoded;
}

/*
 * A number as whole seconds: one that no date is far from within what can be added
 * and subtracted.
 */
static int64_t
whole_seconds(const json_t *number)
{
	double		seconds = json_number_value(number);

	return seconds > MOST_SECONDS ? MOST_SECONDS :
		seconds < -MOST_SECONDS ? -MOST_SECONDS : (int64_t) seconds;
}

/* When a token expires by its own claim, if it is a JWT; 0 if it does not say. */
static int64_t
claimed_expiry(const char *token)
{
	const char *begin = strchr(token, '.');
	const char *end = begin != NULL ? strchr(begin + 1, '.') : NULL;
	char	   *claims;
	size_t		len;
	json_t	   *document;
	int64_t		expiry;

	if (end == NULL)
		return 0;
	claims = decode_base64url(begin + 1, end - begin - 1, &len);
	if (claims == NULL)
		return 0;
	document = json_loadb(claims, len, 0, NULL);
	expiry = whole_seconds(json_object_get(document, "exp"));
	json_decref(document);
	free(claims);
	return expiry;
}

/*
 * The answer's own word comes first, since it does not depend on clocks that agree.
 * Some endpoints give the number as a string.
 */
static int64_t
read_lifetime(const json_t *expires_in, const char *token, int64_t now_s)
{
	int64_t		lifetime = DEFAULT_LIFETIME_S;
	int64_t		expiry;

	if (json_is_number(expires_in))
		lifetime = whole_seconds(expires_in);
	else if (json_is_string(expires_in))
		lifetime = strtoll(json_string_value(expires_in), NULL, 10);
	else if ((expiry = claimed_expiry(token)) != 0)
		lifetime = expiry - now_s;
	return lifetime < MAX_LIFETIME_S ? lifetime : MAX_LIFETIME_S;
}

/* ---- answers ---- */

/* A token has no blank and no control character, with which it could pose as more. */
static bool
is_token(const json_t *value)
{
	const char *text = json_string_value(value);
	size_t		len = json_string_length(value);

	if (text == NULL || len == 0)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return true;
}

static void
read_token(const SiHttpAnswer *http, int64_t now_s, SiTokenAnswer *answer)
{
	json_t	   *document = json_loadb(http->body, http->body_len, 0, NULL);
	json_t	   *value = json_object_get(document, "access_token");

	if (!is_token(value))
		set_outcome(answer, SI_TOKEN_REFUSED, "the answer of the token endpoint has no token");
	else
	{
		const char *token = json_string_value(value);

		answer->lifetime_s = read_lifetime(json_object_get(document, "expires_in"), token, now_s);
		if (answer->lifetime_s <= 0)
			set_outcome(answer, SI_TOKEN_REFUSED, "the token endpoint gives a token that has expired; compare the clocks");
		else if ((answer->token = strdup(token)) == NULL)
			set_outcome(answer, SI_TOKEN_AWAY, "out of memory");
		else
			answer->outcome = SI_TOKEN_FOUND;
	}
	json_decref(document);
}

/* RFC 6749's code for the error, in parentheses; empty if the answer has none of them. */
static const char *
error_code(const SiHttpAnswer *http)
{
	static const struct
	{
		const char *code;
		const char *words;
	}			codes[] = {
		{"invalid_request", " (invalid_request)"},
		{"invalid_client", " (invalid_client)"},
		{"invalid_grant", " (invalid_grant)"},
		{"unauthorized_client", " (unauthorized_client)"},
		{"unsupported_grant_type", " (unsupported_grant_type)"},
		{"invalid_scope", " (invalid_scope)"},
	};
	json_t	   *document = json_loadb(http->body, http->body_len, 0, NULL);
	const char *given = json_string_value(json_object_get(document, "error"));
	const char *words = "";

	for (size_t i = 0; given != NULL && i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		if (strcmp(given, codes[i].code) == 0)
			words = codes[i].words;
	}
	json_decref(document);
	return words;
}

static void
read_status(const SiHttpAnswer *http, SiTokenAnswer *answer)
{
	if (http->status >= 300 && http->status < 400)
		set_outcome(answer, SI_TOKEN_REFUSED,
					"the token endpoint redirects (HTTP status %ld), which is not followed", http->status);
	else
		set_outcome(answer, si_http_is_passing(http->status) ? SI_TOKEN_AWAY : SI_TOKEN_REFUSED,
					"the token endpoint answers with HTTP status %ld%s", http->status, error_code(http));
	answer->retry_after_s = http->retry_after_s;
}

void
si_token_read_answer(const SiHttpAnswer *http, int64_t now_s, SiTokenAnswer *answer)
{
	memset(answer, 0, sizeof(*answer));
	if (http->outcome == SI_HTTP_AWAY)
		set_outcome(answer, SI_TOKEN_AWAY, "the token endpoint does not answer: %s", http->words);
	else if (http->outcome == SI_HTTP_UNTRUSTED)
		set_outcome(answer, SI_TOKEN_REFUSED,
					"the token endpoint's certificate is not accepted: %s", http->words);
	else if (http->outcome == SI_HTTP_TOO_LARGE)
		set_outcome(answer, SI_TOKEN_REFUSED, "the answer of the token endpoint is too large");
	else if (http->status == 200)
		read_token(http, now_s, answer);
	else
		read_status(http, answer);
}
