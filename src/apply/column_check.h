/*-------------------------------------------------------------------------
 *
 * column_check.h
 *	  Whether a subscription's batches may add columns to their target:
 *	  unknown_fields = add_columns.
 *
 * Called by plan and new_columns.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_COLUMN_CHECK_H
#define SI_COLUMN_CHECK_H

#include "format/decoder.h"
#include "utils/relcache.h"

/*
 * Check that messages say the types of their fields, and that the target (NULL for
 * apply's statement) can have more columns.  transcodes: messages are in another
 * encoding than UTF-8.  Errors: 22023, and as below.
 */
extern void si_column_check(Relation target, Oid role, const char *format,
							const SiFormatOptions *options, bool transcodes);

/*
 * Check that this role may add columns to the target.  Errors: 42809 if it takes none,
 * 42501 if the role does not own it.
 */
extern void si_column_check_target(Relation target, Oid role);

#endif							/* SI_COLUMN_CHECK_H */
