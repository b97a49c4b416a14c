/*-------------------------------------------------------------------------
 *
 * subscription.h
 *	  What a subscription must fulfil, and how it is stored.
 *
 * Called by the SQL functions that make, change and steer subscriptions; all of
 * it in their transaction.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SUBSCRIPTION_H
#define SI_SUBSCRIPTION_H

#include "catalog/subscriptions.h"

/*
 * Everything that can be checked before the first message comes; throws what is
 * wrong.  Sets the target's name, and the server's OID if it is not set.
 */
extern void si_subscription_check(SiSubscription *s);

/* Of that, what a target must be; throws 42P01, 42809 or 0A000. */
extern void si_subscription_check_target(const SiSubscription *s);

/*
 * May a role have one more in this database?  Throws 53400 if not.
 */
extern void si_subscription_check_limit(Oid owner);

/*
 * It is at home here, so that a copy can tell that it is one, and reads from
 * the server that has the name now.
 */
extern void si_subscription_make_at_home(SiSubscription *s);

/*
 * Store a subscription that has been changed, announce its state, and have it
 * scanned when this transaction commits.
 */
extern void si_subscription_store(SiSubscription *s);

#endif							/* SI_SUBSCRIPTION_H */
