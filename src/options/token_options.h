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

#include "options/property.h"

/* Checks of values: NULL, or a sentence that says why not, without the value. */
extern const char *si_token_check_url(const char *value);
extern const char *si_token_check_method(const char *value);
extern const char *si_token_check_text(const char *value);
extern const char *si_token_check_extensions(const char *value);
extern const char *si_token_check_function(const char *value);

/* Error if the options of a server do not say where tokens come from, or say it twice. */
extern void si_token_options_check_server(const SiGivenOption *given, int ngiven);

#endif							/* SI_TOKEN_OPTIONS_H */
