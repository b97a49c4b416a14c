/*-------------------------------------------------------------------------
 *
 * writer.c
 *	  The statements that write the rows of a subscription.
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
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/column_default.h"
#include "apply/decoded_value.h"
#include "apply/direct.h"
#include "apply/direct_target.h"
#include "apply/event_check.h"
#include "apply/format.h"
#include "apply/reduce.h"
#include "apply/remote.h"
#include "apply/user_sql.h"
#include "apply/writer.h"
#include "common/guc.h"
#include "format/envelope_shape.h"
#include "options/nearest.h"

static void
drop_statement(SiStatement **statement)
{
	if (*statement != NULL)
		si_statement_destroy(*statement);
	*statement = NULL;
}

/* Release what is not palloc'd, also when an ERROR deletes the context. */
static void
release_writer(void *arg)
{
	SiWriter   *writer = arg;

	drop_statement(&writer->insert);
	drop_statement(&writer->partial);
	drop_statement(&writer->delete);
	drop_statement(&writer->filter);
	for (int i = 0; i < SI_MAGNITUDES; i++)
		drop_statement(&writer->sized[i].statement);
}

/*
 * Connect to SPI with no rows on offer, but stay in the writer's memory context,
 * for the statements.
 */
static void
begin_prepare(SiWriter *writer, TupleDesc desc, int estimate)
{
	SiRows	   *none;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	none = si_rows_create(desc, 0, work_mem);
	si_rows_offer_none(none, estimate);
	MemoryContextSwitchTo(writer->context);
}

/* ---- a target ---- */

/* The defaults for fields that a message lacks, by column of the mapping. */
static List *
column_defaults(Relation target, const SiMapping *mapping)
{
	List	   *defaults = NIL;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];
		Node	   *expression = NULL;

		if (column->absent_bit >= 0)
			expression = si_column_default(target, column->attnum);

		/* a table below a view generates the column from others */
		if (contain_var_clause(expression))
			expression = NULL;
		Assert(expression == NULL || exprType(expression) == column->type);
		defaults = lappend(defaults, expression);
	}
	return defaults;
}

/* The column of option version_column in the mapping; -1 if there is no option. */
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
	name = si_nearest_name(name, names, writer->mapping->ncolumns);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("version_column \"%s\" does not exist in \"%s\"",
					writer->options->version_column, RelationGetRelationName(target)),
			 name ? errhint("Perhaps you meant the column \"%s\".", name) : 0));
}

/*
 * Can rows be inserted without the statement?  It is prepared all the same: its
 * plan tells whether the server would do just what the direct path does.
 */
static bool
direct_is_possible(const SiWriter *writer)
{
	return si_guc_direct_write && writer->spec.mode->id == SI_INSERT && !writer->by_key &&
		writer->spec.filter == NULL &&
		!si_target_is_remote(RelationGetRelid(writer->spec.target)) &&
		si_direct_possible(writer->spec.target, writer->mapping,
						   si_statement_planned(writer->insert));
}

/* May a message delete rows of the target? */
static bool
deletes_by_key(const SiWriter *writer)
{
	return writer->tombstones == SI_TOMBSTONE_DELETES || writer->deletes == SI_TOMBSTONE_DELETES;
}

/* Prepare the statements that the insert mode needs, and check privileges. */
static void
prepare_target(SiWriter *writer, bool direct)
{
	SiStatementSpec *spec = &writer->spec;
	SiStatementSpec insert = *spec;

	/* the filter has run before keys are looked at */
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
	if (deletes_by_key(writer))
	{
		writer->delete = si_statement_delete(spec);
		si_statement_check_privileges(writer->delete);
	}
	if (writer->numbered)
	{
		writer->filter = si_statement_filter(writer->mapping, spec->filter);
		si_statement_check_privileges(writer->filter);
	}
	if (direct && direct_is_possible(writer))
		writer->direct = si_direct_create(spec->target, writer->mapping);
	SPI_finish();
}

/* Everything for a target: mapping, key, row type, then the statements. */
static void
plan_target(SiWriter *writer, Relation target, bool direct)
{
	const SiSubscription *s = writer->subscription;
	SiStatementSpec *spec = &writer->spec;
	bool		deletes = deletes_by_key(writer);
	bool		moves = si_envelope_changes_keys(writer->options->envelope) &&
		(spec->mode->updates || writer->options->of_upsert);

	/* a view's defaults may be those of a table below it */
	bool		track_absent = spec->mode->updates ||
		target->rd_rel->relkind == RELKIND_VIEW;

	writer->mapping = si_mapping_build(RelationGetDescr(target), RelationGetRelationName(target),
									   s->mapping, writer->options, track_absent, NULL);
	si_decoded_value_take(writer->mapping, s->format);
	spec->target = target;
	spec->mapping = writer->mapping;
	spec->defaults = column_defaults(target, writer->mapping);
	spec->filter = writer->options->filter;
	if (spec->mode->updates || deletes || moves || s->key_columns != (Datum) 0)
		spec->key = si_key_find(target, writer->mapping, s->key_columns);
	if (moves)
	{
		si_event_check_moves(writer->mapping, spec->key, writer->options->envelope);
		writer->moved_key = spec->key;
	}
	spec->version_column = find_version_column(writer, target);
	if (spec->filter != NULL)
		si_user_sql_check_filter(spec->filter);

	writer->by_key = (spec->mode->updates || deletes);
	writer->numbered = writer->by_key && spec->filter != NULL;
	writer->desc = si_rows_desc(writer->mapping, writer->numbered);
	if (writer->by_key)
		writer->reducer = si_reduce_create(writer->mapping, spec->key, spec->mode->updates,
										   spec->version_column);
	prepare_target(writer, direct);
}

/* ---- apply ---- */

/* The type that holds a message's value as a whole. */
static Oid
whole_type(SiFormatValue value)
{
	switch (value)
	{
		case SI_WHOLE_JSON:
		case SI_WHOLE_DECODED:
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

void
si_writer_check_apply(SiWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	drop_statement(&writer->insert);
	writer->insert = si_statement_apply(writer->subscription->apply);
	si_statement_check_privileges(writer->insert);
	drop_statement(&writer->insert);
	MemoryContextSwitchTo(old);
}

SiStatement *
si_writer_apply_statement(SiWriter *writer, int n)
{
	MemoryContext old;
	SiSizedStatement *sized;
	int			magnitude = 0;

	for (int rest = n; rest >= 10 && magnitude < SI_MAGNITUDES - 1; rest /= 10)
		magnitude++;
	sized = &writer->sized[magnitude];
	writer->handed_over += n;
	if (sized->statement != NULL && writer->handed_over < 10 * sized->handed_over)
		return sized->statement;

	drop_statement(&sized->statement);
	old = MemoryContextSwitchTo(writer->context);
	sized->statement = si_statement_apply(writer->subscription->apply);
	MemoryContextSwitchTo(old);
	sized->handed_over = writer->handed_over;
	return sized->statement;
}

/*
 * Everything for apply.  Its statements are analyzed twice: first to learn which
 * columns they read, then over rows that have no others.
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
	SPI_finish();

	all = si_mapping_build_apply(desc, whole, s->mapping, writer->options, NULL);
	writer->mapping = si_mapping_build_apply(desc, whole, s->mapping, writer->options, skip);
	si_decoded_value_take(writer->mapping, s->format);
	writer->desc = si_rows_desc(writer->mapping, false);
	writer->mapping->needs_field = all->needs_field;
	if (all->needs_field && writer->mapping->decode.nfields < all->decode.nfields)
		writer->unread = &all->decode;

	begin_prepare(writer, writer->desc, writer->options->batch_size);
	si_writer_check_apply(writer);
	SPI_finish();
}

/* ---- the writer ---- */

/* What becomes of a tombstone, by the option and the insert mode. */
static SiTombstoneUse
tombstone_use(const SiWriter *writer)
{
	SiTombstoneUse delete = writer->subscription->apply ? SI_TOMBSTONE_IS_ROW :
		writer->options->deletes_nothing ? SI_TOMBSTONE_REFUSED : SI_TOMBSTONE_DELETES;

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

/*
 * What becomes of a message that says that its row is deleted.  In upsert mode
 * the option "tombstones" does not turn that off: such an event is no tombstone,
 * which may follow it.
 */
static SiTombstoneUse
event_use(const SiWriter *writer)
{
	const SiOptions *options = writer->options;

	if (options->envelope == SI_ENVELOPE_NONE && options->deleted_field == NULL)
		return SI_TOMBSTONE_IGNORED;
	if (writer->subscription->apply != NULL)
		return SI_TOMBSTONE_IS_ROW;
	if (writer->spec.mode->updates || options->tombstones == SI_TOMBSTONES_DELETE)
		return options->deletes_nothing ? SI_TOMBSTONE_REFUSED : SI_TOMBSTONE_DELETES;

	/* a retry of dead letters relies on this: it deletes nothing */
	return options->tombstones == SI_TOMBSTONES_ERROR ?
		SI_TOMBSTONE_REFUSED : SI_TOMBSTONE_IGNORED;
}

SiWriter *
si_writer_create(Relation target, const SiSubscription *subscription, const SiOptions *options,
				 bool direct)
{
	SiWriter   *writer = palloc0(sizeof(SiWriter));

	writer->callback.func = release_writer;
	writer->callback.arg = writer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &writer->callback);
	writer->context = CurrentMemoryContext;
	writer->subscription = subscription;
	writer->options = si_format_settle(subscription->format, options);
	writer->spec.mode = &si_insert_modes[subscription->insert_mode];
	writer->tombstones = tombstone_use(writer);
	writer->deletes = event_use(writer);
	writer->spec.version_column = -1;
	if (subscription->apply != NULL)
		plan_apply(writer);
	else
		plan_target(writer, target, direct);
	writer->spec.target = NULL;
	if (deletes_by_key(writer))
		writer->delete_key = writer->spec.key;
	return writer;
}

SiRows *
si_writer_new_rows(const SiWriter *writer, int capacity)
{
	int			kilobytes = writer->options->batch_bytes / 1024 * 4 + 65536;
	bool		of_records = writer->options->records != NULL;
	bool		several = of_records || (writer->by_key && writer->moved_key != NULL);
	SiRows	   *rows;

	if (writer->direct != NULL)
	{
		si_direct_begin(writer->direct, capacity);
		rows = si_rows_create_elsewhere(writer->desc, capacity);
	}
	else if (writer->by_key || several)
		rows = si_rows_create_single(writer->desc, writer->numbered, capacity, kilobytes);
	else
		rows = si_rows_create(writer->desc, capacity, kilobytes);
	if (several)
		si_rows_group(rows, capacity, of_records);
	return rows;
}

void
si_writer_end_message(const SiWriter *writer, SiRows *rows, bool keep)
{
	int			nrows = si_rows_end_message(rows, keep);

	if (writer->direct != NULL)
		si_direct_take_back(writer->direct, nrows);
}

void
si_writer_put(const SiWriter *writer, SiRows *rows, Datum *values, bool *nulls, bool is_delete,
			  int entry)
{
	if (writer->direct != NULL)
		si_direct_put(writer->direct, values, nulls);
	si_rows_put(rows, values, nulls, is_delete, entry);
}
