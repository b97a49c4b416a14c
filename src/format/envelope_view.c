/*-------------------------------------------------------------------------
 *
 * envelope_view.c
 *	  Plans for messages that have an envelope.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/envelope_view.h"

static const SiPathStep payload_step = {"payload", 7, 0};
static const SiPathStep schema_step = {"schema", 6, 0};
static const SiPathStep no_element = {NULL, 0, -1};

/* ---- paths ---- */

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

static bool
is_member(const SiPathStep *step, const char *name)
{
	return step->key != NULL && step->key_len == strlen(name) &&
		memcmp(step->key, name, step->key_len) == 0;
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

/*
 * Write the path of a part of the event: mappings have them by debezium's names,
 * "op" and "source".
 */
static void
set_part_path(const SiEnvelopeShape *shape, SiWantedField *field, SiPathStep **room, bool wrapped,
			  const SiWantedField *given)
{
	bool		of_mark = shape->mark != NULL && is_member(&given->steps[0], "op");
	bool		of_source = shape->mark != NULL && is_member(&given->steps[0], "source");
	SiPathStep	prefix[SI_MAX_PREFIX];
	int			nprefix = row_prefix(wrapped, of_mark ? shape->mark :
									 of_source ? shape->source : NULL, prefix);
	int			skipped = of_mark || of_source;

	set_path(field, room, prefix, nprefix, given->steps + skipped, given->nsteps - skipped);
}

/* ---- making a view ---- */

/* Does a field take a member of a row, or what is in one, that another may call missing? */
static bool
may_be_missing(const SiDecodePlan *plan, int i)
{
	const SiWantedField *field = &plan->fields[i];

	return i != plan->rest_field && !field->of_key && field->part != SI_PART_MESSAGE &&
		field->nsteps > 0 && field->steps[0].key != NULL;
}

/*
 * Copy a plan into a view that has room for the envelope's own fields, their
 * steps, among them those of "deleted_field", and names.
 */
static bool
copy_plan(SiEnvelopeView *view, const SiDecodePlan *plan, const char *missing, int ndeleted)
{
	size_t		nsteps = SI_NOWN * (SI_MAX_PREFIX + 1) + (size_t) ndeleted;
	size_t		nnames = 1;
	int			nfields = plan->nfields * (missing != NULL ? 2 : 1) + SI_NOWN;
	int			i;

	for (i = 0; i < plan->nfields; i++)
	{
		nsteps += (size_t) plan->fields[i].nsteps + SI_MAX_PREFIX;
		if (missing == NULL || !may_be_missing(plan, i))
			continue;
		nsteps += SI_MAX_PREFIX + 1;
		nnames += plan->fields[i].steps[0].key_len + strlen(missing);
	}
	view->fields = calloc((size_t) nfields, sizeof(SiWantedField));
	view->steps = calloc(nsteps, sizeof(SiPathStep));
	view->names = calloc(nnames, 1);
	if (view->fields == NULL || view->steps == NULL || view->names == NULL)
	{
		si_envelope_view_free(view);
		return false;
	}
	view->plan = *plan;
	view->plan.nfields = nfields;
	view->plan.nown = nfields - plan->nfields;
	view->plan.fields = view->fields;
	if (plan->nfields > 0)
		memcpy(view->fields, plan->fields, sizeof(SiWantedField) * (size_t) plan->nfields);

	/* what the envelope does not ask for is left to the other tree */
	for (i = plan->nfields; i < nfields; i++)
		view->fields[i].of_key = true;
	return true;
}

void
si_envelope_view_free(SiEnvelopeView *view)
{
	free(view->fields);
	free(view->steps);
	free(view->names);
	memset(view, 0, sizeof(SiEnvelopeView));
}

/* Have another field than the plan's looked for. */
static void
want(SiEnvelopeView *view, SiPathStep **room, int n, const SiPathStep *prefix, int nprefix,
	 const SiPathStep *steps, int nsteps)
{
	SiWantedField *field = &view->fields[n];

	field->of_key = false;
	field->as_json = true;
	set_path(field, room, prefix, nprefix, steps, nsteps);
}

/* Have the members looked for that say of others that they are missing. */
static void
want_missing(SiEnvelopeView *view, SiPathStep **room, const SiDecodePlan *plan,
			 const char *missing, const SiPathStep *old_row, int nold)
{
	char	   *name = view->names;
	int			i;

	for (i = 0; i < plan->nfields; i++)
	{
		const SiWantedField *given = &plan->fields[i];
		bool		of_old = given->part == SI_PART_OLD_ROW;
		int			n = plan->nfields + SI_NOWN + i;
		SiPathStep	step = {name, 0, 0};

		if (!may_be_missing(plan, i))
			continue;
		step.key_len = given->steps[0].key_len + strlen(missing);
		memcpy(name, given->steps[0].key, given->steps[0].key_len);
		memcpy(name + given->steps[0].key_len, missing, strlen(missing));
		name += step.key_len;
		want(view, room, n, of_old ? old_row : view->row, of_old ? nold : view->plan.nrow, &step, 1);
		view->fields[n].own_name = given->own_name;
	}
}

/* Have the envelope's own fields of a value looked for. */
static void
want_own(SiEnvelopeView *view, SiPathStep **room, int n, const SiFormatOptions *options,
		 bool wrapped)
{
	const SiEnvelopeShape *shape = &si_envelope_shapes[options->envelope];
	SiPathStep	mark;

	if (shape->mark != NULL)
	{
		mark = member_step(shape->mark);
		want(view, room, n + SI_OWN_MARK, &payload_step, wrapped, &mark, 1);
	}
	else if (shape->always_wrapped)
		want(view, room, n + SI_OWN_MARK, &payload_step, 1, NULL, 0);
	if (wrapped)
		want(view, room, n + SI_OWN_SCHEMA, &schema_step, 1, NULL, 0);
	if (options->ndeleted > 0)
		want(view, room, n + SI_OWN_DELETED, view->row, view->plan.nrow, options->deleted,
			 options->ndeleted);
	if (view->plan.nrow > 0 && (view->plan.rest_field >= 0 || view->plan.find_unknown))
		want(view, room, n + SI_OWN_ROW, view->row, view->plan.nrow, &no_element, 1);
}

bool
si_envelope_view_values(SiEnvelopeView *view, const SiDecodePlan *plan,
						const SiFormatOptions *options, bool wrapped, bool old)
{
	const SiEnvelopeShape *shape = &si_envelope_shapes[options->envelope];
	SiPathStep *room;
	SiPathStep	old_row[SI_MAX_PREFIX];
	int			nold = row_prefix(wrapped, shape->old_row, old_row);
	int			i;

	if (!copy_plan(view, plan, shape->missing, options->ndeleted))
		return false;
	room = view->steps;
	view->plan.nrow = row_prefix(wrapped, old ? shape->old_row : shape->row, view->row);
	view->plan.row = view->row;
	view->plan.of_event = shape->mark != NULL;
	for (i = 0; i < plan->nfields; i++)
	{
		SiWantedField *field = &view->fields[i];
		const SiWantedField *given = &plan->fields[i];

		if (i == plan->rest_field || given->of_key)
			continue;
		if (given->part == SI_PART_ROW && options->ndeleted > 0 &&
			same_steps(given->steps, given->nsteps, options->deleted, options->ndeleted))
			set_path(field, &room, NULL, 0, &no_element, 1);
		else if (given->part == SI_PART_ROW)
			set_path(field, &room, view->row, view->plan.nrow, given->steps, given->nsteps);
		else if (given->part == SI_PART_OLD_ROW)
			set_path(field, &room, old_row, nold, given->steps, given->nsteps);
		else if (given->nsteps > 0)
			set_part_path(shape, field, &room, wrapped, given);
	}
	want_own(view, &room, plan->nfields, options, wrapped);
	if (shape->missing != NULL)
		want_missing(view, &room, plan, shape->missing, old_row, nold);
	return true;
}

bool
si_envelope_view_needed(SiEnvelopeView *view, const SiDecodePlan *plan,
						const SiFormatOptions *options, bool wrapped)
{
	int			i;

	if (!si_envelope_view_values(view, plan, options, wrapped, true))
		return false;
	for (i = 0; i < plan->nfields; i++)
		view->fields[i].of_key |= !options->old_needed[i];
	return true;
}

bool
si_envelope_view_row(SiEnvelopeView *view, const SiDecodePlan *plan, const SiFormatOptions *options,
					 bool wrapped)
{
	const SiEnvelopeShape *shape = &si_envelope_shapes[options->envelope];
	SiPathStep *room;
	SiPathStep	row[SI_MAX_PREFIX];
	int			i;

	if (!copy_plan(view, plan, NULL, 0))
		return false;
	room = view->steps;
	view->plan.rest_field = -1;
	view->plan.find_unknown = false;
	for (i = 0; i < plan->nfields; i++)
		view->fields[i].of_key = true;
	want(view, &room, plan->nfields + SI_OWN_ROW, row, row_prefix(wrapped, shape->row, row), NULL, 0);
	return true;
}

bool
si_envelope_view_keys(SiEnvelopeView *view, const SiDecodePlan *plan, bool wrapped)
{
	int			n = plan->nfields;
	SiPathStep *room;
	int			i;

	if (!copy_plan(view, plan, NULL, 0))
		return false;
	room = view->steps;
	view->plan.nrow = row_prefix(wrapped, NULL, view->row);
	view->plan.row = view->row;
	for (i = 0; i < n; i++)
	{
		const SiWantedField *given = &plan->fields[i];

		if (i != plan->rest_field && given->of_key)
			set_path(&view->fields[i], &room, &payload_step, wrapped, given->steps, given->nsteps);
	}
	set_path(&view->fields[n + SI_OWN_SCHEMA], &room, &schema_step, 1, NULL, 0);
	set_path(&view->fields[n + SI_OWN_PAYLOAD], &room, &payload_step, 1, NULL, 0);
	return true;
}

bool
si_envelope_view_plain_keys(SiEnvelopeView *view, const SiDecodePlan *plan)
{
	if (!copy_plan(view, plan, NULL, 0))
		return false;
	view->plan = *plan;
	return true;
}
