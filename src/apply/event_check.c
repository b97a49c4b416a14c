/*-------------------------------------------------------------------------
 *
 * event_check.c
 *	  What of a mapping does not go with change events.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "apply/event_check.h"
#include "format/envelope_shape.h"
#include "format/match_names.h"

/*
 * What is not among the rest of an event may be unchanged or no more, which
 * nothing tells.
 */
static void
refuse_rest(const SiColumn *column, const char *envelope)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" cannot take \"%s\" in upsert mode with envelope \"%s\"",
					column->name, column->source_text, envelope),
			 errdetail("An event may lack columns that it left unchanged, and the row would lose them."),
			 errhint("Have a column of the target take each column of the source.")));
}

/* An event has one message key, which is that of the new row or the old one. */
static void
refuse_key(const SiColumn *column, const char *envelope)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" of the key cannot take \"%s\" with envelope \"%s\"",
					column->name, column->source_text, envelope),
			 errdetail("An update that changes the key would leave the row of the old one."),
			 errhint("Have it take a column of the source's row.")));
}

void
si_event_check_moves(const SiMapping *mapping, const SiKey *key, SiEnvelopeKind envelope)
{
	const char *name = si_envelope_shapes[envelope].name;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];

		if (column->source == SI_SOURCE_FIELD && column->field == mapping->decode.rest_field)
			refuse_rest(column, name);
	}
	for (int i = 0; i < key->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[key->columns[i].column];

		if (column->source == SI_SOURCE_KEY ||
			(column->source == SI_SOURCE_FIELD && mapping->decode.fields[column->field].of_key))
			refuse_key(column, name);
	}
}

/* The name that a column takes by itself, with something behind it, folded. */
static char *
fold_name(const SiMapping *mapping, int i, const char *behind)
{
	const SiColumn *column = &mapping->columns[i];
	char		folded[SI_MATCH_ROOM];
	const SiWantedField *field;
	char	   *name;
	size_t		len;

	if (column->source != SI_SOURCE_FIELD || column->field == mapping->decode.rest_field)
		return NULL;
	field = &mapping->decode.fields[column->field];
	if (!field->own_name)
		return NULL;
	name = psprintf("%.*s%s", (int) field->steps[0].key_len, field->steps[0].key, behind);
	len = si_match_names_fold(mapping->decode.match_names, name, strlen(name), folded);
	return len == 0 ? NULL : pnstrdup(folded, len);
}

void
si_event_check_names(const SiMapping *mapping, const char *relname, SiEnvelopeKind envelope)
{
	const char *missing = si_envelope_shapes[envelope].missing;
	int			n = mapping->ncolumns;
	char	  **names;

	if (missing == NULL || mapping->decode.match_names == SI_MATCH_EXACT)
		return;
	names = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		names[i] = fold_name(mapping, i, "");
	for (int i = 0; i < n; i++)
	{
		char	   *companion = fold_name(mapping, i, missing);

		for (int j = 0; j < n && companion != NULL; j++)
		{
			if (names[j] == NULL || strcmp(names[j], companion) != 0)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("column \"%s\" of \"%s\" would take what says whether \"%s\" is missing",
							mapping->columns[j].name, relname, mapping->columns[i].name),
					 errdetail("By the option \"match_names\" both names are the same."),
					 errhint("Say in \"mapping\" which field it takes.")));
		}
	}
}
