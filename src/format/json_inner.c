/*-------------------------------------------------------------------------
 *
 * json_inner.c
 *	  Paths that enter a string which holds JSON, as in "after::json.name".
 *
 * The format's own decoder gets a plan in which such a path ends at the string.
 * The string is then decoded as a JSON document by the rest of the path.  So
 * this works with every format, and costs nothing where no path does so.
 *
 * All paths that enter the same string share one JSON decoder.  A string within
 * such a string is that decoder's own affair.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"

/* How much of a path a message names. */
#define NAMED_LENGTH	64

/* A string that paths enter. */
typedef struct InnerString
{
	const SiWantedField *path;	/* one of them */
	int			nouter;			/* its steps that lead to the string */
	int			nfields;
	int		   *numbers;		/* of the fields, in the plan */
	SiWantedField *fields;		/* what is wanted within the string */
	SiDecodePlan plan;
	SiDecoder  *decoder;
	char		name[NAMED_LENGTH];
} InnerString;

struct SiJsonInner
{
	SiDecodePlan outer;
	SiWantedField *outer_fields;
	int			nstrings;
	InnerString *strings;
};

/* Does a field's path enter a string? */
static bool
enters_string(const SiDecodePlan *plan, int field)
{
	return field != plan->rest_field &&
		si_path_outer_steps(&plan->fields[field]) < plan->fields[field].nsteps;
}

bool
si_json_inner_needed(const SiDecodePlan *plan)
{
	int			i;

	for (i = 0; i < plan->nfields; i++)
	{
		if (enters_string(plan, i))
			return true;
	}
	return false;
}

static bool
same_step(const SiPathStep *a, const SiPathStep *b)
{
	if (a->key == NULL || b->key == NULL)
		return a->key == b->key && a->index == b->index;
	return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

static bool
leads_to(const InnerString *string, const SiWantedField *path)
{
	int			i;

	if (string->path->of_key != path->of_key ||
		string->nouter != si_path_outer_steps(path))
		return false;
	for (i = 0; i < string->nouter; i++)
	{
		if (!same_step(&string->path->steps[i], &path->steps[i]))
			return false;
	}
	return true;
}

/* Write the path to a string as a user would, cut at a character's end. */
static void
name_string(InnerString *string)
{
	size_t		len = 0;
	int			i;

	if (string->nouter == 0 || string->path->of_key)
		len = (size_t) snprintf(string->name, NAMED_LENGTH, "%s",
								string->path->of_key ? "$key" : "$value");
	for (i = 0; i < string->nouter && len < NAMED_LENGTH; i++)
	{
		const SiPathStep *step = &string->path->steps[i];

		if (step->key == NULL)
			len += (size_t) snprintf(string->name + len, NAMED_LENGTH - len, "[%d]", step->index);
		else
			len += (size_t) snprintf(string->name + len, NAMED_LENGTH - len, "%s%.*s",
									 len > 0 ? "." : "", (int) step->key_len, step->key);
	}
	if (len < NAMED_LENGTH)
		return;
	len = NAMED_LENGTH - 1;
	while (len > 0 && ((unsigned char) string->name[len - 1] & 0xC0) == 0x80)
		len--;
	if (len > 0 && (unsigned char) string->name[len - 1] >= 0x80)
		len--;
	string->name[len] = '\0';
}

/* The string that a path enters, a new one if it is the first to do so. */
static InnerString *
find_string(SiJsonInner *inner, const SiWantedField *path, int nfields)
{
	InnerString *string;
	int			i;

	for (i = 0; i < inner->nstrings; i++)
	{
		if (leads_to(&inner->strings[i], path))
			return &inner->strings[i];
	}
	string = &inner->strings[inner->nstrings++];
	string->path = path;
	string->nouter = si_path_outer_steps(path);
	string->numbers = calloc((size_t) nfields, sizeof(int));
	string->fields = calloc((size_t) nfields, sizeof(SiWantedField));
	name_string(string);
	return string->numbers != NULL && string->fields != NULL ? string : NULL;
}

/* Divide a path between the two decoders. */
static bool
divide_path(SiJsonInner *inner, const SiDecodePlan *plan, int field)
{
	const SiWantedField *path = &plan->fields[field];
	InnerString *string = find_string(inner, path, plan->nfields);
	SiWantedField *within;

	if (string == NULL)
		return false;
	within = &string->fields[string->nfields];
	within->nsteps = path->nsteps - string->nouter - 1;
	within->steps = path->steps + string->nouter + 1;
	within->as_json = path->as_json;
	string->numbers[string->nfields++] = field;

	inner->outer_fields[field].nsteps = string->nouter;
	inner->outer_fields[field].as_json = false;
	inner->outer_fields[field].is_entered = true;
	return true;
}

static bool
make_decoders(SiJsonInner *inner)
{
	static const SiFormatOptions options = {0};
	int			i;

	for (i = 0; i < inner->nstrings; i++)
	{
		InnerString *string = &inner->strings[i];

		string->plan.nfields = string->nfields;
		string->plan.fields = string->fields;
		string->plan.rest_field = -1;
		string->decoder = si_decoder_create("json", &string->plan, &options);
		if (string->decoder == NULL)
			return false;
	}
	return true;
}

SiJsonInner *
si_json_inner_create(const SiDecodePlan *plan)
{
	SiJsonInner *inner = calloc(1, sizeof(SiJsonInner));
	bool		made;
	int			i;

	if (inner == NULL)
		return NULL;
	inner->outer = *plan;
	inner->outer_fields = calloc((size_t) plan->nfields, sizeof(SiWantedField));
	inner->outer.fields = inner->outer_fields;
	inner->strings = calloc((size_t) plan->nfields, sizeof(InnerString));
	made = inner->outer_fields != NULL && inner->strings != NULL;
	if (made)
		memcpy(inner->outer_fields, plan->fields, sizeof(SiWantedField) * (size_t) plan->nfields);
	for (i = 0; made && i < plan->nfields; i++)
	{
		if (enters_string(plan, i))
			made = divide_path(inner, plan, i);
	}
	if (made && make_decoders(inner))
		return inner;
	si_json_inner_destroy(inner);
	return NULL;
}

const SiDecodePlan *
si_json_inner_outer_plan(const SiJsonInner *inner)
{
	return &inner->outer;
}

/*
 * Decode one string.  Where the message has no string, all within it is absent,
 * as it is for a path that leads nowhere.
 */
static bool
decode_string(InnerString *string, SiArena *arena, SiRecord *record, SiDecodeError *error)
{
	SiValue		value = record->fields[string->numbers[0]];
	SiMessage	message = {0};
	SiRecord	within;
	SiDecodeError reason;
	int			i;

	for (i = 0; i < string->nfields; i++)
		memset(&record->fields[string->numbers[i]], 0, sizeof(SiValue));
	if (value.kind != SI_VALUE_STRING && value.kind != SI_VALUE_TEXT &&
		value.kind != SI_VALUE_BYTES)
		return true;
	message.value = value.data;
	message.value_len = value.len;
	if (!si_decoder_decode(string->decoder, &message, arena, &within, &reason))
	{
		si_decoder_fail(error, reason.sqlstate, "in the string at \"%s\": %s", string->name,
						reason.message);
		memcpy(error->detail, reason.detail, sizeof(error->detail));
		return false;
	}
	for (i = 0; i < string->nfields; i++)
		record->fields[string->numbers[i]] = within.fields[i];
	return true;
}

/* Does an error within a string count? */
static bool
is_needed(const InnerString *string, const bool *needed, const SiDecodeError *error)
{
	int			i;

	if (needed == NULL || si_decode_error_is_memory(error))
		return true;
	for (i = 0; i < string->nfields; i++)
	{
		if (needed[string->numbers[i]])
			return true;
	}
	return false;
}

bool
si_json_inner_decode(SiJsonInner *inner, SiArena *arena, SiRecord *record, const bool *needed,
					 SiDecodeError *error)
{
	int			i;

	for (i = 0; i < inner->nstrings; i++)
	{
		if (!decode_string(&inner->strings[i], arena, record, error) &&
			is_needed(&inner->strings[i], needed, error))
			return false;
	}
	return true;
}

void
si_json_inner_destroy(SiJsonInner *inner)
{
	int			i;

	if (inner == NULL)
		return;
	for (i = 0; i < inner->nstrings; i++)
	{
		si_decoder_destroy(inner->strings[i].decoder);
		free(inner->strings[i].numbers);
		free(inner->strings[i].fields);
	}
	free(inner->strings);
	free(inner->outer_fields);
	free(inner);
}
