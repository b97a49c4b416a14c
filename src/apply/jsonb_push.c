/*-------------------------------------------------------------------------
 *
 * jsonb_push.c
 *	  JSON text that a decoder has checked into jsonb, without parsing it twice.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "apply/fast_input.h"
#include "apply/jsonb_push.h"
#include "format/json_scan.h"

/* Deeper documents are for jsonb_in(), which watches the stack. */
#define MAX_DEPTH		64

/* Longer strings are for jsonb_in(), which refuses those that are too long. */
#define MAX_STRING		(1024 * 1024)

typedef struct Pusher
{
	SiJsonScan	scan;
	JsonbParseState *state;
	const SiFastInput *numeric;
} Pusher;

static const char *push_value(Pusher *pusher, const char *p, JsonbIteratorToken token,
							  JsonbValue **pushed);

/* A string's text; false if it is one for jsonb_in(). */
static bool
set_string(const SiJsonToken *token, JsonbValue *value)
{
	char	   *plain;

	if (token->nul || token->len > MAX_STRING)
		return false;
	value->type = jbvString;
	value->val.string.val = (char *) token->data;
	value->val.string.len = token->len;
	if (!token->escaped)
		return true;
	plain = palloc(token->len);
	value->val.string.len = si_json_unescape(token->data, token->len, plain);
	value->val.string.val = plain;
	return true;
}

static bool
set_scalar(Pusher *pusher, const SiJsonToken *token, JsonbValue *value)
{
	Datum		number;

	switch (token->kind)
	{
		case SI_VALUE_NULL:
			value->type = jbvNull;
			return true;
		case SI_VALUE_TRUE:
		case SI_VALUE_FALSE:
			value->type = jbvBool;
			value->val.boolean = token->kind == SI_VALUE_TRUE;
			return true;
		case SI_VALUE_NUMBER:
			if (!si_fast_input_read(pusher->numeric, token->data, token->len, -1, &number))
				return false;
			value->type = jbvNumeric;
			value->val.numeric = DatumGetNumeric(number);
			return true;
		case SI_VALUE_STRING:
			return set_string(token, value);
		default:
			return false;
	}
}

static const char *
push_key(Pusher *pusher, const char *p)
{
	SiJsonToken token;
	JsonbValue	key;

	p = si_json_read_key(&pusher->scan, p, &token);
	if (p == NULL || !set_string(&token, &key))
		return NULL;
	(void) pushJsonbValue(&pusher->state, WJB_KEY, &key);
	return si_json_pass_colon(&pusher->scan, p);
}

/* Push the object or array at p, members and all. */
static const char *
push_container(Pusher *pusher, const char *p, JsonbValue **pushed)
{
	bool		object = *p == '{';
	char		close = object ? '}' : ']';
	bool		more;

	if (pusher->scan.depth >= MAX_DEPTH)
		return NULL;
	(void) pushJsonbValue(&pusher->state, object ? WJB_BEGIN_OBJECT : WJB_BEGIN_ARRAY, NULL);
	p = si_json_enter(&pusher->scan, p, close, &more);
	while (p != NULL && more)
	{
		if (object)
			p = push_key(pusher, p);
		if (p != NULL)
			p = push_value(pusher, p, object ? WJB_VALUE : WJB_ELEM, NULL);
		if (p != NULL)
			p = si_json_next(&pusher->scan, p, close, &more);
	}
	if (p == NULL)
		return NULL;
	*pushed = pushJsonbValue(&pusher->state, object ? WJB_END_OBJECT : WJB_END_ARRAY, NULL);
	return p;
}

/* Push the member or element at p. */
static const char *
push_value(Pusher *pusher, const char *p, JsonbIteratorToken token, JsonbValue **pushed)
{
	JsonbValue *container;
	SiJsonToken scalar;
	JsonbValue	value;

	if (p < pusher->scan.end && (*p == '{' || *p == '['))
		return push_container(pusher, p, pushed != NULL ? pushed : &container);
	p = si_json_read_value(&pusher->scan, p, &scalar);
	if (p == NULL || !set_scalar(pusher, &scalar, &value))
		return NULL;
	(void) pushJsonbValue(&pusher->state, token, &value);
	return p;
}

bool
si_jsonb_push(const char *text, size_t len, Datum *result)
{
	Pusher		pusher = {.numeric = si_fast_input_find(NUMERICOID, -1)};
	JsonbValue *document;
	const char *p = si_json_begin(&pusher.scan, text, len);

	if (p >= pusher.scan.end || (*p != '{' && *p != '['))
		return false;
	p = push_container(&pusher, p, &document);
	if (p == NULL || !si_json_finish(&pusher.scan, p))
		return false;
	*result = JsonbPGetDatum(JsonbValueToJsonb(document));
	return true;
}
