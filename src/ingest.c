/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  One batch, one transaction: decode, convert, write, progress.
 *
 * Whatever a user wrote (triggers, constraints, domains, types) runs in a
 * subtransaction, as the identity that the subscription gives, with its pinned
 * settings; see run_protected.  When the statement over the batch fails, its
 * rows are halved in the order of their messages until the one at fault stands
 * alone.  An error is a message's fault only if the same statement works over
 * no rows at all; else it is the plan's, and thrown.
 *
 * Locks are taken in one order: the target, then the rows of progress, and for
 * those it does not wait.  So a worker that waits for somebody's ALTER TABLE,
 * or for the end of a change of the subscription, holds nothing that this
 * somebody may want to change next.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "convert.h"
#include "decoder.h"
#include "ingest.h"
#include "session.h"
#include "statement.h"

struct SiIngest
{
	const SiSubscription *subscription;
	const SiOptions *options;
	MemoryContext context;		/* as long as this struct */
	MemoryContext batch_context;	/* reset after each batch */
	MemoryContext row_context;	/* reset after each row */
	SiArena    *arena;			/* what decoders allocate in a batch */

	/* the plan, in a context of its own */
	MemoryContext plan_context;
	SiIdentity	identity;
	SiMapping  *mapping;
	TupleDesc	desc;
	SiDecoder  *decoder;
	SiConverter *converter;
	SiStatement *statement;
	bool		planning;		/* an error now is the plan's */

	/* the batch at hand, in batch_context */
	const SiBatchRequest *request;
	SiBatch    *batch;
	int		   *row_message;	/* by row: index of its message */
	int			nconverted;		/* messages looked at */
	SiFailure  *failure;		/* of the message at nconverted */
	SiWritten	written;
};

/* The one plan of this process may be out of date: its target has changed. */
static bool plan_is_stale = true;
static Oid	plan_target = InvalidOid;

static void build_plan(SiIngest *ingest, Relation target);

/* ---- when the plan must be made anew ---- */

static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == plan_target || relid == InvalidOid)
		plan_is_stale = true;
}

/* Schemas renamed, types altered, casts and operators made. */
static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	plan_is_stale = true;
}

static void
watch_catalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum) 0);
	watching = true;
}

/* ---- life ---- */

SiIngest *
si_ingest_create(const SiSubscription *subscription, const SiOptions *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest plan",
												  ALLOCSET_DEFAULT_SIZES);
	SiIngest   *ingest = MemoryContextAllocZero(context, sizeof(SiIngest));

	ingest->context = context;
	ingest->subscription = subscription;
	ingest->options = options;
	ingest->batch_context = AllocSetContextCreate(context, "stream_ingest batch",
												  ALLOCSET_DEFAULT_SIZES);
	ingest->row_context = AllocSetContextCreate(context, "stream_ingest row",
												ALLOCSET_DEFAULT_SIZES);
	ingest->arena = si_arena_create();
	if (ingest->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));

	watch_catalogs();
	plan_target = subscription->target;
	plan_is_stale = true;
	return ingest;
}

static void
drop_plan(SiIngest *ingest)
{
	if (ingest->statement)
		si_statement_destroy(ingest->statement);
	ingest->statement = NULL;
	if (ingest->decoder)
		si_decoder_destroy(ingest->decoder);
	ingest->decoder = NULL;
	if (ingest->plan_context)
		MemoryContextDelete(ingest->plan_context);
	ingest->plan_context = NULL;
}

void
si_ingest_destroy(SiIngest *ingest)
{
	drop_plan(ingest);
	si_arena_destroy(ingest->arena);
	MemoryContextDelete(ingest->context);
}

bool
si_ingest_plan_failed(const SiIngest *ingest)
{
	return ingest->planning;
}

bool
si_ingest_wants_headers(const SiIngest *ingest)
{
	return ingest->mapping->wants_headers;
}

/* ---- running what a user wrote ---- */

typedef void (*protected_work) (SiIngest *ingest, void *arg);

/*
 * Run work in a subtransaction, as the batch's identity and with its settings.
 * Returns NULL, or what went wrong (in batch_context) after the subtransaction
 * was rolled back.  Passing errors are thrown on: they concern the whole batch.
 */
static SiFailure *
run_protected(SiIngest *ingest, protected_work work, void *arg)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	SiFailure  *failure = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old_context);

	/* isolation of a message's error needs the error as a value */
	PG_TRY();
	{
		SiSavedSession saved;

		si_session_begin_batch(&saved, &ingest->identity, ingest->subscription->pinned);
		work(ingest, arg);
		si_session_restore(&saved);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(ingest->batch_context);
		edata = CopyErrorData();
		if (si_failure_kind(edata->sqlerrcode) == SI_ERROR_PASSING)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		failure = si_failure_from_error(edata);
	}
	PG_END_TRY();

	MemoryContextSwitchTo(old_context);
	CurrentResourceOwner = old_owner;
	return failure;
}

/* ---- the plan ---- */

static void
prepare_statement(SiIngest *ingest, Relation target)
{
	SiBatch    *empty;
	MemoryContext old;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	empty = si_batch_create(ingest->desc, work_mem);
	si_batch_offer(empty, 0, 0);
	old = MemoryContextSwitchTo(ingest->plan_context);
	ingest->statement = si_statement_prepare(target, ingest->mapping);
	MemoryContextSwitchTo(old);
	si_statement_check_privileges(ingest->statement);
	si_batch_withdraw(empty);
	si_batch_destroy(empty);
	SPI_finish();
}

static void
build_plan(SiIngest *ingest, Relation target)
{
	const SiSubscription *s = ingest->subscription;
	SiFormatOptions format = {0};
	SiSavedSession saved;
	MemoryContext old;

	drop_plan(ingest);
	ingest->plan_context = AllocSetContextCreate(ingest->context, "stream_ingest mapping",
												 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(ingest->plan_context);
	ingest->identity = si_session_identity(s->owner, target->rd_rel->relowner,
										   ingest->options->run_as_owner);
	ingest->mapping = si_mapping_build(RelationGetDescr(target), RelationGetRelationName(target),
									   s->mapping, ingest->options, false, NULL);
	ingest->desc = si_batch_desc(ingest->mapping);
	ingest->converter = si_convert_create(ingest->mapping, pstrdup(s->topic));
	ingest->decoder = si_decoder_create(s->format, &ingest->mapping->decode, &format);
	if (ingest->decoder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	MemoryContextSwitchTo(old);

	si_session_begin_batch(&saved, &ingest->identity, s->pinned);
	prepare_statement(ingest, target);
	si_session_restore(&saved);
}

/*
 * Lock the target and see to it that the plan fits it.  The lock comes first:
 * taking it also takes in what others have changed.
 */
static void
lock_target(SiIngest *ingest)
{
	const SiSubscription *s = ingest->subscription;
	Relation	target;

	ingest->planning = true;
	LockRelationOid(s->target, RowExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(s->target)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target \"%s\" of subscription \"%s\" does not exist",
						s->target_name, NameStr(s->name)),
				 errhint("Use stream_ingest.alter_subscription to name another target, or drop the subscription.")));

	if (plan_is_stale || ingest->statement == NULL)
	{
		target = table_open(s->target, NoLock);
		plan_is_stale = false;
		build_plan(ingest, target);
		table_close(target, NoLock);
	}
	ingest->planning = false;
}

void
si_ingest_check(SiIngest *ingest)
{
	/* the caller's memory of what is stale is not ours */
	plan_is_stale = true;
	lock_target(ingest);
}

/* ---- decode and convert ---- */

/* A message's failure to decode, as a failure in batch_context. */
static SiFailure *
decode_failure(SiIngest *ingest, const SiDecodeError *error)
{
	MemoryContext old = MemoryContextSwitchTo(ingest->batch_context);
	SiFailure  *failure = palloc0(sizeof(SiFailure));
	const char *c = error->sqlstate;

	failure->sqlerrcode = MAKE_SQLSTATE(c[0], c[1], c[2], c[3], c[4]);
	failure->message = pstrdup(error->message);
	failure->detail = error->detail[0] ? pstrdup(error->detail) : NULL;
	failure->safe = true;
	MemoryContextSwitchTo(old);
	return failure;
}

/* Copy a failure that a row's conversion left in row_context. */
static SiFailure *
keep_failure(SiIngest *ingest, const SiFailure *failure)
{
	MemoryContext old = MemoryContextSwitchTo(ingest->batch_context);
	SiFailure  *copy = palloc(sizeof(SiFailure));

	*copy = *failure;
	copy->message = failure->message ? pstrdup(failure->message) : NULL;
	copy->detail = failure->detail ? pstrdup(failure->detail) : NULL;
	copy->column = failure->column ? pstrdup(failure->column) : NULL;
	copy->type = failure->type ? pstrdup(failure->type) : NULL;
	copy->constraint = failure->constraint ? pstrdup(failure->constraint) : NULL;
	MemoryContextSwitchTo(old);
	return copy;
}

/*
 * Make a row of one message; false with ingest->failure set if it is bad.
 * values and nulls have room for a row.
 */
static bool
convert_message(SiIngest *ingest, const SiMessage *message, Datum *values, bool *nulls)
{
	SiRecord	record;
	SiDecodeError error;
	SiFailure	failure = {0};

	if (message->value == NULL)
	{
		/* in insert mode a tombstone means nothing; it counts as ignored */
		return true;
	}
	if (!si_decoder_decode(ingest->decoder, message, ingest->arena, &record, &error))
	{
		ingest->failure = decode_failure(ingest, &error);
		return false;
	}

	MemoryContextReset(ingest->row_context);
	MemoryContextSwitchTo(ingest->row_context);
	if (!si_convert_row(ingest->converter, message, &record, values, nulls, &failure))
	{
		ingest->failure = keep_failure(ingest, &failure);
		return false;
	}
	MemoryContextSwitchTo(ingest->batch_context);
	ingest->row_message[ingest->batch->nrows] = ingest->nconverted;
	si_batch_put(ingest->batch, values, nulls);
	return true;
}

/* Convert from ingest->nconverted on, until the end or a bad message. */
static void
convert_messages(SiIngest *ingest, void *arg)
{
	const SiBatchRequest *request = ingest->request;
	Datum	   *values = palloc(sizeof(Datum) * ingest->desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * ingest->desc->natts);

	while (ingest->nconverted < request->nmessages)
	{
		if (ingest->nconverted % 256 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!convert_message(ingest, &request->messages[ingest->nconverted], values, nulls))
			break;
		ingest->nconverted++;
	}
}

/*
 * Convert the batch up to the first bad message, which ingest->nconverted and
 * ingest->failure then name.
 */
static void
convert_batch(SiIngest *ingest)
{
	SiFailure  *failure;
	const SiColumn *column;

	failure = run_protected(ingest, convert_messages, NULL);
	if (failure == NULL)
		return;

	/* thrown by a type's input function: the loop's index names the message */
	column = si_convert_column(ingest->converter);
	if (column != NULL && failure->column == NULL)
	{
		failure->column = pstrdup(column->name);
		failure->type = format_type_be(column->type);
	}
	ingest->failure = failure;
}

/* ---- write ---- */

typedef struct RowRange
{
	int			from;
	int			n;
} RowRange;

static void
set_constraints(bool deferred)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = deferred;
	AfterTriggerSetState(statement);
}

/*
 * Run the statement over a range of rows.  Deferred constraints speak before
 * the subtransaction ends; a security-restricted context fires no deferred
 * trigger, so there all of them are immediate from the start.
 */
static void
write_rows(SiIngest *ingest, void *arg)
{
	RowRange   *range = arg;

	set_constraints(!InSecurityRestrictedOperation());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	si_batch_offer(ingest->batch, range->from, range->n);
	si_statement_run(ingest->statement, &ingest->written);
	si_batch_withdraw(ingest->batch);
	SPI_finish();
	if (!InSecurityRestrictedOperation())
		set_constraints(false);
}

/* The same, with the counts put back if it fails. */
static SiFailure *
try_rows(SiIngest *ingest, int from, int n)
{
	SiWritten	before = ingest->written;
	RowRange	range = {from, n};
	SiFailure  *failure;

	failure = run_protected(ingest, write_rows, &range);
	if (failure != NULL)
		ingest->written = before;
	return failure;
}

/*
 * Throw if the statement cannot even be run over nothing: then no message is
 * at fault.
 */
static void
throw_if_lasting(SiIngest *ingest)
{
	SiFailure  *failure = try_rows(ingest, 0, 0);

	if (failure == NULL)
		return;
	plan_is_stale = true;
	ingest->planning = true;
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("%s", failure->message)));
}

/*
 * Write rows up to the first one that is refused alone; its index is returned
 * and *failure tells why.  Returns from + n if all were written.
 */
static int
write_until_failure(SiIngest *ingest, int from, int n, SiFailure **failure)
{
	SiFailure  *why;
	int			half,
				end;

	if (n == 0)
		return from;
	CHECK_FOR_INTERRUPTS();
	why = try_rows(ingest, from, n);
	if (why == NULL)
		return from + n;
	if (n == ingest->batch->nrows)
		throw_if_lasting(ingest);
	if (n == 1)
	{
		*failure = why;
		return from;
	}
	half = n / 2;
	end = write_until_failure(ingest, from, half, failure);
	if (end < from + half)
		return end;
	return write_until_failure(ingest, from + half, n - half, failure);
}

/* ---- progress ---- */

/* Index of a partition's row among the request's. */
static int
row_of_partition(const SiBatchRequest *request, int32 partition)
{
	int			low = 0,
				high = request->nrows - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (request->rows[middle]->partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	Assert(request->rows[low]->partition == partition);
	return low;
}

static TimestampTz
timestamp_of_message(int64 milliseconds)
{
	return milliseconds * 1000 -
		((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}

/* What the messages dealt with add to each row. */
static SiAdvance *
count_messages(SiIngest *ingest, int done)
{
	const SiBatchRequest *request = ingest->request;
	SiAdvance  *advances = palloc0(sizeof(SiAdvance) * request->nrows);
	int			row = 0;

	for (int i = 0; i < request->nrows; i++)
	{
		advances[i].next_offset = request->rows[i]->next_offset;
		advances[i].leader_epoch = request->rows[i]->leader_epoch;
	}
	for (int i = 0; i < done; i++)
	{
		const SiMessage *message = &request->messages[i];
		SiAdvance  *advance;

		if (request->rows[row]->partition != message->partition)
			row = row_of_partition(request, message->partition);
		advance = &advances[row];
		advance->next_offset = message->offset + 1;
		advance->leader_epoch = message->leader_epoch;
		advance->messages++;
		advance->bytes += message->key_len + message->value_len;
		if (message->timestamp >= 0)
			advance->last_message_at = Max(advance->last_message_at,
										   timestamp_of_message(message->timestamp));
	}
	if (done == request->nmessages)
	{
		for (int i = 0; i < request->nrows; i++)
			advances[i].next_offset = Max(advances[i].next_offset, request->ends[i]);
	}
	return advances;
}

/*
 * Counts of the whole batch stand in the row of its first partition: what a
 * statement over several partitions did cannot be told apart, and what is
 * promised is the sum.
 */
static SiAdvance *
count_batch(SiIngest *ingest, int done)
{
	SiAdvance  *advances = count_messages(ingest, done);
	SiAdvance  *first = &advances[0];

	if (done > 0)
	{
		first->batches = 1;
		first->inserted = Min(ingest->written.inserted, done);
		first->applied = first->inserted;
		first->ignored = done - first->applied;
	}
	return advances;
}

/* ---- a batch ---- */

static void
begin_batch(SiIngest *ingest, const SiBatchRequest *request)
{
	MemoryContextSwitchTo(ingest->batch_context);
	ingest->request = request;
	ingest->nconverted = 0;
	ingest->failure = NULL;
	memset(&ingest->written, 0, sizeof(SiWritten));
	ingest->row_message = palloc(sizeof(int) * Max(request->nmessages, 1));
	ingest->batch = si_batch_create(ingest->desc, ingest->options->batch_bytes / 1024 * 4 + 65536);
}

/*
 * Apply the request's messages within the current transaction.  Returns how
 * many were dealt with; ingest->failure is why no more.
 */
static int
apply_messages(SiIngest *ingest, const SiBatchRequest *request)
{
	SiFailure  *failure = NULL;
	int			end;

	begin_batch(ingest, request);
	convert_batch(ingest);
	end = write_until_failure(ingest, 0, ingest->batch->nrows, &failure);
	if (failure == NULL)
		return ingest->nconverted;
	ingest->failure = failure;
	return ingest->row_message[end];
}

static void
end_batch(SiIngest *ingest)
{
	ingest->batch = NULL;
	MemoryContextReset(ingest->row_context);
	MemoryContextReset(ingest->batch_context);
	si_arena_reset(ingest->arena);
}

/* After the commit: the rows of progress are what was written. */
static void
update_rows(SiBatchRequest *request, const SiAdvance *advances)
{
	for (int i = 0; i < request->nrows; i++)
	{
		request->rows[i]->row = advances[i].row;
		request->rows[i]->next_offset = advances[i].next_offset;
		request->rows[i]->leader_epoch = advances[i].leader_epoch;
	}
}

/* The part of a batch inside its transaction; false if we are fenced off. */
static bool
run_batch(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
		  SiBatchResult *result, SiAdvance **advances)
{
	MemoryContextSwitchTo(ingest->batch_context);
	if (request->nmessages > 0)
		lock_target(ingest);
	if (!si_progress_lock(key, request->rows, request->nrows, false))
		return false;
	if (request->nmessages > 0)
		result->done = apply_messages(ingest, request);
	*advances = count_batch(ingest, result->done);
	return si_progress_advance(key, request->rows, *advances, request->nrows);
}

void
si_ingest_batch(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
				SiBatchResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	SiAdvance  *advances = NULL;

	result->done = 0;
	result->failure = NULL;
	ingest->planning = false;
	end_batch(ingest);			/* what an error may have left */

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!run_batch(ingest, key, request, result, &advances))
	{
		AbortCurrentTransaction();
		MemoryContextSwitchTo(caller);
		result->end = SI_BATCH_FENCED;
		return;
	}
	PopActiveSnapshot();
	CommitTransactionCommand();

	MemoryContextSwitchTo(caller);
	update_rows(request, advances);
	result->end = SI_BATCH_DONE;
	if (ingest->failure != NULL && result->done < request->nmessages)
	{
		result->end = SI_BATCH_STOPPED;
		result->failure = ingest->failure;
	}
}
