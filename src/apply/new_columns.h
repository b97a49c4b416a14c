/*-------------------------------------------------------------------------
 *
 * new_columns.h
 *	  Columns that the target lacks and a schema describes: unknown_fields =
 *	  add_columns.
 *
 * A batch ends before the first message of a schema with fields that no column takes
 * and that could become columns.  These are added in a transaction of their own, which
 * makes the plan stale; then the message is tried.  A field that no column can be
 * made for is an error of its messages, as with unknown_fields = error.
 *
 * What was found of a schema is kept in the plan, and forgotten with it: the target
 * may lack a column again.  Retry and preview add nothing.
 *
 * Called by apply and the worker; column_check has what is checked before.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_NEW_COLUMNS_H
#define SI_NEW_COLUMNS_H

#include "apply/batch.h"
#include "apply/plan.h"

/* So many may one subscription add from one enable() to the next. */
#define SI_NEW_COLUMNS_MOST		50

/* So long is a lock on the target, or on a partition of it, waited for. */
#define SI_NEW_COLUMNS_LOCK_MS	2000

typedef enum SiNewColumnsEnd
{
	SI_NEW_COLUMNS_DONE,		/* the message can be tried */
	SI_NEW_COLUMNS_FENCED		/* nothing done: the subscription has changed,
								 * or is about to */
} SiNewColumnsEnd;

/*
 * How many entries of a batch come before the first whose schema asks for columns.
 * After si_plan_check, in the batch's transaction, which keeps the target as it is.
 */
extern int	si_new_columns_reach(SiPlan *plan, const SiBatch *batch);

/*
 * Add the columns that the message asks for at which si_new_columns_reach has just
 * ended, in a transaction of its own.  What is thrown is the plan's fault, or
 * temporary: 55P03 if the lock was not to be had.
 */
extern SiNewColumnsEnd si_new_columns_add(SiPlan *plan, const SiProgressKey *key);

#endif							/* SI_NEW_COLUMNS_H */
