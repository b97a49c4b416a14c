/*-------------------------------------------------------------------------
 *
 * functions_preview.c
 *	  The SQL function preview: what the next messages would become.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "functions/arguments.h"
#include "functions/preview.h"

PG_FUNCTION_INFO_V1(si_sql_preview);

/* The server's words, in psql's manner of showing them. */
static char *
failure_words(const SiFailure *failure)
{
	StringInfoData words;

	initStringInfo(&words);
	appendStringInfoString(&words, failure->message);
	if (failure->record > 0)
		appendStringInfo(&words, "\nDETAIL:  Record %d of the message.%s%s", failure->record,
						 failure->detail ? " " : "", failure->detail ? failure->detail : "");
	else if (failure->detail != NULL)
		appendStringInfo(&words, "\nDETAIL:  %s", failure->detail);
	if (failure->hint != NULL)
		appendStringInfo(&words, "\nHINT:  %s", failure->hint);

	/* a type's input function does not know which column it is for */
	if (failure->column != NULL &&
		strstr(failure->message, psprintf("\"%s\"", failure->column)) == NULL)
		appendStringInfo(&words, "\nCOLUMN NAME:  %s", failure->column);
	return words.data;
}

static void
put_previewed(ReturnSetInfo *rsinfo, const SiPreviewed *previewed)
{
	const SiFailure *failure = previewed->failure;
	Datum		values[5];
	bool		nulls[5] = {false, false, false, false, false};

	values[0] = Int32GetDatum(previewed->partition);
	values[1] = Int64GetDatum(previewed->offset);
	values[2] = previewed->row;
	nulls[2] = (previewed->row == (Datum) 0);
	nulls[3] = nulls[4] = (failure == NULL);
	if (failure != NULL)
	{
		values[3] = CStringGetTextDatum(unpack_sql_state(failure->sqlerrcode));
		values[4] = CStringGetTextDatum(failure_words(failure));
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A preview that is under way in this session; in the caller's stack. */
typedef struct Running
{
	const struct Running *outer;
	int32		subscription;
} Running;

static const Running *innermost = NULL;

/*
 * Preview, but not what a preview of the same subscription runs: a trigger on its
 * target that calls this would do so for every message that is shown to it, and
 * each of these calls again.
 */
static SiPreviewed *
preview_once(const SiSubscription *s, int max_messages, int *n)
{
	Running		this = {innermost, s->id};
	SiPreviewed *volatile previewed = NULL;

	for (const Running *outer = innermost; outer != NULL; outer = outer->outer)
	{
		if (outer->subscription == s->id)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("subscription \"%s\" is being previewed", NameStr(s->name)),
					 errdetail("A trigger, function or statement that the preview runs calls preview() again.")));
	}
	innermost = &this;

	/* what is thrown may be caught by a user's function */
	PG_TRY();
	{
		previewed = si_preview(s, si_options_parse(s->options_text), max_messages, n);
	}
	PG_FINALLY();
	{
		innermost = this.outer;
	}
	PG_END_TRY();
	return previewed;
}

Datum
si_sql_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SiSubscription *s = si_arguments_subscription(fcinfo, "preview()", false);
	int			max_messages = si_arguments_max_messages(fcinfo, 1);
	SiPreviewed *previewed;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	previewed = preview_once(s, max_messages, &n);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_previewed(rsinfo, &previewed[i]);
	}
	return (Datum) 0;
}
