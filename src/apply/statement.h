/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  The SQL statements that consume a batch.
 *
 * Insert modes differ in their statement and in nothing else, so partition
 * routing, triggers, constraints, views, foreign tables and row-level security
 * are the executor's work.  All names in ours are qualified: they are analyzed
 * and run under the subscription's search_path, which trigger bodies need.
 *
 * Called by writer, connected to SPI, as the identity that runs the batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_STATEMENT_H
#define SI_STATEMENT_H

#include "apply/statement_spec.h"
#include "catalog/counts.h"
#include "nodes/plannodes.h"

typedef struct SiStatement SiStatement;

/*
 * Write and prepare a statement; a batch of its row type must be on offer.  In
 * the current memory context.  Throws the errors of parse analysis.
 *
 * insert: by the spec's mode; upserts take records that lack no field.  partial:
 * upserts of records that do.  delete: the rows that have the batch's keys.
 * filter: the numbers of the rows that pass (si_statement_rows).  apply: what
 * the user wrote.
 */
extern SiStatement *si_statement_insert(const SiStatementSpec *spec);
extern SiStatement *si_statement_partial(const SiStatementSpec *spec);
extern SiStatement *si_statement_delete(const SiStatementSpec *spec);
extern SiStatement *si_statement_filter(const SiMapping *mapping, const char *filter);
extern SiStatement *si_statement_apply(const char *apply);

/*
 * Check that the current user may run it, as the executor would.  Error 42501.
 */
extern void si_statement_check_privileges(const SiStatement *statement);

/*
 * The server's plan of it, if it is one statement, else NULL.  Palloc'd; wants
 * the SPI connection in which it was prepared.
 */
extern const PlannedStmt *si_statement_planned(const SiStatement *statement);

/*
 * Run it over the batch on offer; adds to *written how many rows were inserted,
 * updated and deleted.
 */
extern void si_statement_run(SiStatement *statement, SiCounts *written);

/* Run a filter; the numbers are in the SPI procedure's context. */
extern int *si_statement_rows(SiStatement *statement, int *nrows);

/* Which columns of batch (bool per column) do an apply's statements read? */
extern void si_statement_used_columns(const SiStatement *statement, bool *used);
extern void si_statement_destroy(SiStatement *statement);

#endif							/* SI_STATEMENT_H */
