/*-------------------------------------------------------------------------
 *
 * ahead_test.c
 *	  The thread that decodes and converts ahead (format/ahead.c,
 *	  apply/convert_ahead.c), as a program, under ThreadSanitizer.
 *
 *	ahead_test [SEED [ROUNDS]]
 *
 * Jobs of random messages, of which the main thread takes all, a part or none,
 * with the job begun before or when they are taken.  Each record must be what the
 * decoder and the same conversion give without a thread.  Messages are freed as
 * soon as their job has ended, so that the sanitizer sees a thread that still
 * reads them.  What stands for functions of the server (without_server.h) ends the
 * program where the thread calls it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "catalog/pg_type.h"

#include "apply/convert_ahead.h"
#include "common/compat.h"
#include "format/ahead.h"
#include "without_server.h"

#define MOST_MESSAGES	600
#define MOST_BYTES		400

static int	ntests = 0;
static int	nfailed = 0;

/* ---- what is decoded ---- */

static const struct
{
	const char *name;
	Oid			type;
	int			field;
}			wanted[] = {
	{"id", INT8OID, 0},
	{"name", TEXTOID, 1},
	{"at", TIMESTAMPOID, 2},
	{"uid", UUIDOID, 3},
	{"good", BOOLOID, 4},
	{"rate", FLOAT8OID, 5},
	{"ip", INETOID, 6},
	{"amount", NUMERICOID, 7},
	{"twice", INT4OID, 8},
	{"twice", TEXTOID, 8},
	{"mac", MACADDROID, 9},
	{"day", DATEOID, 10},
};

#define NFIELDS		11

static SiColumn columns[lengthof(wanted)];
static SiPathStep steps[NFIELDS];
static SiWantedField fields[NFIELDS];
static SiMapping mapping = {
	.ncolumns = lengthof(wanted),
	.columns = columns,
	.decode = {.nfields = NFIELDS,.fields = fields,.rest_field = -1}
};

static void
make_mapping(void)
{
	for (int i = 0; i < (int) lengthof(wanted); i++)
	{
		int			field = wanted[i].field;

		columns[i].name = wanted[i].name;
		columns[i].type = wanted[i].type;
		columns[i].typmod = -1;
		columns[i].source = SI_SOURCE_FIELD;
		columns[i].field = field;
		steps[field].key = wanted[i].name;
		steps[field].key_len = strlen(wanted[i].name);
		fields[field].nsteps = 1;
		fields[field].steps = &steps[field];
	}
}

static Oid
type_of(int field)
{
	for (int i = 0; i < (int) lengthof(wanted); i++)
	{
		if (wanted[i].field == field)
			return wanted[i].type;
	}
	return InvalidOid;
}

/* ---- messages ---- */

static uint64
below(uint64 *seed, uint64 n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 11) % n;
}

static const char *
one_of(uint64 *seed, const char *const *texts, int n)
{
	return texts[below(seed, n)];
}

#define ONE_OF(...) \
	one_of(seed, (const char *const[]) {__VA_ARGS__}, lengthof(((const char *const[]) {__VA_ARGS__})))

static char *
make_value(uint64 *seed)
{
	char		value[1000];
	char		padding[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

	padding[below(seed, sizeof(padding))] = '\0';
	snprintf(value, sizeof(value),
			 "{\"id\":%s,\"name\":\"%s%s\",\"at\":%s,\"uid\":%s,\"good\":%s,\"rate\":%s,\"ip\":%s,"
			 "\"amount\":%d.50,\"twice\":%s,\"mac\":%s,\"day\":%s%s",
			 ONE_OF("1", "-7", "123456789012", "\"42\"", "null", "1e3", "true", "99999999999999999999"),
			 ONE_OF("", "Jos\303\251", "a\\u0041", "b\\u0000", "\\n"), padding,
			 ONE_OF("\"2024-05-17T10:00:00Z\"", "\"2024-05-17 10:00:00.5\"", "\"now\"", "5", "null"),
			 ONE_OF("\"0f8fad5b-d9cb-469f-a165-70867728950e\"", "\"none\"", "{}"),
			 ONE_OF("true", "false", "\"yes\"", "1"),
			 ONE_OF("1.5", "-2", "1e10", "\"NaN\""),
			 ONE_OF("\"10.1.2.3\"", "\"::1\"", "\"10.1.2.3/8\""),
			 (int) below(seed, 1000),
			 ONE_OF("1", "\"2\"", "[3]"),
			 ONE_OF("\"08:00:2b:01:02:03\"", "\"08-00-2b-01-02-03\""),
			 ONE_OF("\"2000-02-29\"", "\"1900-02-29\"", "\"20240101\""),
			 ONE_OF("}", "}", "}", "}", "}", "}", "}", "", ",}", "} "));
	return strdup(value);
}

static void
make_messages(SiMessage *messages, int n, uint64 *seed)
{
	memset(messages, 0, sizeof(SiMessage) * n);
	for (int i = 0; i < n; i++)
	{
		if (below(seed, 20) == 0)
			continue;
		messages[i].value = make_value(seed);
		messages[i].value_len = strlen(messages[i].value);
		messages[i].offset = i;
	}
}

static void
free_messages(SiMessage *messages, int n)
{
	for (int i = 0; i < n; i++)
	{
		free(unconstify(char *, messages[i].value));
		messages[i].value = NULL;
	}
}

/* ---- comparing ---- */

static bool
same_stored(Oid type, Datum a, Datum b)
{
	switch (type)
	{
		case TEXTOID:
		case NUMERICOID:
			return VARSIZE(DatumGetPointer(a)) == VARSIZE(DatumGetPointer(b)) &&
				memcmp(DatumGetPointer(a), DatumGetPointer(b), VARSIZE(DatumGetPointer(a))) == 0;
		case UUIDOID:
			return memcmp(DatumGetPointer(a), DatumGetPointer(b), 16) == 0;
		case MACADDROID:
			return memcmp(DatumGetPointer(a), DatumGetPointer(b), 6) == 0;
		case INETOID:
			return memcmp(DatumGetPointer(a), DatumGetPointer(b), VARSIZE(DatumGetPointer(a))) == 0;
		default:
			return a == b;
	}
}

static bool
same_record(const SiRecord *a, const SiRecord *b)
{
	if (a->op != b->op || a->any_field != b->any_field)
		return false;
	for (int i = 0; i < NFIELDS; i++)
	{
		const SiValue *x = &a->fields[i];
		const SiValue *y = &b->fields[i];

		if (x->kind != y->kind)
			return false;
		if (x->kind == SI_VALUE_STORED
			? !same_stored(type_of(i), (Datum) x->integer, (Datum) y->integer)
			: x->len != y->len || (x->len > 0 && memcmp(x->data, y->data, x->len) != 0))
			return false;
	}
	return true;
}

/* ---- jobs ---- */

typedef struct Bench
{
	SiAhead    *ahead;
	SiDecoder  *own;			/* the main thread's */
	SiDecoder  *other;
	SiAheadColumns *columns;
	SiArena    *arena;
	long		messages;
	long		taken;			/* records that the thread has made */
	long		stored;			/* values of them that it has converted */
	long		left;			/* good messages that it has left */
	long		wrong;
} Bench;

/* Take a message as the main thread does, and compare. */
static void
take(Bench *bench, int i, const SiMessage *message)
{
	const SiRecord *record = si_ahead_take(bench->ahead, i, message);
	SiRecord	expected;
	SiDecodeError error;
	bool		good;

	si_arena_reset(bench->arena);
	good = message->value != NULL && message->value_len <= MOST_BYTES &&
		si_decoder_decode(bench->own, message, bench->arena, &expected, &error);
	bench->messages++;
	if (record == NULL)
	{
		bench->left += good;
		return;
	}
	bench->taken++;
	if (!good)
	{
		bench->wrong++;
		return;
	}
	si_convert_ahead(bench->columns, &expected, bench->arena);
	bench->wrong += !same_record(record, &expected);
	for (int field = 0; field < NFIELDS; field++)
		bench->stored += record->fields[field].kind == SI_VALUE_STORED;
}

static void
run_job(Bench *bench, uint64 *seed)
{
	SiMessage	messages[MOST_MESSAGES];
	int			n = 1 + (int) below(seed, MOST_MESSAGES);
	int			most = below(seed, 3) == 0 ? (int) below(seed, n + 1) : n;
	SiAheadJob	job = {
		.first = messages,
		.stride = sizeof(SiMessage),
		.n = n,
		.most = MOST_BYTES,
		.most_decoded = below(seed, 5) == 0 ? below(seed, 20000) : SIZE_MAX / 2,
		.decoder = bench->other,
		.convert = si_convert_ahead,
		.arg = bench->columns
	};

	make_messages(messages, n, seed);
	if (!si_ahead_begin(bench->ahead, &job))
		bench->wrong++;
	if (si_ahead_begins_with(bench->ahead, &messages[0]) != n)
		bench->wrong++;

	/*
	 * one time in two the thread gets a lead, as it has in a worker that
	 * writes
	 */
	if (below(seed, 2) == 0)
		(void) usleep(below(seed, 2000));
	for (int i = 0; i < most; i++)
		take(bench, i, &messages[i]);
	si_ahead_end(bench->ahead);
	if (si_ahead_take(bench->ahead, 0, &messages[0]) != NULL)
		bench->wrong++;
	free_messages(messages, n);
}

static void
ok(bool passed, const char *what)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, what);
}

static void
restart(Bench *bench)
{
	si_ahead_destroy(bench->ahead);
	bench->ahead = si_ahead_create();
	if (bench->ahead == NULL)
		abort();
}

int
main(int argc, char **argv)
{
	SiFormatOptions options = {0};
	uint64		seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64) time(NULL);
	int			rounds = argc > 2 ? atoi(argv[2]) : 300;
	Bench		bench = {0};

	printf("# seed " UINT64_FORMAT "\n", seed);
	seed = seed * UINT64CONST(0x9E3779B97F4A7C15) | 1;
	main_thread = pthread_self();
	make_mapping();
	bench.own = si_decoder_create("json", &mapping.decode, &options);
	bench.other = si_decoder_create("json", &mapping.decode, &options);
	bench.columns = si_convert_ahead_create(&mapping);
	bench.arena = si_arena_create();
	restart(&bench);
	si_ahead_end(bench.ahead);
	restart(&bench);
	for (int i = 0; i < rounds; i++)
	{
		run_job(&bench, &seed);
		if (below(&seed, 20) == 0)
			restart(&bench);
	}
	si_ahead_destroy(bench.ahead);
	si_ahead_destroy(NULL);
	si_decoder_destroy(bench.own);
	si_decoder_destroy(bench.other);
	si_arena_destroy(bench.arena);
	free(bench.columns);
	printf("# %ld messages, %ld records of the thread, %ld values converted, %ld good messages left\n",
		   bench.messages, bench.taken, bench.stored, bench.left);
	ok(bench.wrong == 0, "records are those of a decoder without a thread");
	ok(bench.taken > 0 && bench.stored > bench.taken, "the thread decodes and converts");
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
