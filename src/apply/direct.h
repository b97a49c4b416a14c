/*-------------------------------------------------------------------------
 *
 * direct.h
 *	  Inserting the rows of a batch without a statement.
 *
 * The direct path does what COPY FROM does once it has a row: it routes rows to
 * their partitions, computes generated columns, checks constraints, inserts many
 * rows by one call of the table access method, then adds their index entries and
 * fires triggers.  It gives exactly what the INSERT of the statement path gives,
 * and serves only targets of which that is certain (direct_target.h).
 *
 * Called by writer, as the identity that runs the batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DIRECT_H
#define SI_DIRECT_H

#include "apply/mapping.h"
#include "common/failure.h"
#include "utils/rel.h"

typedef struct SiDirect SiDirect;

/* For such a target, in the current memory context. */
extern SiDirect *si_direct_create(Relation target, const SiMapping *mapping);

/*
 * Begin a batch: forget all rows.  There is room for as many as there are messages
 * (capacity), in the current memory context.
 */
extern void si_direct_begin(SiDirect *direct, int capacity);

/*
 * Add a row.  values and nulls are those of the mapping's columns, then of the
 * words of absent bits.
 */
extern void si_direct_put(SiDirect *direct, const Datum *values, const bool *nulls);

/*
 * Insert n rows from the given one on; n may be 0.  Returns how many were
 * inserted: a partition's trigger can suppress a row, and up to most_left_out
 * rows in a row may be left out because they fail a constraint, where that makes
 * no difference to the others.  Throws what an INSERT of them would, and 40001
 * where a partition has become a foreign table meanwhile.
 */
extern int64 si_direct_write(SiDirect *direct, int from, int n, int most_left_out);

/* Why the last write left out a row of it, in the current memory context; or NULL. */
extern SiFailure *si_direct_left_out(const SiDirect *direct, int row);

/* The row, counted like `from`, at which si_direct_write failed; -1 if not known. */
extern int	si_direct_row(const SiDirect *direct);

#endif							/* SI_DIRECT_H */
