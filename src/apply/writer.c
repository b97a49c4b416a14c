/*-------------------------------------------------------------------------
 *
 * writer.c
 *	  Rows of a batch to a destination.
 *
 * Where nothing depends on keys, a run of rows is offered to one statement as
 * it is.  Otherwise the rows are first filtered and reduced (reduce.h), and
 * then written wave by wave.  Everything is decided anew for every run of rows,
 * so a halved batch gives what its halves give one after the other.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/direct.h"
#include "apply/reduce.h"
#include "apply/user_sql.h"
#include "apply/writer.h"
#include "common/guc.h"
#include "options/server_options.h"

/* Batches of 1, 10, 100 ... rows are planned apart. */
#define MAGNITUDES	7

typedef struct ApplyPlan
{
	SiStatement *statement;		/* NULL until there is such a batch */
	int64		handed_over;	/* rows in all when it was made */
} ApplyPlan;

struct SiWriter
{
	MemoryContext context;
	MemoryContextCallback callback;
	const SiSubscription *subscription;
	const SiOptions *options;
	SiTombstoneUse tombstones;
	SiStatementSpec spec;		/* spec.target is valid only in create */
	SiMapping  *mapping;
	TupleDesc	desc;
	bool		numbered;		/* rows have numbers, for the filter */
	bool		by_key;			/* rows are kept one by one, and reduced */
	SiReducer  *reducer;
	SiDirect   *direct;			/* rows are inserted without the statement */
	SiStatement *insert;		/* by the insert mode; apply's while it is
								 * looked at */
	SiStatement *partial;		/* upserts of records that lack a field */
	SiStatement *delete;
	SiStatement *filter;		/* by_key: run before the reduction */

	/* apply */
	ApplyPlan	plans[MAGNITUDES];
	int64		handed_over;	/* rows in all */
	SiDecodePlan *unread;
};

static void release_writer(void *arg);
static void drop_statement(SiStatement **statement);
static SiTombstoneUse tombstone_use(const SiWriter *writer);
static void plan_target(SiWriter *writer, Relation target);
static int	find_version_column(const SiWriter *writer, Relation target);
static void prepare_target(SiWriter *writer);
static Oid	whole_type(SiFormatValue value);
static TupleDesc apply_desc(const SiSubscription *s, bool *whole);
static void plan_apply(SiWriter *writer);
static void check_apply(SiWriter *writer);
static SiStatement *plan_for(SiWriter *writer, int n);
static void begin_prepare(SiWriter *writer, TupleDesc desc, int estimate);
static void end_prepare(void);
static void write_plainly(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written);
static void write_by_key(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written);
static void run_over(SiStatement *statement, SiBatch *batch, const int *rows, int n,
					 SiWritten *written);
static int	choose_rows(SiWriter *writer, SiBatch *batch, int from, int n, int *rows);
static void apply_rows(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written);

SiWriter *
si_writer_create(Relation target, const SiSubscription *subscription, const SiOptions *options)
{
	SiWriter   *writer = palloc0(sizeof(SiWriter));

	writer->callback.func = release_writer;
	writer->callback.arg = writer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &writer->callback);
	writer->context = CurrentMemoryContext;
	writer->subscription = subscription;
	writer->options = options;
	writer->spec.mode = si_insert_mode_find(subscription->insert_mode);
	writer->tombstones = tombstone_use(writer);
	writer->spec.version_column = -1;
	if (subscription->apply != NULL)
		plan_apply(writer);
	else
		plan_target(writer, target);
	writer->spec.target = NULL;
	return writer;
}

static SiTombstoneUse
tombstone_use(const SiWriter *writer)
{
	SiTombstoneUse delete = writer->subscription->apply ? SI_TOMBSTONE_IS_ROW : SI_TOMBSTONE_DELETES;

	switch (writer->options->tombstones)
	{
		case SI_TOMBSTONES_DELETE:
			return delete;
		case SI_TOMBSTONES_ERROR:
			return SI_TOMBSTONE_REFUSED;
		case SI_TOMBSTONES_IGNORE:
			return SI_TOMBSTONE_IGNORED;
		case SI_TOMBSTONES_AUTO:
			break;
	}
	return writer->spec.mode->updates ? delete : SI_TOMBSTONE_IGNORED;
}

/* ---- a target ---- */

static void
plan_target(SiWriter *writer, Relation target)
{
	const SiSubscription *s = writer->subscription;
	SiStatementSpec *spec = &writer->spec;
	bool		deletes = writer->tombstones == SI_TOMBSTONE_DELETES;

	/* a view's defaults may be those of a table below it */
	bool		track_absent = spec->mode->updates ||
		target->rd_rel->relkind == RELKIND_VIEW;

	writer->mapping = si_mapping_build(RelationGetDescr(target), RelationGetRelationName(target),
									   s->mapping, writer->options, track_absent, NULL);
	spec->target = target;
	spec->mapping = writer->mapping;
	spec->filter = writer->options->filter;
	if (spec->mode->updates || deletes || s->key_columns != (Datum) 0)
		spec->key = si_key_find(target, writer->mapping, s->key_columns);
	spec->version_column = find_version_column(writer, target);
	if (spec->filter != NULL)
		si_user_sql_check_filter(spec->filter);

	writer->by_key = (spec->mode->updates || deletes);
	writer->numbered = writer->by_key && spec->filter != NULL;
	writer->desc = si_batch_desc(writer->mapping, writer->numbered);
	if (writer->by_key)
		writer->reducer = si_reduce_create(writer->mapping, spec->key, spec->mode->updates,
										   spec->version_column);
	prepare_target(writer);
}

static int
find_version_column(const SiWriter *writer, Relation target)
{
	const char *name = writer->options->version_column;
	const char **names;

	if (name == NULL)
		return -1;
	if (!writer->spec.mode->updates)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"version_column\" goes with insert_mode \"upsert\" only")));
	names = palloc(sizeof(char *) * Max(writer->mapping->ncolumns, 1));
	for (int i = 0; i < writer->mapping->ncolumns; i++)
	{
		names[i] = writer->mapping->columns[i].name;
		if (strcmp(names[i], name) == 0)
			return i;
	}
	if (get_attnum(RelationGetRelid(target), name) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("version_column \"%s\" takes nothing from the messages", name),
				 errhint("Give it a source in \"mapping\".")));
	name = si_server_nearest(name, names, writer->mapping->ncolumns);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("version_column \"%s\" does not exist in \"%s\"",
					writer->options->version_column, RelationGetRelationName(target)),
			 name ? errhint("Perhaps you meant the column \"%s\".", name) : 0));
}

static void
prepare_target(SiWriter *writer)
{
	SiStatementSpec *spec = &writer->spec;
	SiStatementSpec insert = *spec;

	/* what passed is known before keys are looked at */
	if (writer->by_key)
		insert.filter = NULL;

	begin_prepare(writer, writer->desc, writer->options->batch_size);
	writer->insert = si_statement_insert(&insert);
	si_statement_check_privileges(writer->insert);
	if (spec->mode->updates && writer->mapping->nabsent > 0)
	{
		writer->partial = si_statement_partial(&insert);
		si_statement_check_privileges(writer->partial);
	}
	if (writer->tombstones == SI_TOMBSTONE_DELETES)
	{
		writer->delete = si_statement_delete(spec);
		si_statement_check_privileges(writer->delete);
	}
	if (writer->numbered)
	{
		writer->filter = si_statement_filter(spec->filter);
		si_statement_check_privileges(writer->filter);
	}
	if (si_guc_direct_write && IsBackgroundWorker && spec->mode->id == SI_INSERT &&
		!writer->by_key && spec->filter == NULL &&
		si_direct_possible(spec->target, writer->mapping, si_statement_planned(writer->insert)))
		writer->direct = si_direct_create(spec->target, writer->mapping);
	end_prepare();
}

/*
 * Connect to SPI with an empty batch on offer, to stay in the writer's memory
 * context all the same.
 */
static void
begin_prepare(SiWriter *writer, TupleDesc desc, int estimate)
{
	SiBatch    *empty;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	empty = si_batch_create(desc, work_mem);
	si_batch_offer_none(empty, estimate);
	MemoryContextSwitchTo(writer->context);
}

static void
end_prepare(void)
{
	SPI_finish();
}

/* ---- apply ---- */

/* The type that holds a message's value as a whole. */
static Oid
whole_type(SiFormatValue value)
{
	switch (value)
	{
		case SI_WHOLE_JSON:
			return JSONBOID;
		case SI_WHOLE_TEXT:
			return TEXTOID;
		case SI_WHOLE_BYTES:
			return BYTEAOID;
	}
	pg_unreachable();
}

/*
 * The row type of apply's batch, with all its columns; *whole is set if the
 * first one takes the whole value.
 */
static TupleDesc
apply_desc(const SiSubscription *s, bool *whole)
{
	TupleDesc	desc;
	Oid			type = whole_type(si_decoder_find(s->format)->value);

	*whole = s->fields == NULL;
	if (s->fields != NULL)
		desc = si_user_sql_columns(s->fields, SI_METADATA_COLUMNS);
	else
	{
		desc = CreateTemplateTupleDesc(1 + SI_METADATA_COLUMNS);
		TupleDescInitEntry(desc, 1, "value", type, -1, 0);
	}
	si_mapping_add_metadata(desc, desc->natts - SI_METADATA_COLUMNS);
	return desc;
}

/*
 * Analyze the statements twice: first to learn which columns they read, then
 * over a batch that has no others.
 */
static void
plan_apply(SiWriter *writer)
{
	const SiSubscription *s = writer->subscription;
	bool		whole;
	TupleDesc	desc = apply_desc(s, &whole);
	bool	   *skip = palloc0(sizeof(bool) * desc->natts);
	SiMapping  *all;

	if (superuser_arg(s->owner) && !writer->options->run_as_owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the statements of \"apply\" do not run as superuser"),
				 errdetail("Triggers and functions of other roles would run with all rights."),
				 errhint("Let a role that is no superuser own the subscription, or set the option \"run_as_owner\" to true.")));
	si_user_sql_check_apply(s->apply);

	begin_prepare(writer, desc, writer->options->batch_size);
	writer->insert = si_statement_apply(s->apply);
	si_statement_used_columns(writer->insert, skip);
	for (int i = 0; i < desc->natts; i++)
		skip[i] = !skip[i];
	end_prepare();

	all = si_mapping_build_apply(desc, whole, s->mapping, writer->options, NULL);
	writer->mapping = si_mapping_build_apply(desc, whole, s->mapping, writer->options, skip);
	writer->desc = si_batch_desc(writer->mapping, false);
	writer->mapping->needs_field = all->needs_field;
	if (all->needs_field && writer->mapping->decode.nfields < all->decode.nfields)
		writer->unread = &all->decode;

	begin_prepare(writer, writer->desc, writer->options->batch_size);
	check_apply(writer);
	end_prepare();
}

/* Prepare the statements anew, over the batch on offer, only to see if it works. */
static void
check_apply(SiWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	drop_statement(&writer->insert);
	writer->insert = si_statement_apply(writer->subscription->apply);
	si_statement_check_privileges(writer->insert);
	drop_statement(&writer->insert);
	MemoryContextSwitchTo(old);
}

/*
 * The plan for a batch of n rows.  Statements join the batch with tables that
 * grow, so a plan is made anew when ten times as many rows have gone through
 * since it was made, and batches of other magnitudes have plans of their own:
 * neither does a large batch look up thousands of rows one by one, nor does a
 * small one read a large table.
 */
static SiStatement *
plan_for(SiWriter *writer, int n)
{
	MemoryContext old;
	ApplyPlan  *plan;
	int			magnitude = 0;

	for (int rest = n; rest >= 10 && magnitude < MAGNITUDES - 1; rest /= 10)
		magnitude++;
	plan = &writer->plans[magnitude];
	writer->handed_over += n;
	if (plan->statement != NULL && writer->handed_over < 10 * plan->handed_over)
		return plan->statement;

	drop_statement(&plan->statement);
	old = MemoryContextSwitchTo(writer->context);
	plan->statement = si_statement_apply(writer->subscription->apply);
	MemoryContextSwitchTo(old);
	plan->handed_over = writer->handed_over;
	return plan->statement;
}

static void
apply_rows(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written)
{
	si_batch_offer(batch, from, n);

	/* over no rows a statement may still do something: only analyze it */
	if (n == 0)
		check_apply(writer);
	else
		si_statement_run(plan_for(writer, n), written);
	si_batch_withdraw(batch);
	written->handed_over += n;
}

/* ---- what others want to know ---- */

bool
si_writer_is_remote(Oid target)
{
	char		kind = OidIsValid(target) ? get_rel_relkind(target) : '\0';
	ListCell   *lc;

	if (kind == RELKIND_FOREIGN_TABLE)
		return true;
	if (kind != RELKIND_PARTITIONED_TABLE)
		return false;
	foreach(lc, find_all_inheritors(target, NoLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}

const SiMapping *
si_writer_mapping(const SiWriter *writer)
{
	return writer->mapping;
}

const SiKey *
si_writer_key(const SiWriter *writer)
{
	return writer->tombstones == SI_TOMBSTONE_DELETES ? writer->spec.key : NULL;
}

SiTombstoneUse
si_writer_tombstones(const SiWriter *writer)
{
	return writer->tombstones;
}

int
si_writer_nvalues(const SiWriter *writer)
{
	return writer->desc->natts;
}

const SiDecodePlan *
si_writer_unread_plan(const SiWriter *writer)
{
	return writer->unread;
}

/* ---- rows ---- */

SiBatch *
si_writer_new_batch(const SiWriter *writer)
{
	int			kilobytes = writer->options->batch_bytes / 1024 * 4 + 65536;

	if (writer->direct != NULL)
		si_direct_begin(writer->direct);

	return writer->by_key ? si_batch_create_single(writer->desc, kilobytes)
		: si_batch_create(writer->desc, kilobytes);
}

void
si_writer_put(const SiWriter *writer, SiBatch *batch, Datum *values, bool *nulls, bool is_delete)
{
	if (writer->numbered)
	{
		values[writer->desc->natts - 1] = Int32GetDatum(batch->nrows);
		nulls[writer->desc->natts - 1] = false;
	}
	if (writer->direct != NULL)
	{
		si_direct_put(writer->direct, values, nulls);
		batch->nrows++;
	}
	else if (is_delete)
		si_batch_put_delete(batch, values, nulls);
	else
		si_batch_put(batch, values, nulls);
}

void
si_writer_write(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written)
{
	if (writer->direct != NULL)
	{
		written->inserted += si_direct_write(writer->direct, from, n);
		return;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (writer->subscription->apply != NULL)
		apply_rows(writer, batch, from, n, written);
	else if (writer->by_key)
		write_by_key(writer, batch, from, n, written);
	else
		write_plainly(writer, batch, from, n, written);
	SPI_finish();
}

static void
write_plainly(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written)
{
	si_batch_offer(batch, from, n);
	si_statement_run(writer->insert, written);
	si_batch_withdraw(batch);
}

static void
write_by_key(SiWriter *writer, SiBatch *batch, int from, int n, SiWritten *written)
{
	int		   *rows = palloc(sizeof(int) * Max(n, 1));
	int			nrows = choose_rows(writer, batch, from, n, rows);
	SiReduction *reduction = si_reduce_rows(writer->reducer, batch, rows, nrows);

	for (int i = 0; i < reduction->nwaves; i++)
	{
		const SiWave *wave = &reduction->waves[i];

		CHECK_FOR_INTERRUPTS();
		if (wave->ndeletes > 0)
			run_over(writer->delete, batch, wave->deletes, wave->ndeletes, written);
		if (wave->nwrites > 0)
			run_over(writer->insert, batch, wave->writes, wave->nwrites, written);
		if (wave->npartials > 0)
			run_over(writer->partial, batch, wave->partials, wave->npartials, written);
	}
	written->superseded += reduction->nsuperseded;

	/* with no rows at all, it is asked whether the statements work */
	if (n == 0)
		run_over(writer->insert, batch, NULL, 0, written);
	if (n == 0 && writer->partial != NULL)
		run_over(writer->partial, batch, NULL, 0, written);
	if (n == 0 && writer->delete != NULL)
		run_over(writer->delete, batch, NULL, 0, written);
}

static void
run_over(SiStatement *statement, SiBatch *batch, const int *rows, int n, SiWritten *written)
{
	si_batch_offer_rows(batch, rows, n);
	si_statement_run(statement, written);
	si_batch_withdraw(batch);
}

/*
 * The rows of a run that count: all deletes, and the writes that pass the
 * filter.  Returns how many; rows has room for n.
 */
static int
choose_rows(SiWriter *writer, SiBatch *batch, int from, int n, int *rows)
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
			rows[i] = from + i;
		return n;
	}

	writes = palloc(sizeof(int) * Max(n, 1));
	passes = palloc0(sizeof(bool) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (batch->deletes[from + i])
			passes[i] = true;
		else
			writes[nwrites++] = from + i;
	}
	si_batch_offer_rows(batch, writes, nwrites);
	passed = si_statement_rows(writer->filter, &npassed);
	si_batch_withdraw(batch);
	for (int i = 0; i < npassed; i++)
		passes[passed[i] - from] = true;
	for (int i = 0; i < n; i++)
	{
		if (passes[i])
			rows[nchosen++] = from + i;
	}
	return nchosen;
}

int
si_writer_suspect(const SiWriter *writer, int from)
{
	int			row = si_batch_current_row();

	if (writer->direct != NULL)
		return si_direct_row(writer->direct) < from ? -1 : si_direct_row(writer->direct) - from;
	return (writer->by_key && row >= from) ? row - from : writer->by_key ? -1 : row;
}

/* What is not palloc'd goes with the context, also when an ERROR takes it. */
static void
release_writer(void *arg)
{
	SiWriter   *writer = arg;

	drop_statement(&writer->insert);
	drop_statement(&writer->partial);
	drop_statement(&writer->delete);
	drop_statement(&writer->filter);
	for (int i = 0; i < MAGNITUDES; i++)
		drop_statement(&writer->plans[i].statement);
}

static void
drop_statement(SiStatement **statement)
{
	if (*statement != NULL)
		si_statement_destroy(*statement);
	*statement = NULL;
}
