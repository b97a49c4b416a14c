/*-------------------------------------------------------------------------
 *
 * connect_value.c
 *	  Values that a JSON message has by the types of Kafka Connect's schemas.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "format/binary_text.h"
#include "format/connect_value.h"
#include "format/decimal.h"
#include "format/json_scan.h"
#include "format/json_verdict.h"
#include "format/value_text.h"

#define USECS_PER_DAY	INT64_C(86400000000)

/* A document that is copied, and the values in it that are replaced. */
typedef struct Copy
{
	SiJsonScan	scan;
	SiTextBuffer out;
	SiArena    *arena;
	bool		as_json;
	SiDecodeError *error;
	bool		failed;			/* *error is filled */
} Copy;

static const char *copy_value(Copy *copy, const SiConnectType *type, const char *p);

/* ---- scalars ---- */

/* The integer that a JSON number is; false if it has a fraction or is too large. */
static bool
read_integer(const SiValue *number, int64_t *integer)
{
	bool		negative = number->data[0] == '-';
	int64_t		value = 0;
	size_t		i;

	for (i = negative; i < number->len; i++)
	{
		int			digit = number->data[i] - '0';

		if (digit < 0 || digit > 9 ||
			__builtin_mul_overflow(value, 10, &value) ||
			(negative ? __builtin_sub_overflow(value, digit, &value) :
			 __builtin_add_overflow(value, digit, &value)))
			return false;
	}
	*integer = value;
	return true;
}

/* So many units as microseconds, cut downwards. */
static bool
to_usecs(SiConnectUnit unit, int64_t *count)
{
	if (unit == SI_CONNECT_MILLIS)
		return !__builtin_mul_overflow(*count, 1000, count);
	if (unit == SI_CONNECT_NANOS)
		*count = *count / 1000 - (*count % 1000 < 0);
	return true;
}

static bool
take_duration(int64_t usecs, SiArena *arena, SiValue *value, SiDecodeError *error)
{
	char	   *text = si_arena_alloc(arena, SI_VALUE_TEXT_ROOM);

	if (text == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	value->kind = SI_VALUE_STRING;
	value->data = text;

	value->len = (size_t) snprintf(text, SI_VALUE_TEXT_ROOM, "%lld microseconds",
								   (long long) usecs);
	return true;
}

/* A number that counts days, or time in a unit. */
static bool
take_count(const SiConnectType *type, SiArena *arena, SiValue *value, SiDecodeError *error)
{
	static const SiValueKind kinds[] = {
		[SI_CONNECT_INTEGER] = SI_VALUE_INTEGER,
		[SI_CONNECT_DATE] = SI_VALUE_DATE,
		[SI_CONNECT_TIME] = SI_VALUE_TIME,
		[SI_CONNECT_TIMESTAMP] = SI_VALUE_TIMESTAMP,
		[SI_CONNECT_INSTANT] = SI_VALUE_INSTANT
	};
	int64_t		count = 0;
	bool		fits = read_integer(value, &count);

	if (!fits && type->meaning == SI_CONNECT_INTEGER)
		return true;
	if (fits && (type->meaning == SI_CONNECT_TIMESTAMP || type->meaning == SI_CONNECT_INSTANT) &&
		type->unit != SI_CONNECT_NANOS && si_value_take_infinity(count, value))
		return true;
	if (type->meaning == SI_CONNECT_DATE)
		fits = fits && count >= INT32_MIN && count <= INT32_MAX;
	if (type->meaning > SI_CONNECT_DATE)
		fits = fits && to_usecs(type->unit, &count);
	if (type->meaning == SI_CONNECT_TIME)
		fits = fits && count >= 0 && count <= USECS_PER_DAY;
	if (!fits)
		return si_decoder_fail(error, "22008",
							   "a date or time in the message is no whole number, or out of range");
	if (type->meaning == SI_CONNECT_DURATION)
		return take_duration(count, arena, value, error);
	memset(value, 0, sizeof(SiValue));
	value->kind = kinds[type->meaning];
	value->integer = count;
	return true;
}

static bool
set_decimal(SiArena *arena, const char *data, size_t len, int scale, SiValue *value,
			SiDecodeError *error)
{
	if (len > SI_DECIMAL_MAX_BYTES || scale > SI_DECIMAL_MAX_SCALE || scale < -SI_DECIMAL_MAX_SCALE)
		return si_decoder_fail(error, "22003", "a decimal in the message is out of range");
	memset(value, 0, sizeof(SiValue));
	return si_decimal_set(arena, data, len, scale, value) ||
		si_decoder_fail(error, "53200", "out of memory");
}

/* Bytes, or the decimal that they are. */
static bool
take_base64(const SiConnectType *type, SiArena *arena, SiValue *value, SiDecodeError *error)
{
	char	   *bytes = si_arena_alloc(arena, value->len);
	char	   *end;

	if (bytes == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	end = si_binary_text_decode(SI_BINARY_BASE64, value->data, value->len, bytes);
	if (end == NULL)
		return si_decoder_fail(error, "22P02", "bytes in the message are not valid base64");
	if (type->meaning == SI_CONNECT_DECIMAL)
		return set_decimal(arena, bytes, (size_t) (end - bytes), type->scale, value, error);
	value->kind = SI_VALUE_BYTES;
	value->data = bytes;
	value->len = (size_t) (end - bytes);
	return true;
}

/*
 * No decimal within the limits is written longer, with every character escaped;
 * jansson takes up to 80 times as much memory.
 */
#define MOST_OF_DECIMAL	((size_t) 64 * 1024)

/* A decimal that has its scale beside it. */
static bool
take_variable_decimal(SiArena *arena, SiValue *value, SiDecodeError *error)
{
	static const SiConnectType bytes = {.meaning = SI_CONNECT_BYTES};
	json_error_t verdict;
	bool		no_memory;
	json_t	   *object;
	const json_t *scale;
	const json_t *number;
	json_int_t	given;
	SiValue		unscaled = {.kind = SI_VALUE_STRING};
	bool		taken;

	if (value->len > MOST_OF_DECIMAL)
		return si_decoder_fail(error, "22003", "a decimal in the message is out of range");
	object = si_json_load(value->data, value->len, 0, &verdict, &no_memory);
	scale = json_object_get(object, "scale");
	number = json_object_get(object, "value");
	given = json_integer_value(scale);
	if (no_memory)
		return si_decoder_fail(error, "53200", "out of memory");
	if (!json_is_integer(scale) || !json_is_string(number))
	{
		json_decref(object);
		return si_decoder_fail(error, "22P02", "a decimal in the message has no scale or no value");
	}
	unscaled.data = json_string_value(number);
	unscaled.len = json_string_length(number);
	taken = take_base64(&bytes, arena, &unscaled, error) &&
		set_decimal(arena, unscaled.data, unscaled.len,
					given == (int) given ? (int) given : SI_DECIMAL_MAX_SCALE + 1, value, error);
	json_decref(object);
	return taken;
}

/* Replace a value that is no document by its type; one of another kind stays. */
static bool
take_scalar(const SiConnectType *type, bool as_json, SiArena *arena, SiValue *value,
			SiDecodeError *error)
{
	switch (type->meaning)
	{
		case SI_CONNECT_PLAIN:
			return true;
		case SI_CONNECT_JSON:
			if (value->kind == SI_VALUE_STRING)
				si_connect_take_json(as_json, value);
			return true;
		case SI_CONNECT_BYTES:
			if (as_json || value->kind != SI_VALUE_STRING)
				return true;
			return take_base64(type, arena, value, error);
		case SI_CONNECT_DECIMAL:
			return value->kind != SI_VALUE_STRING || take_base64(type, arena, value, error);
		case SI_CONNECT_VARIABLE_DECIMAL:
			return value->kind != SI_VALUE_OBJECT || take_variable_decimal(arena, value, error);
		default:
			return value->kind != SI_VALUE_NUMBER || take_count(type, arena, value, error);
	}
}

/* ---- documents ---- */

/* The text of a string, its escapes resolved; false when out of memory. */
static bool
resolve(Copy *copy, const SiJsonToken *token, const char **data, size_t *len)
{
	char	   *plain;

	*data = token->data;
	*len = token->len;
	if (!token->escaped)
		return true;
	plain = si_arena_alloc(copy->arena, token->len);
	if (plain == NULL)
	{
		copy->failed = !si_decoder_fail(copy->error, "53200", "out of memory");
		return false;
	}
	*len = si_json_unescape(token->data, token->len, plain);
	*data = plain;
	return true;
}

/* Copy the value at p, which is no document to its type. */
static const char *
copy_scalar(Copy *copy, const SiConnectType *type, const char *p)
{
	const char *begin = p;
	SiJsonToken token;
	SiValue		value = {0};

	p = si_json_read_value(&copy->scan, p, &token);
	if (p == NULL || !resolve(copy, &token, &value.data, &value.len))
		return NULL;
	value.kind = token.kind;
	if (type != NULL && !take_scalar(type, copy->as_json, copy->arena, &value, copy->error))
	{
		copy->failed = true;
		return NULL;
	}
	if (type == NULL || value.kind == token.kind)
		si_text_append(&copy->out, begin, (size_t) (p - begin));
	else
		si_text_append_value(&copy->out, &value);
	return p;
}

/* Copy the key of a member at p, and find the member's type. */
static const char *
copy_key(Copy *copy, const SiConnectType *type, const char *p, const SiConnectType **inner)
{
	const char *begin = p;
	SiJsonToken key;
	const char *name;
	size_t		len;

	p = si_json_read_key(&copy->scan, p, &key);
	if (p == NULL || (p = si_json_pass_colon(&copy->scan, p)) == NULL ||
		!resolve(copy, &key, &name, &len))
		return NULL;
	if (type->items == NULL)
		*inner = si_connect_type_field(type, name, len);
	si_text_append(&copy->out, begin, (size_t) (p - begin));
	return p;
}

/* Copy the object or array at p. */
static const char *
copy_container(Copy *copy, const SiConnectType *type, const char *p)
{
	bool		object = *p == '{';
	char		close = object ? '}' : ']';
	bool		more;

	si_text_append_byte(&copy->out, *p);
	p = si_json_enter(&copy->scan, p, close, &more);
	while (p != NULL && more)
	{
		const SiConnectType *inner = type->items;

		if (object && (p = copy_key(copy, type, p, &inner)) == NULL)
			return NULL;
		p = copy_value(copy, inner, p);
		if (p != NULL)
			p = si_json_next(&copy->scan, p, close, &more);
		if (p != NULL && more)
			si_text_append_byte(&copy->out, ',');
	}
	si_text_append_byte(&copy->out, close);
	return p;
}

/* Copy the value at p.  Recurses no deeper than types are nested. */
static const char *
copy_value(Copy *copy, const SiConnectType *type, const char *p)
{
	if (type == NULL || !type->holds_meaning)
		return copy_scalar(copy, NULL, p);
	if (type->meaning == SI_CONNECT_PLAIN && p < copy->scan.end && (*p == '{' || *p == '['))
		return copy_container(copy, type, p);
	return copy_scalar(copy, type, p);
}

/* Replace what a document holds. */
static bool
take_document(const SiConnectType *type, bool as_json, SiArena *arena, SiValue *value,
			  SiDecodeError *error)
{
	Copy		copy = {.arena = arena,.as_json = as_json,.error = error};
	const char *p = si_json_begin(&copy.scan, value->data, value->len);
	char	   *data = NULL;

	si_text_reset(&copy.out, si_arena_left(arena));
	p = copy_value(&copy, type, p);
	if (p == NULL && !copy.failed)
		copy.failed = !si_decoder_fail(error, "22P02",
									   "a document in the message cannot be read by its schema");
	else if (p != NULL && copy.out.fault == SI_TEXT_TOO_LONG)
		copy.failed = !si_decoder_fail(error, "54000", "a document in the message is too large");
	else if (p != NULL && copy.out.fault == SI_TEXT_NO_FAULT)
		data = si_arena_alloc(arena, copy.out.len);
	if (data != NULL)
	{
		memcpy(data, copy.out.data, copy.out.len);
		value->data = data;
		value->len = copy.out.len;
	}
	else if (!copy.failed)
		si_decoder_fail(error, "53200", "out of memory");
	si_text_free(&copy.out);
	return data != NULL;
}

bool
si_connect_value_take(const SiConnectType *type, bool as_json, SiArena *arena, SiValue *value,
					  SiDecodeError *error)
{
	if ((value->kind == SI_VALUE_OBJECT || value->kind == SI_VALUE_ARRAY) &&
		type->meaning == SI_CONNECT_PLAIN)
		return !type->holds_meaning || take_document(type, as_json, arena, value, error);
	return take_scalar(type, as_json, arena, value, error);
}

void
si_connect_take_json(bool as_json, SiValue *value)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p = si_json_begin(&scan, value->data, value->len);

	p = si_json_read_value(&scan, p, &token);
	if (p == NULL || !si_json_finish(&scan, p))
		return;
	if (token.kind == SI_VALUE_OBJECT || token.kind == SI_VALUE_ARRAY)
		value->kind = token.kind;
	else if (as_json)
		value->kind = SI_VALUE_WRITTEN;
}
