/*-------------------------------------------------------------------------
 *
 * row_notes.c
 *	  Notes that an upsert takes on the row that it is at.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "apply/rows.h"
#include "apply/row_notes.h"

PG_FUNCTION_INFO_V1(si_sql_note_row);
PG_FUNCTION_INFO_V1(si_sql_row_lacks);
PG_FUNCTION_INFO_V1(si_sql_note_conflict);
PG_FUNCTION_INFO_V1(si_sql_note_unchanged);
PG_FUNCTION_INFO_V1(si_sql_note_written);

/* The notes of the innermost statement that runs; NULL outside of one. */
static SiRowNotes *current = NULL;

void
si_row_notes_begin(SiRowNotes *notes)
{
	memset(notes, 0, sizeof(SiRowNotes));
	notes->outer = current;
	current = notes;
}

void
si_row_notes_end(SiRowNotes *notes)
{
	current = notes->outer;
}

/*
 * Another extension may plan INSERT ... SELECT so that rows are gathered before
 * they are written; then our notes would be of the wrong row.
 */
static void
require_row(bool right)
{
	if (!right)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the target does not take its rows one by one"),
				 errhint("Use \"apply\" with a statement of your own.")));
}

/* note_row(i, word): called for word 0 of every row, whether it has one or not */
Datum
si_sql_note_row(PG_FUNCTION_ARGS)
{
	int32		i = PG_GETARG_INT32(0);

	if (current == NULL || i < 0 || i >= (int) lengthof(current->absent))
		PG_RETURN_BOOL(true);
	if (i == 0)
	{
		si_rows_note_current();
		current->at_row = true;
		current->conflict = false;
	}
	current->absent[i] = (uint64) PG_GETARG_INT64(1);
	PG_RETURN_BOOL(true);
}

Datum
si_sql_row_lacks(PG_FUNCTION_ARGS)
{
	int32		bit = PG_GETARG_INT32(0);

	if (current == NULL || bit < 0 ||
		bit >= (int) lengthof(current->absent) * SI_ABSENT_BITS)
		PG_RETURN_BOOL(false);
	require_row(current->at_row);
	PG_RETURN_BOOL((current->absent[bit / SI_ABSENT_BITS] >> (bit % SI_ABSENT_BITS)) & 1);
}

static void
note_conflict(void)
{
	require_row(current->at_row && !current->conflict);
	current->conflict = true;
}

Datum
si_sql_note_conflict(PG_FUNCTION_ARGS)
{
	if (current != NULL)
		note_conflict();
	PG_RETURN_BOOL(true);
}

Datum
si_sql_note_unchanged(PG_FUNCTION_ARGS)
{
	if (current != NULL)
	{
		note_conflict();
		current->at_row = false;
		current->updated++;
	}
	PG_RETURN_BOOL(false);
}

Datum
si_sql_note_written(PG_FUNCTION_ARGS)
{
	if (current != NULL)
	{
		require_row(current->at_row);
		current->at_row = false;
		if (current->conflict)
			current->updated++;
		else
			current->inserted++;
	}
	PG_RETURN_BOOL(true);
}
