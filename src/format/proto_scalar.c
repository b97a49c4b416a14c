/*-------------------------------------------------------------------------
 *
 * proto_scalar.c
 *	  Values of Protobuf's scalars and enums.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/json_scan.h"
#include "format/proto_read.h"

static void
set_integer(SiValue *value, int64_t integer)
{
	value->kind = SI_VALUE_INTEGER;
	value->scale = 0;
	value->integer = integer;
}

static void
set_real(SiValue *value, double real)
{
	value->kind = SI_VALUE_REAL;
	value->real = real;
}

/* A number's digits, as a value of this kind. */
static bool
set_digits(SiProtoReader *reader, const SiProtoItem *item, SiValueKind kind, const char *digits,
		   SiValue *value)
{
	char	   *text = si_arena_alloc(reader->arena, strlen(digits));

	if (text == NULL)
		return si_proto_fault(reader, item->data, SI_PROTO_NO_MEMORY) != NULL;
	memcpy(text, digits, strlen(digits));
	value->kind = kind;
	value->data = text;

	value->len = strlen(digits);
	return true;
}

static bool
set_unsigned(SiProtoReader *reader, const SiProtoItem *item, SiValue *value)
{
	char		digits[24];

	set_integer(value, (int64_t) item->bits);
	if (value->integer >= 0)
		return true;
	snprintf(digits, sizeof(digits), "%" PRIu64, item->bits);
	return set_digits(reader, item, SI_VALUE_NUMBER, digits, value);
}

/* The name of an enum's number, or NULL. */
static const SiProtoName *
find_symbol(const SiProtoEnum *values, int number)
{
	int			low = 0;
	int			high = values->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (values->symbols[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < values->n && values->symbols[low].number == number ?
		&values->symbols[low].name : NULL;
}

/* An enum's number without a name is that number, as text. */
static bool
set_enum(SiProtoReader *reader, const SiProtoField *field, const SiProtoItem *item, SiValue *value)
{
	int32_t		number = (int32_t) (uint32_t) item->bits;
	const SiProtoName *name = find_symbol(field->values, number);
	char		digits[16];

	if (name == NULL)
	{
		snprintf(digits, sizeof(digits), "%" PRId32, number);
		return set_digits(reader, item, SI_VALUE_STRING, digits, value);
	}
	value->kind = SI_VALUE_STRING;
	value->data = name->data;
	value->len = name->len;
	return true;
}

static bool
set_string(SiProtoReader *reader, const SiProtoItem *item, SiValue *value)
{
	value->kind = SI_VALUE_STRING;
	value->data = item->data;
	value->len = item->len;
	if (!si_json_is_utf8(item->data, item->len))
		return si_proto_fault(reader, item->data, SI_PROTO_BAD_UTF8) != NULL;
	return true;
}

static void
set_float(const SiProtoItem *item, bool is_double, SiValue *value)
{
	uint32_t	bits = (uint32_t) item->bits;
	float		single;
	double		real;

	memcpy(&single, &bits, sizeof(single));
	memcpy(&real, &item->bits, sizeof(real));
	set_real(value, is_double ? real : single);
}

bool
si_proto_set_scalar(SiProtoReader *reader, const SiProtoField *field, const SiProtoItem *item,
					SiValue *value)
{
	uint64_t	bits = item->bits;
	uint32_t	low = (uint32_t) bits;

	switch (field->kind)
	{
		case SI_PROTO_DOUBLE:
		case SI_PROTO_FLOAT:
			set_float(item, field->kind == SI_PROTO_DOUBLE, value);
			return true;
		case SI_PROTO_INT64:
		case SI_PROTO_SFIXED64:
			set_integer(value, (int64_t) bits);
			return true;
		case SI_PROTO_UINT64:
		case SI_PROTO_FIXED64:
			return set_unsigned(reader, item, value);
		case SI_PROTO_INT32:
		case SI_PROTO_SFIXED32:
			set_integer(value, (int32_t) low);
			return true;
		case SI_PROTO_UINT32:
		case SI_PROTO_FIXED32:
			set_integer(value, low);
			return true;
		case SI_PROTO_SINT32:
			set_integer(value, (int32_t) ((low >> 1) ^ (0 - (low & 1))));
			return true;
		case SI_PROTO_SINT64:
			set_integer(value, (int64_t) ((bits >> 1) ^ (0 - (bits & 1))));
			return true;
		case SI_PROTO_BOOL:
			value->kind = bits != 0 ? SI_VALUE_TRUE : SI_VALUE_FALSE;
			return true;
		case SI_PROTO_STRING:
			return set_string(reader, item, value);
		case SI_PROTO_BYTES:
			value->kind = SI_VALUE_BYTES;
			value->data = item->data;
			value->len = item->len;
			return true;
		case SI_PROTO_ENUM:
			return set_enum(reader, field, item, value);
		default:
			return si_proto_refuse_type(reader, field, item->data);
	}
}

void
si_proto_set_zero(const SiProtoField *field, SiValue *value)
{
	const SiProtoName *name;

	switch (field->kind)
	{
		case SI_PROTO_DOUBLE:
		case SI_PROTO_FLOAT:
			set_real(value, 0);
			break;
		case SI_PROTO_BOOL:
			value->kind = SI_VALUE_FALSE;
			break;
		case SI_PROTO_STRING:
		case SI_PROTO_BYTES:
			value->kind = field->kind == SI_PROTO_STRING ? SI_VALUE_STRING : SI_VALUE_BYTES;
			value->data = "";
			value->len = 0;
			break;
		case SI_PROTO_ENUM:
			name = find_symbol(field->values, 0);
			value->kind = SI_VALUE_STRING;
			value->data = name != NULL ? name->data : "0";
			value->len = name != NULL ? name->len : 1;
			break;
		default:
			set_integer(value, 0);
			break;
	}
}
