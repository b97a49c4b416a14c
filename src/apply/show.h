/*-------------------------------------------------------------------------
 *
 * show.h
 *	  The rows of a batch as jsonb, for somebody who looks at them.
 *
 * Called by applier, as the identity that runs the batch: casts to json that
 * users wrote run here.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SHOW_H
#define SI_SHOW_H

#include "apply/batch.h"
#include "apply/key.h"
#include "apply/mapping.h"

/* What tells a row that deletes; it has its key's columns besides. */
#define SI_SHOW_DELETED	"_deleted"

/*
 * Every row of the batch as a jsonb in that context.  Columns that the message
 * lacks are left out where they take their default or stay as they are.  key is
 * that of rows that delete; NULL if none does.  escape_nul: jsonb refuses a row
 * without it (22P05), since a json column holds \u0000.  Connects to SPI by
 * itself.
 */
extern void si_show_rows(const SiMapping *mapping, const SiKey *key, SiBatch *batch,
						 MemoryContext context, Datum *shown, bool escape_nul);

#endif							/* SI_SHOW_H */
