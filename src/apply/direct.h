/*-------------------------------------------------------------------------
 *
 * direct.h
 *	  Inserting the rows of a batch without a statement.
 *
 * The direct path does what COPY FROM does once it has a row: it routes rows to
 * their partitions, computes generated columns, checks constraints, inserts many
 * rows by one call of the table access method, then adds their index entries and
 * fires triggers.  It gives exactly what the INSERT of the statement path gives,
 * and serves only targets of which that is certain (si_direct_possible).
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
#include "nodes/plannodes.h"
#include "utils/rel.h"

typedef struct SiDirect SiDirect;

/*
 * Can rows with this mapping go into the target directly?  insert: the plan of
 * the INSERT that would do the same.  False for what the direct path leaves to
 * the executor:
 *
 * - a plan that is not one ModifyTable node of the table: another extension's
 *	 planner hook has replaced it (a distributed table);
 * - rules;
 * - views and foreign tables, also as partitions;
 * - row-level security;
 * - triggers before each row, which may look at the rows before theirs, and
 *	 triggers with transition tables;
 * - a column outside the mapping whose default is volatile (nextval() apart),
 *	 or whose type is a domain without a default.
 */
extern bool si_direct_possible(Relation target, const SiMapping *mapping,
							   const PlannedStmt *insert);

/* For such a target, in the current memory context. */
extern SiDirect *si_direct_create(Relation target, const SiMapping *mapping);

/*
 * Begin a batch: forget all rows.  There is room for as many as there are messages
 * (capacity), in the current memory context.
 */
extern void si_direct_begin(SiDirect *direct, int capacity);

/*
 * Add a row.  values and nulls are those of the mapping's columns, then of the
 * words of absent bits.  Evaluates defaults, so it can throw what these throw;
 * then the row was not added.
 */
extern void si_direct_put(SiDirect *direct, const Datum *values, const bool *nulls);

/*
 * Insert n rows from the given one on; n may be 0.  Returns how many were
 * inserted: a partition's trigger can suppress a row.  Throws what an INSERT of
 * them would, and 40001 where a partition has become a foreign table meanwhile.
 */
extern int64 si_direct_write(SiDirect *direct, int from, int n);

/* The row, counted like `from`, at which si_direct_write failed; -1 if not known. */
extern int	si_direct_row(const SiDirect *direct);

#endif							/* SI_DIRECT_H */
