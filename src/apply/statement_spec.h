/*-------------------------------------------------------------------------
 *
 * statement_spec.h
 *	  What the statements that write to a target are built from.
 *
 * Filled in by writer; read by statement and statement_text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_STATEMENT_SPEC_H
#define SI_STATEMENT_SPEC_H

#include "apply/key.h"
#include "apply/rows.h"
#include "nodes/pg_list.h"
#include "options/insert_mode.h"
#include "utils/rel.h"

/* What a target is written with. */
typedef struct SiStatementSpec
{
	Relation	target;
	const SiMapping *mapping;
	const List *defaults;		/* by column of the mapping: the expression
								 * for a field that a message lacks; NULL for
								 * NULL, and where the message always has one */
	const SiInsertMode *mode;
	const SiKey *key;			/* NULL: none (never in upsert mode) */
	int			version_column; /* in the mapping, -1 for none */
	const char *filter;			/* of inserts; NULL for none */
} SiStatementSpec;

#endif							/* SI_STATEMENT_SPEC_H */
