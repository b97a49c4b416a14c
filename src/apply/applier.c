/*-------------------------------------------------------------------------
 *
 * applier.c
 *	  Messages applied within the current transaction: decode, convert, write.
 *
 * Whatever a user wrote (triggers, constraints, domains, types) runs in a
 * subtransaction, as the identity that the subscription gives, with its pinned
 * settings; see run_protected.  When the statement over the batch fails, the
 * rows at fault are searched for (isolate.c).  An error is a message's fault
 * only if the same statement works over no rows at all, and if not all
 * messages of a large batch fail alike; else it is the plan's, and thrown.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "apply/applier.h"
#include "apply/isolate.h"
#include "apply/plan.h"
#include "apply/show.h"
#include "options/insert_mode.h"

/* So many messages refused alike are not the messages' fault. */
#define MIN_ALIKE		100

/* Where to stop before the end of a batch. */
typedef struct Limits
{
	bool		stop_at_first;	/* what comes behind a bad message is left */
	int			max_writes;		/* subtransactions that may succeed */
	int			breaker;		/* bad messages in a row; 0: any number */
} Limits;

static const Limits no_limits = {false, INT_MAX, 0};

struct SiApplier
{
	MemoryContext context;		/* as long as this struct */
	MemoryContextCallback release;	/* of what is not palloc'd */
	MemoryContext batch_context;	/* reset after each batch */
	MemoryContext row_context;	/* reset after each row */
	SiArena    *arena;			/* what decoders allocate in a batch */
	SiPlan	   *plan;
	bool		probed;			/* the statement is known to work over nothing */
	bool		probing;		/* that is being tried, and leaves no trace */

	/* the batch at hand, in batch_context */
	List	   *settings;		/* to be set for it */
	const SiMessage *messages;
	int			nmessages;
	Limits		limits;
	SiFailure **failures;		/* by message: why it is refused, or NULL */
	SiRows    *batch;
	SiFailure **row_failures;	/* by row */
	int			nconverted;		/* messages looked at */
	int			at;				/* index of the message at hand, or -1 */
	SiCounts	written;
	SiFaultRun	fault_run;		/* of this batch: in conversion, then in
								 * writing */
	SiFaultRate fault_rate;		/* kept from batch to batch */
};

/* ---- life ---- */

static void
release_applier(void *arg)
{
	SiApplier  *applier = arg;

	if (applier->arena != NULL)
		si_arena_destroy(applier->arena);
}

SiApplier *
si_applier_create(const SiSubscription *subscription, const SiOptions *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest plan",
												  ALLOCSET_DEFAULT_SIZES);
	SiApplier  *applier = MemoryContextAllocZero(context, sizeof(SiApplier));
	MemoryContext old;

	applier->context = context;
	applier->batch_context = AllocSetContextCreate(context, "stream_ingest batch",
												   ALLOCSET_DEFAULT_SIZES);
	applier->row_context = AllocSetContextCreate(context, "stream_ingest row",
												 ALLOCSET_DEFAULT_SIZES);
	applier->release.func = release_applier;
	applier->release.arg = applier;
	MemoryContextRegisterResetCallback(context, &applier->release);
	applier->arena = si_arena_create();
	if (applier->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	old = MemoryContextSwitchTo(context);
	applier->plan = si_plan_create(subscription, options);
	MemoryContextSwitchTo(old);
	return applier;
}

void
si_applier_destroy(SiApplier *applier)
{
	MemoryContextDelete(applier->context);
}

bool
si_applier_plan_failed(const SiApplier *applier)
{
	return applier->plan->at_fault;
}

bool
si_applier_wants_headers(const SiApplier *applier)
{
	return applier->plan->mapping->wants_headers;
}

void
si_applier_prepare(SiApplier *applier)
{
	si_plan_lock_target(applier->plan);
}

/* ---- running what a user wrote ---- */

typedef void (*protected_work) (SiApplier *applier, void *arg);

/*
 * Run work in a subtransaction, as the batch's identity and with its settings.
 * Returns NULL, or what went wrong (in batch_context) after the subtransaction
 * was rolled back.  Passing errors are thrown on: they concern the whole batch.
 */
static SiFailure *
run_protected(SiApplier *applier, protected_work work, void *arg)
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

		si_session_begin_batch(&saved, &applier->plan->identity, applier->settings,
							   applier->plan->subscription->pinned);
		work(applier, arg);
		si_session_restore(&saved);
		if (applier->probing)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(applier->batch_context);
		edata = CopyErrorData();
		FlushErrorState();

		/* also if it is thrown on: who catches it ends his own one only */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(applier->batch_context);
		CurrentResourceOwner = old_owner;
		if (si_failure_kind(edata->sqlerrcode) == SI_ERROR_PASSING)
			ReThrowError(edata);
		failure = si_failure_from_error(edata);
	}
	PG_END_TRY();

	MemoryContextSwitchTo(old_context);
	CurrentResourceOwner = old_owner;
	return failure;
}

/* ---- decode and convert ---- */

/* A message's failure to decode, as a failure in batch_context. */
static SiFailure *
decode_failure(SiApplier *applier, const SiDecodeError *error)
{
	MemoryContext old = MemoryContextSwitchTo(applier->batch_context);
	SiFailure  *failure = si_failure_from_decode(error);

	MemoryContextSwitchTo(old);
	return failure;
}

/* Decode a message, whatever its encoding is. */
static bool
decode_message(SiApplier *applier, SiDecoder *decoder, const SiMessage *message,
			   SiRecord *record, SiDecodeError *error)
{
	SiMessage	utf8;

	if (applier->plan->transcoder != NULL)
	{
		if (!si_transcode_message(applier->plan->transcoder, &applier->plan->mapping->decode, message,
								  applier->arena, &utf8, error))
			return false;
		message = &utf8;
	}
	return si_decoder_decode(decoder, message, applier->arena, record, error);
}

/* Copy a failure that a row's conversion left in row_context. */
static SiFailure *
keep_failure(SiApplier *applier, const SiFailure *failure)
{
	si_failure_throw_if_passing(failure->sqlerrcode, failure->message);
	return si_failure_copy(failure, applier->batch_context);
}

/* Put a row that is in row_context into the batch. */
static void
put_row(SiApplier *applier, Datum *values, bool *nulls, bool is_delete)
{
	MemoryContextSwitchTo(applier->batch_context);
	si_rows_put(applier->batch, values, nulls, is_delete, applier->nconverted);
}

/* A tombstone for a target: a row that deletes, nothing, or refused. */
static SiFailure *
convert_tombstone(SiApplier *applier, const SiMessage *message, Datum *values, bool *nulls)
{
	static const SiFailure refused = {
		.sqlerrcode = ERRCODE_NULL_VALUE_NOT_ALLOWED,
		.message = "the message is a tombstone: its value is null",
		.safe = true
	};
	SiFailure	failure = {0};

	switch (si_writer_tombstones(applier->plan->writer))
	{
		case SI_TOMBSTONE_REFUSED:
			return keep_failure(applier, &refused);
		case SI_TOMBSTONE_DELETES:
			break;
		default:
			/* without a row it counts as ignored */
			return NULL;
	}

	MemoryContextReset(applier->row_context);
	MemoryContextSwitchTo(applier->row_context);
	if (!si_tombstone_convert(applier->plan->tombstone, message, applier->arena, values, nulls, &failure))
		return keep_failure(applier, &failure);
	put_row(applier, values, nulls, true);
	return NULL;
}

/*
 * Refuse a message that is too large before any of it is copied, or one that
 * was too large to be kept.
 */
static SiFailure *
refuse_large(SiApplier *applier, const SiMessage *message)
{
	bool		reduced = si_message_is_reduced(message);
	size_t		size = reduced ? message->value_len : si_message_size(message);
	int64		most = applier->plan->options->max_message_bytes;
	SiFailure	failure = {0};

	if (size <= most && !reduced)
		return NULL;
	failure.sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	failure.message = size > most
		? psprintf("the message has %zu bytes, and \"max_message_bytes\" is " INT64_FORMAT,
				   size, most)
		: psprintf("the message, of %zu bytes, was larger than \"max_message_bytes\" when it came",
				   size);
	failure.detail = "Its value is not kept. After raising \"max_message_bytes\", stream_ingest.seek() to its offset has it read again.";
	failure.safe = true;
	return keep_failure(applier, &failure);
}

/*
 * Make a row of one message.  Returns NULL, or why the message is bad.  values
 * and nulls have room for a row.
 */
static SiFailure *
convert_message(SiApplier *applier, const SiMessage *message, Datum *values, bool *nulls)
{
	SiRecord	record;
	SiRecord	unread;
	SiDecodeError error;
	SiFailure	failure = {0};
	SiFailure  *too_large = refuse_large(applier, message);

	if (too_large != NULL)
		return too_large;
	if (message->value == NULL &&
		si_writer_tombstones(applier->plan->writer) != SI_TOMBSTONE_IS_ROW)
		return convert_tombstone(applier, message, values, nulls);
	if (!decode_message(applier, applier->plan->decoder, message, &record, &error))
		return decode_failure(applier, &error);
	if (!record.any_field && applier->plan->unread_decoder != NULL && message->value != NULL)
	{
		if (decode_message(applier, applier->plan->unread_decoder, message, &unread, &error))
			record.any_field = unread.any_field;
		else
			si_failure_check_decode(&error);
	}

	MemoryContextReset(applier->row_context);
	MemoryContextSwitchTo(applier->row_context);
	if (!si_convert_row(applier->plan->converter, message, &record, values, nulls, &failure))
		return keep_failure(applier, &failure);
	put_row(applier, values, nulls, false);
	return NULL;
}

/*
 * Note how a message converted; true if what comes behind it is left to
 * another batch.
 */
static bool
enough(SiApplier *applier, const SiFailure *failure)
{
	bool		too_long = si_fault_run_note(&applier->fault_run, failure);

	if (too_long || (failure != NULL && applier->limits.stop_at_first))
		applier->nmessages = applier->nconverted;
	return applier->nconverted >= applier->nmessages;
}

/* Convert from applier->nconverted on. */
static void
convert_messages(SiApplier *applier, void *arg)
{
	Datum	   *values = palloc(sizeof(Datum) * si_writer_nvalues(applier->plan->writer));
	bool	   *nulls = palloc(sizeof(bool) * si_writer_nvalues(applier->plan->writer));

	while (applier->nconverted < applier->nmessages)
	{
		int			i = applier->nconverted;

		if (i % 256 == 0)
			CHECK_FOR_INTERRUPTS();
		applier->at = i;
		applier->failures[i] = convert_message(applier, &applier->messages[i], values, nulls);
		applier->nconverted++;
		if (enough(applier, applier->failures[i]))
			break;
	}
}

/*
 * Convert the batch.  What a type's input function throws ends the
 * subtransaction; the loop's index names the message, and we go on behind it.
 */
static void
convert_batch(SiApplier *applier)
{
	SiFailure  *thrown;

	si_fault_run_begin(&applier->fault_run, applier->limits.breaker,
					   applier->nmessages >= MIN_ALIKE);
	while ((thrown = run_protected(applier, convert_messages, NULL)) != NULL)
	{
		const SiColumn *column = si_convert_column(applier->plan->converter);

		if (column == NULL && applier->plan->tombstone != NULL)
			column = si_tombstone_column(applier->plan->tombstone);
		if (column != NULL && thrown->column == NULL)
		{
			thrown->column = pstrdup(column->name);
			thrown->type = si_failure_type_name(column->type);
		}
		applier->failures[applier->nconverted++] = thrown;
		if (enough(applier, thrown))
			break;
	}
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
write_rows(SiApplier *applier, void *arg)
{
	RowRange   *range = arg;

	set_constraints(!InSecurityRestrictedOperation());
	si_writer_write(applier->plan->writer, applier->batch, range->from, range->n, &applier->written);
	if (!InSecurityRestrictedOperation())
		set_constraints(false);
}

/*
 * Throw if the statement cannot even be run over nothing: then no message is
 * at fault.
 */
static void
throw_if_lasting(SiApplier *applier)
{
	SiCounts	before = applier->written;
	RowRange	nothing = {0, 0};
	SiFailure  *failure;

	applier->probing = true;
	failure = run_protected(applier, write_rows, &nothing);
	applier->probing = false;

	applier->written = before;
	if (failure == NULL)
		return;
	applier->plan->stale = true;
	applier->plan->at_fault = true;
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("%s", failure->message)));
}

/* Write a range of rows, with the counts put back if it fails. */
static SiFailure *
try_rows(void *arg, int from, int n, int *at)
{
	SiApplier  *applier = arg;
	SiCounts	before = applier->written;
	RowRange	range = {from, n};
	SiFailure  *failure;

	applier->at = applier->batch->entries[from];
	failure = run_protected(applier, write_rows, &range);
	if (failure == NULL)
		return NULL;
	*at = si_writer_suspect(applier->plan->writer, from);

	/* elsewhere the suspect may not be the row that was being written */
	if (!si_insert_mode_find(applier->plan->subscription->insert_mode)->in_order ||
		applier->plan->subscription->apply != NULL)
		failure->of_row = false;
	applier->written = before;
	if (!applier->probed)
	{
		applier->probed = true;
		throw_if_lasting(applier);
	}
	return failure;
}

/*
 * Write the rows, and find those at fault.  Returns how many messages are
 * dealt with, from the first on.
 */
static int
write_batch(SiApplier *applier)
{
	int			nrows = applier->batch->nrows;
	int			written;

	si_fault_run_begin(&applier->fault_run, applier->limits.breaker, nrows >= MIN_ALIKE);
	written = si_isolate(try_rows, applier, nrows, applier->row_failures, &applier->fault_rate,
						 &applier->fault_run, applier->limits.max_writes,
						 applier->limits.stop_at_first);
	for (int row = 0; row < nrows; row++)
	{
		if (applier->row_failures[row] != NULL)
			applier->failures[applier->batch->entries[row]] = applier->row_failures[row];
	}
	return (written < nrows) ? applier->batch->entries[written] : applier->nmessages;
}

/*
 * The first of these failures if all are of one kind and they are many, else
 * NULL.  Entries without one are passed over if gaps says so.
 */
static SiFailure *
many_alike(SiFailure **failures, int n, bool gaps)
{
	SiFailure  *first = NULL;
	int			found = 0;

	for (int i = 0; i < n; i++)
	{
		if (failures[i] == NULL && gaps)
			continue;
		if (failures[i] == NULL)
			return NULL;
		if (first == NULL)
			first = failures[i];
		if (failures[i]->sqlerrcode != first->sqlerrcode)
			return NULL;
		found++;
	}
	return found >= MIN_ALIKE ? first : NULL;
}

/*
 * If all rows of a large batch are refused alike, it is the table that is
 * wrong, and no message; if no message even becomes a row, the mapping.  What
 * asks for no row (a tombstone) and the few that are bad anyway say nothing of
 * either.
 */
static void
throw_if_all_alike(SiApplier *applier)
{
	int			nrows = applier->batch->nrows;
	SiFailure  *failure;

	failure = nrows > 0 ? many_alike(applier->row_failures, nrows, false)
		: many_alike(applier->failures, applier->nmessages, true);
	if (failure == NULL)
		return;
	applier->plan->at_fault = true;
	if (nrows > 0)
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("all %d rows were refused alike, so the table or the mapping is wrong: %s",
						nrows, si_failure_words(failure))));
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("none of %d messages became a row, so the format or the mapping is wrong: %s",
					applier->nmessages, si_failure_words(failure))));
}

MemoryContext
si_applier_begin(SiApplier *applier)
{
	applier->plan->at_fault = false;
	applier->probing = false;
	applier->batch = NULL;
	applier->settings = NIL;
	applier->at = -1;
	MemoryContextReset(applier->row_context);
	MemoryContextReset(applier->batch_context);
	si_arena_reset(applier->arena);
	return applier->batch_context;
}

const SiMessage *
si_applier_at(const SiApplier *applier)
{
	return applier->at < 0 ? NULL : &applier->messages[applier->at];
}

static void
begin_batch(SiApplier *applier, const SiMessage *messages, int n, const Limits *limits)
{
	MemoryContextSwitchTo(applier->batch_context);
	applier->messages = messages;
	applier->nmessages = n;
	applier->limits = *limits;
	/* one more: the batch may end before the request, and who asks why not */
	applier->failures = palloc0(sizeof(SiFailure *) * (n + 1));
	applier->nconverted = 0;
	applier->probed = false;
	memset(&applier->written, 0, sizeof(SiCounts));
	applier->batch = si_writer_new_rows(applier->plan->writer, n);
}

/* What was written, as counts; the rest of what was not refused is ignored. */
static void
count_outcome(SiApplier *applier, SiOutcome *outcome)
{
	int64		good;

	outcome->failures = applier->failures;
	outcome->refused = 0;
	for (int i = 0; i < outcome->done; i++)
	{
		if (applier->failures[i] != NULL)
			outcome->refused++;
	}
	good = outcome->done - outcome->refused;
	outcome->inserted = Min(applier->written.inserted, good);
	outcome->updated = applier->written.updated;
	outcome->deleted = applier->written.deleted;
	outcome->superseded = applier->written.superseded;
	outcome->applied = outcome->inserted + outcome->updated + outcome->deleted +
		outcome->superseded + applier->written.applied;
	outcome->ignored = good - outcome->applied;
}

/*
 * Apply messages within the current transaction.  All that has an effect is a
 * prefix of them: outcome->done tells how long it is.
 */
static void
apply_messages(SiApplier *applier, const SiMessage *messages, int n, const Limits *limits,
			   SiOutcome *outcome)
{
	if (limits->max_writes != INT_MAX)
		n = Min(n, Max(si_isolate_reach(&applier->fault_rate, limits->max_writes),
					   2 * MIN_ALIKE));
	begin_batch(applier, messages, n, limits);
	convert_batch(applier);
	applier->row_failures = palloc0(sizeof(SiFailure *) * Max(applier->batch->nrows, 1));
	outcome->done = write_batch(applier);
	applier->at = -1;
	si_plan_check_target(applier->plan);

	/* the message that everything stops at is not dealt with */
	if (limits->stop_at_first && outcome->done > 0 && applier->failures[outcome->done - 1] != NULL)
		outcome->done--;
	count_outcome(applier, outcome);
}

void
si_applier_apply(SiApplier *applier, const SiMessage *messages, int n, bool stop_at_first,
				 SiOutcome *outcome)
{
	Limits		limits = {stop_at_first, SI_ISOLATE_MAX_WRITES, applier->plan->options->breaker};

	apply_messages(applier, messages, n, &limits, outcome);
	if (!stop_at_first && outcome->done == applier->nmessages)
		throw_if_all_alike(applier);
}

void
si_applier_refuse(SiApplier *applier, const SiMessage *message, const SiFailure *refusal,
				  SiOutcome *outcome)
{
	begin_batch(applier, message, 1, &no_limits);
	applier->failures[0] = keep_failure(applier, refusal);
	outcome->done = 1;
	count_outcome(applier, outcome);
}

/*
 * Throw the current error on, in our own words unless it is the plan's or one
 * of the server's about the session: what a trigger says may quote a payload.
 */
static void
throw_without_payload(SiApplier *applier)
{
	ErrorData  *edata = CopyErrorData();
	const char *from = edata->funcname ? edata->funcname : "";

	if (applier->plan->at_fault || strcmp(from, "ProcessInterrupts") == 0 ||
		strcmp(from, "DeadLockReport") == 0)
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(edata->sqlerrcode),
			 errmsg("%s", si_failure_describe(si_failure_from_error(edata),
											  applier->plan->subscription->topic, NULL))));
}

/*
 * In somebody else's transaction deferred constraints must not wait for its
 * end, or a message's fault would become the whole transaction's.  What the
 * caller has pending himself is fired first, as him.
 */
void
si_applier_apply_all(SiApplier *applier, const SiMessage *messages, int n, SiOutcome *outcome)
{
	MemoryContext caller = CurrentMemoryContext;

	MemoryContextSwitchTo(si_applier_begin(applier));
	set_constraints(false);
	applier->settings = si_session_settings_for(applier->plan->subscription->owner);
	MemoryContextSwitchTo(caller);
	si_plan_lock_target(applier->plan);

	/* what is thrown reaches the server's log with the caller's statement */
	PG_TRY();
	{
		apply_messages(applier, messages, n, &no_limits, outcome);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		throw_without_payload(applier);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

typedef struct ShownRows
{
	MemoryContext context;
	Datum	   *rows;			/* by row */
	bool		escape_nul;
} ShownRows;

static void
show_rows(SiApplier *applier, void *arg)
{
	ShownRows  *shown = arg;

	si_show_rows(applier->plan->mapping, si_writer_key(applier->plan->writer), applier->batch,
				 shown->context, shown->rows, shown->escape_nul);
}

void
si_applier_show(SiApplier *applier, Datum *rows)
{
	ShownRows	shown = {CurrentMemoryContext, NULL, false};
	int			nrows = applier->batch->nrows;
	SiFailure  *failure;

	shown.rows = palloc0(sizeof(Datum) * Max(nrows, 1));
	failure = run_protected(applier, show_rows, &shown);
	if (failure != NULL && failure->sqlerrcode == ERRCODE_UNTRANSLATABLE_CHARACTER)
	{
		shown.escape_nul = true;
		failure = run_protected(applier, show_rows, &shown);
	}
	if (failure != NULL)
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("could not show rows as JSON: %s", si_failure_words(failure))));

	memset(rows, 0, sizeof(Datum) * applier->nmessages);
	for (int row = 0; row < nrows; row++)
		rows[applier->batch->entries[row]] = shown.rows[row];
	pfree(shown.rows);
}
