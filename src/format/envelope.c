/*-------------------------------------------------------------------------
 *
 * envelope.c
 *	  Messages that are more than a row: change events, and rows that may say
 *	  that they are deleted.
 *
 * There is one view (envelope_view.h) for each way to read a message, made when
 * it is first needed.  A message is read by the view that the one before had, and
 * again by another one if that was wrong, which the envelope's own fields tell.
 * An update whose old row counts is read a second time, for that.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/connect_schemas.h"
#include "format/decoder.h"
#include "format/envelope_view.h"
#include "format/unavailable.h"

/* Rows of a value that are read. */
typedef enum Row
{
	NEW_ROW,
	OLD_ROW,
	OLD_NEEDED,					/* of the old one, what must not be wrong */
	NROWS
} Row;

struct SiEnvelope
{
	const SiDecoderRoutine *routine;
	const SiDecodePlan *plan;
	SiFormatOptions options;
	const SiEnvelopeShape *shape;
	bool		wrapped;		/* was the last message? */
	bool		key_wrapped;
	SiEnvelopeView values[2][NROWS];	/* by wrapped, and whose row it is */
	SiEnvelopeView rows[2];		/* by wrapped: the new row as a whole */
	SiEnvelopeView keys[2];		/* by wrapped */
	SiEnvelopeView plain_key;	/* of keys that are no object */
	SiConnectSchemas *schemas;	/* of values */
	SiConnectSchemas *key_schemas;
};

bool
si_envelope_needed(const SiFormatOptions *options)
{
	return options->envelope != SI_ENVELOPE_NONE || options->ndeleted > 0;
}

SiEnvelope *
si_envelope_create(const SiDecoderRoutine *routine, const SiDecodePlan *plan,
				   const SiFormatOptions *options)
{
	SiEnvelope *envelope = calloc(1, sizeof(SiEnvelope));

	if (envelope == NULL)
		return NULL;
	envelope->routine = routine;
	envelope->plan = plan;
	envelope->options = *options;
	envelope->shape = &si_envelope_shapes[options->envelope];
	envelope->wrapped = envelope->shape->always_wrapped;
	envelope->schemas = si_connect_schemas_create();
	envelope->key_schemas = si_connect_schemas_create();
	if (envelope->schemas != NULL && envelope->key_schemas != NULL)
		return envelope;
	si_envelope_destroy(envelope);
	return NULL;
}

static void
free_view(const SiDecoderRoutine *routine, SiEnvelopeView *view)
{
	if (view->state != NULL)
		routine->destroy(view->state);
	si_envelope_view_free(view);
}

void
si_envelope_destroy(SiEnvelope *envelope)
{
	int			i;
	int			row;

	if (envelope == NULL)
		return;
	for (i = 0; i < 2; i++)
	{
		for (row = 0; row < NROWS; row++)
			free_view(envelope->routine, &envelope->values[i][row]);
		free_view(envelope->routine, &envelope->rows[i]);
		free_view(&si_decoder_json, &envelope->keys[i]);
	}
	free_view(&si_decoder_json, &envelope->plain_key);
	si_connect_schemas_free(envelope->schemas);
	si_connect_schemas_free(envelope->key_schemas);
	free(envelope);
}

/* ---- reading by a view ---- */

/* Room for a view's fields, all ABSENT. */
static bool
make_fields(const SiEnvelopeView *view, SiArena *arena, SiRecord *record)
{
	size_t		size = sizeof(SiValue) * (size_t) view->plan.nfields;

	record->fields = si_arena_alloc(arena, size);
	if (record->fields == NULL)
		return false;
	memset(record->fields, 0, size);
	return true;
}

/* Decode with a view that has its plan; false with *error filled. */
static bool
read_view(SiEnvelope *envelope, SiEnvelopeView *view, const SiMessage *message, SiArena *arena,
		  SiRecord *record, SiDecodeError *error)
{
	if (view->state == NULL)
		view->state = envelope->routine->create(&view->plan, &envelope->options);
	if (view->state == NULL || !make_fields(view, arena, record))
		return si_decoder_fail(error, "53200", "out of memory");
	memset(&record->unknown, 0, sizeof(SiValue));
	return si_decoder_read_value(envelope->routine, view->state, envelope->options.wire_format,
								 message, arena, record, error);
}

static bool
make_view(SiEnvelope *envelope, SiEnvelopeView *view, bool wrapped, Row row)
{
	if (row == OLD_NEEDED)
		return si_envelope_view_needed(view, envelope->plan, &envelope->options, wrapped);
	return si_envelope_view_values(view, envelope->plan, &envelope->options, wrapped,
								   row == OLD_ROW);
}

static bool
read_value(SiEnvelope *envelope, bool wrapped, Row row, const SiMessage *message, SiArena *arena,
		   SiRecord *record, SiDecodeError *error)
{
	SiEnvelopeView *view = &envelope->values[wrapped][row];

	if (view->fields == NULL && !make_view(envelope, view, wrapped, row))
		return si_decoder_fail(error, "53200", "out of memory");
	return read_view(envelope, view, message, arena, record, error);
}

/* ---- operations ---- */

/* Does a field say that something is so? */
static bool
is_true(const SiValue *value)
{
	return value->kind == SI_VALUE_TRUE ||
		(value->kind == SI_VALUE_STRING &&
		 ((value->len == 4 && memcmp(value->data, "true", 4) == 0) ||
		  (value->len == 1 && value->data[0] == 't')));
}

/* Take values that the event lacks for fields that it lacks. */
static void
forget_unavailable(const SiEnvelope *envelope, SiRecord *record)
{
	int			i;

	if (envelope->options.unavailable == NULL)
		return;
	for (i = 0; i < envelope->plan->nfields; i++)
	{
		const SiWantedField *field = &envelope->plan->fields[i];

		if (i != envelope->plan->rest_field && !field->of_key && field->part != SI_PART_MESSAGE &&
			si_value_is_unavailable(&envelope->options, &record->fields[i]))
			memset(&record->fields[i], 0, sizeof(SiValue));
	}
}

/* The same where another member says of a NULL that it is no value. */
static void
forget_missing(const SiEnvelope *envelope, SiRecord *record)
{
	int			n = envelope->plan->nfields;
	const SiValue *missing = &record->fields[n + SI_NOWN];
	int			i;

	if (envelope->shape->missing == NULL)
		return;
	for (i = 0; i < n; i++)
	{
		if (record->fields[i].kind == SI_VALUE_NULL && envelope->plan->fields[i].nsteps == 1 &&
			is_true(&missing[i]))
			memset(&record->fields[i], 0, sizeof(SiValue));
	}
}

/* A change event: sets record->op by its operation, and tells what that is. */
static bool
set_operation(const SiEnvelope *envelope, const SiValue *mark, SiRecord *record,
			  SiEventKind *kind, SiDecodeError *error)
{
	*kind = si_envelope_event(envelope->shape, mark);
	switch (*kind)
	{
		case SI_EVENT_WRITE:
		case SI_EVENT_UPDATE:
			record->op = SI_OP_WRITE;
			return true;
		case SI_EVENT_DELETE:
			record->op = SI_OP_DELETE;
			return true;
		case SI_EVENT_TRUNCATE:
			record->op = SI_OP_IGNORE;
			return envelope->options.ignore_truncate ||
				si_decoder_fail(error, "0A000", "the message truncates the table");
		case SI_EVENT_NOTHING:
			record->op = SI_OP_IGNORE;
			return true;
		case SI_EVENT_UNKNOWN:
			break;
	}
	return si_decoder_fail(error, "22023", "the message is no change event");
}

/* Read a message by the view that it needs, the new row's. */
static bool
read_new_row(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, SiRecord *record,
			 SiDecodeError *error)
{
	const SiValue *own;
	bool		unwraps = envelope->shape->mark != NULL && envelope->routine == &si_decoder_json;

	if (!read_value(envelope, envelope->wrapped, NEW_ROW, message, arena, record, error))
		return false;
	own = &record->fields[envelope->plan->nfields];
	if (own[SI_OWN_MARK].kind == SI_VALUE_ABSENT && unwraps)
	{
		if (!read_value(envelope, !envelope->wrapped, NEW_ROW, message, arena, record, error))
			return false;
		own = &record->fields[envelope->plan->nfields];
		if (own[SI_OWN_MARK].kind != SI_VALUE_ABSENT)
			envelope->wrapped = !envelope->wrapped;
	}
	return true;
}

/* Take the values of a view that was read for what they are. */
static bool
take_values(SiEnvelope *envelope, Row row, SiArena *arena, SiRecord *record,
			SiDecodeError *error)
{
	int			n = envelope->plan->nfields;

	forget_unavailable(envelope, record);
	forget_missing(envelope, record);
	return !envelope->wrapped ||
		si_connect_schemas_apply(envelope->schemas, &record->fields[n + SI_OWN_SCHEMA], row,
								 &envelope->values[true][row].plan, n, false, arena,
								 record->fields, error);
}

/* Does a record show that the event has a new row, or is none asked for? */
static bool
shows_row(const SiEnvelope *envelope, const SiRecord *record)
{
	const SiDecodePlan *plan = envelope->plan;
	bool		asked = false;
	int			i;

	for (i = 0; i < plan->nfields; i++)
	{
		const SiWantedField *field = &plan->fields[i];
		const SiValue *value = &record->fields[i];
		bool		whole = i != plan->rest_field && field->nsteps == 0;

		if (i != plan->rest_field && (field->of_key || field->part != SI_PART_ROW))
			continue;
		if (value->kind != SI_VALUE_ABSENT && !(whole && value->kind == SI_VALUE_NULL) &&
			(i != plan->rest_field || value->len > strlen("{}")))
			return true;
		asked = true;
	}
	return !asked;
}

/*
 * Refuse an event that writes a row and has none: its fields would all be
 * missing.  The row as a whole is looked at only where no field of it is there.
 */
static bool
check_row(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, const SiRecord *record,
		  SiDecodeError *error)
{
	bool		wrapped = envelope->wrapped;
	SiEnvelopeView *view = &envelope->rows[wrapped];
	SiRecord	whole = *record;

	if (shows_row(envelope, record))
		return true;
	if (view->fields == NULL &&
		!si_envelope_view_row(view, envelope->plan, &envelope->options, wrapped))
		return si_decoder_fail(error, "53200", "out of memory");
	if (!read_view(envelope, view, message, arena, &whole, error))
		return false;
	return whole.fields[envelope->plan->nfields + SI_OWN_ROW].kind == SI_VALUE_OBJECT ||
		si_decoder_fail(error, "22023", "the change event has no new row");
}

/* Read fields of the old row of an update. */
static bool
read_old_fields(SiEnvelope *envelope, Row row, const SiMessage *message, SiArena *arena,
				SiRecord *record, SiDecodeError *error)
{
	SiRecord	old = *record;

	if (!read_value(envelope, envelope->wrapped, row, message, arena, &old, error) ||
		!take_values(envelope, row, arena, &old, error))
		return false;
	record->old_fields = old.fields;
	return true;
}

/*
 * Read what the old row of an update has of the row's fields; those that are
 * needed alone if another is wrong, which does not make the new row wrong.
 */
static bool
read_old_row(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, SiRecord *record,
			 SiDecodeError *error)
{
	if (read_old_fields(envelope, OLD_ROW, message, arena, record, error))
		return true;
	return envelope->options.old_needed != NULL && !si_decode_error_is_memory(error) &&
		read_old_fields(envelope, OLD_NEEDED, message, arena, record, error);
}

bool
si_envelope_decode(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, SiRecord *record,
				   SiDecodeError *error)
{
	const SiEnvelopeShape *shape = envelope->shape;
	const SiValue *own;
	SiEventKind kind = SI_EVENT_UNKNOWN;
	Row			row = NEW_ROW;

	if (!read_new_row(envelope, message, arena, record, error))
		return false;
	own = &record->fields[envelope->plan->nfields];
	if (shape->mark != NULL && !set_operation(envelope, &own[SI_OWN_MARK], record, &kind, error))
		return false;
	if (shape->always_wrapped && own[SI_OWN_MARK].kind == SI_VALUE_ABSENT)
		return si_decoder_fail(error, "22023", "the message has no \"payload\"");
	if (shape->always_wrapped && own[SI_OWN_MARK].kind == SI_VALUE_NULL)
		record->op = SI_OP_DELETE;
	if (record->op == SI_OP_WRITE && is_true(&own[SI_OWN_DELETED]))
		record->op = SI_OP_DELETE;
	else if (record->op == SI_OP_DELETE && shape->deletes_old)
	{
		row = OLD_ROW;
		if (!read_value(envelope, envelope->wrapped, OLD_ROW, message, arena, record, error))
			return false;
	}
	if (record->op == SI_OP_WRITE && kind != SI_EVENT_UNKNOWN &&
		!check_row(envelope, message, arena, record, error))
		return false;
	if (!take_values(envelope, row, arena, record, error))
		return false;
	return record->op != SI_OP_WRITE || kind != SI_EVENT_UPDATE || !envelope->options.old_rows ||
		read_old_row(envelope, message, arena, record, error);
}

/* ---- keys ---- */

/* Does a document begin as an object does? */
static bool
is_object(const char *data, size_t len)
{
	size_t		i = 0;

	while (i < len && data[i] != '\0' && strchr(" \t\r\n", data[i]) != NULL)
		i++;
	return i < len && data[i] == '{';
}

/*
 * A wrapped key whose payload is no object is the value of the only field that
 * is asked for.
 */
static void
take_scalar_key(const SiEnvelope *envelope, const SiValue *payload, SiRecord *record)
{
	const SiDecodePlan *plan = envelope->plan;
	int			only = -1;
	int			i;

	if (payload->kind == SI_VALUE_OBJECT || payload->kind == SI_VALUE_ARRAY)
		return;
	for (i = 0; i < plan->nfields; i++)
	{
		if (i == plan->rest_field || !plan->fields[i].of_key)
			continue;
		if (only >= 0 || plan->fields[i].nsteps != 1)
			return;
		only = i;
	}
	if (only >= 0 && record->fields[only].kind == SI_VALUE_ABSENT)
		record->fields[only] = *payload;
}

/* Decode a key with a view, into a record of its own. */
static bool
read_key(SiEnvelope *envelope, SiEnvelopeView *view, bool wrapped, const SiMessage *message,
		 SiArena *arena, SiRecord *record, SiDecodeError *error)
{
	if (view->fields == NULL &&
		!(view == &envelope->plain_key ? si_envelope_view_plain_keys(view, envelope->plan) :
		  si_envelope_view_keys(view, envelope->plan, wrapped)))
		return si_decoder_fail(error, "53200", "out of memory");
	if (view->state == NULL)
		view->state = si_decoder_json.create(&view->plan, &envelope->options);
	if (view->state == NULL || !make_fields(view, arena, record))
		return si_decoder_fail(error, "53200", "out of memory");
	return si_decoder_json.decode_key(view->state, message, arena, record, error);
}

bool
si_envelope_decode_key(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, SiRecord *record,
					   SiDecodeError *error)
{
	bool		wrapped = envelope->key_wrapped;
	SiRecord	key = {0};
	const SiValue *own;
	int			i;

	if (!is_object(message->key, message->key_len))
	{
		if (!read_key(envelope, &envelope->plain_key, false, message, arena, &key, error))
			return false;
	}
	else
	{
		if (!read_key(envelope, &envelope->keys[wrapped], wrapped, message, arena, &key, error))
			return false;
		own = &key.fields[envelope->plan->nfields];
		if ((own[SI_OWN_SCHEMA].kind != SI_VALUE_ABSENT &&
			 own[SI_OWN_PAYLOAD].kind != SI_VALUE_ABSENT) != wrapped)
		{
			wrapped = envelope->key_wrapped = !wrapped;
			if (!read_key(envelope, &envelope->keys[wrapped], wrapped, message, arena, &key,
						  error))
				return false;
			own = &key.fields[envelope->plan->nfields];
		}
		if (wrapped)
			take_scalar_key(envelope, &own[SI_OWN_PAYLOAD], &key);
		if (wrapped &&
			!si_connect_schemas_apply(envelope->key_schemas, &own[SI_OWN_SCHEMA], 0,
									  &envelope->keys[true].plan, envelope->plan->nfields, true,
									  arena, key.fields, error))
			return false;
	}
	for (i = 0; i < envelope->plan->nfields; i++)
	{
		if (i != envelope->plan->rest_field && envelope->plan->fields[i].of_key)
			record->fields[i] = key.fields[i];
	}
	return true;
}
