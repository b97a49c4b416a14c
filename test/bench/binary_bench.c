/*-------------------------------------------------------------------------
 *
 * binary_bench.c
 *	  What an Avro message costs, and a Protobuf message.
 *
 * A record of 16 fields and about 200 bytes is decoded over and over, with other
 * numbers in every message.  Each figure is the best of several rounds: the
 * machine may be shared.
 *
 *	  cc -O2 -Isrc test/bench/binary_bench.c src/format/decode*.c \
 *		src/format/binary_text.c src/format/connect_*.c src/format/decimal.c \
 *		src/format/envelope*.c src/format/json_*.c src/format/match_names.c \
 *		src/format/path_tree.c src/format/avro_*.c src/format/proto_*.c \
 *		src/format/schema_*.c src/common/schema_name.c \
 *		src/format/text_rest.c src/format/unavailable.c src/format/value_text.c -ljansson -lm \
 *		-o binary_bench
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/decoder.h"

#define NFIELDS		16
#define NMESSAGES	1000
#define ROUNDS		15
#define PASSES		20

/* Fields are a, b, c and so on, of these types by turns. */
static const char *const plain_types[] = {
	"\"long\"", "\"string\"", "\"int\"", "\"boolean\"",
	"{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}", "\"double\""
};

#define NTYPES		(sizeof(plain_types) / sizeof(plain_types[0]))

static const char *const protobuf_types[NTYPES] = {
	"sint64", "string", "sint32", "bool", "sint64", "double"
};
static const int protobuf_wires[NTYPES] = {0, 2, 0, 0, 0, 1};

static char messages[NMESSAGES][512];
static size_t lengths[NMESSAGES];

static char *
put_long(char *at, int64_t value)
{
	uint64_t	zigzag = ((uint64_t) value << 1) ^ (uint64_t) (value >> 63);

	for (; zigzag > 127; zigzag >>= 7)
		*at++ = (char) (zigzag | 128);
	*at++ = (char) zigzag;
	return at;
}

static char *
put_tag(char *at, int number, int wire)
{
	if (number > 15)
	{
		*at++ = (char) ((number << 3 & 0x7F) | wire | 0x80);
		*at++ = (char) (number >> 4);
	}
	else
		*at++ = (char) (number << 3 | wire);
	return at;
}

static char *
put_length(char *at, size_t len, bool protobuf)
{
	if (!protobuf)
		return put_long(at, (int64_t) len);
	*at++ = (char) len;
	return at;
}

static char *
put_field(char *at, int type, int n, bool protobuf)
{
	static const char body[] = "a text of some length, as people write it";
	double		real = n / 7.0;

	switch (type)
	{
		case 0:
			return put_long(at, n * INT64_C(1000003));
		case 1:
			at = put_length(at, sizeof(body) - 1, protobuf);
			memcpy(at, body, sizeof(body) - 1);
			return at + sizeof(body) - 1;
		case 2:
			return put_long(at, n);
		case 3:
			*at++ = (char) (n & 1);
			return at;
		case 4:
			return put_long(at, INT64_C(1769862896123456) + n);
		default:
			memcpy(at, &real, sizeof(real));
			return at + sizeof(real);
	}
}

static void
make_messages(bool nullable, bool protobuf)
{
	int			i;
	int			field;

	for (i = 0; i < NMESSAGES; i++)
	{
		char	   *at = messages[i];

		for (field = 0; field < NFIELDS; field++)
		{
			if (protobuf)
				at = put_tag(at, field + 1, protobuf_wires[field % NTYPES]);
			else if (nullable)
				at = put_long(at, 1);
			at = put_field(at, (int) (field % NTYPES), i * NFIELDS + field, protobuf);
		}
		lengths[i] = (size_t) (at - messages[i]);
	}
}

static void
make_schema(char *schema, bool nullable)
{
	char	   *at = schema;
	int			field;

	at += sprintf(at, "{\"type\":\"record\",\"name\":\"r\",\"fields\":[");
	for (field = 0; field < NFIELDS; field++)
		at += sprintf(at, "%s{\"name\":\"%c\",\"type\":%s%s%s}", field > 0 ? "," : "", 'a' + field,
					  nullable ? "[\"null\"," : "", plain_types[field % NTYPES], nullable ? "]" : "");
	sprintf(at, "]}");
}

static void
make_protobuf_schema(char *schema, bool nullable)
{
	char	   *at = schema;
	int			field;

	at += sprintf(at, "syntax = \"proto3\"; message r {");
	for (field = 0; field < NFIELDS; field++)
		at += sprintf(at, "%s%s %c = %d;", nullable ? "optional " : "",
					  protobuf_types[field % NTYPES], 'a' + field, field + 1);
	sprintf(at, "}");
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double
measure(SiDecoder *decoder)
{
	SiArena    *arena = si_arena_create();
	double		best = 1e18;
	int			round;
	int			i;

	for (round = 0; round < ROUNDS; round++)
	{
		double		began = now();

		for (i = 0; i < NMESSAGES * PASSES; i++)
		{
			SiMessage	message = {.value = messages[i % NMESSAGES],.value_len = lengths[i % NMESSAGES]};
			SiRecord	record;
			SiDecodeError error;

			if (i % NMESSAGES == 0)
				si_arena_reset(arena);
			if (!si_decoder_decode(decoder, &message, arena, &record, &error))
			{
				fprintf(stderr, "%s\n", error.message);
				exit(1);
			}
		}
		if (now() - began < best)
			best = now() - began;
	}
	si_arena_destroy(arena);
	return best / (NMESSAGES * PASSES);
}

static void
run(const char *format, const char *name, int nwanted, bool nullable)
{
	static char schema[4096];
	static char names[NFIELDS][2];
	SiPathStep	steps[NFIELDS];
	SiWantedField fields[NFIELDS];
	SiDecodePlan plan = {.nfields = nwanted,.fields = fields,.rest_field = -1};
	SiFormatOptions options = {.schema = schema};
	SiDecoder  *decoder;
	int			i;

	memset(fields, 0, sizeof(fields));
	for (i = 0; i < nwanted; i++)
	{
		names[i][0] = (char) ('a' + i * NFIELDS / nwanted);
		steps[i].key = names[i];
		steps[i].key_len = 1;
		fields[i].nsteps = 1;
		fields[i].steps = &steps[i];
	}
	if (strcmp(format, "avro") == 0)
		make_schema(schema, nullable);
	else
		make_protobuf_schema(schema, nullable);
	make_messages(nullable, strcmp(format, "avro") != 0);
	decoder = si_decoder_create(format, &plan, &options);
	printf("%-9s%-24s %5zu bytes %8.0f ns\n", format, name, lengths[0], measure(decoder));
	si_decoder_destroy(decoder);
}

int
main(void)
{
	static const char *const formats[] = {"avro", "protobuf"};
	int			i;

	for (i = 0; i < 2; i++)
	{
		run(formats[i], "16 wanted", 16, false);
		run(formats[i], "4 wanted", 4, false);
		run(formats[i], "16 wanted, all nullable", 16, true);
	}
	return 0;
}
