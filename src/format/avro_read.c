/*-------------------------------------------------------------------------
 *
 * avro_read.c
 *	  Single values out of an Avro message, checked.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "common/uuid_text.h"
#include "format/avro_read.h"
#include "format/value_text.h"
#include "format/decimal.h"
#include "format/json_scan.h"

#define USECS_PER_DAY	(INT64_C(86400) * 1000000)

/* ---- a message ---- */

const char *
si_avro_begin(SiAvroReader *reader, const char *data, size_t len, SiArena *arena)
{
	memset(reader, 0, sizeof(SiAvroReader));
	reader->start = data;
	reader->end = data + len;
	reader->arena = arena;

	/* those with bytes need none of these: every byte pays for one */
	reader->spare = SI_AVRO_MAX_EMPTY + len;
	return data;
}

const char *
si_avro_refuse(SiAvroReader *reader, const char *p, SiAvroFault fault)
{
	reader->fault = fault;
	reader->fault_pos = p;
	return NULL;
}

bool
si_avro_report(const SiAvroReader *reader, SiDecodeError *error)
{
	static const struct
	{
		const char *sqlstate;
		const char *words;
	}			faults[] = {
		[SI_AVRO_NO_FAULT] = {"XX000", "nothing is wrong"},
		[SI_AVRO_TRUNCATED] = {"22P03", "the message ends too early"},
		[SI_AVRO_TRAILING_BYTES] = {"22P03", "bytes follow the value"},
		[SI_AVRO_LONG_NUMBER] = {"22P03", "a number has too many bytes"},
		[SI_AVRO_INT_RANGE] = {"22P03", "an int is out of range"},
		[SI_AVRO_BAD_BOOLEAN] = {"22P03", "a boolean is neither 0 nor 1"},
		[SI_AVRO_NEGATIVE_LENGTH] = {"22P03", "a length is negative"},
		[SI_AVRO_BAD_BRANCH] = {"22P03", "a union has no branch of this number"},
		[SI_AVRO_BAD_SYMBOL] = {"22P03", "an enum has no symbol of this number"},
		[SI_AVRO_BLOCK_SIZE] = {"22P03", "a block has another size than it says"},
		[SI_AVRO_BAD_UTF8] = {"22021", "a string is not valid UTF-8"},
		[SI_AVRO_TIME_RANGE] = {"22008", "a time is out of range"},
		[SI_AVRO_LARGE_DECIMAL] = {"54000", "a decimal has too many bytes"},
		[SI_AVRO_SCALE_RANGE] = {"22003", "a decimal has a scale that no number has"},
		[SI_AVRO_TOO_MANY] = {"54000", "there are too many values without bytes"},
		[SI_AVRO_TOO_DEEP] = {"54001", "values are nested too deeply"},
		[SI_AVRO_LARGE_DOCUMENT] = {"54000", "a value is too large as a document"},
	};

	if (reader->fault == SI_AVRO_NO_MEMORY)
		return si_decoder_fail(error, "53200", "out of memory");
	return si_decoder_fail(error, faults[reader->fault].sqlstate,
						   "invalid Avro at byte %zu: %s",
						   (size_t) (reader->fault_pos - reader->start) + 1,
						   faults[reader->fault].words);
}

/* ---- numbers ---- */

/* A number of several bytes, seven bits each, the lowest first. */
static const char *
read_long_varint(SiAvroReader *reader, const char *p, uint64_t *value)
{
	const char *begin = p;
	uint64_t	result = 0;
	int			shift;

	for (shift = 0; shift < 70; shift += 7)
	{
		uint64_t	byte;

		if (p >= reader->end)
			return si_avro_refuse(reader, begin, SI_AVRO_TRUNCATED);
		byte = (unsigned char) *p++;

		/* the tenth has a single bit left to fill */
		if (shift == 63 && byte > 1)
			return si_avro_refuse(reader, begin, SI_AVRO_LONG_NUMBER);
		result |= (byte & 0x7F) << shift;
		if (byte < 0x80)
		{
			*value = result;
			return p;
		}
	}
	return si_avro_refuse(reader, begin, SI_AVRO_LONG_NUMBER);
}

/* Read a long, in which small numbers of either sign are short. */
static inline const char *
read_long(SiAvroReader *reader, const char *p, int64_t *value)
{
	uint64_t	zigzag;

	if (p < reader->end && (unsigned char) *p < 0x80)
		zigzag = (unsigned char) *p++;
	else if ((p = read_long_varint(reader, p, &zigzag)) == NULL)
		return NULL;
	*value = (int64_t) (zigzag >> 1) ^ -(int64_t) (zigzag & 1);
	return p;
}

static inline const char *
read_int(SiAvroReader *reader, const char *p, int64_t *value)
{
	const char *begin = p;

	p = read_long(reader, p, value);
	if (p != NULL && (*value < INT32_MIN || *value > INT32_MAX))
		return si_avro_refuse(reader, begin, SI_AVRO_INT_RANGE);
	return p;
}

/* Read a length, and see that as many bytes follow. */
static inline const char *
read_length(SiAvroReader *reader, const char *p, size_t *len)
{
	const char *begin = p;
	int64_t		value;

	p = read_long(reader, p, &value);
	if (p == NULL)
		return NULL;
	if (value < 0)
		return si_avro_refuse(reader, begin, SI_AVRO_NEGATIVE_LENGTH);
	if ((uint64_t) value > (uint64_t) (reader->end - p))
		return si_avro_refuse(reader, begin, SI_AVRO_TRUNCATED);
	*len = (size_t) value;
	return p;
}

/* Pass bytes of a size that the schema gives. */
static inline const char *
pass_bytes(SiAvroReader *reader, const char *p, size_t len)
{
	if (len > (size_t) (reader->end - p))
		return si_avro_refuse(reader, p, SI_AVRO_TRUNCATED);
	return p + len;
}

/* Take account of a value without bytes. */
static inline const char *
pass_nothing(SiAvroReader *reader, const char *p)
{
	if (reader->spare == 0)
		return si_avro_refuse(reader, p, SI_AVRO_TOO_MANY);
	reader->spare--;
	return p;
}

/* Bytes of a number, the lowest first. */
static inline uint64_t
little_endian(const char *p, int n)
{
	uint64_t	result = 0;

	while (n-- > 0)
		result = result << 8 | (unsigned char) p[n];
	return result;
}

static const char *
read_real(SiAvroReader *reader, const char *p, bool is_double, SiValue *value)
{
	const char *begin = p;
	uint64_t	bits;
	uint32_t	float_bits;
	float		single;

	p = pass_bytes(reader, p, is_double ? 8 : 4);
	if (p == NULL)
		return NULL;
	value->kind = SI_VALUE_REAL;
	if (is_double)
	{
		bits = little_endian(begin, 8);
		memcpy(&value->real, &bits, sizeof(bits));
		return p;
	}
	float_bits = (uint32_t) little_endian(begin, 4);
	memcpy(&single, &float_bits, sizeof(single));
	value->real = single;
	return p;
}

/* ---- what numbers mean ---- */

static bool
set_usecs(const SiAvroType *type, int64_t number, SiValue *value)
{
	value->integer = number;
	if (type->unit == SI_AVRO_MILLIS)
		return !__builtin_mul_overflow(number, INT64_C(1000), &value->integer);
	if (type->unit == SI_AVRO_NANOS)
		value->integer = number / 1000 - (number % 1000 < 0);
	return true;
}

/* Microseconds, as interval reads them. */
static bool
set_usecs_text(SiAvroReader *reader, const char *p, SiValue *value)
{
	char	   *text = si_arena_alloc(reader->arena, 64);
	size_t		len;

	if (text == NULL)
	{
		si_avro_refuse(reader, p, SI_AVRO_NO_MEMORY);
		return false;
	}
	len = (size_t) snprintf(text, 64, "%lld microseconds", (long long) value->integer);
	value->kind = SI_VALUE_STRING;
	value->data = text;

	value->len = len;
	return true;
}

/* An int or long as what its type means; p is where it stands. */
static inline bool
set_number(SiAvroReader *reader, const SiAvroType *type, const char *p,
		   int64_t number, SiValue *value)
{
	bool		fits = true;

	value->scale = 0;
	value->integer = number;
	switch (type->meaning)
	{
		case SI_AVRO_DATE:
			value->kind = SI_VALUE_DATE;
			break;
		case SI_AVRO_TIME:
			value->kind = SI_VALUE_TIME;
			fits = set_usecs(type, number, value) &&
				value->integer >= 0 && value->integer <= USECS_PER_DAY;
			break;
		case SI_AVRO_INSTANT:
			value->kind = SI_VALUE_INSTANT;
			fits = set_usecs(type, number, value);
			break;
		case SI_AVRO_TIMESTAMP:
			if (type->unit != SI_AVRO_NANOS && si_value_take_infinity(number, value))
				return true;
			value->kind = SI_VALUE_TIMESTAMP;
			fits = set_usecs(type, number, value);
			break;
		case SI_AVRO_DURATION:
			return set_usecs(type, number, value) && set_usecs_text(reader, p, value);
		default:
			value->kind = SI_VALUE_INTEGER;
			break;
	}
	if (!fits)
		si_avro_refuse(reader, p, SI_AVRO_TIME_RANGE);
	return fits;
}

/* ---- bytes that mean something ---- */

static const char *
set_uuid(SiAvroReader *reader, const char *data, const char *p, SiValue *value)
{
	char	   *out = si_arena_alloc(reader->arena, SI_UUID_TEXT);

	if (out == NULL)
		return si_avro_refuse(reader, p, SI_AVRO_NO_MEMORY);
	si_uuid_write(data, out);
	value->kind = SI_VALUE_STRING;
	value->data = out;
	value->len = SI_UUID_TEXT;
	return p;
}

/* Months, days and milliseconds, as interval reads them. */
static const char *
set_duration(SiAvroReader *reader, const char *data, const char *p, SiValue *value)
{
	uint32_t	months = (uint32_t) little_endian(data, 4);
	uint32_t	days = (uint32_t) little_endian(data + 4, 4);
	uint32_t	millis = (uint32_t) little_endian(data + 8, 4);
	char	   *text = si_arena_alloc(reader->arena, 64);

	if (text == NULL)
		return si_avro_refuse(reader, p, SI_AVRO_NO_MEMORY);
	value->kind = SI_VALUE_STRING;
	value->data = text;

	value->len = (size_t) snprintf(text, 64, "%u mons %u days %u.%03u secs",
								   months, days, millis / 1000, millis % 1000);
	return p;
}

static const char *
set_decimal(SiAvroReader *reader, const SiAvroType *type, const char *data, size_t len,
			const char *p, SiValue *value)
{
	if (len > SI_DECIMAL_MAX_BYTES)
		return si_avro_refuse(reader, data, SI_AVRO_LARGE_DECIMAL);
	if (!si_decimal_set(reader->arena, data, len, type->scale, value))
		return si_avro_refuse(reader, p, SI_AVRO_NO_MEMORY);
	return p;
}

/* Bytes or a fixed, which end before p. */
static const char *
set_bytes(SiAvroReader *reader, const SiAvroType *type, const char *data,
		  size_t len, const char *p, SiValue *value)
{
	switch (type->meaning)
	{
		case SI_AVRO_DECIMAL:
			return set_decimal(reader, type, data, len, p, value);
		case SI_AVRO_UUID:
			return set_uuid(reader, data, p, value);
		case SI_AVRO_DURATION:
			return set_duration(reader, data, p, value);
		default:
			break;
	}
	value->kind = SI_VALUE_BYTES;
	value->data = data;
	value->len = len;
	return p;
}

/* ---- values ---- */

const char *
si_avro_read_string(SiAvroReader *reader, const char *p, SiValue *value)
{
	p = read_length(reader, p, &value->len);
	if (p == NULL)
		return NULL;
	value->kind = SI_VALUE_STRING;
	value->data = p;
	if (!si_json_is_utf8(p, value->len))
		return si_avro_refuse(reader, p, SI_AVRO_BAD_UTF8);
	return p + value->len;
}

static const char *
read_enum(SiAvroReader *reader, const SiAvroType *type, const char *p, SiValue *value)
{
	const char *begin = p;
	int64_t		number;

	p = read_int(reader, p, &number);
	if (p == NULL)
		return NULL;
	if (number < 0 || number >= type->n)
		return si_avro_refuse(reader, begin, SI_AVRO_BAD_SYMBOL);
	value->kind = SI_VALUE_STRING;
	value->data = type->symbols[number].data;
	value->len = type->symbols[number].len;
	return p;
}

static const char *
read_boolean(SiAvroReader *reader, const char *p, SiValue *value)
{
	if (p >= reader->end)
		return si_avro_refuse(reader, p, SI_AVRO_TRUNCATED);
	if (*p != 0 && *p != 1)
		return si_avro_refuse(reader, p, SI_AVRO_BAD_BOOLEAN);
	value->kind = *p == 1 ? SI_VALUE_TRUE : SI_VALUE_FALSE;
	return p + 1;
}

/* A decimal that has its scale before it. */
static const char *
read_scaled(SiAvroReader *reader, const char *p, SiValue *value)
{
	const char *begin = p;
	SiAvroType	type = {.kind = SI_AVRO_BYTES};
	int64_t		scale;
	size_t		len = 0;

	p = read_int(reader, p, &scale);
	if (p == NULL || (p = read_length(reader, p, &len)) == NULL)
		return NULL;
	if (scale > SI_DECIMAL_MAX_SCALE || scale < -SI_DECIMAL_MAX_SCALE)
		return si_avro_refuse(reader, begin, SI_AVRO_SCALE_RANGE);
	type.scale = (int) scale;
	return set_decimal(reader, &type, p, len, p + len, value);
}

const char *
si_avro_read_scalar(SiAvroReader *reader, const SiAvroType *type, const char *p,
					SiValue *value)
{
	const char *begin = p;
	int64_t		number;
	size_t		len = 0;

	switch (type->kind)
	{
		case SI_AVRO_NULL:
			value->kind = SI_VALUE_NULL;
			return pass_nothing(reader, p);
		case SI_AVRO_BOOLEAN:
			return read_boolean(reader, p, value);
		case SI_AVRO_INT:
			p = read_int(reader, p, &number);
			return p != NULL && set_number(reader, type, begin, number, value) ? p : NULL;
		case SI_AVRO_LONG:
			p = read_long(reader, p, &number);
			return p != NULL && set_number(reader, type, begin, number, value) ? p : NULL;
		case SI_AVRO_FLOAT:
			return read_real(reader, p, false, value);
		case SI_AVRO_DOUBLE:
			return read_real(reader, p, true, value);
		case SI_AVRO_STRING:
			return si_avro_read_string(reader, p, value);
		case SI_AVRO_BYTES:
			p = read_length(reader, p, &len);
			return p != NULL ? set_bytes(reader, type, p, len, p + len, value) : NULL;
		case SI_AVRO_FIXED:
			p = type->size > 0 ? pass_bytes(reader, p, type->size) : pass_nothing(reader, p);
			return p != NULL ? set_bytes(reader, type, begin, type->size, p, value) : NULL;
		case SI_AVRO_ENUM:
			return read_enum(reader, type, p, value);
		case SI_AVRO_SCALED:
			return read_scaled(reader, p, value);
		default:
			return NULL;		/* cannot happen */
	}
}

const char *
si_avro_read_branch(SiAvroReader *reader, const SiAvroType *type, const char *p,
					int *branch)
{
	const char *begin = p;
	int64_t		number;

	p = read_long(reader, p, &number);
	if (p == NULL)
		return NULL;
	if (number < 0 || number >= type->n)
		return si_avro_refuse(reader, begin, SI_AVRO_BAD_BRANCH);
	*branch = (int) number;
	return p;
}

/* A negative count is followed by the size of the block's items in bytes. */
const char *
si_avro_read_block(SiAvroReader *reader, const char *p, SiAvroBlock *block)
{
	const char *begin = p;
	int64_t		count;
	size_t		size = 0;

	p = read_long(reader, p, &count);
	if (p == NULL)
		return NULL;
	block->end = NULL;
	block->count = (uint64_t) count;
	if (count >= 0)
		return p;
	if (count == INT64_MIN)
		return si_avro_refuse(reader, begin, SI_AVRO_NEGATIVE_LENGTH);
	block->count = (uint64_t) -count;
	p = read_length(reader, p, &size);
	if (p == NULL)
		return NULL;
	block->end = p + size;
	return p;
}

/* ---- values that no field takes ---- */

/* The items of an array; with keys those of a map. */
static const char *
skip_items(SiAvroReader *reader, const SiAvroType *type, const char *p)
{
	bool		keys = type->kind == SI_AVRO_MAP;
	SiAvroBlock block;

	do
	{
		p = si_avro_read_block(reader, p, &block);
		if (p == NULL)
			return NULL;
		if (block.end != NULL)
		{
			p = block.end;
			continue;
		}
		for (uint64_t i = 0; i < block.count; i++)
		{
			size_t		len = 0;

			if (keys)
			{
				p = read_length(reader, p, &len);
				if (p == NULL)
					return NULL;
				p += len;
			}
			p = si_avro_skip(reader, type->items, p);
			if (p == NULL)
				return NULL;
		}
	} while (block.count > 0);
	return p;
}

static const char *
skip_container(SiAvroReader *reader, const SiAvroType *type, const char *p)
{
	int			i;

	if (!si_avro_enter(reader, p))
		return NULL;
	if (type->kind == SI_AVRO_RECORD)
	{
		for (i = 0; i < type->n && p != NULL; i++)
			p = si_avro_skip(reader, type->fields[i].type, p);
	}
	else
		p = skip_items(reader, type, p);
	si_avro_leave(reader);
	return p;
}

const char *
si_avro_skip(SiAvroReader *reader, const SiAvroType *type, const char *p)
{
	int64_t		number;
	size_t		len = 0;
	int			branch;

	switch (type->kind)
	{
		case SI_AVRO_NULL:
			return pass_nothing(reader, p);
		case SI_AVRO_BOOLEAN:
			return pass_bytes(reader, p, 1);
		case SI_AVRO_INT:
		case SI_AVRO_LONG:
		case SI_AVRO_ENUM:
			return read_long(reader, p, &number);
		case SI_AVRO_FLOAT:
			return pass_bytes(reader, p, 4);
		case SI_AVRO_DOUBLE:
			return pass_bytes(reader, p, 8);
		case SI_AVRO_SCALED:
			p = read_long(reader, p, &number);
			if (p == NULL)
				return NULL;
			/* FALLTHROUGH */
		case SI_AVRO_STRING:
		case SI_AVRO_BYTES:
			p = read_length(reader, p, &len);
			return p != NULL ? p + len : NULL;
		case SI_AVRO_FIXED:
			return type->size > 0 ? pass_bytes(reader, p, type->size) : pass_nothing(reader, p);
		case SI_AVRO_UNION:
			p = si_avro_read_branch(reader, type, p, &branch);
			return p != NULL ? si_avro_skip(reader, type->branches[branch], p) : NULL;
		default:
			return skip_container(reader, type, p);
	}
}
