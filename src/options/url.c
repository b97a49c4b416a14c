/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Checking the URLs of options.
 *
 * A URL is shown to all users who can read the options of a server, so it must hold
 * no password; and as a mistake may have put one there, no message quotes it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "options/url.h"

/* With what is appended to it, a URL stays below what a request has room for. */
#define MAX_URL_LEN			2048

const char *
si_url_check(const char *url, size_t len, const char *credentials, bool with_query)
{
	size_t		scheme = 0;

	if (pg_strncasecmp(url, "http://", 7) == 0)
		scheme = 7;
	else if (pg_strncasecmp(url, "https://", 8) == 0)
		scheme = 8;
	if (scheme == 0 || scheme > len)
		return "A URL begins with \"http://\" or \"https://\".";
	if (len == scheme || url[scheme] == '/' || url[scheme] == ':')
		return "A URL has no host.";
	if (len > MAX_URL_LEN)
		return "A URL is longer than 2048 bytes.";
	for (size_t i = scheme; i < len; i++)
	{
		if (url[i] == '@')
			return credentials;
		if (url[i] == '#' || (url[i] == '?' && !with_query))
			return "A URL ends with its path; credentials are given in a user mapping.";
		if ((unsigned char) url[i] <= ' ' || url[i] == 0x7f)
			return "A URL contains a blank or a control character.";
	}
	return NULL;
}
