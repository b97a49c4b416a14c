/*-------------------------------------------------------------------------
 *
 * url.h
 *	  Checking the URLs of options.
 *
 * Called within this folder only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_URL_H
#define SI_URL_H

/*
 * Check one URL of so many bytes: NULL, or a sentence that says why not, without the
 * URL.  Credentials tells where these are given instead; a query may be allowed.
 */
extern const char *si_url_check(const char *url, size_t len, const char *credentials,
								bool with_query);

#endif							/* SI_URL_H */
