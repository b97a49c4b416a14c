/*-------------------------------------------------------------------------
 *
 * extended_json.c
 *	  MongoDB's extended JSON: objects that stand for a value.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "apply/extended_json.h"
#include "common/base64.h"
#include "common/bytes.h"
#include "common/uuid_text.h"
#include "format/json_scan.h"
#include "format/value_text.h"

/* Subtypes of binary that are UUIDs. */
#define SUBTYPE_OLD_UUID	3
#define SUBTYPE_UUID		4

/* A member of an object, whose key is no longer than any of ours. */
typedef struct Member
{
	char		key[16];
	SiJsonToken value;
} Member;

static bool take_wrapper(const char *data, size_t len, Oid base_type, SiValue *result);
static const char *rewrite_value(SiJsonScan *scan, const char *p, StringInfo out);

/* ---- reading ---- */

/*
 * Read an object of at most most members with short keys; returns how many
 * there are, or -1.
 */
static int
read_members(const char *data, size_t len, Member *members, int most)
{
	SiJsonScan	scan;
	const char *p = si_json_begin(&scan, data, len);
	bool		more;
	int			n = 0;

	p = si_json_enter(&scan, p, '}', &more);
	while (p != NULL && more)
	{
		SiJsonToken key;

		p = si_json_read_key(&scan, p, &key);
		if (p == NULL || n == most || key.escaped || key.len >= sizeof(members->key))
			return -1;
		memcpy(members[n].key, key.data, key.len);
		members[n].key[key.len] = '\0';
		p = si_json_pass_colon(&scan, p);
		if (p != NULL)
			p = si_json_read_value(&scan, p, &members[n++].value);
		if (p != NULL)
			p = si_json_next(&scan, p, '}', &more);
	}
	return p == NULL ? -1 : n;
}

static bool
is_plain_string(const SiJsonToken *token)
{
	return token->kind == SI_VALUE_STRING && !token->escaped;
}

static void
set_string(SiValue *result, SiValueKind kind, const char *data, size_t len)
{
	memset(result, 0, sizeof(SiValue));
	result->kind = kind;
	result->data = data;
	result->len = len;
}

/* Is this a number as JSON writes it? */
static bool
is_number(const char *data, size_t len)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p = si_json_begin(&scan, data, len);

	p = si_json_read_value(&scan, p, &token);
	return p != NULL && token.kind == SI_VALUE_NUMBER && token.len == len;
}

/* ---- each kind ---- */

static bool
take_text(const SiJsonToken *token, SiValue *result)
{
	if (!is_plain_string(token))
		return false;
	set_string(result, SI_VALUE_STRING, token->data, token->len);
	return true;
}

/* Also "NaN", "Infinity" and "-Infinity", as texts that the types know. */
static bool
take_number(const SiJsonToken *token, SiValue *result)
{
	if (!is_plain_string(token))
		return false;
	set_string(result, is_number(token->data, token->len) ? SI_VALUE_NUMBER : SI_VALUE_STRING,
			   token->data, token->len);
	return true;
}

/* Milliseconds since 1970, if 64 bits hold them as microseconds. */
static bool
take_milliseconds(const char *data, size_t len, SiValue *result)
{
	char		copy[32];
	char	   *end;
	int64		milliseconds;

	if (len == 0 || len >= sizeof(copy) || !is_number(data, len))
		return false;
	memcpy(copy, data, len);
	copy[len] = '\0';
	errno = 0;
	milliseconds = strtoi64(copy, &end, 10);
	if (*end != '\0' || errno != 0)
		return false;
	if (pg_mul_s64_overflow(milliseconds, 1000, &milliseconds))
		return false;
	memset(result, 0, sizeof(SiValue));
	result->kind = SI_VALUE_INSTANT;
	result->integer = milliseconds;
	return true;
}

/* A text of ISO 8601, or milliseconds. */
static bool
take_date(const SiJsonToken *token, SiValue *result)
{
	Member		member;

	if (token->kind == SI_VALUE_NUMBER)
		return take_milliseconds(token->data, token->len, result);
	if (token->kind != SI_VALUE_OBJECT)
		return take_text(token, result);
	return read_members(token->data, token->len, &member, 1) == 1 &&
		strcmp(member.key, "$numberLong") == 0 && is_plain_string(&member.value) &&
		take_milliseconds(member.value.data, member.value.len, result);
}

/* Decode base64 strictly; returns the length, or -1. */
static int
decode_base64(const char *text, size_t len, char *bytes)
{
	SiDigits	digits = {bytes, 0, 0};
	size_t		end = len;

	if (len % 4 != 0)
		return -1;
	while (end > 0 && len - end < 2 && text[end - 1] == '=')
		end--;
	for (size_t i = 0; i < end; i++)
	{
		if (!si_digits_add(&digits, 6, si_base64_digit(text[i], SI_BASE64_STANDARD)))
			return -1;
	}
	return (int) (digits.out - bytes);
}

/* The text of a UUID. */
static void
take_uuid(const char *bytes, SiValue *result)
{
	char	   *out = palloc(SI_UUID_TEXT);

	si_uuid_write(bytes, out);
	set_string(result, SI_VALUE_STRING, out, SI_UUID_TEXT);
}

/* A UUID where it is one, unless bytes are wanted. */
static bool
take_bytes(const SiJsonToken *base64, const SiJsonToken *subtype, Oid base_type, SiValue *result)
{
	char	   *bytes;
	char		number[4] = "";
	int			n;
	long		kind;

	if (!is_plain_string(base64) || !is_plain_string(subtype) || subtype->len > 2)
		return false;
	bytes = palloc(base64->len + 1);
	n = decode_base64(base64->data, base64->len, bytes);
	if (n < 0)
		return false;
	memcpy(number, subtype->data, subtype->len);
	kind = strtol(number, NULL, 16);
	if (base_type != BYTEAOID && n == SI_UUID_BYTES &&
		(kind == SUBTYPE_OLD_UUID || kind == SUBTYPE_UUID))
	{
		take_uuid(bytes, result);
		return true;
	}
	set_string(result, SI_VALUE_BYTES, bytes, n);
	return true;
}

/* {"base64": ..., "subType": ...} */
static bool
take_binary(const SiJsonToken *token, Oid base_type, SiValue *result)
{
	Member		members[2];
	int			first;

	if (token->kind != SI_VALUE_OBJECT ||
		read_members(token->data, token->len, members, 2) != 2)
		return false;
	first = strcmp(members[0].key, "base64") == 0 ? 0 : 1;
	return strcmp(members[first].key, "base64") == 0 &&
		strcmp(members[1 - first].key, "subType") == 0 &&
		take_bytes(&members[first].value, &members[1 - first].value, base_type, result);
}

/* The value that an object stands for; false if it stands for none. */
static bool
take_wrapper(const char *data, size_t len, Oid base_type, SiValue *result)
{
	Member		members[2];
	const char *key = members[0].key;
	const SiJsonToken *value = &members[0].value;
	int			n = read_members(data, len, members, 2);

	if (n == 2 && strcmp(key, "$binary") == 0 && strcmp(members[1].key, "$type") == 0)
		return take_bytes(value, &members[1].value, base_type, result);
	if (n != 1)
		return false;
	if (strcmp(key, "$oid") == 0 || strcmp(key, "$uuid") == 0)
		return take_text(value, result);
	if (strcmp(key, "$date") == 0)
		return take_date(value, result);
	if (strcmp(key, "$binary") == 0)
		return take_binary(value, base_type, result);
	if (strcmp(key, "$numberInt") == 0 || strcmp(key, "$numberLong") == 0 ||
		strcmp(key, "$numberDouble") == 0 || strcmp(key, "$numberDecimal") == 0)
		return take_number(value, result);
	return false;
}

/* ---- within arrays and objects ---- */

/* Append what an object stands for, as JSON. */
static void
append_unwrapped(StringInfo out, const SiValue *value)
{
	char		written[SI_VALUE_TEXT_ROOM];

	if (value->kind == SI_VALUE_NUMBER)
		appendBinaryStringInfo(out, value->data, value->len);
	else if (value->kind == SI_VALUE_BYTES)
	{
		appendStringInfoString(out, "\"\\");
		si_bytes_append_hex(out, value->data, value->len);
		appendStringInfoChar(out, '"');
	}
	else if (value->kind == SI_VALUE_INSTANT)
	{
		size_t		len = si_value_text(value, written);

		appendStringInfo(out, "\"%.*s\"", (int) len, written);
	}
	else
		escape_json(out, pnstrdup(value->data, value->len));
}

/* Rewrite the members or elements of the container at p. */
static const char *
rewrite_container(SiJsonScan *scan, const char *p, StringInfo out)
{
	char		open = *p;
	char		close = open == '{' ? '}' : ']';
	bool		first = true;
	bool		more;

	appendStringInfoChar(out, open);
	p = si_json_enter(scan, p, close, &more);
	while (p != NULL && more)
	{
		SiJsonToken key;

		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		if (open == '{')
		{
			p = si_json_read_key(scan, p, &key);
			if (p == NULL || (p = si_json_pass_colon(scan, p)) == NULL)
				return NULL;
			appendStringInfo(out, "\"%.*s\":", (int) key.len, key.data);
		}
		p = rewrite_value(scan, p, out);
		if (p != NULL)
			p = si_json_next(scan, p, close, &more);
	}
	appendStringInfoChar(out, close);
	return p;
}

/* Does the first key of the object at p begin with a dollar sign? */
static bool
begins_wrapper(const SiJsonScan *scan, const char *p)
{
	p = si_json_pass_space(scan, p + 1);
	return scan->end - p >= 2 && p[0] == '"' && p[1] == '$';
}

/* Rewrite the value at p; returns what follows it. */
static const char *
rewrite_value(SiJsonScan *scan, const char *p, StringInfo out)
{
	SiJsonScan	ahead = *scan;
	SiJsonToken token;
	SiValue		value;
	const char *next;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (*p == '[' || (*p == '{' && !begins_wrapper(scan, p)))
		return rewrite_container(scan, p, out);
	next = si_json_read_value(&ahead, p, &token);
	if (next == NULL)
		return NULL;
	if (token.kind == SI_VALUE_OBJECT && !take_wrapper(token.data, token.len, InvalidOid, &value))
		return rewrite_container(scan, p, out);
	if (token.kind == SI_VALUE_OBJECT)
		append_unwrapped(out, &value);
	else
		appendBinaryStringInfo(out, p, next - p);
	return next;
}

void
si_extended_json_unwrap(SiValue *value, Oid base_type, bool within)
{
	StringInfoData out;
	SiJsonScan	scan;
	const char *p;

	if (value->kind == SI_VALUE_OBJECT &&
		take_wrapper(value->data, value->len, base_type, value))
		return;
	if (!within)
		return;
	initStringInfo(&out);
	p = si_json_begin(&scan, value->data, value->len);
	if (rewrite_value(&scan, p, &out) == NULL)
		return;
	value->data = out.data;
	value->len = out.len;
}
