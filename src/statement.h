/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  The one SQL statement that consumes a batch.
 *
 * Insert modes differ in this statement and in nothing else, so partition
 * routing, triggers, constraints, views, foreign tables and row-level security
 * are the executor's work.  All of its names are qualified: it is analyzed and
 * run under the subscription's search_path, which trigger bodies need.
 *
 * Called by ingest (and functions, to check), connected to SPI, as the
 * identity that runs the batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_STATEMENT_H
#define SI_STATEMENT_H

#include "batch.h"
#include "utils/rel.h"

typedef struct SiStatement SiStatement;

/* What happened to the rows. */
typedef struct SiWritten
{
	int64		inserted;
	int64		updated;
	int64		deleted;
} SiWritten;

/*
 * Write and prepare the statement that inserts a batch into a target; a batch
 * of the mapping's row type must be on offer.  In the current memory context.
 * Throws whatever parse analysis has to say.
 */
extern SiStatement *si_statement_prepare(Relation target, const SiMapping *mapping);

/*
 * Check that the current user may run it, as the executor would.  Error 42501.
 */
extern void si_statement_check_privileges(const SiStatement *statement);

/* Run it over the batch on offer; adds to *written. */
extern void si_statement_run(SiStatement *statement, SiWritten *written);
extern void si_statement_destroy(SiStatement *statement);

#endif							/* SI_STATEMENT_H */
