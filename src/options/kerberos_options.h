/*-------------------------------------------------------------------------
 *
 * kerberos_options.h
 *	  The options of servers about Kerberos.
 *
 * Called within this folder only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_KERBEROS_OPTIONS_H
#define SI_KERBEROS_OPTIONS_H

#include "options/property.h"

/* Checks of values: NULL, or a sentence that says why not. */
extern const char *si_kerberos_check_keytab(const char *value);
extern const char *si_kerberos_check_principal(const char *value);
extern const char *si_kerberos_check_service(const char *value);

/* Kerberos is the mechanism, whatever the protocol is. */
extern bool si_kerberos_is_used(const SiGivenOption *given, int ngiven);

/* Error HV002 if it is, and a server's options have no keytab or no principal. */
extern void si_kerberos_options_check_server(const SiGivenOption *given, int ngiven);

/*
 * Kerberos is for servers of superusers.  Only they may set a keytab, but a server can
 * change its owner, and an owner can cease to be one: so it is checked when the server
 * is used, too.  Error 42501.
 */
extern void si_kerberos_check_owner(const char *server, Oid owner);

#endif							/* SI_KERBEROS_OPTIONS_H */
