/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Applying a batch of messages.
 *
 * What a user wrote runs in subtransactions, as the identity that the
 * subscription gives.  A message that is at fault is refused and harms no other;
 * what concerns the whole batch (temporary errors, and what makes the plan itself
 * impossible) is thrown.
 *
 * One batch is one transaction.  The path of a message through it:
 *
 *	si_worker_fetch				worker_fetch.c	take messages from librdkafka by
 *	  si_consumer_fetch			consumer.c		way of the consumer, as entries
 *	si_worker_apply				worker_apply.c	cut a batch of them by its limits
 *	  si_apply_batch			apply.c			begin the transaction
 *	    si_plan_check			plan.c			lock the target, make the plan
 *	    si_progress_lock		progress.c		the fence: lock rows, compare
 *	    si_convert_batch		convert_batch.c	for each message:
 *	      si_decoder_decode		decoder.c		  bytes to a record
 *	      si_convert_row		convert.c		  its fields to Datums
 *	      si_rows_put			rows.c			  a row of the relation "batch"
 *	    si_write_batch			write.c			for all rows at once:
 *	      si_isolate			isolate.c		  if they fail, which are at fault?
 *	      si_direct_write		direct.c		  insert them as COPY does, or
 *	      si_statement_run		statement.c		  INSERT ... SELECT FROM batch
 *	    si_outcome_store		outcome.c		dead letters of those refused
 *	    si_progress_advance		progress.c		next offsets, by compare-and-set
 *	  (si_transaction_commit)
 *	  si_consumer_release		consumer.c		give the messages back
 *
 * Called by the worker, retry and preview.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_APPLY_H
#define SI_APPLY_H

#include "apply/batch.h"
#include "apply/plan.h"

/*
 * Apply a batch in a transaction of its own and commit it, for the worker.  The
 * outcome stands in the batch (batch->end says whether there is one) and its
 * entries; batch->progress is then up to date.  Throws temporary errors, and what
 * makes the plan itself or the commit impossible; the caller then aborts the
 * transaction, and nothing has happened.
 */
extern void si_apply_batch(SiPlan *plan, const SiProgressKey *key, SiBatch *batch);

/*
 * Apply messages in the caller's transaction, for retry and preview: nothing is
 * stored but the rows.  All are dealt with up to the one whose records reach
 * max_rows, or that makes what was decoded too large, at least one: batch->done of
 * them.
 */
extern void si_apply_in_transaction(SiPlan *plan, SiEntry *entries, int n, int max_rows,
									SiBatch *batch);

/*
 * Show what the entries of si_apply_in_transaction have become: by entry, the
 * row as jsonb (show.h) in the current memory context, 0 for none.  In the
 * (sub)transaction that applied them, and before anything else is done.
 */
extern void si_apply_show(SiPlan *plan, const SiBatch *batch, Datum *rows);

#endif							/* SI_APPLY_H */
