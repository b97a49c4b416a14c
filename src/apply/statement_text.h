/*-------------------------------------------------------------------------
 *
 * statement_text.h
 *	  The text of the SQL statements that write a batch to a target.
 *
 * The target is called t, the batch b.  Texts are appended to sql; whatever else
 * is allocated is in the current memory context.  partial: the records may lack
 * fields.  A parameter $n is the n-th of the spec's defaults.  Called by statement
 * alone, connected to SPI.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_STATEMENT_TEXT_H
#define SI_STATEMENT_TEXT_H

#include "apply/statement_spec.h"
#include "lib/stringinfo.h"

/*
 * The rows that its key is one of: not those of tables that inherit from it, which the
 * key's index does not know and INSERT does not write to, unless a trigger may divide
 * what is inserted among them.
 */
extern const char *si_statement_text_rows(Relation target);

/* INSERT INTO target AS t (...) SELECT ... FROM batch AS b WHERE */
extern void si_statement_text_insert(StringInfo sql, const SiStatementSpec *spec);

/* ON CONFLICT, with what names the key's index */
extern void si_statement_text_arbiter(StringInfo sql, const SiStatementSpec *spec);

/* Is the target's row the one of the batch's row, by the key? */
extern void si_statement_text_key_match(StringInfo sql, const SiStatementSpec *spec, bool partial);

/* Note the row that the executor is at, with its absent bits if it has some. */
extern void si_statement_text_note_row(StringInfo sql, const SiMapping *mapping, bool partial);

/* ON CONFLICT (...) DO UPDATE ... */
extern void si_statement_text_on_conflict(StringInfo sql, const SiStatementSpec *spec, bool partial);

/*
 * UPDATE target AS t SET ... FROM batch AS b, or what gives as many rows if there is
 * nothing to set.
 */
extern void si_statement_text_joined_update(StringInfo sql, const SiStatementSpec *spec);

#endif							/* SI_STATEMENT_TEXT_H */
