/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Writing the rows of a batch, all but those at fault.
 *
 * The statements run over all rows at once, in a subtransaction.  When that
 * fails, the rows at fault are searched for (isolate.c).  An error is a row's
 * fault only if the same statements work over no rows at all.
 *
 * In the modes where nothing depends on keys, a run of rows goes by the direct path
 * (direct.h) or is offered to one statement as it is.  Otherwise the rows are first
 * filtered and reduced (reduce.h), and then written wave by wave.  Everything is
 * decided again for every run of rows, so a halved batch gives what its halves give
 * one after the other.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "apply/protect.h"
#include "apply/reduce.h"
#include "apply/write.h"
#include "options/insert_mode.h"

/* Some of the batch's rows. */
typedef struct RowRange
{
	SiBatch    *batch;
	int			from;
	int			n;
} RowRange;

/* ---- the statements over a range of rows ---- */

/*
 * Run a statement over the n rows on offer.  Where several of the target's rows have
 * the same key, as those of a foreign table may, it writes more than n; what counts is
 * the batch's rows.
 */
static void
run_and_count(SiStatement *statement, int n, SiCounts *counts)
{
	SiCounts	written = {0};

	si_statement_run(statement, &written);
	counts->inserted += written.inserted;
	counts->updated += Min(written.updated, Max(n - written.inserted, 0));
	counts->deleted += Min(written.deleted, n);
}

/* Run a statement over chosen rows. */
static void
run_over(SiStatement *statement, SiRows *rows, const int *chosen, int n, SiCounts *counts)
{
	si_rows_offer_chosen(rows, chosen, n);
	run_and_count(statement, n, counts);
	si_rows_withdraw(rows);
}

/*
 * Delete chosen rows.  What is deleted by the key that a row had before does not
 * count: the row with its new key does.
 */
static void
run_deletes(SiWriter *writer, SiRows *rows, const int *chosen, int n, SiCounts *counts)
{
	SiCounts	of_old_keys = {0};
	int		   *divided;
	int			nown = 0,
				nold = 0;

	if (rows->firsts == NULL || rows->of_records)
	{
		run_over(writer->delete, rows, chosen, n, counts);
		return;
	}
	divided = palloc(sizeof(int) * n);
	for (int i = 0; i < n; i++)
	{
		if (si_rows_is_old_key(rows, chosen[i]))
			divided[n - ++nold] = chosen[i];
		else
			divided[nown++] = chosen[i];
	}
	if (nown > 0)
		run_over(writer->delete, rows, divided, nown, counts);
	if (nold > 0)
		run_over(writer->delete, rows, divided + nown, nold, &of_old_keys);
	pfree(divided);
}

/* Run the statement over a range of rows as it is. */
static void
write_plainly(SiWriter *writer, SiRows *rows, int from, int n, SiCounts *counts)
{
	si_rows_offer(rows, from, n);
	run_and_count(writer->insert, n, counts);
	si_rows_withdraw(rows);
}

/*
 * The rows of a range that count: all deletes, and the writes that pass the
 * filter.  Returns how many; chosen has room for n.
 */
static int
choose_rows(SiWriter *writer, SiRows *rows, int from, int n, int *chosen)
{
	int			nchosen = 0,
				nwrites = 0,
				npassed;
	int		   *writes;
	int		   *passed;
	bool	   *passes;

	if (writer->filter == NULL)
	{
		for (int i = 0; i < n; i++)
			chosen[i] = from + i;
		return n;
	}

	writes = palloc(sizeof(int) * Max(n, 1));
	passes = palloc0(sizeof(bool) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (rows->deletes[from + i])
			passes[i] = true;
		else
			writes[nwrites++] = from + i;
	}
	si_rows_offer_chosen(rows, writes, nwrites);
	passed = si_statement_rows(writer->filter, &npassed);
	si_rows_withdraw(rows);
	for (int i = 0; i < npassed; i++)
		passes[passed[i] - from] = true;
	for (int i = 0; i < n; i++)
	{
		if (passes[i])
			chosen[nchosen++] = from + i;
	}
	return nchosen;
}

/* Filter and reduce a range of rows, and write it wave by wave. */
static void
write_by_key(SiWriter *writer, SiRows *rows, int from, int n, SiCounts *counts)
{
	int		   *chosen = palloc(sizeof(int) * Max(n, 1));
	int			nchosen = choose_rows(writer, rows, from, n, chosen);
	SiReduction *reduction = si_reduce_rows(writer->reducer, rows, chosen, nchosen);

	for (int i = 0; i < reduction->nwaves; i++)
	{
		const SiWave *wave = &reduction->waves[i];

		CHECK_FOR_INTERRUPTS();
		if (wave->ndeletes > 0)
			run_deletes(writer, rows, wave->deletes, wave->ndeletes, counts);
		if (wave->nwrites > 0)
			run_over(writer->insert, rows, wave->writes, wave->nwrites, counts);
		if (wave->npartials > 0)
			run_over(writer->partial, rows, wave->partials, wave->npartials, counts);
	}
	counts->superseded += reduction->nsuperseded;

	/* over no rows at all: do the statements work? */
	if (n == 0)
		run_over(writer->insert, rows, NULL, 0, counts);
	if (n == 0 && writer->partial != NULL)
		run_over(writer->partial, rows, NULL, 0, counts);
	if (n == 0 && writer->delete != NULL)
		run_over(writer->delete, rows, NULL, 0, counts);
}

/* Hand the rows to apply's statements; that they were applied is all we know. */
static void
apply_rows(SiWriter *writer, SiRows *rows, int from, int n, SiCounts *counts)
{
	si_rows_offer(rows, from, n);

	/* over no rows a statement may still do something: only analyze it */
	if (n == 0)
		si_writer_check_apply(writer);
	else
		si_statement_run(si_writer_apply_statement(writer, n), counts);
	si_rows_withdraw(rows);
	counts->applied += n;
}

void
si_write_set_constraints(bool deferred)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = deferred;
	AfterTriggerSetState(statement);
}

/* Run the statements over a range of rows. */
static void
run_statements(SiPlan *plan, const RowRange *range)
{
	SiWriter   *writer = plan->writer;
	SiRows	   *rows = range->batch->rows;
	SiCounts   *counts = &range->batch->counts;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan->subscription->apply != NULL)
		apply_rows(writer, rows, range->from, range->n, counts);
	else if (writer->by_key)
		write_by_key(writer, rows, range->from, range->n, counts);
	else
		write_plainly(writer, rows, range->from, range->n, counts);
	SPI_finish();
}

/*
 * How many rows in a row a write may leave out: fewer than would end the batch,
 * which has to end at that very row.  None of a message that has several, whose
 * others would be written.
 */
static int
most_left_out(const SiBatch *batch)
{
	if (batch->stop_at_first || batch->rows->firsts != NULL)
		return 0;
	if (batch->fault_run.most == 0)
		return INT_MAX;
	return Max(batch->fault_run.most - batch->fault_run.in_a_row - 1, 0);
}

/*
 * Write a range of rows, which may be empty; the work of si_protect_run.
 * Deferred constraints are checked before the subtransaction ends; a
 * security-restricted context fires no deferred trigger, so there all of them
 * are immediate from the start.
 */
static void
write_range(SiPlan *plan, void *arg)
{
	RowRange   *range = arg;
	SiBatch    *batch = range->batch;
	SiWriter   *writer = plan->writer;

	si_write_set_constraints(!InSecurityRestrictedOperation());
	if (writer->direct != NULL)
		batch->counts.inserted += si_direct_write(writer->direct, range->from, range->n,
												  most_left_out(batch));
	else
		run_statements(plan, range);
	if (!InSecurityRestrictedOperation())
		si_write_set_constraints(false);
}

/* ---- rows at fault ---- */

/* Throw if the statements fail over no rows: then no message is at fault. */
static void
throw_if_plan_fails(SiPlan *plan, SiBatch *batch)
{
	SiCounts	before = batch->counts;
	RowRange	nothing = {batch, 0, 0};
	SiFailure  *failure = si_protect_probe(plan, write_range, &nothing);

	batch->counts = before;
	if (failure == NULL)
		return;
	plan->stale = true;
	plan->at_fault = true;
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("%s", failure->message)));
}

/* The row of the batch, within a range, at which it failed; -1 if not known. */
static int
find_suspect(const SiWriter *writer, int from)
{
	int			row = writer->direct ? si_direct_row(writer->direct) : si_rows_failed_at();

	if (!writer->by_key && writer->direct == NULL && row >= 0)
		return from + row;
	return row >= from ? row : -1;
}

/*
 * Which message a row is of that a write failed at; noted is, too, which of its
 * records that is.
 */
static int
suspect_message(const SiBatch *batch, int row, SiFailure *failure)
{
	const SiRows *rows = batch->rows;
	int			message = si_rows_message(rows, row);

	if (rows->firsts != NULL && rows->of_records &&
		batch->entries[rows->entries[row]].message.value != NULL)
		failure->record = row - rows->firsts[message] + 1;
	return message;
}

/* What isolate.c calls to write a run of messages that have rows. */
typedef struct Attempt
{
	SiPlan	   *plan;
	SiBatch    *batch;
} Attempt;

/* Write the rows of n messages; when that fails, its counts are taken back. */
static SiFailure *
try_messages(void *arg, int from, int n, int *at)
{
	SiPlan	   *plan = ((Attempt *) arg)->plan;
	SiBatch    *batch = ((Attempt *) arg)->batch;
	SiCounts	before = batch->counts;
	int			first = si_rows_first(batch->rows, from);
	RowRange	range = {batch, first, si_rows_first(batch->rows, from + n) - first};
	SiFailure  *failure;
	int			row;

	batch->current = batch->rows->entries[first];
	failure = si_protect_run(plan, write_range, &range);
	if (failure == NULL)
		return NULL;
	row = find_suspect(plan->writer, first);
	*at = row >= 0 ? suspect_message(batch, row, failure) - from : -1;

	/* elsewhere the suspect may not be the row that was being written */
	if (!plan->writer->spec.mode->in_order || plan->subscription->apply != NULL)
		failure->of_row = false;
	batch->counts = before;
	if (!batch->probed)
	{
		batch->probed = true;
		throw_if_plan_fails(plan, batch);
	}
	return failure;
}

/* Why the last try, which succeeded, left out the row of a message; or NULL. */
static SiFailure *
left_out(void *arg, int row)
{
	SiPlan	   *plan = ((Attempt *) arg)->plan;
	MemoryContext old = MemoryContextSwitchTo(plan->batch_context);
	SiFailure  *failure = si_direct_left_out(plan->writer->direct, row);

	MemoryContextSwitchTo(old);
	return failure;
}

/* The entry of a message that has rows. */
static int
entry_of(const SiBatch *batch, int message)
{
	return batch->rows->entries[si_rows_first(batch->rows, message)];
}

/* A message is at fault. */
static void
refuse_message(void *arg, int message, SiFailure *failure)
{
	SiBatch    *batch = ((Attempt *) arg)->batch;

	batch->entries[entry_of(batch, message)].failure = failure;
}

void
si_write_batch(SiPlan *plan, SiBatch *batch)
{
	Attempt		attempt = {plan, batch};
	SiIsolation isolation = {
		.try = try_messages,
		.refuse = refuse_message,
		.left_out = plan->writer->direct && batch->rows->firsts == NULL ? left_out : NULL,
		.arg = &attempt,
		.rate = &plan->fault_rate,
		.run = &batch->fault_run,
		.max_writes = batch->max_writes,
		.stop_at_first = batch->stop_at_first
	};
	int			n = si_rows_messages(batch->rows);
	int			written;

	si_fault_run_begin(&batch->fault_run, batch->breaker, n >= SI_BATCH_IS_LARGE);
	written = si_isolate(&isolation, n);
	batch->done = (written < n) ? entry_of(batch, written) : batch->reach;
	batch->current = -1;
}
