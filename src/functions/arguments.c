/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  Arguments that several SQL functions have.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "format/decoder.h"
#include "functions/arguments.h"

void
si_arguments_require(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

char *
si_arguments_text(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

char *
si_arguments_jsonb(FunctionCallInfo fcinfo, int i)
{
	Jsonb	   *value;

	if (PG_ARGISNULL(i))
		return NULL;
	value = PG_GETARG_JSONB_P(i);
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}

char *
si_arguments_format(FunctionCallInfo fcinfo, int i)
{
	char	   *format;

	si_arguments_require(fcinfo, i, "format");
	format = text_to_cstring(PG_GETARG_TEXT_PP(i));
	if (!si_decoder_known(format))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": \"%s\"", "format", format),
				 errhint("Valid values are \"json\", \"text\", \"csv\" and \"raw\".")));
	return format;
}

int
si_arguments_max_messages(FunctionCallInfo fcinfo, int i)
{
	si_arguments_require(fcinfo, i, "max_messages");
	if (PG_GETARG_INT32(i) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_messages must be greater than zero")));
	return PG_GETARG_INT32(i);
}

SiSubscription *
si_arguments_subscription_if_any(FunctionCallInfo fcinfo, const char *function, bool lock)
{
	SiSubscription *s;

	si_slots_require();
	PreventCommandIfReadOnly(function);
	si_arguments_require(fcinfo, 0, "name");
	s = si_catalog_find(NameStr(*PG_GETARG_NAME(0)), lock);
	if (s != NULL && !has_privs_of_role(GetUserId(), s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of subscription \"%s\"", NameStr(s->name))));
	return s;
}

SiSubscription *
si_arguments_subscription(FunctionCallInfo fcinfo, const char *function, bool lock)
{
	SiSubscription *s = si_arguments_subscription_if_any(fcinfo, function, lock);

	if (s == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", NameStr(*PG_GETARG_NAME(0)))));
	return s;
}
