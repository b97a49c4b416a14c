/*-------------------------------------------------------------------------
 *
 * writer.h
 *	  The statements that write the rows of a subscription.
 *
 * The destination is a target table in one of the insert modes, or the
 * statements of "apply".  A writer is the part of the plan that does not change
 * from batch to batch: the mapping, the row type, the prepared statements.
 *
 * Created by plan, as the identity that runs the batches; read by convert_batch
 * and write.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_WRITER_H
#define SI_WRITER_H

#include "apply/direct.h"
#include "apply/key.h"
#include "apply/reduce.h"
#include "apply/rows.h"
#include "apply/statement.h"
#include "catalog/subscriptions.h"

/* Batches of 1, 10, 100 ... rows are planned apart. */
#define SI_MAGNITUDES	7

/* What a message without a value becomes. */
typedef enum SiTombstoneUse
{
	SI_TOMBSTONE_IGNORED,
	SI_TOMBSTONE_REFUSED,
	SI_TOMBSTONE_DELETES,		/* a row that deletes from the target */
	SI_TOMBSTONE_IS_ROW			/* a row of the batch, for apply */
} SiTombstoneUse;

/* The statements of apply, planned for batches of about one size. */
typedef struct SiSizedStatement
{
	SiStatement *statement;		/* NULL until there is such a batch */
	int64		handed_over;	/* rows in all when it was made */
} SiSizedStatement;

typedef struct SiWriter
{
	const SiSubscription *subscription;
	const SiOptions *options;
	SiTombstoneUse tombstones;
	SiTombstoneUse deletes;		/* what a change event that deletes becomes */
	SiStatementSpec spec;		/* spec.target is valid only in create */
	SiMapping  *mapping;
	const SiKey *delete_key;	/* NULL where nothing is deleted by key */
	const SiKey *moved_key;		/* which an update may change; NULL where none
								 * may */
	TupleDesc	desc;			/* of the rows */
	bool		numbered;		/* rows have numbers, for the filter */
	bool		by_key;			/* rows are kept one by one, and reduced */
	SiReducer  *reducer;
	SiDirect   *direct;			/* inserts the rows instead of the statement,
								 * or NULL */
	SiStatement *insert;		/* by the insert mode; apply's while it is
								 * checked */
	SiStatement *partial;		/* upserts of records that lack a field */
	SiStatement *delete;
	SiStatement *filter;		/* by_key: run before the reduction */

	/* apply */
	SiSizedStatement sized[SI_MAGNITUDES];
	int64		handed_over;	/* rows in all */

	/*
	 * Columns that no statement of apply reads are not in the mapping.  This
	 * has all that take a field, to tell whether a message of which the
	 * mapping takes none has one of them; NULL where that does not matter.
	 */
	SiDecodePlan *unread;

	/* writer.c's own */
	MemoryContext context;
	MemoryContextCallback callback;
} SiWriter;

/*
 * Plan everything for a subscription with this target (NULL with apply), in the
 * current memory context, with which it goes away; what is given must outlive
 * it.  direct: rows may go by the direct path, if the target allows it.  Throws
 * what is wrong with the subscription's arguments, mapping, statements and
 * privileges.
 */
extern SiWriter *si_writer_create(Relation target, const SiSubscription *subscription,
								  const SiOptions *options, bool direct);

/*
 * No rows yet, in the current memory context and transaction, with room for
 * those of so many messages, which may have several each (option "records", and
 * changed keys).
 */
extern SiRows *si_writer_new_rows(const SiWriter *writer, int capacity);

/* All rows of a message have been put; see si_rows_end_message. */
extern void si_writer_end_message(const SiWriter *writer, SiRows *rows, bool keep);

/* Put the row of a message; see si_rows_put. */
extern void si_writer_put(const SiWriter *writer, SiRows *rows, Datum *values, bool *nulls,
						  bool is_delete, int entry);

/*
 * Apply's statements, planned for the n rows on offer.  They join the batch
 * with tables that grow, so they are planned again when ten times as many rows
 * have gone through since, and batches of other magnitudes have plans of their
 * own: neither does a large batch look up thousands of rows one by one, nor
 * does a small one read a large table.
 */
extern SiStatement *si_writer_apply_statement(SiWriter *writer, int n);

/* Prepare apply's statements over the rows on offer, only to see if it works. */
extern void si_writer_check_apply(SiWriter *writer);

#endif							/* SI_WRITER_H */
