/*-------------------------------------------------------------------------
 *
 * kerberos.c
 *	  Kerberos tickets by libkrb5, which this module alone uses.
 *
 * Each call has a context of libkrb5 of its own, so that a changed krb5.conf counts
 * and nothing is shared between threads but the caches, which libkrb5 locks.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <time.h>

#include "kafka/kerberos.h"

#ifdef SI_KERBEROS

#include <gssapi/gssapi_krb5.h>
#include <krb5.h>

#include "common/words.h"
#include "kafka/client.h"

/* What one login has of libkrb5. */
typedef struct Login
{
	krb5_context context;
	krb5_principal principal;
	krb5_keytab keytab;
	krb5_ccache cache;
	krb5_get_init_creds_opt *options;
	krb5_creds	creds;
	bool		has_creds;
} Login;

bool
si_kerberos_is_supported(void)
{
	return true;
}

/* Does this error say that no KDC answers, or that it will later? */
static bool
is_passing(krb5_error_code code)
{
	return code == KRB5_KDC_UNREACH || code == KRB5KDC_ERR_SVC_UNAVAILABLE || code == ENOMEM;
}

/* Say why there is no ticket.  libkrb5's words name principals, realms and the file. */
static void
set_failure(Login *login, krb5_error_code code, const char *principal, SiKerberosAnswer *answer)
{
	const char *words = login->context != NULL ? krb5_get_error_message(login->context, code) : NULL;
	char		all[512];

	answer->outcome = is_passing(code) ? SI_KERBEROS_AWAY : SI_KERBEROS_REFUSED;
	snprintf(all, sizeof(all), "no Kerberos ticket for \"%s\": %s", principal,
			 words != NULL ? words : "libkrb5 cannot be initialized; see its file krb5.conf");
	si_words_copy(answer->words, sizeof(answer->words), all);
	if (words != NULL)
		krb5_free_error_message(login->context, words);
}

/* Ask the KDC.  It gives the ticket to the cache, whose principal is then ours. */
static krb5_error_code
get_ticket(Login *login, const char *principal, const char *keytab, const char *cache)
{
	krb5_error_code code = krb5_init_context(&login->context);

	if (code == 0)
		code = krb5_parse_name(login->context, principal, &login->principal);
	if (code == 0)
		code = krb5_kt_resolve(login->context, keytab, &login->keytab);
	if (code == 0)
		code = krb5_cc_resolve(login->context, cache, &login->cache);
	if (code == 0)
		code = krb5_get_init_creds_opt_alloc(login->context, &login->options);
	if (code == 0)
	{
		/* brokers need no more than to know who we are */
		krb5_get_init_creds_opt_set_forwardable(login->options, 0);
		krb5_get_init_creds_opt_set_proxiable(login->options, 0);
		code = krb5_get_init_creds_opt_set_out_ccache(login->context, login->options, login->cache);
	}
	if (code == 0)
	{
		code = krb5_get_init_creds_keytab(login->context, &login->creds, login->principal,
										  login->keytab, 0, NULL, login->options);
		login->has_creds = (code == 0);
	}
	return code;
}

/* Give all back, but not the cache. */
static void
end_login(Login *login)
{
	if (login->context == NULL)
		return;
	if (login->cache != NULL)
		(void) krb5_cc_close(login->context, login->cache);
	if (login->has_creds)
		krb5_free_cred_contents(login->context, &login->creds);
	if (login->options != NULL)
		krb5_get_init_creds_opt_free(login->context, login->options);
	if (login->keytab != NULL)
		(void) krb5_kt_close(login->context, login->keytab);
	krb5_free_principal(login->context, login->principal);
	krb5_free_context(login->context);
}

void
si_kerberos_login(const char *principal, const char *keytab, const char *cache,
				  SiKerberosAnswer *answer)
{
	const char *reason = si_client_refuse_file(keytab);
	char		name[MAXPGPATH + 8];
	krb5_error_code code;
	Login		login;

	memset(answer, 0, sizeof(SiKerberosAnswer));
	if (reason != NULL)
	{
		answer->outcome = SI_KERBEROS_REFUSED;
		snprintf(answer->words, sizeof(answer->words), "sasl_kerberos_keytab %s", reason);
		return;
	}
	memset(&login, 0, sizeof(login));
	snprintf(name, sizeof(name), "FILE:%s", keytab);
	code = get_ticket(&login, principal, name, cache);
	if (code != 0)
		set_failure(&login, code, principal, answer);
	else
	{
		/* libkrb5's seconds are unsigned 32 bits, in a signed type */
		int64		end = (uint32) login.creds.times.endtime;

		answer->outcome = SI_KERBEROS_DONE;
		answer->lifetime_s = Max(end - (int64) time(NULL), 0);
	}
	end_login(&login);
}

void
si_kerberos_forget(const char *name)
{
	krb5_context context;
	krb5_ccache cache;

	if (krb5_init_context(&context) != 0)
		return;
	if (krb5_cc_resolve(context, name, &cache) == 0)
		(void) krb5_cc_destroy(context, cache);
	krb5_free_context(context);
}

bool
si_kerberos_use(const char *cache)
{
	OM_uint32	minor;

	return gss_krb5_ccache_name(&minor, cache, NULL) == GSS_S_COMPLETE;
}

#else							/* not SI_KERBEROS */

bool
si_kerberos_is_supported(void)
{
	return false;
}

void
si_kerberos_login(const char *principal, const char *keytab, const char *cache,
				  SiKerberosAnswer *answer)
{
	memset(answer, 0, sizeof(SiKerberosAnswer));
	answer->outcome = SI_KERBEROS_REFUSED;
}

void
si_kerberos_forget(const char *cache)
{
}

bool
si_kerberos_use(const char *cache)
{
	return false;
}

#endif							/* SI_KERBEROS */
