/*-------------------------------------------------------------------------
 *
 * json_scan_bench.c
 *	  What a JSON message costs: our decoder beside jansson.
 *
 * A record of 16 fields and about 500 bytes is decoded over and over, with
 * other numbers in every message so that nothing is learned by heart, and in
 * variations.  jansson parses it, touches every field and frees it.  Each
 * figure is the best of several rounds: the machine may be shared.
 *
 *	  cc -O2 -Isrc test/bench/json_scan_bench.c src/format/decode*.c \
 *		src/format/binary_text.c src/format/connect_*.c src/format/decimal.c \
 *		src/format/envelope*.c src/format/json_*.c src/format/match_names.c \
 *		src/format/path_tree.c src/format/avro_*.c src/format/proto_*.c \
 *		src/format/schema_*.c src/common/schema_name.c \
 *		src/format/text_rest.c src/format/unavailable.c src/format/value_text.c -ljansson -lm \
 *		-o json_scan_bench
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "format/decoder.h"

#define NFIELDS		16
#define NMESSAGES	1000
#define ROUNDS		15
#define PASSES		20

#define PROSE "The quick brown fox jumps over the lazy dog and runs on into " \
	"the wood, where it sleeps until the moon is up and the owl calls"
#define ESCAPED "\\\"The quick brown fox\\\"\\njumps over the\\tlazy " \
	"\\u0064og and runs on into the wood\\n"
#define CYRILLIC \
	"\xd0\x91\xd1\x8b\xd1\x81\xd1\x82\xd1\x80\xd0\xb0\xd1\x8f " \
	"\xd0\xbb\xd0\xb8\xd1\x81\xd0\xb0 \xd0\xbf\xd1\x80\xd1\x8b\xd0\xb3\xd0\xb0" \
	"\xd0\xb5\xd1\x82 \xd1\x87\xd0\xb5\xd1\x80\xd0\xb5\xd0\xb7 \xd1\x81\xd0\xbe" \
	"\xd0\xb1\xd0\xb0\xd0\xba\xd1\x83"

/* How a set of messages differs from the plain one. */
typedef struct Style
{
	const char *name;
	const char *blank;			/* behind colon and comma */
	const char *body;			/* the text field */
	bool		shuffled;		/* another order in every message */
	int			nwanted;
} Style;

static const Style styles[] = {
	{"compact, 16 wanted", "", PROSE, false, 16},
	{"compact, 4 wanted", "", PROSE, false, 4},
	{"compact, 0 wanted", "", PROSE, false, 0},
	{"with spaces", " ", PROSE, false, 16},
	{"shuffled", "", PROSE, true, 16},
	{"with escapes", "", ESCAPED, false, 16},
	{"not ASCII", "", CYRILLIC, false, 16},
};

static const char *const names[NFIELDS] = {
	"id", "customer_id", "order_number", "status", "currency", "amount",
	"tax", "created_at", "updated_at", "email", "country", "priority",
	"gift", "coupon", "description", "source"
};

static char *messages[NMESSAGES];
static size_t lengths[NMESSAGES];

static double
now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void
format_field(char *out, size_t size, int field, int n, const Style *style)
{
	switch (field)
	{
		case 0:
			snprintf(out, size, "%d", 100000000 + n * 7919);
			break;
		case 1:
			snprintf(out, size, "%d", 4000000 + n * 31);
			break;
		case 5:
			snprintf(out, size, "%d.%02d", 10 + n * 3, n % 100);
			break;
		case 6:
			snprintf(out, size, "%d.%03d", n % 90, n % 1000);
			break;
		case 7:
		case 8:
			snprintf(out, size, "\"2026-03-%02dT12:%02d:%02d.123456Z\"",
					 n % 28 + 1, n % 60, n * 7 % 60);
			break;
		case 9:
			snprintf(out, size, "\"customer.%d@example.com\"", n * 17);
			break;
		case 11:
			snprintf(out, size, "%d", n % 5);
			break;
		case 12:
			snprintf(out, size, "%s", n % 2 ? "true" : "false");
			break;
		case 13:
			snprintf(out, size, "null");
			break;
		case 14:
			snprintf(out, size, "\"%s\"", style->body);
			break;
		default:
			snprintf(out, size, "\"%s-%d\"", names[field], n % 97);
			break;
	}
}

static void
make_messages(const Style *style)
{
	int			n;

	for (n = 0; n < NMESSAGES; n++)
	{
		char text[	2048] = "{";
		int			i;

		for (i = 0; i < NFIELDS; i++)
		{
			int			field = i;
			char		value[512];
			size_t		len = strlen(text);

			/* an odd step goes through all of them */
			if (style->shuffled)
				field = (i * (n % 8 * 2 + 1) + n / 8) % NFIELDS;
			format_field(value, sizeof(value), field, n, style);
			snprintf(text +len, sizeof(text) - len, "%s%s\"%s\":%s%s",
					 i > 0 ? "," : "", i > 0 ? style->blank : "",
					 names[field], style->blank, value);
		}
		strcat(text, "}");
		free(messages[n]);
		messages[n] = strdup(text);
		lengths[n] = strlen(text);
	}
}

static size_t
touch_with_jansson(int n)
{
	json_t	   *json = json_loadb(messages[n], lengths[n], 0, NULL);
	const char *key;
	json_t	   *value;
	size_t		sum = 0;

	if (json == NULL)
		abort();
	json_object_foreach(json, key, value)
		sum += json_is_string(value) ? json_string_length(value) :
		(size_t) json_typeof(value);
	json_decref(json);
	return sum;
}

static size_t
touch_with_decoder(int n, SiDecoder *decoder, SiArena *arena)
{
	SiMessage	message = {0};
	SiRecord	record;
	SiDecodeError error;
	size_t		sum = 0;
	int			i;

	message.value = messages[n];
	message.value_len = lengths[n];
	if (!si_decoder_decode(decoder, &message, arena, &record, &error))
		abort();
	for (i = 0; i < record.nfields; i++)
		sum += record.fields[i].len;
	return sum;
}

/* Nanoseconds per message, the best of the rounds. */
static double
measure(SiDecoder *decoder, SiArena *arena, size_t *sink)
{
	double		best = 1e18;
	int			round;

	for (round = 0; round < ROUNDS; round++)
	{
		double		begin = now_ns();
		double		spent;
		int			pass;
		int			n;

		for (pass = 0; pass < PASSES; pass++)
		{
			for (n = 0; n < NMESSAGES; n++)
				*sink += decoder ? touch_with_decoder(n, decoder, arena) :
					touch_with_jansson(n);
			if (decoder)
				si_arena_reset(arena);
		}
		spent = (now_ns() - begin) / (PASSES * NMESSAGES);
		if (spent < best)
			best = spent;
	}
	return best;
}

int
main(void)
{
	SiPathStep	steps[NFIELDS];
	SiWantedField fields[NFIELDS];
	SiArena    *arena = si_arena_create();
	size_t		sink = 0;
	size_t		s;
	int			i;

	for (i = 0; i < NFIELDS; i++)
	{
		steps[i].key = names[i];
		steps[i].key_len = strlen(names[i]);
		steps[i].index = 0;
		fields[i].of_key = false;
		fields[i].nsteps = 1;
		fields[i].steps = &steps[i];
	}
	printf("%-20s %6s %12s %12s %7s\n", "messages", "bytes", "jansson ns",
		   "decoder ns", "ratio");
	for (s = 0; s < sizeof(styles) / sizeof(styles[0]); s++)
	{
		SiDecodePlan plan = {0};
		SiDecoder  *decoder;
		double		jansson;
		double		ours;

		make_messages(&styles[s]);
		plan.nfields = styles[s].nwanted;
		plan.fields = fields;
		plan.rest_field = -1;
		decoder = si_decoder_create("json", &plan, NULL);
		jansson = measure(NULL, NULL, &sink);
		ours = measure(decoder, arena, &sink);
		printf("%-20s %6zu %12.0f %12.0f %7.1f\n", styles[s].name,
			   lengths[NMESSAGES / 2], jansson, ours, jansson / ours);
		si_decoder_destroy(decoder);
	}
	for (i = 0; i < NMESSAGES; i++)
		free(messages[i]);
	si_arena_destroy(arena);
	return sink == 0;
}
