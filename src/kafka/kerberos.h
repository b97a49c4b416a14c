/*-------------------------------------------------------------------------
 *
 * kerberos.h
 *	  Kerberos tickets by libkrb5, which this module alone uses.
 *
 * For threads of the client: no server function, no memory of the server's, and
 * nothing is read from or written to the environment.  A ticket is in a cache in the
 * memory of the process, which has a name.  Called by ticket; options asks whether
 * there is a library.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_KERBEROS_H
#define SI_KERBEROS_H

#include <stdbool.h>
#include <stdint.h>

/* The name of a cache, with its end. */
#define SI_KERBEROS_CACHE_SIZE	64

typedef enum SiKerberosOutcome
{
	SI_KERBEROS_DONE,
	SI_KERBEROS_AWAY,			/* no KDC answers */
	SI_KERBEROS_REFUSED			/* trying again is of no use until something
								 * is changed */
} SiKerberosOutcome;

typedef struct SiKerberosAnswer
{
	SiKerberosOutcome outcome;
	int64_t		lifetime_s;		/* of the ticket, from now on */
	char		words[256];		/* why there is none */
} SiKerberosAnswer;

/* Was the extension built with libkrb5? */
extern bool si_kerberos_is_supported(void);

/*
 * Get a ticket for the principal by its key in the keytab, as that is now, into the
 * cache, whose ticket it replaces; it remains as it is if there is none.  Waits for the
 * KDC: half a minute for one that does not answer, longer for several.
 */
extern void si_kerberos_login(const char *principal, const char *keytab, const char *cache,
							  SiKerberosAnswer *answer);

/* Destroy a cache, which need not exist. */
extern void si_kerberos_forget(const char *cache);

/* Have the calling thread, and no other, authenticate by the ticket in this cache. */
extern bool si_kerberos_use(const char *cache);

#endif							/* SI_KERBEROS_H */
