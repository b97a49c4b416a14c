/*-------------------------------------------------------------------------
 *
 * envelope.c
 *	  Messages that are more than a row: change events, and rows that may say
 *	  that they are deleted.
 *
 * What a row's fields are called in a message depends on the operation (the row
 * that a delete has is the old one) and on whether Kafka Connect's JSON
 * converter has wrapped the message together with a schema.  There is one plan
 * for each of these views, made when it is first needed: the plan's fields with
 * other paths, and fields of the envelope's own behind them.  A message is read
 * by the view that the one before had, and again by another one if that was
 * wrong, which the envelope's own fields tell.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/connect_schemas.h"
#include "format/decoder.h"
#include "format/unavailable.h"

/* Steps that an envelope puts before those of the plan. */
#define MAX_PREFIX	2

/* Fields of the envelope's own, behind the plan's. */
#define OWN_MARK		0		/* tells the operation; connect: the payload */
#define OWN_DELETED		1		/* deleted_field */
#define OWN_ROW			2		/* never found, so that the row is looked into */
#define OWN_SCHEMA		3		/* of a wrapped message; these two tell that a
								 * key is wrapped */
#define OWN_PAYLOAD		4
#define NOWN			5

/* What an envelope is like; the words of operations are debezium's. */
typedef struct Shape
{
	const char *mark;			/* NULL: the message is the row */
	const char *row;			/* name of the new row, NULL: the payload */
	const char *old_row;
	bool		always_wrapped;
} Shape;

static const Shape shapes[] = {
	[SI_ENVELOPE_NONE] = {NULL, NULL, NULL, false},
	[SI_ENVELOPE_DEBEZIUM] = {"op", "after", "before", false},
	[SI_ENVELOPE_CONNECT] = {NULL, NULL, NULL, true}
};

/* A plan for one sort of message, and a decoder by it. */
typedef struct View
{
	SiDecodePlan plan;
	SiWantedField *fields;
	SiPathStep *steps;
	SiPathStep	row[MAX_PREFIX];
	void	   *state;			/* NULL: not made yet */
} View;

struct SiEnvelope
{
	const SiDecoderRoutine *routine;
	const SiDecodePlan *plan;
	SiFormatOptions options;
	const Shape *shape;
	bool		wrapped;		/* was the last message? */
	bool		key_wrapped;
	View		values[2][2];	/* by wrapped, and whether the row is the old
								 * one */
	View		keys[2];		/* by wrapped */
	View		plain_key;		/* of keys that are no object */
	SiConnectSchemas *schemas;	/* of values */
	SiConnectSchemas *key_schemas;
};

static const SiPathStep payload_step = {"payload", 7, 0};
static const SiPathStep schema_step = {"schema", 6, 0};
static const SiPathStep no_element = {NULL, 0, -1};

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
	envelope->shape = &shapes[options->envelope];
	envelope->wrapped = envelope->shape->always_wrapped;
	envelope->schemas = si_connect_schemas_create();
	envelope->key_schemas = si_connect_schemas_create();
	if (envelope->schemas != NULL && envelope->key_schemas != NULL)
		return envelope;
	si_envelope_destroy(envelope);
	return NULL;
}

static void
free_view(const SiDecoderRoutine *routine, View *view)
{
	if (view->state != NULL)
		routine->destroy(view->state);
	free(view->fields);
	free(view->steps);
}

void
si_envelope_destroy(SiEnvelope *envelope)
{
	int			i;

	if (envelope == NULL)
		return;
	for (i = 0; i < 2; i++)
	{
		free_view(envelope->routine, &envelope->values[i][0]);
		free_view(envelope->routine, &envelope->values[i][1]);
		free_view(&si_decoder_json, &envelope->keys[i]);
	}
	free_view(&si_decoder_json, &envelope->plain_key);
	si_connect_schemas_free(envelope->schemas);
	si_connect_schemas_free(envelope->key_schemas);
	free(envelope);
}

/* ---- views ---- */

static bool
same_steps(const SiPathStep *a, int na, const SiPathStep *b, int nb)
{
	int			i;

	if (na != nb)
		return false;
	for (i = 0; i < na; i++)
	{
		if ((a[i].key == NULL) != (b[i].key == NULL) || a[i].key_len != b[i].key_len ||
			a[i].index != b[i].index ||
			(a[i].key != NULL && memcmp(a[i].key, b[i].key, a[i].key_len) != 0))
			return false;
	}
	return true;
}

/* Write a path into *field: prefix, then steps. */
static void
set_path(SiWantedField *field, SiPathStep **room, const SiPathStep *prefix, int nprefix,
		 const SiPathStep *steps, int nsteps)
{
	field->steps = *room;
	field->nsteps = nprefix + nsteps;
	if (nprefix > 0)
		memcpy(*room, prefix, sizeof(SiPathStep) * (size_t) nprefix);
	if (nsteps > 0)
		memcpy(*room + nprefix, steps, sizeof(SiPathStep) * (size_t) nsteps);
	*room += field->nsteps;
}

/* A path of one member. */
static SiPathStep
member_step(const char *name)
{
	SiPathStep	step = {name, strlen(name), 0};

	return step;
}

/* Copy a plan into a view that has room for the envelope's own fields and steps. */
static bool
copy_plan(View *view, const SiDecodePlan *plan)
{
	size_t		nsteps = NOWN * (MAX_PREFIX + 1);
	int			i;

	for (i = 0; i < plan->nfields; i++)
		nsteps += (size_t) plan->fields[i].nsteps + MAX_PREFIX;
	view->plan = *plan;
	view->plan.nfields = plan->nfields + NOWN;
	view->fields = calloc((size_t) view->plan.nfields, sizeof(SiWantedField));
	view->steps = calloc(nsteps, sizeof(SiPathStep));
	if (view->fields == NULL || view->steps == NULL)
		return false;
	view->plan.fields = view->fields;
	if (plan->nfields > 0)
		memcpy(view->fields, plan->fields, sizeof(SiWantedField) * (size_t) plan->nfields);

	/* what the envelope does not ask for is left to the other tree */
	for (i = plan->nfields; i < view->plan.nfields; i++)
		view->fields[i].of_key = true;
	return true;
}

/* Have the envelope's own field n looked for. */
static void
want_own(View *view, SiPathStep **room, int n, const SiPathStep *prefix, int nprefix,
		 const SiPathStep *steps, int nsteps)
{
	SiWantedField *field = &view->fields[view->plan.nfields - NOWN + n];

	field->of_key = false;
	field->as_json = true;
	set_path(field, room, prefix, nprefix, steps, nsteps);
}

/* The prefix of a row, which is empty where the message is the row. */
static int
row_prefix(bool wrapped, const char *name, SiPathStep *prefix)
{
	int			n = 0;

	if (wrapped)
		prefix[n++] = payload_step;
	if (name != NULL)
		prefix[n++] = member_step(name);
	return n;
}

/* Write the paths of a view of values. */
static void
set_value_paths(const SiEnvelope *envelope, View *view, bool wrapped, bool old)
{
	const Shape *shape = envelope->shape;
	const SiFormatOptions *options = &envelope->options;
	SiPathStep *room = view->steps;
	SiPathStep	old_row[MAX_PREFIX];
	int			nold = row_prefix(wrapped, shape->old_row, old_row);
	SiPathStep	mark;
	int			i;

	view->plan.nrow = row_prefix(wrapped, old ? shape->old_row : shape->row, view->row);
	view->plan.row = view->row;
	for (i = 0; i < envelope->plan->nfields; i++)
	{
		SiWantedField *field = &view->fields[i];
		const SiWantedField *given = &envelope->plan->fields[i];

		if (i == envelope->plan->rest_field || given->of_key)
			continue;
		if (given->part == SI_PART_ROW && options->ndeleted > 0 &&
			same_steps(given->steps, given->nsteps, options->deleted, options->ndeleted))
			set_path(field, &room, NULL, 0, &no_element, 1);
		else if (given->part == SI_PART_ROW)
			set_path(field, &room, view->row, view->plan.nrow, given->steps, given->nsteps);
		else if (given->part == SI_PART_OLD_ROW)
			set_path(field, &room, old_row, nold, given->steps, given->nsteps);
		else if (given->nsteps > 0)
			set_path(field, &room, &payload_step, wrapped, given->steps, given->nsteps);
	}
	if (shape->mark != NULL)
	{
		mark = member_step(shape->mark);
		want_own(view, &room, OWN_MARK, &payload_step, wrapped, &mark, 1);
	}
	else if (shape->always_wrapped)
		want_own(view, &room, OWN_MARK, &payload_step, 1, NULL, 0);
	if (wrapped)
		want_own(view, &room, OWN_SCHEMA, &schema_step, 1, NULL, 0);
	if (options->ndeleted > 0)
		want_own(view, &room, OWN_DELETED, view->row, view->plan.nrow, options->deleted,
				 options->ndeleted);
	if (view->plan.nrow > 0 && (view->plan.rest_field >= 0 || view->plan.find_unknown))
		want_own(view, &room, OWN_ROW, view->row, view->plan.nrow, &no_element, 1);
}

/* Write the paths of a view of keys. */
static void
set_key_paths(const SiEnvelope *envelope, View *view, bool wrapped)
{
	int			n = envelope->plan->nfields;
	SiPathStep *room = view->steps;
	int			i;

	view->plan.nrow = row_prefix(wrapped, NULL, view->row);
	view->plan.row = view->row;
	for (i = 0; i < n; i++)
	{
		const SiWantedField *given = &envelope->plan->fields[i];

		if (i != envelope->plan->rest_field && given->of_key)
			set_path(&view->fields[i], &room, &payload_step, wrapped, given->steps, given->nsteps);
	}
	set_path(&view->fields[n + OWN_SCHEMA], &room, &schema_step, 1, NULL, 0);
	set_path(&view->fields[n + OWN_PAYLOAD], &room, &payload_step, 1, NULL, 0);
}

/* Decode with a view, which is made if it is not there; false with *error filled. */
static bool
read_view(SiEnvelope *envelope, View *view, const SiMessage *message, SiArena *arena,
		  SiRecord *record, SiDecodeError *error)
{
	size_t		size = sizeof(SiValue) * (size_t) view->plan.nfields;

	if (view->state == NULL)
		view->state = envelope->routine->create(&view->plan, &envelope->options);
	if (view->state == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	record->fields = si_arena_alloc(arena, size);
	if (record->fields == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	memset(record->fields, 0, size);
	memset(&record->unknown, 0, sizeof(SiValue));
	return si_decoder_read_value(envelope->routine, view->state, envelope->options.wire_format,
								 message, arena, record, error);
}

static bool
read_value(SiEnvelope *envelope, bool wrapped, bool old, const SiMessage *message, SiArena *arena,
		   SiRecord *record, SiDecodeError *error)
{
	View	   *view = &envelope->values[wrapped][old];

	if (view->fields == NULL || view->steps == NULL)
	{
		if (!copy_plan(view, envelope->plan))
			return si_decoder_fail(error, "53200", "out of memory");
		set_value_paths(envelope, view, wrapped, old);
	}
	return read_view(envelope, view, message, arena, record, error);
}

/* ---- operations ---- */

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

/* A change event: sets record->op by its operation. */
static bool
set_operation(const SiEnvelope *envelope, const SiValue *mark, SiRecord *record,
			  SiDecodeError *error)
{
	char		op = mark->kind == SI_VALUE_STRING && mark->len == 1 ? mark->data[0] : '\0';

	switch (op)
	{
		case 'c':
		case 'r':
		case 'u':
			record->op = SI_OP_WRITE;
			return true;
		case 'd':
			record->op = SI_OP_DELETE;
			return true;
		case 't':
			record->op = SI_OP_IGNORE;
			return envelope->options.ignore_truncate ||
				si_decoder_fail(error, "0A000", "the message truncates the table");
		case 'm':
			record->op = SI_OP_IGNORE;
			return true;
		default:
			return si_decoder_fail(error, "22023", "the message is no change event");
	}
}

/* Is a row marked as deleted? */
static bool
is_deleted(const SiValue *value)
{
	return value->kind == SI_VALUE_TRUE ||
		(value->kind == SI_VALUE_STRING &&
		 ((value->len == 4 && memcmp(value->data, "true", 4) == 0) ||
		  (value->len == 1 && value->data[0] == 't')));
}

/* Read a message by the view that it needs, the new row's. */
static bool
read_new_row(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, SiRecord *record,
			 SiDecodeError *error)
{
	const SiValue *own;
	bool		unwraps = envelope->shape->mark != NULL && envelope->routine == &si_decoder_json;

	if (!read_value(envelope, envelope->wrapped, false, message, arena, record, error))
		return false;
	own = &record->fields[envelope->plan->nfields];
	if (own[OWN_MARK].kind == SI_VALUE_ABSENT && unwraps)
	{
		if (!read_value(envelope, !envelope->wrapped, false, message, arena, record, error))
			return false;
		own = &record->fields[envelope->plan->nfields];
		if (own[OWN_MARK].kind != SI_VALUE_ABSENT)
			envelope->wrapped = !envelope->wrapped;
	}
	return true;
}

/* Take the values of a view that was read for what they are. */
static bool
take_values(SiEnvelope *envelope, bool old, SiArena *arena, SiRecord *record,
			SiDecodeError *error)
{
	int			n = envelope->plan->nfields;

	forget_unavailable(envelope, record);
	return !envelope->wrapped ||
		si_connect_schemas_apply(envelope->schemas, &record->fields[n + OWN_SCHEMA], old,
								 &envelope->values[true][old].plan, n, false, arena,
								 record->fields, error);
}

bool
si_envelope_decode(SiEnvelope *envelope, const SiMessage *message, SiArena *arena, SiRecord *record,
				   SiDecodeError *error)
{
	const SiValue *own;
	bool		old = false;

	if (!read_new_row(envelope, message, arena, record, error))
		return false;
	own = &record->fields[envelope->plan->nfields];
	if (envelope->shape->mark != NULL && !set_operation(envelope, &own[OWN_MARK], record, error))
		return false;
	if (envelope->shape->always_wrapped && own[OWN_MARK].kind == SI_VALUE_ABSENT)
		return si_decoder_fail(error, "22023", "the message has no \"payload\"");
	if (envelope->shape->always_wrapped && own[OWN_MARK].kind == SI_VALUE_NULL)
		record->op = SI_OP_DELETE;
	if (record->op == SI_OP_WRITE && is_deleted(&own[OWN_DELETED]))
		record->op = SI_OP_DELETE;
	else if (record->op == SI_OP_DELETE && envelope->shape->old_row != NULL)
	{
		old = true;
		if (!read_value(envelope, envelope->wrapped, true, message, arena, record, error))
			return false;
	}
	return take_values(envelope, old, arena, record, error);
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
read_key(SiEnvelope *envelope, View *view, bool wrapped, const SiMessage *message,
		 SiArena *arena, SiRecord *record, SiDecodeError *error)
{
	size_t		size;

	if (view->fields == NULL || view->steps == NULL)
	{
		if (!copy_plan(view, envelope->plan))
			return si_decoder_fail(error, "53200", "out of memory");
		if (view == &envelope->plain_key)
			view->plan = *envelope->plan;
		else
			set_key_paths(envelope, view, wrapped);
	}
	if (view->state == NULL)
		view->state = si_decoder_json.create(&view->plan, &envelope->options);
	size = sizeof(SiValue) * (size_t) (envelope->plan->nfields + NOWN);
	record->fields = view->state != NULL ? si_arena_alloc(arena, size) : NULL;
	if (record->fields == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	memset(record->fields, 0, size);
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
		if ((own[OWN_SCHEMA].kind != SI_VALUE_ABSENT &&
			 own[OWN_PAYLOAD].kind != SI_VALUE_ABSENT) != wrapped)
		{
			wrapped = envelope->key_wrapped = !wrapped;
			if (!read_key(envelope, &envelope->keys[wrapped], wrapped, message, arena, &key,
						  error))
				return false;
			own = &key.fields[envelope->plan->nfields];
		}
		if (wrapped)
			take_scalar_key(envelope, &own[OWN_PAYLOAD], &key);
		if (wrapped &&
			!si_connect_schemas_apply(envelope->key_schemas, &own[OWN_SCHEMA], 0,
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
