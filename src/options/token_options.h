/*-------------------------------------------------------------------------
 *
 * token_options.h
 *	  The options of servers and user mappings about OAUTHBEARER's tokens.
 *
 * Called within this folder only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TOKEN_OPTIONS_H
#define SI_TOKEN_OPTIONS_H

/* Checks of values: NULL, or a sentence that says why not, without the value. */
extern const char *si_token_check_url(const char *value);
extern const char *si_token_check_method(const char *value);
extern const char *si_token_check_text(const char *value);
extern const char *si_token_check_extensions(const char *value);

#endif							/* SI_TOKEN_OPTIONS_H */
