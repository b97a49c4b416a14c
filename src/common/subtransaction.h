/*-------------------------------------------------------------------------
 *
 * subtransaction.h
 *	  A subtransaction that returns its error as a value.
 *
 * Called by options (a stored document that no longer parses), apply (a user's
 * code), catalog (a user's function that gives tokens) and functions (decode,
 * preview).
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SUBTRANSACTION_H
#define SI_SUBTRANSACTION_H

#include "utils/elog.h"

typedef void (*SiSubtransactionWork) (void *arg);

/*
 * Run work in a subtransaction, in the caller's memory context.  keep: commit
 * it if work succeeds, else it is always rolled back.  Returns NULL, or a copy
 * of the error in the memory context of the caller; the subtransaction is over
 * then, so that the error can be thrown again.
 */
extern ErrorData *si_subtransaction_run(SiSubtransactionWork work, void *arg, bool keep);

#endif							/* SI_SUBTRANSACTION_H */
