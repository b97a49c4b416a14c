/*-------------------------------------------------------------------------
 *
 * show.h
 *	  The rows of a batch as jsonb, for preview().
 *
 * Called by apply, as the identity that runs the batch: casts to json that
 * users wrote run here.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SHOW_H
#define SI_SHOW_H

#include "apply/rows.h"
#include "apply/key.h"
#include "apply/mapping.h"

/* The key that marks a row that deletes; the others are its key columns. */
#define SI_SHOW_DELETED	"_deleted"

/*
 * Every row of the batch as a jsonb in that context.  Columns that the message
 * lacks are left out where they take their default or stay as they are.  key is
 * that of rows that delete; NULL if none does.  escape_nul: jsonb refuses a row
 * without it (22P05), since a json column holds \u0000.  Connects to SPI by
 * itself.
 */
extern void si_show_rows(const SiMapping *mapping, const SiKey *key, SiRows *rows,
						 MemoryContext context, Datum *shown, bool escape_nul);

/* An array of n such rows, in the current memory context. */
extern Datum si_show_array(const Datum *rows, int n);

#endif							/* SI_SHOW_H */
