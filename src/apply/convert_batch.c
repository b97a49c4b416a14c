/*-------------------------------------------------------------------------
 *
 * convert_batch.c
 *	  Converting a batch: messages become rows.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sched.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "apply/convert_batch.h"
#include "apply/datum.h"
#include "apply/protect.h"
#include "common/guc.h"

/* ---- decoding ahead ---- */

/* May this process run on more than one processor? */
static bool
has_processors(void)
{
#ifdef __linux__
	cpu_set_t	processors;

	return sched_getaffinity(0, sizeof(processors), &processors) == 0 &&
		CPU_COUNT(&processors) > 1;
#else
	return sysconf(_SC_NPROCESSORS_ONLN) > 1;
#endif
}

bool
si_convert_is_ahead(const SiPlan *plan, int n)
{
	if (plan->ahead_decoder == NULL || n == 0)
		return false;
	switch ((SiDecodeAhead) si_guc_decode_ahead)
	{
		case SI_DECODE_AHEAD_OFF:
			return false;
		case SI_DECODE_AHEAD_ON:
			return true;
		case SI_DECODE_AHEAD_AUTO:
			break;
	}
	return n >= SI_AHEAD_WORTH && has_processors();
}

/*
 * What is decoded can be far larger than the messages of a batch, which batch_bytes
 * limits: with more than this a batch ends.  A small batch_bytes does not count,
 * lest many small messages with many columns are too much.
 */
static size_t
most_decoded(const SiPlan *plan)
{
	return Max(4 * (size_t) plan->options->batch_bytes, (size_t) 64 * 1024 * 1024);
}

/* Have a thread decode n entries, where that pays. */
static void
begin_ahead(SiPlan *plan, const SiEntry *entries, int n)
{
	SiAheadJob	job = {
		.first = &entries->message,
		.stride = sizeof(SiEntry),
		.n = n,
		.most = plan->options->max_message_bytes,
		.most_decoded = most_decoded(plan),
		.decoder = plan->ahead_decoder,
		.convert = si_convert_ahead,
		.arg = plan->ahead_columns
	};

	if (si_convert_is_ahead(plan, n) && si_plan_ahead(plan) != NULL)
		(void) si_ahead_begin(plan->ahead, &job);
}

static void
end_ahead(SiPlan *plan)
{
	if (plan->ahead != NULL)
		si_ahead_end(plan->ahead);
}

/*
 * Have a thread decode the batch, unless it is at it, with most of it, since the
 * batch before.
 */
static void
join_ahead(SiPlan *plan, const SiBatch *batch)
{
	if (plan->ahead != NULL && batch->reach > 0 &&
		si_ahead_begins_with(plan->ahead, &batch->entries[0].message) > batch->reach / 2)
		return;
	end_ahead(plan);
	begin_ahead(plan, batch->entries, batch->reach);
}

void
si_convert_let_release(SiPlan *plan, const SiBatch *batch)
{
	if (batch->nbehind == 0 || plan->ahead == NULL ||
		si_ahead_begins_with(plan->ahead, &batch->entries[batch->n].message) == 0)
		end_ahead(plan);
}

/* ---- a message ---- */

/* A decoder's error as a failure in the batch context. */
static SiFailure *
decode_failure(SiPlan *plan, const SiDecodeError *error)
{
	MemoryContext old = MemoryContextSwitchTo(plan->batch_context);
	SiFailure  *failure = si_failure_from_decode(error);

	MemoryContextSwitchTo(old);
	return failure;
}

/* Decode a message in whatever encoding it is. */
static bool
decode_message(SiPlan *plan, SiDecoder *decoder, const SiMessage *message, SiRecord *record,
			   SiDecodeError *error)
{
	SiMessage	utf8;

	if (plan->transcoder != NULL)
	{
		if (!si_transcode_message(plan->transcoder, &plan->mapping->decode, message,
								  plan->arena, &utf8, error))
			return false;
		message = &utf8;
	}
	return si_decoder_decode(decoder, message, plan->arena, record, error);
}

/* Copy a failure that may be in the row context; thrown if it is temporary. */
static SiFailure *
keep_failure(SiPlan *plan, const SiFailure *failure)
{
	si_failure_throw_if_temporary(failure->sqlerrcode, failure->message);
	return si_failure_copy(failure, plan->batch_context);
}

/* Put a row that is in the row context. */
static void
put_row(SiPlan *plan, SiBatch *batch, Datum *values, bool *nulls, bool is_delete)
{
	MemoryContextSwitchTo(plan->batch_context);
	si_writer_put(plan->writer, batch->rows, values, nulls, is_delete, batch->converted);
}

/* Why a message that deletes is refused. */
static const SiFailure refused_event = {
	.sqlerrcode = ERRCODE_NULL_VALUE_NOT_ALLOWED,
	.message = "the message deletes a row",
	.safe = true
};

/*
 * A tombstone for a target: a row that deletes, no row, or refused.  event: the
 * record of a message that has a value, which says that its row is deleted.
 */
static SiFailure *
convert_delete(SiPlan *plan, SiBatch *batch, const SiMessage *message, const SiRecord *event,
			   Datum *values, bool *nulls)
{
	static const SiFailure refused = {
		.sqlerrcode = ERRCODE_NULL_VALUE_NOT_ALLOWED,
		.message = "the message is a tombstone: its value is null",
		.safe = true
	};
	SiFailure	failure = {0};
	bool		converted;

	switch (event != NULL ? plan->writer->deletes : plan->writer->tombstones)
	{
		case SI_TOMBSTONE_REFUSED:
			return keep_failure(plan, event != NULL ? &refused_event : &refused);
		case SI_TOMBSTONE_DELETES:
			break;
		default:
			/* without a row it counts as ignored */
			return NULL;
	}

	MemoryContextReset(plan->row_context);
	MemoryContextSwitchTo(plan->row_context);
	converted = event == NULL ?
		si_tombstone_convert(plan->tombstone, message, plan->arena, values, nulls, &failure) :
		si_tombstone_convert_event(plan->tombstone, message, event, plan->arena, values, nulls,
								   &failure);
	if (!converted)
		return keep_failure(plan, &failure);
	put_row(plan, batch, values, nulls, true);
	return NULL;
}

/*
 * Refuse a message that is too large, before any of it is copied, or one that
 * was too large to be kept.
 */
static SiFailure *
refuse_large(SiPlan *plan, const SiMessage *message)
{
	bool		reduced = si_message_is_reduced(message);
	size_t		size = reduced ? message->value_len : si_message_size(message);
	int64		most = plan->options->max_message_bytes;
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
	return keep_failure(plan, &failure);
}

/* Refuse a message whose headers are needed and cannot be read: it is not one without. */
static SiFailure *
refuse_headers(SiPlan *plan, const SiMessage *message)
{
	static const SiFailure refused = {
		.sqlerrcode = ERRCODE_INVALID_BINARY_REPRESENTATION,
		.message = "the message's headers cannot be read",
		.detail = "They are malformed, or more than 100,000.",
		.safe = true
	};

	if (message->nheaders != SI_UNREADABLE_HEADERS || !plan->wants_headers)
		return NULL;
	return keep_failure(plan, &refused);
}

/* Make a row of a record that was decoded.  Returns NULL, or why it is refused. */
static SiFailure *
convert_record(SiPlan *plan, SiBatch *batch, const SiMessage *message, SiRecord *record,
			   Datum *values, bool *nulls)
{
	SiRecord	unread;
	SiDecodeError error;
	SiFailure	failure = {0};

	if (!record->any_field && plan->unread_decoder != NULL && message->value != NULL)
	{
		if (decode_message(plan, plan->unread_decoder, message, &unread, &error))
			record->any_field = unread.any_field;
		else
			si_failure_check_decode(&error);
	}

	MemoryContextReset(plan->row_context);
	MemoryContextSwitchTo(plan->row_context);
	if (!si_convert_row(plan->converter, message, record, values, nulls, &failure))
		return keep_failure(plan, &failure);
	put_row(plan, batch, values, nulls, false);
	return NULL;
}

/*
 * Make a row of an update.  Where it changes the row's key, a row that deletes by
 * the old key comes before it, so that nothing is left of the row under that key.
 */
static SiFailure *
convert_update(SiPlan *plan, SiBatch *batch, const SiMessage *message, SiRecord *record,
			   Datum *values, bool *nulls)
{
	SiFailure	failure = {0};
	bool		moved;

	MemoryContextReset(plan->row_context);
	MemoryContextSwitchTo(plan->row_context);
	if (!si_moved_key_find(plan->moved_key, message, record, &moved, values, nulls, &failure))
		return keep_failure(plan, &failure);
	if (moved && plan->writer->deletes != SI_TOMBSTONE_DELETES)
		return keep_failure(plan, &refused_event);
	if (moved)
		put_row(plan, batch, values, nulls, true);
	return convert_record(plan, batch, message, record, values, nulls);
}

/*
 * Make a row of each record of a message, up to the first that is refused; then
 * the message is, and the caller takes back its rows.  Nothing that was decoded
 * is needed once its row is made.
 */
static SiFailure *
convert_records(SiPlan *plan, SiBatch *batch, const SiMessage *message, Datum *values, bool *nulls)
{
	SiRecords	records;
	SiRecord	record;
	SiDecodeError error;
	SiFailure  *failure = NULL;
	bool		found;

	si_arena_reset(plan->arena);
	if (!si_decoder_begin_records(plan->decoder, message, plan->arena, &records, &error))
		return decode_failure(plan, &error);
	while (failure == NULL)
	{
		int			before = records.number;

		CHECK_FOR_INTERRUPTS();
		if (!si_json_records_next(&records, &found, &error))
			failure = decode_failure(plan, &error);
		else if (!found)
			break;
		batch->record = records.number > before ? records.number : 0;
		if (failure == NULL)
		{
			si_arena_reset(plan->arena);
			if (!decode_message(plan, plan->decoder, &records.record, &record, &error))
				failure = decode_failure(plan, &error);
			record.number = records.number;
		}
		if (failure == NULL)
			failure = convert_record(plan, batch, &records.record, &record, values, nulls);
		if (failure != NULL)
			failure->record = batch->record;
	}
	batch->record = 0;
	return failure;
}

/*
 * Make the rows of one message, or its row.  Returns NULL, or why the message is
 * refused.  values and nulls have room for a row.
 */
static SiFailure *
convert_message(SiPlan *plan, SiBatch *batch, const SiMessage *message, Datum *values,
				bool *nulls)
{
	SiRecord	record;
	SiDecodeError error;
	SiFailure  *refusal = refuse_large(plan, message);
	const SiRecord *ahead;

	if (refusal != NULL)
		return refusal;
	if (message->value == NULL && plan->writer->tombstones != SI_TOMBSTONE_IS_ROW)
		return convert_delete(plan, batch, message, NULL, values, nulls);
	refusal = refuse_headers(plan, message);
	if (refusal != NULL)
		return refusal;
	if (plan->format.records != NULL && message->value != NULL)
		return convert_records(plan, batch, message, values, nulls);
	ahead = plan->ahead ? si_ahead_take(plan->ahead, batch->converted, message) : NULL;
	if (ahead != NULL)
		record = *ahead;
	else if (!decode_message(plan, plan->decoder, message, &record, &error))
		return decode_failure(plan, &error);
	if (record.op == SI_OP_IGNORE)
		return NULL;
	if (record.op == SI_OP_DELETE && message->value != NULL &&
		plan->writer->deletes != SI_TOMBSTONE_IS_ROW)
		return convert_delete(plan, batch, message, &record, values, nulls);
	if (record.old_fields != NULL)
		return convert_update(plan, batch, message, &record, values, nulls);
	return convert_record(plan, batch, message, &record, values, nulls);
}

/*
 * Note how the message behind those converted did (NULL: well).  True if it is
 * the last one to convert: also where messages have so many rows, or become so
 * large, that those behind it are for another batch.
 */
static bool
note_converted(SiPlan *plan, SiBatch *batch, SiFailure *failure)
{
	bool		too_long = si_fault_run_note(&batch->fault_run, failure);
	bool		full = si_arena_used(plan->arena) > most_decoded(plan);

	if (batch->rows->firsts != NULL)
	{
		si_writer_end_message(plan->writer, batch->rows, failure == NULL);
		full |= batch->rows->of_records && batch->rows->nput >= batch->max_rows;
	}
	batch->entries[batch->converted++].failure = failure;
	if (too_long || full || (failure != NULL && batch->stop_at_first))
		batch->reach = batch->converted;
	return batch->converted >= batch->reach;
}

/* Convert the messages from batch->converted on; the work of si_protect_run. */
static void
convert_messages(SiPlan *plan, void *arg)
{
	SiBatch    *batch = arg;
	Datum	   *values = palloc(sizeof(Datum) * batch->rows->desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * batch->rows->desc->natts);

	while (batch->converted < batch->reach)
	{
		const SiMessage *message = &batch->entries[batch->converted].message;

		CHECK_FOR_INTERRUPTS();
		batch->current = batch->converted;
		if (note_converted(plan, batch, convert_message(plan, batch, message, values, nulls)))
			break;
	}
}

/* Be at no column, after an error that may have been another batch's. */
static void
recover_converters(SiPlan *plan)
{
	si_convert_recover(plan->converter);
	if (plan->tombstone != NULL)
		si_tombstone_recover(plan->tombstone);
	if (plan->moved_key != NULL)
		si_moved_key_recover(plan->moved_key);
}

/* Say which column an error that was thrown is of: one converter was at it. */
static void
name_column(SiPlan *plan, SiFailure *thrown)
{
	const SiColumn *column = si_convert_column(plan->converter);

	if (column == NULL && plan->tombstone != NULL)
		column = si_tombstone_column(plan->tombstone);
	if (column == NULL && plan->moved_key != NULL)
		column = si_moved_key_column(plan->moved_key);
	if (column == NULL || thrown->column != NULL)
		return;
	thrown->column = pstrdup(column->name);
	thrown->type = si_failure_type_name(column->type);
	if (thrown->hint == NULL && plan->mapping->change_events)
		thrown->hint = si_change_datum_hint(column, thrown->sqlerrcode);
}

/*
 * What an input function throws ends the subtransaction; batch->converted tells
 * the message, and the next subtransaction continues behind it.
 */
static void
convert_all(SiPlan *plan, SiBatch *batch)
{
	SiFailure  *thrown;

	recover_converters(plan);
	while ((thrown = si_protect_run(plan, convert_messages, batch)) != NULL)
	{
		name_column(plan, thrown);
		recover_converters(plan);
		thrown->record = batch->record;
		batch->record = 0;
		if (note_converted(plan, batch, thrown))
			break;
	}
}

void
si_convert_batch(SiPlan *plan, SiBatch *batch)
{
	si_fault_run_begin(&batch->fault_run, batch->breaker, batch->reach >= SI_BATCH_IS_LARGE);
	join_ahead(plan, batch);

	/* the caller of an error may release the messages */
	PG_TRY();
	{
		convert_all(plan, batch);
	}
	PG_FINALLY();
	{
		end_ahead(plan);
	}
	PG_END_TRY();

	/* while this batch is written, the thread is at the next one */
	begin_ahead(plan, batch->entries + batch->n, Min(batch->nbehind, plan->options->batch_size));
}
