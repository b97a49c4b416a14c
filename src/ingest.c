/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  One batch, one transaction: decode, convert, write, progress.
 *
 * Whatever a user wrote (triggers, constraints, domains, types) runs in a
 * subtransaction, as the identity that the subscription gives, with its pinned
 * settings; see run_protected.  When the statement over the batch fails, the
 * rows at fault are searched for (isolate.c).  An error is a message's fault
 * only if the same statement works over no rows at all, and if not all
 * messages of a large batch fail alike; else it is the plan's, and thrown.
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
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
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
#include "dead_letter.h"
#include "decoder.h"
#include "format.h"
#include "ingest.h"
#include "isolate.h"
#include "session.h"
#include "show.h"
#include "tombstone.h"
#include "transcode.h"
#include "writer.h"

/* So many messages refused alike are not the messages' fault. */
#define MIN_ALIKE		100

/* When an orphan is tried again for the first time. */
#define FIRST_RETRY_MS	1000

/* Where to stop before the end of a batch. */
typedef struct Limits
{
	bool		stop_at_first;	/* what comes behind a bad message is left */
	int			max_writes;		/* subtransactions that may succeed */
	int			breaker;		/* bad messages in a row; 0: any number */
} Limits;

struct SiIngest
{
	SiIngest   *next_live;
	bool		stale;			/* the target has changed: make the plan anew */
	bool		of_view;		/* the target is a view */
	const SiSubscription *subscription;
	const SiOptions *options;
	MemoryContext context;		/* as long as this struct */
	MemoryContext batch_context;	/* reset after each batch */
	MemoryContext row_context;	/* reset after each row */
	SiArena    *arena;			/* what decoders allocate in a batch */

	/* the plan, in a context of its own */
	MemoryContext plan_context;
	SiIdentity	identity;
	SiWriter   *writer;			/* NULL until there is a plan */
	const SiMapping *mapping;	/* the writer's */
	SiTranscoder *transcoder;	/* NULL if messages are in UTF-8 */
	SiDecoder  *decoder;
	SiDecoder  *unread_decoder; /* of fields that apply does not read */
	SiConverter *converter;
	SiTombstone *tombstone;		/* NULL where nothing is deleted by key */
	char	   *target_schema;	/* by which names the statement was made */
	char	   *target_name;
	bool		planning;		/* an error now is the plan's */
	bool		committing;		/* an error now is the commit's */
	bool		probed;			/* the statement is known to work over nothing */
	bool		probing;		/* that is being tried, and leaves no trace */

	/* the batch at hand, in batch_context */
	const SiMessage *messages;
	int			nmessages;
	SiOnError	on_error;		/* what becomes of those refused */
	Limits		limits;
	SiFailure **failures;		/* by message: why it is refused, or NULL */
	SiBatch    *batch;
	int		   *row_message;	/* by row: index of its message */
	SiFailure **row_failures;	/* by row */
	int			nconverted;		/* messages looked at */
	SiWritten	written;
	SiFaultRun	fault_run;		/* of this batch: in conversion, then in
								 * writing */
	SiFaultRate fault_rate;		/* kept from batch to batch */
};

/* All there are in this process, for the callbacks that make them stale. */
static SiIngest *live = NULL;

static void build_plan(SiIngest *ingest, Relation target);

/* ---- when the plan must be made anew ---- */

static void
relation_changed(Datum arg, Oid relid)
{
	for (SiIngest *ingest = live; ingest != NULL; ingest = ingest->next_live)
	{
		/* what a view takes from the tables below it, nobody tells the view */
		if (relid == ingest->subscription->target || relid == InvalidOid || ingest->of_view)
			ingest->stale = true;
	}
}

/* Schemas renamed, types altered, roles changed. */
static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	relation_changed(arg, InvalidOid);
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

/* What is not palloc'd goes with the context, also when an ERROR takes it. */
static void
release_ingest(void *arg)
{
	SiIngest   *ingest = arg;
	SiIngest  **link = &live;

	while (*link != NULL && *link != ingest)
		link = &(*link)->next_live;
	if (*link == ingest)
		*link = ingest->next_live;
	if (ingest->arena != NULL)
		si_arena_destroy(ingest->arena);
}

static void
release_plan(void *arg)
{
	SiIngest   *ingest = arg;

	ingest->writer = NULL;
	ingest->tombstone = NULL;
	if (ingest->decoder)
		si_decoder_destroy(ingest->decoder);
	ingest->decoder = NULL;
	if (ingest->unread_decoder)
		si_decoder_destroy(ingest->unread_decoder);
	ingest->unread_decoder = NULL;
	ingest->plan_context = NULL;
}

/* Have a function called when a context is deleted. */
static void
on_delete(MemoryContext context, MemoryContextCallbackFunction function, void *arg)
{
	MemoryContextCallback *callback = MemoryContextAllocZero(context,
															 sizeof(MemoryContextCallback));

	callback->func = function;
	callback->arg = arg;
	MemoryContextRegisterResetCallback(context, callback);
}

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
	ingest->stale = true;
	on_delete(context, release_ingest, ingest);
	ingest->next_live = live;
	live = ingest;
	ingest->arena = si_arena_create();
	if (ingest->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	watch_catalogs();
	return ingest;
}

static void
drop_plan(SiIngest *ingest)
{
	if (ingest->plan_context != NULL)
		MemoryContextDelete(ingest->plan_context);
	ingest->plan_context = NULL;
}

void
si_ingest_destroy(SiIngest *ingest)
{
	MemoryContextDelete(ingest->context);
}

bool
si_ingest_plan_failed(const SiIngest *ingest)
{
	return ingest->planning;
}

bool
si_ingest_commit_failed(const SiIngest *ingest)
{
	return ingest->committing;
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
		if (ingest->probing)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(ingest->batch_context);
		edata = CopyErrorData();
		FlushErrorState();

		/* also if it is thrown on: who catches it ends his own one only */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(ingest->batch_context);
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

/* ---- the plan ---- */

/* A decoder for the subscription's format. */
static SiDecoder *
make_decoder(const SiSubscription *s, const SiDecodePlan *plan,
			 const SiFormatOptions *format)
{
	SiDecoder  *decoder = si_decoder_create(s->format, plan, format);

	if (decoder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return decoder;
}

/* Make the plan, for a target or (NULL) for apply. */
static void
build_plan(SiIngest *ingest, Relation target)
{
	const SiSubscription *s = ingest->subscription;
	SiFormatOptions format;
	SiSavedSession saved;
	MemoryContext old;

	drop_plan(ingest);
	ingest->plan_context = AllocSetContextCreate(ingest->context, "stream_ingest mapping",
												 ALLOCSET_DEFAULT_SIZES);
	on_delete(ingest->plan_context, release_plan, ingest);
	old = MemoryContextSwitchTo(ingest->plan_context);
	ingest->identity = si_session_identity(s->owner, target ? target->rd_rel->relowner : s->owner,
										   ingest->options->run_as_owner);

	/* names are looked up as they are when it runs */
	si_session_begin_batch(&saved, &ingest->identity, s->pinned);
	ingest->writer = si_writer_create(target, s, ingest->options);
	ingest->mapping = si_writer_mapping(ingest->writer);
	ingest->converter = si_convert_create(ingest->mapping, pstrdup(s->topic));
	ingest->transcoder = si_transcode_create(ingest->options->encoding);
	si_format_options(s->format, ingest->mapping,
					  target ? RelationGetRelationName(target) : SI_BATCH_NAME,
					  ingest->options, &format);
	ingest->decoder = make_decoder(s, &ingest->mapping->decode, &format);
	if (si_writer_unread_plan(ingest->writer) != NULL)
		ingest->unread_decoder = make_decoder(s, si_writer_unread_plan(ingest->writer), &format);
	if (si_writer_key(ingest->writer) != NULL)
		ingest->tombstone = si_tombstone_create(ingest->mapping, si_writer_key(ingest->writer),
												s->format, s->topic);
	si_session_restore(&saved);
	MemoryContextSwitchTo(old);
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
	if (s->apply != NULL)
	{
		/* its statements lock what they touch; their plans follow changes */
		AcceptInvalidationMessages();
		if (ingest->stale || ingest->writer == NULL)
		{
			ingest->stale = false;
			build_plan(ingest, NULL);
		}
		ingest->planning = false;
		return;
	}

	LockRelationOid(s->target, RowExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(s->target)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target \"%s\" of subscription \"%s\" does not exist",
						s->target_name, NameStr(s->name)),
				 errhint("Use stream_ingest.alter_subscription to name another target, or drop the subscription.")));

	if (ingest->stale || ingest->writer == NULL)
	{
		target = table_open(s->target, NoLock);
		ingest->stale = false;
		ingest->of_view = (target->rd_rel->relkind == RELKIND_VIEW);
		build_plan(ingest, target);
		ingest->target_schema = MemoryContextStrdup(ingest->plan_context,
													get_namespace_name(RelationGetNamespace(target)));
		ingest->target_name = MemoryContextStrdup(ingest->plan_context,
												  RelationGetRelationName(target));
		table_close(target, NoLock);
	}
	ingest->planning = false;
}

/*
 * Renaming a schema takes no lock on the tables in it, and a plan that it
 * makes invalid is made again from its text: by names that may mean another
 * table by now.  If they still mean ours, then ours was written to.
 */
static void
check_target_name(SiIngest *ingest)
{
	Oid			schema;

	if (ingest->subscription->apply != NULL)
		return;
	AcceptInvalidationMessages();
	schema = get_namespace_oid(ingest->target_schema, true);
	if (OidIsValid(schema) &&
		get_relname_relid(ingest->target_name, schema) == ingest->subscription->target)
		return;
	ingest->stale = true;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the target was renamed while a batch was being applied")));
}

void
si_ingest_check(SiIngest *ingest)
{
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
	failure->message = pstrdup(pg_any_to_server(error->message, strlen(error->message),
												PG_UTF8));
	failure->detail = error->detail[0] ? pstrdup(error->detail) : NULL;
	failure->safe = true;
	MemoryContextSwitchTo(old);
	return failure;
}

/* Decode a message, whatever its encoding is. */
static bool
decode_message(SiIngest *ingest, SiDecoder *decoder, const SiMessage *message,
			   SiRecord *record, SiDecodeError *error)
{
	SiMessage	utf8;

	if (ingest->transcoder != NULL)
	{
		if (!si_transcode_message(ingest->transcoder, &ingest->mapping->decode, message,
								  ingest->arena, &utf8, error))
			return false;
		message = &utf8;
	}
	return si_decoder_decode(decoder, message, ingest->arena, record, error);
}

/* Copy a failure that a row's conversion left in row_context. */
static SiFailure *
keep_failure(SiIngest *ingest, const SiFailure *failure)
{
	return si_failure_copy(failure, ingest->batch_context);
}

/* Put a row that is in row_context into the batch. */
static void
put_row(SiIngest *ingest, Datum *values, bool *nulls, bool is_delete)
{
	MemoryContextSwitchTo(ingest->batch_context);
	ingest->row_message[ingest->batch->nrows] = ingest->nconverted;
	si_writer_put(ingest->writer, ingest->batch, values, nulls, is_delete);
}

/* A tombstone for a target: a row that deletes, nothing, or refused. */
static SiFailure *
convert_tombstone(SiIngest *ingest, const SiMessage *message, Datum *values, bool *nulls)
{
	static const SiFailure refused = {
		.sqlerrcode = ERRCODE_NULL_VALUE_NOT_ALLOWED,
		.message = "the message is a tombstone: its value is null",
		.safe = true
	};
	SiFailure	failure = {0};

	switch (si_writer_tombstones(ingest->writer))
	{
		case SI_TOMBSTONE_REFUSED:
			return keep_failure(ingest, &refused);
		case SI_TOMBSTONE_DELETES:
			break;
		default:
			/* without a row it counts as ignored */
			return NULL;
	}

	MemoryContextReset(ingest->row_context);
	MemoryContextSwitchTo(ingest->row_context);
	if (!si_tombstone_convert(ingest->tombstone, message, ingest->arena, values, nulls, &failure))
		return keep_failure(ingest, &failure);
	put_row(ingest, values, nulls, true);
	return NULL;
}

/*
 * Make a row of one message.  Returns NULL, or why the message is bad.  values
 * and nulls have room for a row.
 */
static SiFailure *
convert_message(SiIngest *ingest, const SiMessage *message, Datum *values, bool *nulls)
{
	SiRecord	record;
	SiRecord	unread;
	SiDecodeError error;
	SiFailure	failure = {0};

	if (message->value == NULL &&
		si_writer_tombstones(ingest->writer) != SI_TOMBSTONE_IS_ROW)
		return convert_tombstone(ingest, message, values, nulls);
	if (!decode_message(ingest, ingest->decoder, message, &record, &error))
		return decode_failure(ingest, &error);
	if (!record.any_field && ingest->unread_decoder != NULL && message->value != NULL)
		record.any_field =
			decode_message(ingest, ingest->unread_decoder, message, &unread, &error) &&
			unread.any_field;

	MemoryContextReset(ingest->row_context);
	MemoryContextSwitchTo(ingest->row_context);
	if (!si_convert_row(ingest->converter, message, &record, values, nulls, &failure))
		return keep_failure(ingest, &failure);
	put_row(ingest, values, nulls, false);
	return NULL;
}

/*
 * Note how a message converted; true if what comes behind it is left to
 * another batch.
 */
static bool
enough(SiIngest *ingest, const SiFailure *failure)
{
	bool		too_long = si_fault_run_note(&ingest->fault_run, failure);

	if (too_long || (failure != NULL && ingest->limits.stop_at_first))
		ingest->nmessages = ingest->nconverted;
	return ingest->nconverted >= ingest->nmessages;
}

/* Convert from ingest->nconverted on. */
static void
convert_messages(SiIngest *ingest, void *arg)
{
	Datum	   *values = palloc(sizeof(Datum) * si_writer_nvalues(ingest->writer));
	bool	   *nulls = palloc(sizeof(bool) * si_writer_nvalues(ingest->writer));

	while (ingest->nconverted < ingest->nmessages)
	{
		int			i = ingest->nconverted;

		if (i % 256 == 0)
			CHECK_FOR_INTERRUPTS();
		ingest->failures[i] = convert_message(ingest, &ingest->messages[i], values, nulls);
		ingest->nconverted++;
		if (enough(ingest, ingest->failures[i]))
			break;
	}
}

/*
 * Convert the batch.  What a type's input function throws ends the
 * subtransaction; the loop's index names the message, and we go on behind it.
 */
static void
convert_batch(SiIngest *ingest)
{
	SiFailure  *thrown;

	si_fault_run_begin(&ingest->fault_run, ingest->limits.breaker,
					   ingest->nmessages >= MIN_ALIKE);
	while ((thrown = run_protected(ingest, convert_messages, NULL)) != NULL)
	{
		const SiColumn *column = si_convert_column(ingest->converter);

		if (column == NULL && ingest->tombstone != NULL)
			column = si_tombstone_column(ingest->tombstone);
		if (column != NULL && thrown->column == NULL)
		{
			thrown->column = pstrdup(column->name);
			thrown->type = si_failure_type_name(column->type);
		}
		ingest->failures[ingest->nconverted++] = thrown;
		if (enough(ingest, thrown))
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
write_rows(SiIngest *ingest, void *arg)
{
	RowRange   *range = arg;

	set_constraints(!InSecurityRestrictedOperation());
	si_writer_write(ingest->writer, ingest->batch, range->from, range->n, &ingest->written);
	if (!InSecurityRestrictedOperation())
		set_constraints(false);
}

/*
 * Throw if the statement cannot even be run over nothing: then no message is
 * at fault.
 */
static void
throw_if_lasting(SiIngest *ingest)
{
	SiWritten	before = ingest->written;
	RowRange	nothing = {0, 0};
	SiFailure  *failure;

	ingest->probing = true;
	failure = run_protected(ingest, write_rows, &nothing);
	ingest->probing = false;

	ingest->written = before;
	if (failure == NULL)
		return;
	ingest->stale = true;
	ingest->planning = true;
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("%s", failure->message)));
}

/* Write a range of rows, with the counts put back if it fails. */
static SiFailure *
try_rows(void *arg, int from, int n, int *at)
{
	SiIngest   *ingest = arg;
	SiWritten	before = ingest->written;
	RowRange	range = {from, n};
	SiFailure  *failure;

	failure = run_protected(ingest, write_rows, &range);
	if (failure == NULL)
		return NULL;
	*at = si_writer_suspect(ingest->writer, from);

	/* elsewhere the suspect may not be the row that was being written */
	if (strcmp(ingest->subscription->insert_mode, "insert") != 0 ||
		ingest->subscription->apply != NULL)
		failure->of_row = false;
	ingest->written = before;
	if (!ingest->probed)
	{
		ingest->probed = true;
		throw_if_lasting(ingest);
	}
	return failure;
}

/*
 * Write the rows, and find those at fault.  Returns how many messages are
 * dealt with, from the first on.
 */
static int
write_batch(SiIngest *ingest)
{
	int			nrows = ingest->batch->nrows;
	int			written;

	si_fault_run_begin(&ingest->fault_run, ingest->limits.breaker, nrows >= MIN_ALIKE);
	written = si_isolate(try_rows, ingest, nrows, ingest->row_failures, &ingest->fault_rate,
						 &ingest->fault_run, ingest->limits.max_writes,
						 ingest->limits.stop_at_first);
	for (int row = 0; row < nrows; row++)
	{
		if (ingest->row_failures[row] != NULL)
			ingest->failures[ingest->row_message[row]] = ingest->row_failures[row];
	}
	return (written < nrows) ? ingest->row_message[written] : ingest->nmessages;
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
throw_if_all_alike(SiIngest *ingest)
{
	int			nrows = ingest->batch->nrows;
	SiFailure  *failure;

	failure = nrows > 0 ? many_alike(ingest->row_failures, nrows, false)
		: many_alike(ingest->failures, ingest->nmessages, true);
	if (failure == NULL)
		return;
	ingest->planning = true;
	if (nrows > 0)
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("all %d rows were refused alike, so the table or the mapping is wrong: %s",
						nrows, si_failure_words(failure))));
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("none of %d messages became a row, so the format or the mapping is wrong: %s",
					ingest->nmessages, si_failure_words(failure))));
}

static void
begin_batch(SiIngest *ingest, const SiMessage *messages, int n, const Limits *limits)
{
	MemoryContextSwitchTo(ingest->batch_context);
	ingest->messages = messages;
	ingest->nmessages = n;
	ingest->limits = *limits;
	/* one more: the batch may end before the request, and who asks why not */
	ingest->failures = palloc0(sizeof(SiFailure *) * (n + 1));
	ingest->nconverted = 0;
	ingest->probed = false;
	memset(&ingest->written, 0, sizeof(SiWritten));
	ingest->row_message = palloc(sizeof(int) * Max(n, 1));
	ingest->batch = si_writer_new_batch(ingest->writer);
}

/* What was written, as counts; the rest of what was not refused is ignored. */
static void
count_outcome(SiIngest *ingest, SiOutcome *outcome)
{
	int64		good;

	outcome->failures = ingest->failures;
	outcome->refused = 0;
	for (int i = 0; i < outcome->done; i++)
	{
		if (ingest->failures[i] != NULL)
			outcome->refused++;
	}
	good = outcome->done - outcome->refused;
	outcome->inserted = Min(ingest->written.inserted, good);
	outcome->updated = ingest->written.updated;
	outcome->deleted = ingest->written.deleted;
	outcome->superseded = ingest->written.superseded;
	outcome->applied = outcome->inserted + outcome->updated + outcome->deleted +
		outcome->superseded + ingest->written.handed_over;
	outcome->ignored = good - outcome->applied;
}

/*
 * Apply messages within the current transaction.  All that has an effect is a
 * prefix of them: outcome->done tells how long it is.
 */
static void
apply_messages(SiIngest *ingest, const SiMessage *messages, int n, const Limits *limits,
			   SiOutcome *outcome)
{
	if (limits->max_writes != INT_MAX)
		n = Min(n, Max(si_isolate_reach(&ingest->fault_rate, limits->max_writes),
					   2 * MIN_ALIKE));
	begin_batch(ingest, messages, n, limits);
	convert_batch(ingest);
	ingest->row_failures = palloc0(sizeof(SiFailure *) * Max(ingest->batch->nrows, 1));
	outcome->done = write_batch(ingest);
	check_target_name(ingest);

	/* the message that everything stops at is not dealt with */
	if (limits->stop_at_first && outcome->done > 0 && ingest->failures[outcome->done - 1] != NULL)
		outcome->done--;
	count_outcome(ingest, outcome);
}

/*
 * The message was refused by COMMIT itself, where nothing can be isolated but
 * by a transaction of its own.  So it is refused unseen.
 */
static void
refuse_message(SiIngest *ingest, const SiBatchRequest *request, const Limits *limits,
			   SiOutcome *outcome)
{
	Assert(request->nmessages == 1);
	begin_batch(ingest, request->messages, 1, limits);
	ingest->failures[0] = keep_failure(ingest, request->refusal);
	outcome->done = 1;
	count_outcome(ingest, outcome);
}

/* ---- dead letters ---- */

/* Of a partition's messages; -1 if it has none. */
static int64
last_offset(const SiBatchRequest *request, int32 partition)
{
	for (int i = request->nmessages - 1; i >= 0; i--)
	{
		if (request->messages[i].partition == partition)
			return request->messages[i].offset;
	}
	return -1;
}

/* By message: is it a dead letter already, met again after a seek? */
static bool *
find_met_again(SiIngest *ingest, const SiBatchRequest *request)
{
	bool	   *met = palloc0(sizeof(bool) * Max(request->nmessages, 1));

	for (int row = 0; row < request->nrows; row++)
	{
		const SiProgress *progress = request->rows[row];
		int64	   *known;
		int			nknown,
					k = 0;

		if (progress->next_offset > progress->last_dead_letter)
			continue;
		known = si_dead_letter_known(ingest->subscription->id, ingest->subscription->topic,
									 progress->partition, progress->next_offset,
									 last_offset(request, progress->partition), &nknown);
		for (int i = 0; i < request->nmessages && k < nknown; i++)
		{
			const SiMessage *message = &request->messages[i];

			if (message->partition != progress->partition)
				continue;
			while (k < nknown && known[k] < message->offset)
				k++;
			met[i] = (k < nknown && known[k] == message->offset);
		}
	}
	return met;
}

/* When an orphan is tried again by itself; 0 for what is no orphan. */
static TimestampTz
first_retry(SiIngest *ingest, const SiFailure *failure)
{
	if (ingest->options->fk_retries == 0 ||
		failure->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION)
		return 0;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FIRST_RETRY_MS);
}

/* Store what was refused. */
static void
store_dead_letters(SiIngest *ingest, const SiBatchRequest *request, const SiOutcome *outcome)
{
	SiDeadLetter *letters = palloc(sizeof(SiDeadLetter) * Max(outcome->refused, 1));
	int			n = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		SiMessage  *message;

		if (outcome->failures[i] == NULL)
			continue;
		message = palloc(sizeof(SiMessage));
		*message = request->messages[i];
		if (message->headers == NULL && request->consumer != NULL)
			si_consumer_read_headers(request->consumer, message);
		letters[n].message = message;
		letters[n].failure = outcome->failures[i];
		letters[n].retry_at = first_retry(ingest, outcome->failures[i]);
		n++;
	}
	if (n > 0)
		si_dead_letter_store(ingest->subscription->id, ingest->subscription->topic, letters, n);
}

/* Take away the dead letters of messages that are now done with. */
static int64
remove_dead_letters(SiIngest *ingest, const SiBatchRequest *request, const SiOutcome *outcome,
					const bool *met)
{
	SiPlace    *places = palloc(sizeof(SiPlace) * Max(outcome->done, 1));
	bool		ignore = (ingest->on_error == SI_ON_ERROR_IGNORE);
	int			n = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		if (!met[i] || (outcome->failures[i] != NULL && !ignore))
			continue;
		places[n].partition = request->messages[i].partition;
		places[n].offset = request->messages[i].offset;
		n++;
	}
	return si_dead_letter_remove(ingest->subscription->id, ingest->subscription->topic,
								 places, n);
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

/*
 * Where the messages dealt with lead each row.  A message that was a dead
 * letter before has been counted.
 */
static SiAdvance *
count_messages(const SiBatchRequest *request, const SiOutcome *outcome, const bool *met)
{
	SiAdvance  *advances = palloc0(sizeof(SiAdvance) * request->nrows);
	int			row = 0;

	for (int i = 0; i < request->nrows; i++)
	{
		advances[i].next_offset = request->rows[i]->next_offset;
		advances[i].leader_epoch = request->rows[i]->leader_epoch;
	}
	for (int i = 0; i < outcome->done; i++)
	{
		const SiMessage *message = &request->messages[i];
		SiAdvance  *advance;

		if (request->rows[row]->partition != message->partition)
			row = row_of_partition(request, message->partition);
		advance = &advances[row];
		advance->next_offset = message->offset + 1;
		advance->leader_epoch = message->leader_epoch;
		advance->messages += met[i] ? 0 : 1;
		advance->bytes += met[i] ? 0 : message->key_len + message->value_len;
		if (message->timestamp >= 0)
			advance->last_message_at = Max(advance->last_message_at,
										   timestamp_of_message(message->timestamp));
	}
	if (outcome->done == request->nmessages)
	{
		for (int i = 0; i < request->nrows; i++)
			advances[i].next_offset = Max(advances[i].next_offset, request->ends[i]);
	}
	return advances;
}

/* Messages refused that were no dead letters before. */
static int64
count_new_refusals(const SiOutcome *outcome, const bool *met)
{
	int64		n = 0;

	for (int i = 0; i < outcome->done; i++)
	{
		if (outcome->failures[i] != NULL && !met[i])
			n++;
	}
	return n;
}

/*
 * Counts of the whole batch stand in the row of its first partition: what a
 * statement over several partitions did cannot be told apart, and what is
 * promised is the sum.
 */
static void
count_batch(SiIngest *ingest, const SiOutcome *outcome, int64 fresh, int64 removed,
			SiAdvance *first)
{
	first->batches = 1;
	first->applied = outcome->applied;
	first->inserted = outcome->inserted;
	first->updated = outcome->updated;
	first->deleted = outcome->deleted;
	first->superseded = outcome->superseded;
	first->ignored = outcome->ignored;
	first->dead_letters = -removed;
	if (ingest->on_error == SI_ON_ERROR_IGNORE)
		first->ignored += outcome->refused;
	else
	{
		first->dead_letters += fresh;
		first->rejected = fresh;
	}
}

/* ---- a batch ---- */

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
update_rows(SiIngest *ingest, SiBatchRequest *request, const SiBatchResult *result,
			const SiAdvance *advances)
{
	for (int i = 0; i < request->nrows; i++)
	{
		request->rows[i]->row = advances[i].row;
		request->rows[i]->next_offset = advances[i].next_offset;
		request->rows[i]->leader_epoch = advances[i].leader_epoch;
	}
	for (int i = 0; i < result->done; i++)
	{
		const SiMessage *message = &request->messages[i];
		SiProgress *row;

		if (result->failures[i] == NULL)
			continue;
		row = request->rows[row_of_partition(request, message->partition)];
		row->last_dead_letter = Max(row->last_dead_letter, message->offset);
	}
}

/* Apply a request's messages, and what follows from that but the progress. */
static SiAdvance *
apply_request(SiIngest *ingest, SiBatchRequest *request, SiBatchResult *result)
{
	SiOnError	on_error = request->skip ? SI_ON_ERROR_DEAD_LETTER : ingest->options->on_error;
	bool		stop = (on_error == SI_ON_ERROR_STOP);
	Limits		limits = {stop, SI_ISOLATE_MAX_WRITES, ingest->options->breaker};
	bool	   *met = find_met_again(ingest, request);
	SiOutcome	outcome;
	SiAdvance  *advances;
	int64		fresh,
				removed;

	ingest->on_error = on_error;
	if (request->refusal != NULL)
		refuse_message(ingest, request, &limits, &outcome);
	else
		apply_messages(ingest, request->messages, request->nmessages, &limits, &outcome);
	if (request->refusal == NULL && !stop && outcome.done == ingest->nmessages)
		throw_if_all_alike(ingest);

	if (on_error == SI_ON_ERROR_DEAD_LETTER)
		store_dead_letters(ingest, request, &outcome);
	removed = remove_dead_letters(ingest, request, &outcome, met);
	fresh = count_new_refusals(&outcome, met);
	advances = count_messages(request, &outcome, met);
	if (outcome.done > 0)
		count_batch(ingest, &outcome, fresh, removed, &advances[0]);

	result->done = outcome.done;
	result->failures = outcome.failures;
	result->met = met;
	result->dead_letters = (on_error == SI_ON_ERROR_DEAD_LETTER) ? fresh : 0;
	return advances;
}

/* The part of a batch inside its transaction; false if we are fenced off. */
static bool
run_batch(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
		  SiBatchResult *result, SiAdvance **advances)
{
	static const SiOutcome nothing = {0};

	MemoryContextSwitchTo(ingest->batch_context);
	if (request->nmessages > 0)
		lock_target(ingest);
	if (!si_progress_lock(key, request->rows, request->nrows, false))
		return false;
	*advances = request->nmessages > 0 ? apply_request(ingest, request, result)
		: count_messages(request, &nothing, NULL);
	if (!si_progress_advance(key, request->rows, *advances, request->nrows))
		return false;
	if (result->dead_letters > 0 && ingest->options->reject_limit.count > 0)
		result->rejected = si_progress_rejected(key->subscription);
	return true;
}

void
si_ingest_batch(SiIngest *ingest, const SiProgressKey *key, SiBatchRequest *request,
				SiBatchResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	SiAdvance  *advances = NULL;

	memset(result, 0, sizeof(SiBatchResult));
	ingest->planning = false;
	ingest->probing = false;
	ingest->committing = false;
	end_batch(ingest);			/* what the last one, or an error, has left */

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
	ingest->committing = true;
	CommitTransactionCommand();
	ingest->committing = false;

	MemoryContextSwitchTo(caller);
	update_rows(ingest, request, result, advances);
	result->end = SI_BATCH_DONE;
	if (result->done < request->nmessages && result->failures[result->done] != NULL)
		result->end = SI_BATCH_STOPPED;
}

/*
 * Throw the current error on, in our own words unless it is the plan's or one
 * of the server's about the session: what a trigger says may quote a payload.
 */
static void
throw_without_payload(SiIngest *ingest)
{
	ErrorData  *edata = CopyErrorData();
	const char *from = edata->funcname ? edata->funcname : "";

	if (ingest->planning || strcmp(from, "ProcessInterrupts") == 0 ||
		strcmp(from, "DeadLockReport") == 0)
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(edata->sqlerrcode),
			 errmsg("%s", si_failure_describe(si_failure_from_error(edata),
											  ingest->subscription->topic, NULL))));
}

/*
 * In somebody else's transaction deferred constraints must not wait for its
 * end, or a message's fault would become the whole transaction's.  What the
 * caller has pending himself is fired first, as him.
 */
void
si_ingest_apply(SiIngest *ingest, const SiMessage *messages, int n, SiOutcome *outcome)
{
	static const Limits none = {false, INT_MAX, 0};
	MemoryContext caller = CurrentMemoryContext;

	ingest->planning = false;
	ingest->probing = false;
	end_batch(ingest);
	set_constraints(false);
	lock_target(ingest);

	/* what is thrown reaches the server's log with the caller's statement */
	PG_TRY();
	{
		apply_messages(ingest, messages, n, &none, outcome);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		throw_without_payload(ingest);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

typedef struct ShownRows
{
	MemoryContext context;
	Datum	   *rows;			/* by row */
} ShownRows;

static void
show_rows(SiIngest *ingest, void *arg)
{
	ShownRows  *shown = arg;

	si_show_rows(ingest->mapping, si_writer_key(ingest->writer), ingest->batch,
				 shown->context, shown->rows);
}

void
si_ingest_show(SiIngest *ingest, Datum *rows)
{
	ShownRows	shown = {CurrentMemoryContext, NULL};
	int			nrows = ingest->batch->nrows;
	SiFailure  *failure;

	shown.rows = palloc0(sizeof(Datum) * Max(nrows, 1));
	failure = run_protected(ingest, show_rows, &shown);
	if (failure != NULL)
		ereport(ERROR,
				(errcode(failure->sqlerrcode),
				 errmsg("could not show rows as JSON: %s", si_failure_words(failure))));

	memset(rows, 0, sizeof(Datum) * ingest->nmessages);
	for (int row = 0; row < nrows; row++)
		rows[ingest->row_message[row]] = shown.rows[row];
	pfree(shown.rows);
}
