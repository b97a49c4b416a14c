/*-------------------------------------------------------------------------
 *
 * writer.h
 *	  Rows of a batch to a destination: which statements run over which rows.
 *
 * The destination is a target table in one of the insert modes, or the
 * statements of "apply".  A writer holds what does not change from batch to
 * batch: the mapping, the batch's row type, the prepared statements.
 *
 * Called by applier, as the identity that runs the batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_WRITER_H
#define SI_WRITER_H

#include "apply/rows.h"
#include "apply/key.h"
#include "apply/statement.h"
#include "catalog/subscriptions.h"

typedef struct SiWriter SiWriter;

/* What a message without a value becomes. */
typedef enum SiTombstoneUse
{
	SI_TOMBSTONE_IGNORED,
	SI_TOMBSTONE_REFUSED,
	SI_TOMBSTONE_DELETES,		/* a row of the target (si_rows_put_delete) */
	SI_TOMBSTONE_IS_ROW			/* a row of the batch, for apply */
} SiTombstoneUse;

/*
 * Plan everything for a subscription with this target (NULL with apply), in the
 * current memory context, with which it goes away; what is given must outlive
 * it.  Throws what is wrong with the subscription's arguments, mapping,
 * statements and privileges.
 */
extern SiWriter *si_writer_create(Relation target, const SiSubscription *subscription,
								  const SiOptions *options);

/*
 * Is (a partition of) this relation a foreign table?  Then rows are committed
 * elsewhere before our offsets are, and a crash must not lose these.
 */
extern bool si_writer_is_remote(Oid target);

extern const SiMapping *si_writer_mapping(const SiWriter *writer);

/* NULL where nothing is deleted by key. */
extern const SiKey *si_writer_key(const SiWriter *writer);
extern SiTombstoneUse si_writer_tombstones(const SiWriter *writer);

/* The number of values that si_rows_put wants. */
extern int	si_writer_nvalues(const SiWriter *writer);

/*
 * With apply, columns that no statement reads are not in the mapping.  This
 * decode plan has all that take a field, to tell whether a message of which the
 * mapping takes none has one of them; NULL where nobody need ask.
 */
extern const SiDecodePlan *si_writer_unread_plan(const SiWriter *writer);

/* An empty batch in the current memory context and transaction. */
extern SiRows *si_writer_new_rows(const SiWriter *writer, int capacity);

/*
 * Write n rows of the batch from the given one on, in the current
 * subtransaction; adds to *written.  Connects to SPI by itself.  n may be 0:
 * then nothing is written, but what makes the statements impossible is thrown.
 */
extern void si_writer_write(SiWriter *writer, SiRows *batch, int from, int n,
							SiCounts *written);

/* The row, from 0 within that run, at which it failed; -1 if not known. */
extern int	si_writer_suspect(const SiWriter *writer, int from);

#endif							/* SI_WRITER_H */
