/*-------------------------------------------------------------------------
 *
 * owners.h
 *	  Which roles own subscriptions in which databases, disabled ones included.
 *
 * DROP ROLE is a command on the cluster, and the tables of other databases cannot be
 * read.  The lock of slots.h guards the list.  Called by the scanner, which writes what
 * it has found in its database, and by object_ddl.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OWNERS_H
#define SI_OWNERS_H

#include "shmem/slots.h"

/*
 * Replace what is known of a database by the owners of its subscriptions: one entry of
 * owners for each subscription.  What there is no room for is not known.  Lock held
 * exclusively.
 */
extern void si_owners_replace(Oid database, const Oid *owners, int n);

/*
 * The databases in which a role owns subscriptions, and how many; found has room for
 * SI_MAX_OWNERS.  Returns their number.  Takes the lock.
 */
extern int	si_owners_find(Oid owner, SiOwner *found);

#endif							/* SI_OWNERS_H */
