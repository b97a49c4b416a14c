/*-------------------------------------------------------------------------
 *
 * decoder_test.c
 *	  Tests of the decoders as a plain library: no server, no Kafka.
 *
 * Prints TAP.  Every message is decoded from a buffer of exactly its size, so
 * that a build with -fsanitize=address sees a read beyond the end.  With a
 * directory as argument (such as json_cases.py writes) each file in it is
 * decoded too: names that begin with y_ must be accepted, n_ refused, i_ only
 * survived.
 *
 *	  make test/decoder_test
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "format/decoder.h"
#include "format/json_scan.h"

#define MAX_FIELDS	64
#define MAX_STEPS	2048

/* A plan made from text, see make_plan. */
typedef struct Plan
{
	SiDecodePlan plan;
	SiWantedField fields[MAX_FIELDS];
	SiPathStep *steps;
	char	   *text;
} Plan;

/* A decoding and what comes of it, see render. */
typedef struct Case
{
	const char *name;
	const char *fields;
	const char *value;			/* NULL for a tombstone */
	const char *key;
	const char *expected;
} Case;

static int	ntests;
static int	nfailed;

/* Under AddressSanitizer, too, malloc may fail: test_arena asks for it. */
extern const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void ok(bool passed, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
ok(bool passed, const char *format,...)
{
	va_list		arguments;

	ntests++;
	if (!passed)
		nfailed++;
	printf("%sok %d - ", passed ? "" : "not ", ntests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

static void
is(const char *got, const char *expected, const char *name)
{
	bool		same = strcmp(got, expected) == 0;

	ok(same, "%s", name);
	if (!same)
		printf("#      got: %s\n# expected: %s\n", got, expected);
}

/* ---- plans and results as text ---- */

/* Cut the steps of a path such as a.b[0] out of text; returns their number. */
static int
cut_path(char *text, SiPathStep *steps)
{
	int			n = 0;

	while (*text !='\0')
	{
		memset(&steps[n], 0, sizeof(SiPathStep));
		if (*text == '[')
		{
			steps[n++].index = atoi(text +1);
			text = strchr(text, ']') + 1;

			continue;
		}
		if (*text == '.')
			*text ++= '\0';
		steps[n].key = text;

		steps[n].key_len = strcspn(text, ".[");
		text	  +=steps[n++].key_len;
	}
	return n;
}

/*
 * Fields are separated by single spaces; one is a path, $value, $rest, $key or
 * $key.path.  The pseudo-field ? asks for unknown fields.
 */
static void
make_plan(Plan *plan, const char *fields)
{
	char	   *field;
	char	   *save = NULL;
	int			nsteps = 0;

	memset(plan, 0, sizeof(*plan));
	plan->plan.fields = plan->fields;
	plan->plan.rest_field = -1;
	plan->steps = calloc(MAX_STEPS, sizeof(SiPathStep));
	plan->text = strdup(fields);
	for (field = strtok_r(plan->text, " ", &save); field != NULL;
		 field = strtok_r(NULL, " ", &save))
	{
		SiWantedField *wanted = &plan->fields[plan->plan.nfields];

		if (strcmp(field, "?") == 0)
		{
			plan->plan.find_unknown = true;
			continue;
		}
		if (strcmp(field, "$rest") == 0)
			plan->plan.rest_field = plan->plan.nfields;
		else if (strncmp(field, "$key", 4) == 0)
		{
			wanted->of_key = true;
			field += field[4] == '.' ? 5 : 4;
			wanted->nsteps = cut_path(field, &plan->steps[nsteps]);
		}
		else if (strcmp(field, "$value") != 0)
			wanted->nsteps = cut_path(field, &plan->steps[nsteps]);
		wanted->steps = &plan->steps[nsteps];
		nsteps += wanted->nsteps;
		plan->plan.nfields++;
	}
}

static void
free_plan(Plan *plan)
{
	free(plan->steps);
	free(plan->text);
}

static void
append(char *out, size_t size, const char *text, size_t len)
{
	size_t		used = strlen(out);
	size_t		i;

	for (i = 0; i < len && used + 5 < size; i++)
	{
		/* make what a terminal or strcmp does not show visible */
		if (text[i] == '\0' || (unsigned char) text[i] < ' ')
			used += (size_t) snprintf(out + used, size - used, "<%02x>",
									  (unsigned char) text[i]);
		else
			out[used++] = text[i];
	}
	out[used] = '\0';
}

static void
render_value(char *out, size_t size, const SiValue *value)
{
	static const char *const marks[] = {
		"-", "null", "true", "false", "#", "'", "", "", "bytes ", "="
	};

	append(out, size, marks[value->kind], strlen(marks[value->kind]));
	if (value->kind >= SI_VALUE_NUMBER)
		append(out, size, value->data, value->len);
	if (value->kind == SI_VALUE_STRING)
		append(out, size, "'", 1);
}

/*
 * A record: "D " if it is a delete, then the fields between bars: - for
 * ABSENT, #1 a number, 'x' a string, =x a text for a type to read, and "? name"
 * for an unknown field.  An error: ! SQLSTATE message.
 */
static void
render(char *out, size_t size, bool decoded, const SiRecord *record,
	   const SiDecodeError *error)
{
	bool		any = false;
	int			i;

	if (!decoded)
	{
		snprintf(out, size, "! %s %s", error->sqlstate, error->message);
		return;
	}
	snprintf(out, size, "%s", record->op == SI_OP_DELETE ? "D " : "");
	for (i = 0; i < record->nfields; i++)
	{
		if (i > 0)
			append(out, size, "|", 1);
		render_value(out, size, &record->fields[i]);
		any |= record->fields[i].kind != SI_VALUE_ABSENT;
	}
	if (record->unknown.kind != SI_VALUE_ABSENT)
	{
		append(out, size, "? ", 2);
		append(out, size, record->unknown.data, record->unknown.len);
	}
	if (any != record->any_field)
		append(out, size, "(any_field is wrong)", 20);
}

/* A copy that ends where its memory ends. */
static char *
exact_copy(const char *data, size_t len)
{
	char	   *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, data, len);
	return copy;
}

static bool
decode_bytes(SiDecoder *decoder, const char *value, size_t value_len,
			 const char *key, char *out, size_t size)
{
	SiArena    *arena = si_arena_create();
	SiMessage	message = {0};
	SiRecord	record;
	SiDecodeError error;
	char	   *value_copy = value ? exact_copy(value, value_len) : NULL;
	char	   *key_copy = key ? exact_copy(key, strlen(key)) : NULL;
	bool		decoded;

	message.value = value_copy;
	message.value_len = value_len;
	message.key = key_copy;
	message.key_len = key ? strlen(key) : 0;
	decoded = si_decoder_decode(decoder, &message, arena, &record, &error);
	render(out, size, decoded, &record, &error);
	free(value_copy);
	free(key_copy);
	si_arena_destroy(arena);
	return decoded;
}

/* Decode once with a decoder of its own. */
static bool
decode_format(const char *format, const SiFormatOptions *options,
			  const char *fields, const char *value, size_t value_len,
			  const char *key, char *out, size_t size)
{
	Plan		plan;
	SiDecoder  *decoder;
	bool		decoded;

	make_plan(&plan, fields);
	decoder = si_decoder_create(format, &plan.plan, options);
	decoded = decode_bytes(decoder, value, value_len, key, out, size);
	si_decoder_destroy(decoder);
	free_plan(&plan);
	return decoded;
}

static bool
decode_once(const char *fields, const char *value, size_t value_len,
			const char *key, char *out, size_t size)
{
	return decode_format("json", NULL, fields, value, value_len, key, out,
						 size);
}

/* ---- a table of decodings ---- */

static const Case cases[] = {
	/* values */
	{"kinds", "a b c d e f g",
		"{\"a\":null,\"b\":true,\"c\":false,\"d\":-1.50,\"e\":\"x\",\"f\":{\"y\": [1 ]},\"g\":[ {}]}",
	NULL, "null|true|false|#-1.50|'x'|{\"y\": [1 ]}|[ {}]"},
	{"missing field", "a b", "{\"b\":1}", NULL, "-|#1"},
	{"empty object", "a", "{}", NULL, "-"},
	{"no field wanted", "", "{\"a\":1}", NULL, ""},
	{"white space", "a b", " \t\r\n{ \"a\" : 1 , \"b\"\n:\t2 } \n", NULL, "#1|#2"},
	{"case matters", "a", "{\"A\":1}", NULL, "-"},
	{"empty name", ". a", "{\"\":1}", NULL, "#1|-"},
	{"empty string", "a", "{\"a\":\"\"}", NULL, "''"},
	{"names that differ late", "name_of_a_column_1 name_of_a_column_2",
	"{\"name_of_a_column_2\":2,\"name_of_a_column_3\":3}", NULL, "-|#2"},
	{"names of other length", "a aa aaa", "{\"aaa\":3,\"aaaa\":4,\"a\":1}", NULL, "#1|-|#3"},
	{"escaped name", "ab c", "{\"\\u0061b\":1,\"\\u0063\":\"\\u0063\"}", NULL, "#1|'c'"},
	{"name that needs escapes", "a\"\\b", "{\"a\\\"\\\\b\":1}", NULL, "#1"},
	{"name that is not ASCII", "\xc3\xa9", "{\"\xc3\xa9\":1}", NULL, "#1"},
	{"the same escaped", "\xc3\xa9", "{\"\\u00e9\":1}", NULL, "#1"},

	/* paths */
	{"path", "a.b.c", "{\"a\":{\"x\":0,\"b\":{\"c\":7}}}", NULL, "#7"},
	{"shared prefix", "a.b a.c d", "{\"a\":{\"c\":2,\"b\":1},\"d\":3}", NULL, "#1|#2|#3"},
	{"same path twice", "a.b a.b", "{\"a\":{\"b\":\"\\n\"}}", NULL, "'<0a>'|'<0a>'"},
	{"object and path inside", "a.b a a.b.c", "{\"a\":{\"b\":{\"c\":1}}}", NULL,
	"{\"c\":1}|{\"b\":{\"c\":1}}|#1"},
	{"array element", "a[1]", "{\"a\":[1,\"two\",3]}", NULL, "'two'"},
	{"elements, and the array", "a[2] a[0] a a[9]", "{\"a\":[1,2,3]}", NULL,
	"#3|#1|[1,2,3]|-"},
	{"element of element", "a[1][0] a[1][1].x", "{\"a\":[[],[5,{\"x\":6}]]}", NULL, "#5|#6"},
	{"member of element", "a[0].b a[1].b", "{\"a\":[{\"b\":1},{\"b\":2}]}", NULL, "#1|#2"},
	{"element of an object", "a[0]", "{\"a\":{\"0\":1}}", NULL, "-"},
	{"member of an array", "a.b", "{\"a\":[{\"b\":1}]}", NULL, "-"},
	{"number on the way", "a.b a", "{\"a\":1}", NULL, "-|#1"},
	{"string on the way", "a.b", "{\"a\":\"b\"}", NULL, "-"},
	{"null on the way", "a.b a", "{\"a\":null}", NULL, "-|null"},
	{"null at the end", "a.b", "{\"a\":{\"b\":null}}", NULL, "null"},
	{"empty containers on the way", "a.b c[0]", "{\"a\":{},\"c\":[]}", NULL, "-|-"},
	{"negative index", "a[-1]", "{\"a\":[1]}", NULL, "-"},

	/* equal keys */
	{"last of equal keys", "a", "{\"a\":1,\"a\":2}", NULL, "#2"},
	{"last of equal keys, escaped", "a", "{\"a\":1,\"\\u0061\":\"x\"}", NULL, "'x'"},
	{"equal keys, other between", "a b", "{\"a\":1,\"b\":3,\"a\":2}", NULL, "#2|#3"},
	{"last container wins whole", "a.b a.c", "{\"a\":{\"b\":1,\"c\":2},\"a\":{\"c\":3}}", NULL, "-|#3"},
	{"scalar replaces container", "a.b a", "{\"a\":{\"b\":1},\"a\":5}", NULL, "-|#5"},
	{"container replaces scalar", "a.b a", "{\"a\":5,\"a\":{\"b\":1}}", NULL, "#1|{\"b\":1}"},
	{"null replaces container", "a.b a", "{\"a\":{\"b\":1},\"a\":null}", NULL, "-|null"},
	{"array replaced", "a[0].x a[1]", "{\"a\":[{\"x\":1},2],\"a\":[{}]}", NULL, "-|-"},
	{"inner equal keys", "a.b.c a.b.d", "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"b\":{\"d\":4}}}", NULL, "-|#4"},
	{"object replaces array", "a[0] a.x", "{\"a\":[1],\"a\":{\"x\":2}}", NULL, "-|#2"},

	/* the rest, the unknown */
	{"rest", "a $rest", "{\"a\":1,\"b\":\"x\\ny\",\"c\":[ 1 ] }", NULL,
	"#1|{\"b\":\"x\\ny\",\"c\":[ 1 ]}"},
	{"a path takes its first name", "a.b $rest", "{\"a\":{\"c\":1},\"d\":2}", NULL, "-|{\"d\":2}"},
	{"empty rest", "a $rest", "{\"a\":1}", NULL, "#1|{}"},
	{"rest of all", "$rest", "{\"a\" : 1, \"b\":2}", NULL, "{\"a\" : 1,\"b\":2}"},
	{"rest of an empty object", "$rest", "{}", NULL, "{}"},
	{"equal keys in the rest", "$rest", "{\"a\":1,\"b\":2,\"a\":3,\"\\u0061\":4}", NULL,
	"{\"b\":2,\"\\u0061\":4}"},
	{"inner names are not the rest's", "a.x $rest", "{\"a\":{\"y\":1},\"b\":{\"a\":1}}", NULL,
	"-|{\"b\":{\"a\":1}}"},
	{"the rest stays where a member comes again", "a a.b $rest", "{\"x\":1,\"a\":1,\"a\":\"y\"}", NULL,
	"'y'|-|{\"x\":1}"},
	{"and so does the unknown", "a a.b ?", "{\"x\":1,\"a\":1,\"a\":\"y\"}", NULL, "'y'|-? x"},
	{"rest beside the whole", "$value $rest", "{\"a\":1}", NULL, "{\"a\":1}|{\"a\":1}"},
	{"unknown field", "a ?", "{\"a\":1,\"b\":2,\"c\":3}", NULL, "#1? b"},
	{"no unknown field", "a b.c ?", "{\"a\":1,\"b\":2}", NULL, "#1|-"},
	{"unknown escaped", "a ?", "{\"\\u0062\":1}", NULL, "-? b"},
	{"unknown with NUL", "a ?", "{\"b\\u0000\":1}", NULL, "-? b\\u0000"},
	{"unknown, but not asked", "a", "{\"b\":1}", NULL, "-"},
	{"unknown, but the rest takes it", "a $rest ?", "{\"b\":1}", NULL, "-|{\"b\":1}"},
	{"unknown, but the whole is taken", "a $value ?", "{\"b\":1}", NULL, "-|{\"b\":1}"},
	{"unknown where nothing is wanted", "?", "{\"b\":1}", NULL, "? b"},

	/* the whole */
	{"whole object", "$value", " {\"a\": 1} ", NULL, "{\"a\": 1}"},
	{"whole array", "$value", "[1, 2]\n", NULL, "[1, 2]"},
	{"whole string", "$value", "\"a\\tb\"", NULL, "'a<09>b'"},
	{"whole number", "$value", " 1e400 ", NULL, "#1e400"},
	{"whole null", "$value", "null", NULL, "null"},
	{"whole true", "$value", "true", NULL, "true"},
	{"whole and field", "$value a", "{\"a\":1}", NULL, "{\"a\":1}|#1"},
	{"element of the whole", "[1] [0].a", "[{\"a\":1},2]", NULL, "#2|#1"},
	{"element, but an object", "[1]", "{\"a\":1}", NULL, "-"},
	{"name, but an array", "a", "[1]", NULL,
	"! 22023 JSON value is an array, not an object with named fields"},
	{"name, but null", "a $value", "null", NULL,
	"! 22023 JSON value is null, not an object with named fields"},
	{"name, but a string", "a.b", "\"x\"", NULL,
	"! 22023 JSON value is a string, not an object with named fields"},
	{"rest, but a number", "$rest", "1", NULL,
	"! 22023 JSON value is a number, not an object with named fields"},
	{"unknown, but a boolean", "$value ?", "true", NULL, "true"},

	/* keys of messages */
	{"field of the key", "$key.id a", "{\"a\":1}", "{\"id\":7}", "#7|#1"},
	{"key alone", "$key.id.x $key.id[0]", "1", "{\"id\":{\"x\":\"\\u0041\"}}", "'A'|-"},
	{"whole key", "$key", "1", " \"k\" ", "'k'"},
	{"null key", "$key.id a", "{\"a\":1}", NULL, "-|#1"},
	{"key and value of one name", "id $key.id", "{\"id\":1}", "{\"id\":2}", "#1|#2"},
	{"rest is the value's", "$key.id $rest", "{\"id\":1}", "{\"id\":2,\"x\":3}", "#2|{\"id\":1}"},
	{"unknown is the value's", "$key.id a ?", "{\"a\":1}", "{\"id\":2,\"x\":3}", "#2|#1"},
	{"key that is not JSON", "$key.id", "{}", "abc",
	"! 22P02 message key: invalid JSON at line 1, column 3"},
	{"key that is not JSON, unread", "a", "{\"a\":1}", "abc", "#1"},
	{"empty key", "$key.id", "{}", "", "! 22P02 message key: incomplete JSON at line 1, column 1"},
	{"key that is no object", "$key.id", "{}", "42",
	"! 22023 message key: JSON value is a number, not an object with named fields"},
	{"tombstone", "a $key.id $rest", NULL, "{\"id\":7}", "D -|#7|-"},
	{"tombstone without key", "a $key.id", NULL, NULL, "D -|-"},
	{"tombstone with a bad key", "$key.id", NULL, "{", "! 22P02 message key: incomplete JSON at line 1, column 1"},

	/* \u0000 */
	{"NUL taken", "a", "{\n \"a\":\"x\\u0000\"}", NULL,
	"! 22P05 unsupported Unicode escape sequence in the JSON string at line 2, column 7"},
	{"NUL not taken", "b", "{\"a\":\"\\u0000\",\"b\":1}", NULL, "#1"},
	{"NUL replaced", "a", "{\"a\":\"\\u0000\",\"a\":1}", NULL, "#1"},
	{"NUL replaced with its parent", "a.b", "{\"a\":{\"b\":\"\\u0000\"},\"a\":2}", NULL, "-"},
	{"NUL in a container", "a", "{\"a\":[\"\\u0000\"]}", NULL, "[\"\\u0000\"]"},
	{"NUL in a name", "a", "{\"a\\u0000\":1,\"a\":2}", NULL, "#2"},
	{"NUL in a key", "$key.a", "{}", "{\"a\":\"\\u0000\"}",
	"! 22P05 message key: unsupported Unicode escape sequence in the JSON string at line 1, column 7"},
	{"no NUL, a backslash", "a", "{\"a\":\"\\\\u0000\"}", NULL, "'\\u0000'"},

	/* where scanner and jansson differ */
	{"large integer", "a", "{\"a\":123456789012345678901234567890}", NULL,
	"#123456789012345678901234567890"},
	{"the scanner's words where jansson minds only a large integer", "a",
		"{\"a\":123456789012345678901234567890,\n\"b\":tru}", NULL,
	"! 22P02 invalid JSON at line 2, column 8"},
};

static void
test_cases(void)
{
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Case *c = &cases[i];
		char		out[4096];

		decode_once(c->fields, c->value, c->value ? strlen(c->value) : 0,
					c->key, out, sizeof(out));
		is(out, c->expected, c->name);
	}
}

/* ---- numbers ---- */

static void
test_numbers(void)
{
	static const char *const good[] = {
		"0", "-0", "7", "-12", "0.0", "1.10", "-0.00", "1e5", "1E+5", "1e-5",
		"0e0", "1e400", "-1.5e-400", "9223372036854775808",
		"12345678901234567890.10", "1234567890123456", "12345678901234567",
		"-123456789012345678901234567890123456789012345678901234567890",
		"0.12345678901234567890123456789012345678901234567890"
	};
	static const char *const bad[] = {
		"-", "+1", "01", "-01", "1.", ".5", "-.5", "1.e5", "1e", "1e+", "1E-",
		"0x1", "1_000", "1e5.5", "--1", "NaN", "Infinity", "-Infinity", "1a",
		"00", "1 2", "1..2", "\xef\xbc\x91", "1e\xc3\xa9", "1\x80"
	};
	char text[	256];
	char		out[512];
	char		expected[256];
	size_t		i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"a\":%s,\"b\":%s}", good[i], good[i]);
		snprintf(expected, sizeof(expected), "#%s|#%s", good[i], good[i]);
		decode_once("a b", text, strlen(text), NULL, out, sizeof(out));
		ok(strcmp(out, expected) == 0, "digit for digit: %s", good[i]);
		snprintf(expected, sizeof(expected), "#%s", good[i]);
		decode_once("$value", good[i], strlen(good[i]), NULL, out, sizeof(out));
		ok(strcmp(out, expected) == 0, "on its own: %s", good[i]);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		bool		alone = decode_once("$value", bad[i], strlen(bad[i]), NULL,
										out, sizeof(out));
		bool		within;

		snprintf(text, sizeof(text), "[%s, 1, 2, 3, 4, 5, 6]", bad[i]);
		within = decode_once("", text, strlen(text), NULL, out, sizeof(out));
		ok(!alone && !within, "no number: case %d", (int) i);
	}
}

/* ---- strings ---- */

static void
test_escapes(void)
{
	static const char *const good[][2] = {
		{"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
		{"\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac"},
		{"\\uD83D\\uDE00", "\xf0\x9f\x98\x80"},
		{"\\ud800\\udc00", "\xf0\x90\x80\x80"},
		{"\\uDBFF\\uDFFF", "\xf4\x8f\xbf\xbf"},
		{"\\uFFFF\\u007f\\u0080\\u07ff\\u0800", "\xef\xbf\xbf\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"},
		{"a\\nb\\nc", "a\nb\nc"},
		{"\\u005c\\u0022\\u0001", "\\\"\x01"},
		{"before \xd0\xb6 \\t after", "before \xd0\xb6 \t after"}
	};
	static const char *const bad[] = {
		"\\", "\\a", "\\x41", "\\u", "\\u0", "\\u00", "\\u004", "\\u004g",
		"\\u 041", "\\U0041", "\\uD800", "\\uD800x", "\\uD800\\n",
		"\\uD800\\u", "\\uD800\\u0041", "\\uD800\\uD800", "\\uDC00",
		"\\uDC00\\uD800", "\\uDBFF\\uE000", "\\\n", "\\0", "\\'", "\\\xc3\xa9"
	};
	char text[	256];
	char		out[512];
	size_t		i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		SiValue		value = {SI_VALUE_STRING,.data = good[i][1],.len = strlen(good[i][1])};
		char		expected[256] = "";

		snprintf(text, sizeof(text), "{\"a\":\"%s\"}", good[i][0]);
		render_value(expected, sizeof(expected), &value);
		decode_once("a", text, strlen(text), NULL, out, sizeof(out));
		is(out, expected, good[i][0]);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		snprintf(text, sizeof(text), "[\"%s\"]", bad[i]);
		ok(!decode_once("", text, strlen(text), NULL, out, sizeof(out)) &&
		   strncmp(out, "! 22P02", 7) == 0, "refused: case %d", (int) i);
	}
}

/* Every byte, in a string and outside, at every place of a 16-byte step. */
static void
test_bytes(void)
{
	int			wrong = 0;
	int			byte;
	int			at;

	for (byte = 0; byte < 256; byte++)
	{
		for (at = 0; at < 40; at++)
		{
			char text[	64] = "[\"";
			char		out[256];
			bool		good = byte >= 0x20 && byte < 0x80 && byte != '\\';

			memset(text +2, 'x', 40);
			text[		2 + at] = (char) byte;

			if (byte == '\\')
				good = false;	/* \x is no escape */
			if (byte == '"')
				good = false;	/* more follows */
			strcpy(text +42, "\"]");
			if (at == 39 && byte == '\\')
				good = false;	/* the closing quote is escaped */
			if (decode_once("", text, 44, NULL, out, sizeof(out)) != good)
				wrong++;
		}
	}
	ok(wrong == 0, "every byte at every place of a string (%d wrong)", wrong);

	wrong = 0;
	for (byte = 0; byte < 256; byte++)
	{
		char text[] = "[1, ]";
		char		out[256];
		bool		good = byte >= '0' && byte <= '9';

		text[		3] = (char) byte;

		if (decode_once("", text, 5, NULL, out, sizeof(out)) != good)
			wrong++;
	}
	ok(wrong == 0, "every byte where a value is expected (%d wrong)", wrong);
}

/* The code point of a sequence by arithmetic alone, or -1. */
static long
reference_decode(const unsigned char *s, int len)
{
	static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
	long		code;
	int			i;

	if (len == 2 && (s[0] & 0xE0) == 0xC0)
		code = s[0] & 0x1F;
	else if (len == 3 && (s[0] & 0xF0) == 0xE0)
		code = s[0] & 0x0F;
	else if (len == 4 && (s[0] & 0xF8) == 0xF0)
		code = s[0] & 0x07;
	else
		return -1;
	for (i = 1; i < len; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return -1;
		code = code << 6 | (s[i] & 0x3F);
	}
	if (code < least[len] || code > 0x10FFFF ||
		(code >= 0xD800 && code <= 0xDFFF))
		return -1;
	return code;
}

static void
test_utf8(void)
{
	static const unsigned char edges[] = {
		0x00, 0x22, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff
	};
	const int	nedges = sizeof(edges);
	int			wrong = 0;
	int			first;
	int			n;

	for (first = 0x80; first < 256; first++)
	{
		for (n = 0; n < nedges * nedges * nedges; n++)
		{
			unsigned char s[4] = {(unsigned char) first, edges[n % nedges],
			edges[n / nedges % nedges], edges[n / nedges / nedges]};
			int			len;

			for (len = 1; len <= 4; len++)
			{
				char	   *copy = exact_copy((char *) s, (size_t) len);
				bool		good = len > 1 && reference_decode(s, len) >= 0;

				/* behind a shorter good sequence there may be ASCII */
				if (!good && len > 2 && reference_decode(s, 2) >= 0)
					good = s[2] < 0x80 && (len < 4 || s[3] < 0x80);
				if (!good && len > 3 && reference_decode(s, 3) >= 0)
					good = s[3] < 0x80;
				if (!good && len == 4 && reference_decode(s, 2) >= 0)
					good = reference_decode(s + 2, 2) >= 0;
				if (si_json_is_utf8(copy, (size_t) len) != good)
					wrong++;
				free(copy);
			}
		}
	}
	ok(wrong == 0, "UTF-8 against a plain reference (%d wrong)", wrong);
}

static void
test_utf8_words(void)
{
	char		out[512];
	const char	bad[] = "{\"a\":\"\xc3\xa9\xc0\xaf\"}";

	decode_once("a", bad, sizeof(bad) - 1, NULL, out, sizeof(out));
	ok(strncmp(out, "! 22021 invalid UTF-8 in JSON at line 1", 39) == 0,
	   "bad UTF-8 has its SQLSTATE (%s)", out);
	ok(decode_once("a", "\xef\xbb\xbf{\"a\":1}", 10, NULL, out, sizeof(out)),
	   "a byte order mark is skipped (%s)", out);
	ok(!decode_once("a", "\xef\xbb\xbf{\"a\":x}", 10, NULL, out, sizeof(out)) &&
	   strstr(out, "line 1, column 6") != NULL,
	   "positions do not count a byte order mark (%s)", out);
	ok(!decode_once("a", "{} \xef\xbb\xbf", 6, NULL, out, sizeof(out)) &&
	   !decode_once("a", "\xef\xbb\xbf\xef\xbb\xbf{}", 8, NULL, out, sizeof(out)),
	   "a byte order mark elsewhere is refused (%s)", out);
	ok(!decode_once("", "[1\0]", 4, NULL, out, sizeof(out)) &&
	   strcmp(out, "! 22P02 invalid JSON at line 1, column 3") == 0,
	   "a NUL byte that jansson overlooks is refused (%s)", out);
	ok(!decode_once("", "\xff\xfe{\0}\0", 6, NULL, out, sizeof(out)),
	   "UTF-16 is refused");
}

/* ---- depth, length ---- */

/* A document of n nested arrays or objects, as text that must be freed. */
static char *
nested(int n, bool objects, bool closed)
{
	const char *open = objects ? "{\"a\":" : "[";
	size_t		step = strlen(open);
	char	   *text = malloc((size_t) n * (step + 1) + 2);
	char	   *out = text;
	int			i;

	for (i = 0; i < n; i++, out += step)
		memcpy(out, open, step);
	*out++ = '1';
	for (i = 0; closed && i < n; i++)
		*out++ = objects ? '}' : ']';
	*out = '\0';
	return text;
}

static void
test_depth_of(int n, bool objects, bool closed, const char *fields,
			  const char *expected)
{
	char	   *text = nested(n, objects, closed);
	char		out[256];

	decode_once(fields, text, strlen(text), NULL, out, sizeof(out));
	ok(strncmp(out, expected, strlen(expected)) == 0,
	   "%d %s%s, fields \"%.10s\" (%.60s)", n, objects ? "objects" : "arrays",
	   closed ? "" : ", not closed", fields, out);
	free(text);
}

static void
test_depth(void)
{
	char		path[4096] = "a";
	int			i;

	test_depth_of(1000, false, true, "", "");
	test_depth_of(1001, false, true, "", "! 54001");
	test_depth_of(1000, true, true, "a.a", "{\"a\":");
	test_depth_of(1001, true, true, "a.a", "! 54001");
	test_depth_of(2048, false, true, "$value", "! 54001");
	test_depth_of(2049, false, true, "$value", "! 54001");
	test_depth_of(100000, false, false, "", "! 54001");
	test_depth_of(100000, true, false, "a", "! 54001");
	test_depth_of(500, false, false, "", "! 22P02");

	/* a path as long as documents are deep */
	for (i = 1; i < 1000; i++)
		strcat(path, ".a");
	test_depth_of(1000, true, true, path, "#1");
	test_depth_of(1001, true, true, path, "! 54001");
	strcat(path, ".a");
	test_depth_of(1000, true, true, path, "-");
	test_depth_of(1001, true, true, path, "! 54001");
}

static const char *const sample =
"{\"id\": 12.5e1, \"name\": \"J\\u00f6rg \\ud83d\\ude00 \xc3\xb6\xe2\x82\xac\","
" \"ok\": true, \"no\": false, \"nil\": null, \"tags\": [\"a\", {\"b\": [1, {}]}],"
" \"where\": {\"city\": \"K\xc3\xb6ln\", \"at\": [50.9, -6.96]}, \"x\": \"\"}";

static const char *const sample_fields =
"id name ok nil tags[1].b where.city where.at[1] $rest $value";

/* Every beginning of a document, and every byte of it replaced, is survived. */
static void
test_broken(void)
{
	size_t		len = strlen(sample);
	char		out[4096];
	int			accepted = 0;
	int			odd = 0;
	size_t		i;

	ok(decode_once(sample_fields, sample, len, NULL, out, sizeof(out)),
	   "the sample: %.60s", out);
	for (i = 0; i < len; i++)
	{
		if (decode_once(sample_fields, sample, i, NULL, out, sizeof(out)))
			accepted++;
		if (strncmp(out, "! 22P02", 7) != 0 && strncmp(out, "! 22021", 7) != 0)
			odd++;
		if (decode_once("", sample, i, NULL, out, sizeof(out)))
			accepted++;
	}
	ok(accepted == 0, "no beginning of the sample is accepted (%d)", accepted);
	ok(odd == 0, "all are 22P02, or 22021 within a character (%d not)", odd);

	for (i = 0; i < len; i++)
	{
		static const char others[] = "\"\\{}[],:0e- \n\xff\xc3";
		size_t		o;

		for (o = 0; o < sizeof(others); o++)
		{
			char	   *copy = exact_copy(sample, len);

			copy[i] = others[o];
			decode_once(sample_fields, copy, len, NULL, out, sizeof(out));
			free(copy);
		}
	}
	ok(true, "every byte of the sample was replaced");
}

/* ---- errors ---- */

static void
test_errors(void)
{
	static const char *const bad =
		"{\"a\": 1,\n \"secret\": confidential}";
	Plan		plan;
	SiDecoder  *decoder;
	SiArena    *arena = si_arena_create();
	SiMessage	message = {0};
	SiRecord	record;
	SiDecodeError error;

	make_plan(&plan, "a");
	decoder = si_decoder_create("json", &plan.plan, NULL);
	message.value = bad;
	message.value_len = strlen(bad);
	ok(!si_decoder_decode(decoder, &message, arena, &record, &error),
	   "a bad message is a return value");
	is(error.sqlstate, "22P02", "SQLSTATE");
	ok(strncmp(error.message, "invalid JSON at line 2, column ", 31) == 0,
	   "jansson's position in our words: %s", error.message);
	ok(strstr(error.message, "conf") == NULL, "without a byte of the payload");
	ok(strstr(error.detail, "confidential") != NULL,
	   "jansson's words are the detail: %s", error.detail);

	/* the quotation is cut, or not, but never half a character */
	message.value = "[\xc3\xa9";
	message.value_len = 3;
	ok(!si_decoder_decode(decoder, &message, arena, &record, &error) &&
	   si_json_is_utf8(error.detail, strlen(error.detail)),
	   "the detail is text: %s", error.detail);
	si_decoder_destroy(decoder);
	free_plan(&plan);
	si_arena_destroy(arena);
}

/* ---- prediction ---- */

/* One decoder, messages whose members come in ever new orders. */
static void
test_prediction(void)
{
	static const char *const members[] = {
		"\"a\":1", "\"bb\":2", "\"name_of_a_column_1\":3",
		"\"name_of_a_column_2\":4", "\"x\":0", "\"name_of_a_column_10\":5",
		"\"name_of_a_column_\":0", "\"c\":{\"d\":6,\"e\":7}"
	};
	static const char *const fields =
		"a bb name_of_a_column_1 name_of_a_column_2 name_of_a_column_10 c.d c.e";
	const int	n = sizeof(members) / sizeof(members[0]);
	Plan		plan;
	SiDecoder  *decoder;
	unsigned	seed = 42;
	int			wrong = 0;
	int			round;

	make_plan(&plan, fields);
	decoder = si_decoder_create("json", &plan.plan, NULL);
	for (round = 0; round < 2000; round++)
	{
		char text[	512] = "{";
		char		out[512];
		char		expected[64];
		int			order[8];
		int			left_out = round % 5 == 0 ? 1 : -1;
		int			i;

		for (i = 0; i < n; i++)
		{
			int			j;

			seed = seed * 1103515245 + 12345;
			j = round % 3 == 0 ? i : (int) (seed >> 16) % (i + 1);
			order[i] = order[j];
			order[j] = i;
		}
		for (i = 0; i < n; i++)
		{
			if (order[i] == left_out)
				continue;
			if (text[1] != '\0')
				strcat(text, round % 2 ? "," : " , ");
			strcat(text, members[order[i]]);
		}
		strcat(text, "}");
		snprintf(expected, sizeof(expected), "#1|%s|#3|#4|#5|#6|#7",
				 left_out == 1 ? "-" : "#2");
		decode_bytes(decoder, text, strlen(text), NULL, out, sizeof(out));
		if (strcmp(out, expected) != 0)
			wrong++;
	}
	ok(wrong == 0, "2000 orders of members with one decoder (%d wrong)", wrong);
	si_decoder_destroy(decoder);
	free_plan(&plan);
}

/*
 * Names that differ from the expected one in a single byte, or in length,
 * around the 16 bytes that are compared at once.
 */
static void
test_near_names(void)
{
	int			wrong = 0;
	int			len;

	for (len = 1; len < 40; len++)
	{
		char		name[64];
		char text[	128];
		char		out[128];
		Plan		plan;
		SiDecoder  *decoder;
		int			at;

		memset(name, 'n', sizeof(name));
		name[len] = '\0';
		make_plan(&plan, name);
		decoder = si_decoder_create("json", &plan.plan, NULL);
		for (at = -2; at < len; at++)
		{
			snprintf(text, sizeof(text), "{\"%s\":1}", name);
			decode_bytes(decoder, text, strlen(text), NULL, out, sizeof(out));
			wrong += strcmp(out, "#1") != 0;
			if (at >= 0)
				text[		at + 2] = 'm';

			else
				snprintf(text, sizeof(text), "{\"%s%s\":1}",
						 name + (at == -2), at == -1 ? "n" : "");
			decode_bytes(decoder, text, strlen(text), NULL, out, sizeof(out));
			wrong += strcmp(out, "-") != 0;
		}
		si_decoder_destroy(decoder);
		free_plan(&plan);
	}
	ok(wrong == 0, "names that are nearly the expected one (%d wrong)", wrong);
}

/* What a bad message leaves behind must not be seen in the next one. */
static void
test_after_errors(void)
{
	static const char *const values[] = {
		"{\"a\":{\"b\":1},\"d\":1,\"c\":\"\\u0000\"}",
		"{\"a\":{\"b\":1},\"c\":2,\"e\":3",
		"{\"c\":4}"
	};
	Plan		plan;
	SiDecoder  *decoder;
	char		out[512];
	int			i;

	make_plan(&plan, "a.b c $rest");
	decoder = si_decoder_create("json", &plan.plan, NULL);
	for (i = 0; i < 3; i++)
		decode_bytes(decoder, values[i], strlen(values[i]), NULL, out,
					 sizeof(out));
	is(out, "-|#4|{}", "a good message after bad ones");
	si_decoder_destroy(decoder);
	free_plan(&plan);
}

/* Many members that no field takes, with and without equal keys. */
static void
test_large_rest(void)
{
	const int	n = 20000;
	size_t		size = (size_t) n * 24;
	char	   *text = malloc(size);
	char	   *out = malloc(size * 2);
	size_t		len = 1;
	int			commas = 0;
	char	   *c;
	int			i;

	text[		0] = '{';

	for (i = 0; i < n; i++)
		len += (size_t) sprintf(text +len, "\"k%d\":%d,", i % (n / 2), i);
	text[		len - 1] = '}';

	decode_once("$rest", text, len, NULL, out, size * 2);
	for (c = out; *c != '\0'; c++)
		commas += *c == ',';
	ok(commas == n / 2 - 1, "of %d members half are superseded (%d commas)",
	   n, commas);
	ok(strncmp(out, "{\"k0\":10000,\"k1\":10001,", 23) == 0,
	   "and the last ones stay (%.23s)", out);
	free(text);
	free(out);
}

/* ---- text, csv and raw ---- */

typedef struct RowCase
{
	const char *name;
	const char *format;
	const char *columns;		/* separated by blanks, "" for none */
	const char *bytes;			/* delimiter, quote and escape, or "" */
	const char *null_text;		/* NULL for the default */
	const char *fields;
	const char *value;
	const char *expected;
} RowCase;

static const RowCase row_cases[] = {
	{"csv", "csv", "a b c", "", NULL, "c a b", "1,x y,", "null|=1|=x y"},
	{"csv, quoted", "csv", "a b", "", NULL, "a b", "\"x,\"\"y\"\"\nz\",\"\"\r\n", "=x,\"y\"<0a>z|="},
	{"csv, quotes within", "csv", "a b", "", NULL, "a b", "x\"y,\"z,", "=xy,z|null"},
	{"csv, other bytes", "csv", "a b c", ";'\\", "-", "a b c", "'it\\'s\\x';-;'-'", "=it's\\x|null|=-"},
	{"csv, too few", "csv", "a b", "", NULL, "a", "1", "! 22P04 missing data for column \"b\""},
	{"csv, too many", "csv", "a b", "", NULL, "a", "1,2,3", "! 22P04 extra data after last expected column"},
	{"csv, not ended", "csv", "a b", "", NULL, "b", "\"1,2", "! 22P04 unterminated CSV quoted field"},
	{"csv, ends with a quote", "csv", "a", "", NULL, "a", "\"", "! 22P04 unterminated CSV quoted field"},
	{"csv, ends with an escape", "csv", "a", ",\"\\", NULL, "a", "\"\\", "! 22P04 unterminated CSV quoted field"},
	{"csv, two lines", "csv", "a b", "", NULL, "a", "1,2\n3,4", "! 22P04 message has more than one line"},
	{"csv, empty", "csv", "a", "", NULL, "a", "", "null"},
	{"csv, bad UTF-8", "csv", "a", "", NULL, "a", "\xc3", "! 22021 message has bytes that are not valid UTF-8"},
	{"csv, bad UTF-8 that no field takes", "csv", "a b", "", NULL, "a", "1,\xff",
	"! 22021 message has bytes that are not valid UTF-8"},
	{"csv, no such column", "csv", "a b", "", NULL, "c a.b a[0] b", "1,2", "-|-|-|=2"},
	{"csv, twice", "csv", "a b", "", NULL, "b b", "1,\"2\"", "=2|=2"},
	{"csv, the whole", "csv", "a b", "", NULL, "$value a", "1,2\n", "=1,2<0a>|=1"},
	{"csv, the rest", "csv", "a b c", "", NULL, "b $rest", "\"x\"\"\\\n\",2,", "=2|{\"a\":\"x\\\"\\\\\\u000a\",\"c\":null}"},
	{"csv, the rest of none", "csv", "a", "", NULL, "a $rest", "1", "=1|{}"},
	{"csv, without names", "csv", "", "", NULL, "$rest", "1,,\"\"", "{\"column1\":\"1\",\"column2\":null,\"column3\":\"\"}"},
	{"csv, without names, a name", "csv", "", "", NULL, "column1", "1,2", "-"},
	{"csv, unknown", "csv", "a b c", "", NULL, "a ?", "1,2,3", "=1? b"},
	{"csv, unknown, but the whole is taken", "csv", "a b", "", NULL, "$value ?", "1,2", "=1,2"},
	{"csv, key", "csv", "a", "", NULL, "$key.a a", "1", "#7|=1"},

	{"text", "text", "a b c", "", NULL, "c a b", "1\t\\N\t\\\\N", "=\\N|=1|null"},
	{"text, escapes", "text", "a b", "", NULL, "a b", "\\b\\f\\n\\r\\t\\v\\q\t\\101\\x4a\\x4\\12", "=<08><0c><0a><0d><09><0b>q|=AJ<04><0a>"},
	{"text, escaped delimiter and line break", "text", "a b", "", NULL, "a b", "1\\\t2\\\n3\tx\n", "=1<09>2<0a>3|=x"},
	{"text, ends with a backslash", "text", "a b", "", NULL, "a b", "1\t2\\", "=1|=2"},
	{"text, is a backslash", "text", "a b", "", "", "a b", "\t\\", "null|null"},
	{"text, ends within an escape", "text", "a b", "", NULL, "b", "\t\\x", "=x"},
	{"text, ends within digits", "text", "a b", "", NULL, "b", "\t\\1", "=<01>"},
	{"text, digits end with the column", "text", "a b", "", NULL, "a b", "\\1\t1", "=<01>|=1"},
	{"text, an escape is half a character", "text", "a b", "", NULL, "a", "\\303\t", "! 22021 message has escapes that give no valid UTF-8"},
	{"text, two escapes are one", "text", "a b", "", NULL, "a", "\\303\\251\t", "=\xc3\xa9"},
	{"text, NUL by number", "text", "a b", "", NULL, "a", "\\0\t", "! 22021 message has escapes that give no valid UTF-8"},
	{"text, NUL that no field takes", "text", "a b", "", NULL, "a", "\t\\0", "! 22021 message has escapes that give no valid UTF-8"},
	{"text, end of copy", "text", "a b", "", NULL, "a", "\\.", "! 22P04 message has an end-of-copy marker"},
	{"text, other bytes", "text", "a b", "|", "NULL", "a b", "NULL|\\|NULL", "null|=|NULL"},
	{"text, a delimiter that is a hex digit", "text", "a b", "A", NULL, "a b", "\\x4A1A\\x4", "=J1|=<04>"},
	{"text, too few", "text", "a b", "", NULL, "a", "\n", "! 22P04 missing data for column \"b\""},
	{"text, too many", "text", "a b", "", NULL, "a", "\t\t", "! 22P04 extra data after last expected column"},
	{"text, two lines", "text", "a b", "", NULL, "a", "\t\r\r", "! 22P04 message has more than one line"},
	{"text, one column", "text", "line", "", NULL, "line", "\\N\t\n\\.\n", "=\\N<09><0a>\\.<0a>"},
	{"text, one column and the rest", "text", "line", "", NULL, "$rest", "\t", "{\"line\":\"\\u0009\"}"},
	{"text, without names", "text", "", "", NULL, "$rest", "\\N\t\\t", "{\"column1\":null,\"column2\":\"\\u0009\"}"},

	{"raw", "raw", "", "", NULL, "$value a", "\xff{", "bytes \xff{|-"},
	{"raw, named", "raw", "a", "", NULL, "a b a.b $rest $key.a", "\xff", "bytes \xff|-|-|-|#7"},
	{"raw, empty", "raw", "a", "", NULL, "a", "", "bytes "}
};

static void
test_rows(void)
{
	size_t		i;

	for (i = 0; i < sizeof(row_cases) / sizeof(row_cases[0]); i++)
	{
		const RowCase *c = &row_cases[i];
		SiFormatOptions options = {0};
		const char *names[8];
		char	   *columns = strdup(c->columns);
		char	   *save = NULL;
		char	   *name;
		char		out[1024];

		for (name = strtok_r(columns, " ", &save); name != NULL;
			 name = strtok_r(NULL, " ", &save))
			names[options.ncolumns++] = name;
		options.columns = names;
		options.null_text = c->null_text;
		options.delimiter = c->bytes[0];
		if (c->bytes[0] != '\0')
			options.quote = c->bytes[1];
		if (options.quote != '\0')
			options.escape = c->bytes[2];
		decode_format(c->format, &options, c->fields, c->value,
					  strlen(c->value), "{\"a\":7}", out, sizeof(out));
		is(out, c->expected, c->name);
		free(columns);
	}
}

/* Every beginning of a row, and every byte of it replaced, is survived. */
static void
test_broken_rows(void)
{
	static const char *const formats[] = {"text", "csv", "raw"};
	static const char row[] = "a\\101\t\"b,\"\"\",\\N\t\\xc3\\xa9,\xc3\xa9\r\n";
	static const char *const names[] = {"a", "b", "c"};
	SiFormatOptions options = {0};
	size_t		len = sizeof(row) - 1;
	char		out[1024];
	size_t		f;
	size_t		i;
	int			byte;

	options.columns = names;
	for (f = 0; f < 3; f++)
	{
		for (options.ncolumns = 0; options.ncolumns < 4; options.ncolumns++)
		{
			for (i = 0; i <= len; i++)
				decode_format(formats[f], &options, "a c $rest $value", row, i,
							  NULL, out, sizeof(out));
			for (i = 0; i < len; i++)
			{
				char	   *copy = exact_copy(row, len);

				for (byte = 0; byte < 256; byte++)
				{
					copy[i] = (char) byte;
					decode_format(formats[f], &options, "b $rest", copy, len,
								  NULL, out, sizeof(out));
				}
				free(copy);
			}
		}
		ok(true, "every byte of a row was replaced: %s", formats[f]);
	}
}

static void
test_nul_in_rows(void)
{
	char		out[256];

	decode_format("csv", NULL, "$rest", "a,\0", 3, NULL, out, sizeof(out));
	is(out, "! 22021 message has a NUL byte, which a text cannot hold", "NUL in csv");
	decode_format("text", NULL, "$rest", "\0", 1, NULL, out, sizeof(out));
	is(out, "! 22021 message has a NUL byte, which a text cannot hold", "NUL in text");
	decode_format("raw", NULL, "$value", "\0", 1, NULL, out, sizeof(out));
	is(out, "bytes <00>", "NUL in raw");
}

/* ---- arena ---- */

static void
test_arena(void)
{
	SiArena    *arena = si_arena_create();
	char	   *first;
	int			round;
	int			misplaced = 0;

	first = si_arena_alloc(arena, 1);
	for (round = 0; round < 3; round++)
	{
		size_t		size;

		for (size = 0; size < 5000; size += 7)
		{
			char	   *memory = si_arena_alloc(arena, size);

			if (memory == NULL || (uintptr_t) memory % 16 != 0)
				misplaced++;
			else
				memset(memory, 0x5a, size);
		}
		memset(si_arena_alloc(arena, 10 * 1024 * 1024), 1, 10 * 1024 * 1024);
		memset(si_arena_alloc(arena, 100 * 1024 * 1024), 1, 100);
		si_arena_reset(arena);
	}
	ok(misplaced == 0, "allocations are aligned");
	ok(si_arena_alloc(arena, 1) == first, "a reset keeps the memory");
	ok(si_arena_alloc(arena, SIZE_MAX) == NULL, "more than there is: NULL");
	ok(si_arena_alloc(arena, SIZE_MAX - 40) == NULL, "also nearly so");
	ok(si_arena_alloc(arena, SIZE_MAX / 4) == NULL, "also a quarter of it");
	ok(si_arena_alloc(arena, 100) != NULL, "and it continues");
	si_arena_destroy(arena);
	si_arena_destroy(NULL);
}

/* ---- several records in one message ---- */

/* What is read of a message, from a buffer of its size: records between bars. */
static void
split(const SiRecordsPath *path, const char *text, char *out, size_t room)
{
	Plan		plan;
	SiFormatOptions options = {.records = path};
	size_t		len = strlen(text);
	char	   *value = malloc(len > 0 ? len : 1);
	SiMessage	message = {.value = value,.value_len = len};
	SiArena    *arena = si_arena_create();
	SiDecoder  *decoder;
	SiRecords	records;
	SiDecodeError error;
	bool		found = false;
	bool		good;

	memcpy(value, text, len);
	make_plan(&plan, "$value");
	decoder = si_decoder_create("json", &plan.plan, &options);
	out[0] = '\0';
	good = si_decoder_begin_records(decoder, &message, arena, &records, &error);
	while (good && (good = si_json_records_next(&records, &found, &error)) && found)
		snprintf(out + strlen(out), room - strlen(out), "%d:%.*s|", records.number,
				 (int) records.record.value_len, records.record.value);
	if (!good)
		snprintf(out + strlen(out), room - strlen(out), "! %s %s", error.sqlstate, error.message);
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
	free(value);
	free_plan(&plan);
}

static void
test_records(void)
{
	static const SiPathStep steps[] = {{"a", 1, 0}, {NULL, 0, 1}};
	static const SiRecordsPath whole = {false, 0, NULL};
	static const SiRecordsPath lines = {true, 0, NULL};
	static const SiRecordsPath in_a = {false, 1, steps};
	static const SiRecordsPath in_a_1 = {false, 2, steps};
	static const struct
	{
		const SiRecordsPath *path;
		const char *value;
		const char *expected;
	}			split_cases[] = {
		{&whole, "[1,{\"a\": [2]} , \"x\"]", "1:1|2:{\"a\": [2]}|3:\"x\"|"},
		{&whole, "\xef\xbb\xbf [ ]\r\n", ""},
		{&whole, "[1,]", "1:1|! 22P02 invalid JSON at line 1, column 4"},
		{&whole, "[1", "! 22P02 incomplete JSON at line 1, column 3"},
		{&whole, "[1,\n", "1:1|! 22P02 incomplete JSON at line 2, column 1"},
		{&whole, "[", "! 22P02 incomplete JSON at line 1, column 2"},
		{&whole, "[[[", "! 22P02 incomplete JSON at line 1, column 4"},
		{&whole, "{}", "! 22023 JSON value is an object, not an array of records"},
		{&whole, "[1]]", "1:1|! 22P02 invalid JSON at line 1, column 4"},
		{&lines, "1\r\n\r\n{}\n", "1:1|2:{}|"},
		{&lines, "{}{}[]\"a\"1", "1:{}|2:{}|3:[]|4:\"a\"|5:1|"},
		{&lines, "1true", "1:1|! 22P02 invalid JSON at line 1, column 2"},
		{&lines, "{}\n{", "1:{}|! 22P02 incomplete JSON at line 2, column 2"},
		{&lines, "", ""},
		{&in_a, "{\"a\": [1], \"b\": 0, \"a\": [2, 3]}", "1:2|2:3|"},
		{&in_a, "{\"\\u0061\": [1]}", "1:1|"},
		{&in_a, "{\"a\": \"[1]\"}", "! 22023 JSON value is a string, not an array of records"},
		{&in_a, "{\"a\": [1]", "! 22P02 incomplete JSON at line 1, column 10"},
		{&in_a, "{\"b\": [1]}", "! 22023 there is nothing at the path of the option \"records\""},
		{&in_a_1, "{\"a\": [0, [1, 2]]}", "1:1|2:2|"},
		{&in_a_1, "{\"a\": \"[0,[1]]\"}", "! 22023 there is nothing at the path of the option \"records\""},
	};
	size_t		i;

	for (i = 0; i < sizeof(split_cases) / sizeof(split_cases[0]); i++)
	{
		char		out[1024];

		split(split_cases[i].path, split_cases[i].value, out, sizeof(out));
		is(out, split_cases[i].expected, split_cases[i].value[0] ? "records" : "no records");
	}
}

/* As many records as there may be, and one more. */
static void
test_most_records(void)
{
	static const SiRecordsPath lines = {true, 0, NULL};
	Plan		plan;
	SiFormatOptions options = {.records = &lines};
	size_t		len = 2 * (SI_MAX_RECORDS + 1);
	char	   *value = malloc(len);
	SiMessage	message = {.value = value,.value_len = len};
	SiArena    *arena = si_arena_create();
	SiDecoder  *decoder;
	SiRecords	records;
	SiDecodeError error;
	bool		found = true;
	size_t		i;

	for (i = 0; i < len; i += 2)
		memcpy(value + i, "0 ", 2);
	make_plan(&plan, "$value");
	decoder = si_decoder_create("json", &plan.plan, &options);
	(void) si_decoder_begin_records(decoder, &message, arena, &records, &error);
	while (si_json_records_next(&records, &found, &error) && found)
		;
	is(error.message, "the message has more than 1000000 records", "too many records");
	message.value_len -= 2;
	(void) si_decoder_begin_records(decoder, &message, arena, &records, &error);
	while (si_json_records_next(&records, &found, &error) && found)
		;
	ok(!found && records.number == SI_MAX_RECORDS, "not too many");
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
	free(value);
	free_plan(&plan);
}

static void
test_formats(void)
{
	Plan		plan;

	make_plan(&plan, "a");
	ok(si_decoder_find("json") != NULL, "json is known");
	ok(si_decoder_find("text") != NULL && si_decoder_find("csv") != NULL &&
	   si_decoder_find("raw") != NULL, "so are text, csv and raw");
	ok(si_decoder_find("xml") == NULL, "xml is not");
	ok(si_decoder_create("xml", &plan.plan, NULL) == NULL,
	   "and makes no decoder");
	si_decoder_destroy(NULL);
	free_plan(&plan);
}

/* ---- messages that are small, and large when they are decoded ---- */

/* Avro: an array of 15,000 numbers of 16,383 digits; returns its size. */
static size_t
make_decimals(char *data)
{
	static const char count[] = {'\xb0', '\xea', '\x01'};
	static const char number[] = {'\xfe', '\xff', '\x01', '\x02', '\x01'};
	char	   *at = data;

	memcpy(at, count, sizeof(count));
	at += sizeof(count);
	for (int i = 0; i < 15000; i++, at += sizeof(number))
		memcpy(at, number, sizeof(number));
	*at++ = '\0';
	return (size_t) (at - data);
}

static void
test_expansion(void)
{
	static const char schema[] = "{\"type\": \"array\", \"items\": {\"type\": \"record\", \"name\": \"n\", "
		"\"connect.name\": \"io.debezium.data.VariableScaleDecimal\", \"fields\": ["
		"{\"name\": \"scale\", \"type\": \"int\"}, {\"name\": \"value\", \"type\": \"bytes\"}]}}";
	SiFormatOptions options = {.schema = schema};
	SiArena    *arena = si_arena_create();
	char	   *data = malloc(100000);
	SiMessage	message = {.value = data,.value_len = make_decimals(data)};
	SiMessage	one = {.value = "\x02\xfe\xff\x01\x02\x01",.value_len = 7};
	SiDecodeError error = {{0}};
	SiRecord	record;
	Plan		plan;
	SiDecoder  *decoder;
	size_t		used;
	bool		decoded;

	make_plan(&plan, "$value");
	decoder = si_decoder_create("avro", &plan.plan, &options);
	decoded = si_decoder_decode(decoder, &message, arena, &record, &error);
	ok(!decoded && strcmp(error.sqlstate, "54000") == 0, "75 kB that become 240 MB are refused: %s, %s (%s)",
	   error.sqlstate, error.message, error.detail);
	used = si_arena_used(arena);
	ok(used > 60 * 1024 * 1024 && used < 80 * 1024 * 1024, "after 64 MB and a little: %zu", used);
	ok(si_arena_left(arena) > (size_t) 1024 * 1024 * 1024, "the limit was this message's");
	decoded = si_decoder_decode(decoder, &one, arena, &record, &error);
	ok(decoded && record.fields[0].len == 16387, "one of them is decoded, in the same arena");
	ok(si_arena_used(arena) > used && si_arena_used(arena) < used + 100000, "the arena says what it took");
	si_arena_reset(arena);
	ok(si_arena_used(arena) == 0, "and forgets it");
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
	free_plan(&plan);
	free(data);
}

static void
test_many_columns(void)
{
	char	   *row = malloc(1000000);
	char		out[300];

	memset(row, ',', 1000000);
	decode_format("csv", NULL, "", row, 1599, NULL, out, sizeof(out));
	ok(out[0] != '!', "1600 columns: %.50s", out);
	decode_format("csv", NULL, "", row, 1600, NULL, out, sizeof(out));
	is(out, "! 54011 message has more than 1600 columns", "1601 columns");
	decode_format("csv", NULL, "", row, 1000000, NULL, out, sizeof(out));
	is(out, "! 54011 message has more than 1600 columns", "a million columns");
	free(row);
}

static size_t allocated;

static void *
counted_malloc(size_t size)
{
	allocated += size;
	return malloc(size);
}

/* A document of this many empty arrays, broken at its end; what jansson takes. */
static size_t
decode_broken(size_t n, char *out, size_t size)
{
	char	   *bytes = malloc(3 * n + 2);

	bytes[0] = '[';
	for (size_t i = 0; i < n; i++)
		memcpy(bytes + 1 + 3 * i, "[],", 3);
	bytes[3 * n + 1] = 'x';
	allocated = 0;
	json_set_alloc_funcs(counted_malloc, free);
	decode_once("$value", bytes, 3 * n + 2, NULL, out, size);
	json_set_alloc_funcs(malloc, free);
	free(bytes);
	return allocated;
}

static void
test_large_broken(void)
{
	char		out[600];
	size_t		small = decode_broken(100000, out, sizeof(out));

	is(out, "! 22P02 invalid JSON at line 1, column 300002", "300 kB that are broken at their end");
	ok(small > 1000000, "the JSON library judges them, with %zu bytes", small);
	ok(decode_broken(400000, out, sizeof(out)) == 0, "and is not asked about 1.2 MB");
	is(out, "! 22P02 invalid JSON at line 1, column 1200002", "which are refused at the same place");
}

/* An object that is a decimal to the schema around it. */
static void
test_large_decimal(void)
{
	static const char begin[] = "{\"schema\": {\"fields\": [{\"field\": \"after\", \"fields\": ["
		"{\"field\": \"a\", \"type\": \"struct\", \"name\": \"io.debezium.data.VariableScaleDecimal\"}]}]}, "
		"\"payload\": {\"op\": \"c\", \"after\": {\"a\": {\"scale\": 1, \"value\": \"AQAAAAAAAAAA\", \"x\": [";
	static const char end[] = "0]}}}}";
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM};
	size_t		n = strlen(begin);
	char	   *bytes = malloc(n + 300000 + sizeof(end));
	char		out[300];

	memcpy(bytes, begin, n);
	for (int i = 0; i < 100000; i++)
		memcpy(bytes + n + 3 * i, "{},", 3);
	memcpy(bytes + n + 3 * 100, end, sizeof(end));
	decode_format("json", &options, "a", bytes, strlen(bytes), NULL, out, sizeof(out));
	ok(out[0] != '!', "a decimal with 300 bytes beside it: %s", out);
	memcpy(bytes + n + 3 * 100, "{},{},{},", 9);
	memcpy(bytes + n + 300000, end, sizeof(end));
	allocated = 0;
	json_set_alloc_funcs(counted_malloc, free);
	decode_format("json", &options, "a", bytes, strlen(bytes), NULL, out, sizeof(out));
	json_set_alloc_funcs(malloc, free);
	is(out, "! 22003 a decimal in the message is out of range", "with 300 kB beside it");
	ok(allocated < 100000, "which the JSON library does not read: %zu bytes", allocated);
	free(bytes);
}

/* The path of "deleted_field" has more names than an envelope has fields of its own. */
static void
test_long_deleted_field(void)
{
	static const char value[] = "{\"schema\": {}, \"payload\": {\"op\": \"c\", \"after\": {\"a\": 1}}}";
	SiPathStep	steps[512];
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM,.ndeleted = 512,.deleted = steps};
	char		out[200];

	for (int i = 0; i < 512; i++)
	{
		steps[i].key = "a";
		steps[i].key_len = 1;
		steps[i].index = 0;
	}
	decode_format("json", &options, "a ?", value, strlen(value), NULL, out, sizeof(out));
	is(out, "#1", "a deleted_field of 512 names");
}

/* ---- work ---- */

#define WIDE	1600
#define TOO_MUCH_WORK	"! 54000 the message takes too much work to be decoded"

/* A text of any length, made of parts. */
typedef struct Text
{
	char	   *data;
	size_t		len;
} Text;

static Text
new_text(void)
{
	Text		built = {malloc(8 * 1024 * 1024), 0};

	return built;
}

static void add(Text *built, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
add(Text *built, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	built->len += (size_t) vsprintf(built->data + built->len, format, arguments);

	va_end(arguments);
}

static void
add_bytes(Text *built, const char *bytes, size_t len)
{
	memcpy(built->data + built->len, bytes, len);
	built->len += len;
}

/* A count or length as Avro has it. */
static void
add_long(Text *built, uint64_t number)
{
	char		byte;

	for (number *= 2; number >= 0x80; number >>= 7)
	{
		byte = (char) (number | 0x80);
		add_bytes(built, &byte, 1);
	}
	byte = (char) number;
	add_bytes(built, &byte, 1);
}

/* Decode the message by a plan of as many columns as a table can have: m.a.c0, m.a.c1 and so on. */
static void
decode_wide(const char *format, const char *schema, SiMatchNames match_names,
			SiEnvelopeKind envelope, const Text *message, char *out, size_t size)
{
	static SiPathStep steps[WIDE][3];
	static SiWantedField fields[WIDE];
	static char names[WIDE][16];
	int			first = envelope == SI_ENVELOPE_NONE ? 0 : 2;
	SiDecodePlan plan = {.nfields = WIDE,.fields = fields,.rest_field = -1,.match_names = match_names};
	SiFormatOptions options = {.wire_format = SI_WIRE_NONE,.schema = schema,.envelope = envelope};
	SiDecoder  *decoder;

	for (int i = 0; i < WIDE; i++)
	{
		SiPathStep	outer = {"m", 1, 0};
		SiPathStep	middle = {"a", 1, 0};
		SiPathStep	inner = {names[i], (size_t) sprintf(names[i], "c%d", i), 0};
		SiWantedField field = {.nsteps = 3 - first,.steps = &steps[i][first],.own_name = first == 2};

		steps[i][0] = outer;
		steps[i][1] = middle;
		steps[i][2] = inner;
		fields[i] = field;
	}
	decoder = si_decoder_create(format, &plan, &options);
	decode_bytes(decoder, message->data, message->len, NULL, out, size);
	si_decoder_destroy(decoder);
}

/* A member or key that comes again and again, with all columns below it. */
static void
test_repeated_members(void)
{
	Text		built = new_text();
	char		out[WIDE * 2 + 100];

	add(&built, "{\"m\":{\"a\":1");
	for (int i = 0; i < 140000; i++)
		add(&built, ",\"a\":{}");
	add(&built, "}}");
	decode_wide("json", NULL, SI_MATCH_EXACT, SI_ENVELOPE_NONE, &built, out, sizeof(out));
	is(out, TOO_MUCH_WORK, "a member of JSON 140,000 times");

	built.len = 0;

	add_bytes(&built, "\002\002m", 3);
	add_long(&built, 140000);
	for (int i = 0; i < 140000; i++)
		add_bytes(&built, "\002a", 3);
	add_bytes(&built, "\0", 2);
	decode_wide("avro", "{\"type\": \"map\", \"values\": {\"type\": \"map\", \"values\": "
				"{\"type\": \"map\", \"values\": \"null\"}}}",
				SI_MATCH_EXACT, SI_ENVELOPE_NONE, &built, out, sizeof(out));
	is(out, TOO_MUCH_WORK, "a key of an Avro map 140,000 times");

	built.len = 0;

	for (int i = 0; i < 140000; i++)
		add_bytes(&built, "\012\005\012\001a\022", 7);
	decode_wide("protobuf", "syntax = \"proto3\"; message M { map<string, N> m = 1; message N { int32 c0 = 1; } }",
				SI_MATCH_EXACT, SI_ENVELOPE_NONE, &built, out, sizeof(out));
	is(out, TOO_MUCH_WORK, "a key of a Protobuf map 140,000 times");
	free(built.data);
}

static void
test_large_decimals(void)
{
	static const char schema[] = "{\"type\": \"array\", \"items\": "
		"{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 9}}";
	SiFormatOptions options = {.schema = schema,.wire_format = SI_WIRE_NONE};
	char		number[4096];
	char		out[300];
	Text		built = new_text();

	memset(number, 0x55, sizeof(number));
	add_long(&built, 1000);
	for (int i = 0; i < 1000; i++)
	{
		add_long(&built, sizeof(number));
		add_bytes(&built, number, sizeof(number));
	}
	add_long(&built, 0);
	decode_format("avro", &options, "$value", built.data, built.len, NULL, out, sizeof(out));
	is(out, TOO_MUCH_WORK, "1,000 decimals of 4 kB");
	free(built.data);
}

/* What is empty on the wire, and what is read again at every depth. */
static void
test_protobuf_work(void)
{
	SiFormatOptions options = {.wire_format = SI_WIRE_NONE};
	Text		schema = new_text();
	Text		built = new_text();
	char		out[300];

	add(&schema, "syntax = \"proto2\"; message List { repeated Wide wide = 1; } message Wide {");
	for (int i = 1; i <= 20000; i++)
		add(&schema, "optional bool f%d = %d;", i, i);
	add(&schema, "}");
	for (int i = 0; i < 12000; i++)
		add_bytes(&built, "\012", 2);
	options.schema = schema.data;
	options.message = "List";
	decode_format("protobuf", &options, "$value", built.data, built.len, NULL, out, sizeof(out));
	is(out, TOO_MUCH_WORK, "12,000 messages of 20,000 fields each, none of which is there");

	schema.len = built.len = 0;

	add(&schema, "syntax = \"proto2\"; message Deep {");
	for (int i = 0; i < 95; i++)
	{
		add(&schema, "optional group G%d = 1 {", i);
		add_bytes(&built, "\013", 1);
	}
	add(&schema, "optional int32 x = 2;");
	for (int i = 0; i < 1300000; i++)
		add_bytes(&built, "\020\001", 2);
	for (int i = 0; i < 95; i++)
	{
		add(&schema, "}");
		add_bytes(&built, "\014", 1);
	}
	add(&schema, "}");
	options.message = "Deep";
	decode_format("protobuf", &options, "$value", built.data, built.len, NULL, out, sizeof(out));
	is(out, TOO_MUCH_WORK, "2.6 MB in 95 groups around one another");
	free(schema.data);
	free(built.data);
}

/* Seconds of the processor, which a slow machine has as any other. */
static double
seconds(void)
{
	return (double) clock() / CLOCKS_PER_SEC;
}

/* A schema in the message with as many fields as one may have, and a document with many members. */
static void
test_wide_connect_schema(void)
{
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM};
	Text		built = new_text();
	char		out[WIDE * 2 + 100];
	double		begin;

	add(&built, "{\"schema\": {\"fields\": [{\"field\": \"after\", \"fields\": [");
	for (int i = 0; i < 19000; i++)
		add(&built, "%s{\"field\": \"%06d\", \"type\": \"bytes\"}", i == 0 ? "" : ",", i);
	add(&built, "]}]}, \"payload\": {\"op\": \"c\", \"after\": {\"x\": 1");
	for (int i = 0; i < 400000; i++)
		add(&built, ",\"%06d\":1", 18990 + i % 10);
	add(&built, "}}}");
	begin = seconds();
	decode_format("json", &options, "$value", built.data, built.len, NULL, out, 100);
	ok(out[0] == '{' && seconds() - begin < 2, "400,000 members of 19,000 fields, in %.1f s", seconds() - begin);

	built.len = 0;

	add(&built, "{\"schema\": {\"fields\": [{\"field\": \"after\", \"fields\": [");
	for (int i = 0; i < 19000; i++)
		add(&built, "%s{\"field\": \"AbcDefGhiJklMnoPqrAbcDefGhiJklMnoPqr%06d\", \"type\": \"bytes\"}",
			i == 0 ? "" : ",", i);
	add(&built, ",{\"field\": \"C7\", \"type\": \"bytes\"}]}]}, \"payload\": {\"op\": \"c\", \"after\": {\"C7\": \"AA==\"}}}");
	begin = seconds();
	decode_wide("json", NULL, SI_MATCH_SNAKE_CASE, SI_ENVELOPE_DEBEZIUM, &built, out, sizeof(out));
	ok(strstr(out, "|bytes <00>|") != NULL && seconds() - begin < 2,
	   "1,600 columns by match_names among 19,000 fields, in %.1f s", seconds() - begin);
	free(built.data);
}

static void
test_date_range(void)
{
	static const char value[] = "{\"schema\": {\"fields\": [{\"field\": \"after\", \"fields\": ["
		"{\"field\": \"d\", \"type\": \"int32\", \"name\": \"io.debezium.time.Date\"}]}]}, "
		"\"payload\": {\"op\": \"c\", \"after\": {\"d\": 9223372036854775807}}}";
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM};
	char		out[300];

	decode_format("json", &options, "$value", value, strlen(value), NULL, out, sizeof(out));
	is(out, "! 22008 a date or time in the message is no whole number, or out of range",
	   "days beyond 32 bits");
}

/* A long path to the array of records, in a message that is as deep. */
static void
test_deep_records(void)
{
	static SiPathStep steps[900];
	SiRecordsPath path = {.nsteps = 900,.steps = steps};
	SiFormatOptions options = {.records = &path};
	SiArena    *arena = si_arena_create();
	SiRecords	records;
	SiDecodeError error;
	SiMessage	message = {0};
	SiDecoder  *decoder;
	Text		built = new_text();
	Plan		plan;
	double		begin;
	bool		found = false;

	for (int i = 0; i < 900; i++)
	{
		steps[i].key = "a";
		steps[i].key_len = 1;
		add(&built, "{\"a\":");
	}
	add(&built, "[7");
	for (int i = 0; i < 2000000; i++)
		add_bytes(&built, ",1", 2);
	add(&built, "]");
	for (int i = 0; i < 900; i++)
		add(&built, "}");
	message.value = built.data;
	message.value_len = built.len;

	make_plan(&plan, "$value");
	decoder = si_decoder_create("json", &plan.plan, &options);
	begin = seconds();
	ok(si_decoder_begin_records(decoder, &message, arena, &records, &error) &&
	   si_json_records_next(&records, &found, &error) && found && *records.record.value == '7' &&
	   seconds() - begin < 2, "records at the end of 900 names, in %.1f s", seconds() - begin);
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
	free_plan(&plan);
	free(built.data);
}

/* ---- large schemas ---- */

/* A name that is made for each of its many uses. */
static void
test_long_namespace(void)
{
	SiFormatOptions options = {.wire_format = SI_WIRE_NONE};
	Text		schema = new_text();
	char		out[300];

	add(&schema, "{\"type\": \"record\", \"name\": \"R\", \"namespace\": \"%0100000d\", \"fields\": [", 0);
	for (int i = 0; i < 1000; i++)
		add(&schema, "%s{\"name\": \"f%d\", \"type\": [\"null\", \"R\"]}", i == 0 ? "" : ",", i);
	add(&schema, "]}");
	options.schema = schema.data;
	decode_format("avro", &options, "$value", "", 0, NULL, out, sizeof(out));
	is(out, "! 54000 invalid Avro schema: a name is too long", "a namespace of 100 kB");
	free(schema.data);
}

/* A path of 1,000 names in a type of 20,000 fields that has itself in it. */
static void
test_long_paths(void)
{
	static const char expected[] = "! 54000 the schema is too large for the paths that lead into it";
	SiFormatOptions options = {.wire_format = SI_WIRE_NONE};
	Text		schema = new_text();
	Text		path = new_text();
	char		out[300];

	add(&path, "a");
	for (int i = 1; i < 1000; i++)
		add(&path, ".a");
	add(&schema, "{\"type\": \"record\", \"name\": \"R\", \"fields\": [{\"name\": \"a\", \"type\": \"R\"}");
	for (int i = 0; i < 20000; i++)
		add(&schema, ",{\"name\": \"f%d\", \"type\": \"int\"}", i);
	add(&schema, "]}");
	options.schema = schema.data;
	decode_format("avro", &options, path.data, "", 0, NULL, out, sizeof(out));
	is(out, expected, "a path of 1,000 names in an Avro record of 20,000 fields");

	schema.len = 0;
	add(&schema, "syntax = \"proto3\"; message R { R a = 1;");
	for (int i = 2; i < 20000; i++)
		add(&schema, "int32 f%d = %d;", i, i);
	add(&schema, "}");
	options.schema = schema.data;
	decode_format("protobuf", &options, path.data, "", 0, NULL, out, sizeof(out));
	is(out, expected, "and in a Protobuf message");
	free(schema.data);
	free(path.data);
}

/* Two blocks of three letters each after which a hash by FNV-1a ends in the same 16 bits. */
static uint16_t
find_blocks(uint16_t hash, char blocks[2][4])
{
	static char seen[65536][4];
	uint16_t	end;

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 26 * 26 * 26; i++)
	{
		sprintf(blocks[1], "%c%c%c", 'a' + i / 676, 'a' + i / 26 % 26, 'a' + i % 26);
		end = hash;
		for (int j = 0; j < 3; j++)
			end = (uint16_t) ((end ^ (unsigned) blocks[1][j]) * 16777619u);
		if (seen[end][0] != '\0')
		{
			memcpy(blocks[0], seen[end], 4);
			return end;
		}
		memcpy(seen[end], blocks[1], 4);
	}
	return 0;
}

/* Names of types that a common hash does not tell from one another. */
static void
test_colliding_names(void)
{
	SiFormatOptions options = {.wire_format = SI_WIRE_NONE,.message = "Row"};
	char		blocks[15][2][4];
	uint16_t	hash = (uint16_t) 2166136261u;
	Text		schema = new_text();
	char		out[300];
	double		begin;

	for (int i = 0; i < 15; i++)
		hash = find_blocks(hash, blocks[i]);
	add(&schema, "syntax = \"proto3\"; message Row { string a = 1; }");
	for (int i = 0; i < 19900; i++)
	{
		add(&schema, "message ");
		for (int j = 0; j < 15; j++)
			add(&schema, "%s", blocks[j][i >> j & 1]);
		add(&schema, "{}");
	}
	add(&schema, "message Fields {");
	for (int i = 1; i < 20000; i++)
	{
		for (int j = 0; j < 15; j++)
			add(&schema, "%s", blocks[j][(i % 8000 + 20000) >> j & 1]);
		add(&schema, " f%d = %d;", i, i);
	}
	add(&schema, "}");
	options.schema = schema.data;
	begin = seconds();
	decode_format("protobuf", &options, "a", "\012\001x", 3, NULL, out, sizeof(out));
	is(out, "'x'", "types with colliding names");
	ok(seconds() - begin < 2, "are read in %.1f s", seconds() - begin);
	free(schema.data);
}

/* ---- without memory ---- */

static int	allocations_left;

static void *
limited_malloc(size_t size)
{
	if (allocations_left-- > 0)
		return malloc(size);
	errno = ENOMEM;
	return NULL;
}

/* The JSON library runs out of memory, wherever it does: no message is called bad. */
static void
test_without_memory(void)
{
	static const char value[] = "{\"schema\": {\"fields\": [{\"field\": \"after\", \"fields\": ["
		"{\"field\": \"a\", \"type\": \"struct\", \"name\": \"io.debezium.data.VariableScaleDecimal\"}]}]}, "
		"\"payload\": {\"op\": \"c\", \"after\": {\"a\": {\"scale\": 1, \"value\": \"EQ==\"}}}}";
	SiFormatOptions options = {.envelope = SI_ENVELOPE_DEBEZIUM};
	SiMessage	message = {.value = value,.value_len = strlen(value)};
	SiDecodeError error = {{0}};
	SiRecord	record;
	Plan		plan;
	bool		done = false;
	int			n;

	make_plan(&plan, "a");
	for (n = 0; n < 1000 && !done; n++)
	{
		SiArena    *arena = si_arena_create();
		SiDecoder  *decoder = si_decoder_create("json", &plan.plan, &options);

		allocations_left = n;
		json_set_alloc_funcs(limited_malloc, free);
		done = si_decoder_decode(decoder, &message, arena, &record, &error);
		json_set_alloc_funcs(malloc, free);
		si_decoder_destroy(decoder);
		si_arena_destroy(arena);
		if (!done && strcmp(error.sqlstate, "53200") != 0)
			break;
	}
	ok(done && n > 10, "what the JSON library lacks is memory, in %d tries: %s", n,
	   done ? "none" : error.sqlstate);
	free_plan(&plan);
}

/* ---- files ---- */

static void
test_file(const char *directory, const char *name)
{
	char		path[4096];
	char		out[256];
	char	   *data = malloc(1024 * 1024);
	size_t		len;
	FILE	   *file;
	bool		accepted;
	bool		looked_into;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "rb");
	if (file == NULL)
	{
		ok(false, "could not open %s", name);
		free(data);
		return;
	}
	len = fread(data, 1, 1024 * 1024, file);
	fclose(file);
	accepted = decode_once("", data, len, NULL, out, sizeof(out));

	/* the same by the other way, which enters arrays and objects */
	looked_into = decode_once("$value [0].a.b [0][0][0] [1]", data, len, NULL,
							  out, sizeof(out));
	ok((accepted || name[0] != 'y') && (!accepted || name[0] != 'n') &&
	   (accepted == looked_into || strncmp(out, "! 22P05", 7) == 0),
	   "%s: %s", name, accepted ? "accepted" : "refused");
	free(data);
}

static int
test_directory(const char *directory)
{
	struct dirent **names;
	int			n = scandir(directory, &names, NULL, alphasort);
	int			i;

	if (n < 0)
	{
		printf("Bail out! no directory %s\n", directory);
		return 1;
	}
	for (i = 0; i < n; i++)
	{
		if (strchr("yni", names[i]->d_name[0]) != NULL &&
			names[i]->d_name[1] == '_')
			test_file(directory, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return 0;
}

int
main(int argc, char **argv)
{
	test_formats();
	test_arena();
	test_cases();
	test_numbers();
	test_escapes();
	test_bytes();
	test_utf8();
	test_utf8_words();
	test_depth();
	test_broken();
	test_errors();
	test_prediction();
	test_near_names();
	test_after_errors();
	test_large_rest();
	test_rows();
	test_broken_rows();
	test_nul_in_rows();
	test_records();
	test_most_records();
	test_expansion();
	test_many_columns();
	test_large_broken();
	test_large_decimal();
	test_long_deleted_field();
	test_repeated_members();
	test_large_decimals();
	test_protobuf_work();
	test_wide_connect_schema();
	test_date_range();
	test_deep_records();
	test_long_namespace();
	test_long_paths();
	test_colliding_names();
	test_without_memory();
	if (argc > 1 && test_directory(argv[1]) != 0)
		return 1;
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
