/*-------------------------------------------------------------------------
 *
 * datum_failure.c
 *	  Filling in the failure of a value that cannot become a Datum.
 *
 * Declared in datum.h; none of this runs for a value that is good.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "apply/datum.h"

/* Fill in the failure, in our own words; column may be NULL. */
bool
si_datum_fail(SiDatumMaker *maker, const SiColumn *column, int sqlerrcode,
			  const char *format,...)
{
	SiFailure  *failure = maker->failure;
	StringInfoData message;

	initStringInfo(&message);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}

	memset(failure, 0, sizeof(SiFailure));
	failure->sqlerrcode = sqlerrcode;
	failure->message = message.data;
	failure->safe = true;
	if (column)
	{
		failure->column = pstrdup(column->name);
		failure->type = si_failure_type_name(column->type);
	}

	return false;
}

/* Fill in the failure from an input function's soft error. */
bool
si_datum_fail_soft(SiDatumMaker *maker, const SiColumn *column)
{
	SiFailure  *failure = maker->failure;

	*failure = *si_failure_from_error(maker->soft.error_data);
	failure->column = pstrdup(column->name);
	failure->type = si_failure_type_name(column->type);
	if (failure->hint == NULL && maker->mapping->change_events)
		failure->hint = si_change_datum_hint(column, failure->sqlerrcode);

	maker->soft.error_occurred = false;
	maker->soft.error_data = NULL;

	return false;
}

/* Fill in the failure for a point in time that is out of range. */
bool
si_datum_out_of_range(SiDatumMaker *maker, const SiColumn *column)
{
	return si_datum_fail(maker, column, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
						 "column \"%s\" takes a point in time that is out of range",
						 column->name);
}
