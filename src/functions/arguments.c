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

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "catalog/fixed_sql.h"
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
	si_arguments_check_format(format);
	return format;
}

/* The error for a word that is none of those that an argument can be. */
static void
refuse_word(const char *argument, const char *value, const char *const *words, int nwords)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < nwords; i++)
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i == nwords - 1 ? " and " : ", ",
						 words[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\": \"%s\"", argument, value),
			 errhint("Valid values are %s.", list.data)));
}

void
si_arguments_check_format(const char *format)
{
	const char *words[16];
	int			n = 0;

	if (si_decoder_find(format) != NULL)
		return;
	while (si_decoder_routines[n] != NULL && n < lengthof(words))
	{
		words[n] = si_decoder_routines[n]->format;
		n++;
	}
	refuse_word("format", format, words, n);
}

SiInsertModeId
si_arguments_insert_mode(const char *name)
{
	SiInsertModeId mode = si_insert_mode_parse(name);
	const char *words[SI_NMODES];

	if (mode != SI_MODE_UNKNOWN)
		return mode;
	for (int i = 0; i < SI_NMODES; i++)
		words[i] = si_insert_modes[i].name;
	refuse_word("insert_mode", name, words, SI_NMODES);
	return mode;				/* not reached */
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
	if (lock)
		si_fixed_sql_will_write("subscription");
	s = si_catalog_find(NameStr(*PG_GETARG_NAME(0)), false);

	/* others than the owner must not even wait for the lock */
	if (lock && s != NULL && has_privs_of_role(GetUserId(), s->owner))
		s = si_catalog_find(NameStr(*PG_GETARG_NAME(0)), true);
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

/* ---- headers ---- */

const char *
si_arguments_to_utf8(const char *bytes, int len, size_t *result_len)
{
	char	   *result = pg_server_to_any(bytes, len, PG_UTF8);

	*result_len = result == bytes ? len : strlen(result);
	return result;
}

/* A header's value; strings and numbers as they are, the rest as JSON text. */
static void
header_value(JsonbValue *value, SiHeader *header)
{
	const char *bytes;
	int			len = -1;

	header->value = NULL;
	header->value_len = 0;
	switch (value->type)
	{
		case jbvNull:
			return;
		case jbvString:
			bytes = value->val.string.val;
			len = value->val.string.len;
			break;
		case jbvNumeric:
			bytes = DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(value->val.numeric)));
			break;
		case jbvBool:
			bytes = value->val.boolean ? "true" : "false";
			break;
		default:
			Assert(value->type == jbvBinary);
			bytes = JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
			break;
	}
	header->value = si_arguments_to_utf8(bytes, len >= 0 ? len : strlen(bytes), &header->value_len);
}

/* A value that is written as bytea's hex form is its bytes. */
static void
unhex_value(SiHeader *header)
{
	bytea	   *bytes;

	if (header->value == NULL || header->value_len < 2 || strncmp(header->value, "\\x", 2) != 0)
		return;
	bytes = DatumGetByteaPP(DirectFunctionCall1(byteain,
												CStringGetDatum(pnstrdup(header->value, header->value_len))));
	header->value = VARDATA_ANY(bytes);
	header->value_len = VARSIZE_ANY_EXHDR(bytes);
}

const SiHeader *
si_arguments_headers(FunctionCallInfo fcinfo, int i, bool hex, int *n)
{
	Jsonb	   *object;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	SiHeader   *headers;
	size_t		len;

	*n = 0;
	if (PG_ARGISNULL(i))
		return NULL;
	object = PG_GETARG_JSONB_P(i);
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"headers\" must be a JSON object"),
				 errhint("For example: {\"source\": \"orders\", \"version\": 2}.")));
	headers = palloc(sizeof(SiHeader) * Max(JB_ROOT_COUNT(object), 1));
	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			headers[*n].name =
				si_arguments_to_utf8(pnstrdup(value.val.string.val, value.val.string.len),
									 value.val.string.len, &len);
		else if (token == WJB_VALUE)
		{
			header_value(&value, &headers[*n]);
			if (hex)
				unhex_value(&headers[*n]);
			(*n)++;
		}
	}
	return headers;
}
