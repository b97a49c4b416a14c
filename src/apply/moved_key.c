/*-------------------------------------------------------------------------
 *
 * moved_key.c
 *	  Change events that give a row another key.
 *
 * The keys are compared as the columns' types have them, so both are converted,
 * unless they are written alike.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/sortsupport.h"

#include "apply/moved_key.h"

/* A key, by its columns. */
typedef struct KeyValues
{
	Datum	   *values;
	bool	   *nulls;
} KeyValues;

struct SiMovedKey
{
	const SiMapping *of_batch;
	const SiKey *key;
	SiMapping	mapping;		/* the key's columns alone */
	SiConverter *converter;
	SortSupport order;			/* by column */
	KeyValues	old_key;
	KeyValues	new_key;
};

static void
init_values(KeyValues *key, int n)
{
	key->values = palloc0(sizeof(Datum) * n);
	key->nulls = palloc0(sizeof(bool) * n);
}

bool *
si_moved_key_fields(const SiMapping *mapping, const SiKey *key)
{
	bool	   *of_key = palloc0(sizeof(bool) * Max(mapping->decode.nfields, 1));

	for (int i = 0; i < key->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[key->columns[i].column];

		if (column->source == SI_SOURCE_FIELD)
			of_key[column->field] = true;
	}
	return of_key;
}

SiMovedKey *
si_moved_key_create(const SiMapping *mapping, const SiKey *key, const char *topic)
{
	SiMovedKey *moved_key = palloc0(sizeof(SiMovedKey));
	SiMapping  *own = &moved_key->mapping;

	moved_key->of_batch = mapping;
	moved_key->key = key;
	moved_key->order = palloc0(sizeof(SortSupportData) * key->ncolumns);
	init_values(&moved_key->old_key, key->ncolumns);
	init_values(&moved_key->new_key, key->ncolumns);

	*own = *mapping;
	own->columns = palloc0(sizeof(SiColumn) * key->ncolumns);
	own->ncolumns = key->ncolumns;
	own->nabsent = 0;
	for (int i = 0; i < key->ncolumns; i++)
	{
		SortSupport order = &moved_key->order[i];

		own->columns[i] = mapping->columns[key->columns[i].column];
		own->columns[i].absent_bit = -1;
		order->ssup_cxt = CurrentMemoryContext;
		order->ssup_collation = key->columns[i].collation;
		PrepareSortSupportFromOrderingOp(key->columns[i].less, order);
	}
	moved_key->converter = si_convert_create(own, topic);
	return moved_key;
}

/* Does a column take something of the row, so that the old row may have another? */
static bool
is_of_row(const SiMapping *mapping, const SiColumn *column)
{
	const SiWantedField *field;

	if (column->source != SI_SOURCE_FIELD || column->field == mapping->decode.rest_field)
		return false;
	field = &mapping->decode.fields[column->field];
	return !field->of_key && field->part == SI_PART_ROW;
}

static bool
is_written_alike(const SiValue *a, const SiValue *b)
{
	return a->kind == b->kind && !si_value_is_typed(a) && a->kind != SI_VALUE_STORED &&
		a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/*
 * Give the old and the new key what only the other one has.  True if they are
 * written alike then.
 */
static bool
complete_keys(SiMovedKey *moved_key, SiRecord *record)
{
	bool		alike = true;

	for (int i = 0; i < moved_key->mapping.ncolumns; i++)
	{
		const SiColumn *column = &moved_key->mapping.columns[i];
		SiValue    *old,
				   *new;

		if (column->source != SI_SOURCE_FIELD)
			continue;
		old = &record->old_fields[column->field];
		new = &record->fields[column->field];
		if (old->kind == SI_VALUE_ABSENT || !is_of_row(&moved_key->mapping, column))
			*old = *new;
		else if (new->kind == SI_VALUE_ABSENT)
		{
			*new = *old;
			record->any_field = true;
		}
		else
			alike &= is_written_alike(old, new);
	}
	return alike;
}

/* Convert a key; whatever is wrong with the rest of the row is found later. */
static bool
convert_key(SiMovedKey *moved_key, const SiMessage *message, const SiRecord *record,
			SiValue *fields, KeyValues *key, SiFailure *failure)
{
	SiRecord	of_key = *record;

	of_key.op = SI_OP_DELETE;
	of_key.fields = fields;
	return si_convert_row(moved_key->converter, message, &of_key, key->values, key->nulls,
						  failure);
}

static bool
is_same_key(const SiMovedKey *moved_key)
{
	const KeyValues *a = &moved_key->old_key;
	const KeyValues *b = &moved_key->new_key;

	for (int i = 0; i < moved_key->key->ncolumns; i++)
	{
		if (ApplySortComparator(a->values[i], a->nulls[i], b->values[i], b->nulls[i],
								&moved_key->order[i]) != 0)
			return false;
	}
	return true;
}

/* The row that deletes by the old key. */
static void
make_delete(const SiMovedKey *moved_key, Datum *values, bool *nulls)
{
	int			ncolumns = moved_key->of_batch->ncolumns;
	int			n = ncolumns + SI_MAPPING_ABSENT_WORDS(moved_key->of_batch);

	for (int i = 0; i < n; i++)
	{
		values[i] = (Datum) 0;
		nulls[i] = i < ncolumns;
	}
	for (int i = 0; i < moved_key->key->ncolumns; i++)
	{
		values[moved_key->key->columns[i].column] = moved_key->old_key.values[i];
		nulls[moved_key->key->columns[i].column] = moved_key->old_key.nulls[i];
	}
}

/*
 * Give the new row what only the old one has.  A column that both lack would be
 * lost with the old row.
 */
static bool
complete_row(const SiMovedKey *moved_key, SiRecord *record, SiFailure *failure)
{
	const SiMapping *mapping = moved_key->of_batch;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];
		SiValue    *new;

		if (!is_of_row(mapping, column))
			continue;
		new = &record->fields[column->field];
		if (new->kind == SI_VALUE_ABSENT)
			*new = record->old_fields[column->field];
		if (new->kind != SI_VALUE_ABSENT)
			continue;
		failure->sqlerrcode = ERRCODE_SQL_JSON_MEMBER_NOT_FOUND;
		failure->message = psprintf("the update of a key lacks field \"%s\"", column->source_text);
		failure->hint = pstrdup("With another key the row would lose what it has there: have the source write whole rows, or give the column the source null in \"mapping\".");
		failure->column = pstrdup(column->name);
		failure->safe = true;
		return false;
	}
	return true;
}

bool
si_moved_key_find(SiMovedKey *moved_key, const SiMessage *message, SiRecord *record, bool *moved,
				  Datum *values, bool *nulls, SiFailure *failure)
{
	*moved = false;
	if (complete_keys(moved_key, record))
		return true;
	if (!convert_key(moved_key, message, record, record->old_fields, &moved_key->old_key, failure) ||
		!convert_key(moved_key, message, record, record->fields, &moved_key->new_key, failure))
		return false;
	if (is_same_key(moved_key))
		return true;
	*moved = true;
	make_delete(moved_key, values, nulls);
	return complete_row(moved_key, record, failure);
}

const SiColumn *
si_moved_key_column(const SiMovedKey *moved_key)
{
	return si_convert_column(moved_key->converter);
}

void
si_moved_key_recover(SiMovedKey *moved_key)
{
	si_convert_recover(moved_key->converter);
}
