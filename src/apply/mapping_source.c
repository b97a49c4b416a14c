/*-------------------------------------------------------------------------
 *
 * mapping_source.c
 *	  Reading one source of the "mapping" argument.
 *
 * This file can include neither utils/builtins.h nor utils/fmgrprotos.h: they
 * clash with jansson.h.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>

#include "mb/pg_wchar.h"

#include "apply/mapping_source.h"
#include "options/nearest.h"

/* What enters a string that holds JSON. */
#define SI_INNER_JSON	"::json"

/* No message has values deeper than this (SI_JSON_MAX_DEPTH). */
#define MAX_STEPS		1000

/* JSON within JSON doubles its backslashes with each string. */
#define MAX_STRINGS		16

/* A source while it is read, with what its errors have to name. */
typedef struct SourceReader
{
	const char *column;
	const char *json;			/* the source, in the database's encoding */
	const char *utf8;			/* its text, NULL where it is an array */
} SourceReader;

typedef struct SpecialSource
{
	const char *word;
	SiSourceKind kind;
	SiFieldPart part;			/* of change events: what the path begins at */
	const char *name;			/* of the field there, if it is one */
} SpecialSource;

/* "$rest" is a field to all modules but the decoder. */
static const SpecialSource special_sources[] = {
	{"$value", SI_SOURCE_VALUE},
	{"$key", SI_SOURCE_KEY},
	{"$topic", SI_SOURCE_TOPIC},
	{"$partition", SI_SOURCE_PARTITION},
	{"$offset", SI_SOURCE_OFFSET},
	{"$timestamp", SI_SOURCE_TIMESTAMP},
	{"$headers", SI_SOURCE_HEADERS},
	{"$record", SI_SOURCE_RECORD},
	{"$rest", SI_SOURCE_FIELD},
	{"$op", SI_SOURCE_FIELD, SI_PART_MESSAGE, "op"},
	{"$source", SI_SOURCE_FIELD, SI_PART_MESSAGE, "source"},
	{"$before", SI_SOURCE_FIELD, SI_PART_OLD_ROW, NULL}
};

static const char *dump_json(json_t *json);
static void read_text_source(SiMappingSource *source, const SourceReader *reader);
static void read_special_source(SiMappingSource *source, const SourceReader *reader);
static void read_special_tail(SiMappingSource *source, const SourceReader *reader,
							  const SpecialSource *special,
							  const char *tail);
static void read_event_source(SiMappingSource *source, const SourceReader *reader,
							  const SpecialSource *special, const char *tail);
static const SpecialSource *find_special(const SourceReader *reader,
										 size_t len);
static void read_array_source(SiMappingSource *source, const SourceReader *reader,
							  json_t *json);
static void read_path(SiWantedField *path, const SourceReader *reader,
					  const char *text);
static void check_length(const SourceReader *reader, size_t nsteps, int nstrings);
static const char *read_name_step(SiPathStep *step,
								  const SourceReader *reader,
								  const char *text);
static const char *read_index_step(SiPathStep *step,
								   const SourceReader *reader,
								   const char *text);
static void bad_path(const SourceReader *reader, const char *at,
					 const char *problem)
			__attribute__((noreturn));
static void bad_source(const SourceReader *reader, const char *detail,
					   const char *hint)
			__attribute__((noreturn));
static const char *to_server(const char *text);

/* Read the source that "mapping" gives for one column. */
void
si_mapping_source_read(SiMappingSource *source, const char *column, json_t *json)
{
	SourceReader reader;

	reader.column = column;
	reader.json = dump_json(json);
	reader.utf8 = json_string_value(json);

	source->state = SI_SOURCE_SET;
	source->text = reader.utf8 ? pstrdup(to_server(reader.utf8)) : reader.json;

	if (reader.utf8)
		read_text_source(source, &reader);
	else if (json_is_array(json))
		read_array_source(source, &reader, json);
	else
		bad_source(&reader,
				   "A source is a text, an array of keys, or null for none.",
				   NULL);
}

/* Read the path of the option "records". */
void
si_mapping_source_read_records(SiRecordsPath *path, const char *given)
{
	SourceReader reader = {NULL, given, pg_server_to_any(given, strlen(given), PG_UTF8)};
	SiMappingSource source = {0};
	json_t	   *json = given[0] == '[' ? json_loads(reader.utf8, JSON_REJECT_DUPLICATES, NULL) : NULL;

	path->lines = strcmp(given, "lines") == 0;
	if (path->lines || strcmp(given, "$") == 0)
		return;
	if (given[0] == '$')
		bad_source(&reader, "A path to an array is written without \"$\".", NULL);

	/* what is thrown must not leave jansson's memory behind */
	PG_TRY();
	{
		if (json_is_array(json))
			read_array_source(&source, &reader, json);
		else
			read_path(&source.path, &reader, reader.utf8);
	}
	PG_FINALLY();
	{
		json_decref(json);
	}
	PG_END_TRY();
	if (si_path_outer_steps(&source.path) < source.path.nsteps)
		bad_source(&reader, "The array cannot be in a string that holds JSON.", NULL);
	path->nsteps = source.path.nsteps;
	path->steps = source.path.steps;
}

bool
si_mapping_source_same_path(const SiWantedField *a, const SiWantedField *b)
{
	if (a->of_key != b->of_key || a->part != b->part || a->nsteps != b->nsteps ||
		a->as_json != b->as_json || a->own_name != b->own_name)
		return false;

	for (int i = 0; i < a->nsteps; i++)
	{
		const SiPathStep *x = &a->steps[i];
		const SiPathStep *y = &b->steps[i];

		if ((x->key == NULL) != (y->key == NULL))
			return false;
		if (x->key == NULL ? x->index != y->index :
			x->key_len != y->key_len ||
			memcmp(x->key, y->key, x->key_len) != 0)
			return false;
	}

	return true;
}

/* The text of a JSON value, in the database's encoding. */
static const char *
dump_json(json_t *json)
{
	size_t		size = json_dumpb(json, NULL, 0, JSON_ENCODE_ANY);
	char	   *dump = palloc(size + 1);

	json_dumpb(json, dump, size, JSON_ENCODE_ANY);
	dump[size] = '\0';

	return to_server(dump);
}

static void
read_text_source(SiMappingSource *source, const SourceReader *reader)
{
	if (reader->utf8[0] == '$')
		read_special_source(source, reader);
	else
	{
		source->kind = SI_SOURCE_FIELD;
		read_path(&source->path, reader, reader->utf8);
	}
}

/* "$word", and what may follow it. */
static void
read_special_source(SiMappingSource *source, const SourceReader *reader)
{
	size_t		len = strcspn(reader->utf8, ".[:");
	const SpecialSource *special = find_special(reader, len);
	const char *tail = reader->utf8 + len;

	source->kind = special->kind;
	if (special->part != SI_PART_ROW)
		read_event_source(source, reader, special, tail);
	else if (*tail != '\0')
		read_special_tail(source, reader, special, tail);
	else
		source->rest = special->kind == SI_SOURCE_FIELD;
}

/* Part of a change event, with or without a path into it. */
static void
read_event_source(SiMappingSource *source, const SourceReader *reader,
				  const SpecialSource *special, const char *tail)
{
	SiWantedField inner = {0};
	int			named = special->name != NULL;
	SiPathStep *steps;

	if (*tail != '\0')
		read_path(&inner, reader, tail);
	steps = palloc0(sizeof(SiPathStep) * (inner.nsteps + 1));
	if (named)
	{
		steps[0].key = special->name;
		steps[0].key_len = strlen(special->name);
	}
	if (inner.nsteps > 0)
		memcpy(steps + named, inner.steps, sizeof(SiPathStep) * inner.nsteps);
	source->of_event = true;
	source->path.part = special->part;
	source->path.steps = steps;
	source->path.nsteps = inner.nsteps + named;
}

/*
 * "$key" takes a path, "$headers" a name, which may hold dots itself, and
 * "$value" a path into the JSON that a string holds.
 */
static void
read_special_tail(SiMappingSource *source, const SourceReader *reader,
				  const SpecialSource *special, const char *tail)
{
	bool		of_value = special->kind == SI_SOURCE_VALUE &&
		strncmp(tail, SI_INNER_JSON, strlen(SI_INNER_JSON)) == 0;

	if (special->kind == SI_SOURCE_KEY || of_value)
	{
		source->kind = SI_SOURCE_FIELD;
		source->path.of_key = !of_value;
		source->path.part = of_value ? SI_PART_MESSAGE : SI_PART_ROW;
		read_path(&source->path, reader, tail);
	}
	else if (special->kind == SI_SOURCE_HEADERS)
	{
		if (tail[0] != '.' || tail[1] == '\0')
			bad_source(reader, "A header is written \"$headers.name\".",
					   NULL);
		source->kind = SI_SOURCE_HEADER;
		source->header = pstrdup(tail + 1);
	}
	else
		bad_source(reader,
				   psprintf("\"%s\" takes no path.", special->word),
				   special->kind == SI_SOURCE_VALUE ?
				   "A path into the value is written without \"$value\"." :
				   NULL);
}

/* The special source that the first len bytes name; an error if none does. */
static const SpecialSource *
find_special(const SourceReader *reader, size_t len)
{
	const char *words[lengthof(special_sources)];
	const char *nearest;
	const char *hint;

	for (int i = 0; i < lengthof(special_sources); i++)
	{
		words[i] = special_sources[i].word;
		if (strlen(words[i]) == len &&
			strncmp(words[i], reader->utf8, len) == 0)
			return &special_sources[i];
	}

	nearest = si_nearest_name(pnstrdup(reader->utf8, len), words,
							  lengthof(words));
	hint = "A field whose name begins with \"$\" is written as an array of keys, such as [\"$id\"].";
	if (nearest)
		hint = psprintf("Perhaps you meant \"%s\". %s", nearest, hint);
	bad_source(reader, "There is no such special source.", hint);
}

/* An array of keys and indexes: always a path into the value. */
static void
read_array_source(SiMappingSource *source, const SourceReader *reader, json_t *json)
{
	size_t		n = json_array_size(json);
	SiPathStep *steps = palloc0(sizeof(SiPathStep) * Max(n, 1));

	if (n == 0)
		bad_source(reader, "It has no keys.",
				   reader->column ? "The whole value is written \"$value\"." :
				   "The whole value is written \"$\".");
	check_length(reader, n, 0);

	for (size_t i = 0; i < n; i++)
	{
		json_t	   *step = json_array_get(json, i);

		if (json_is_string(step))
		{
			steps[i].key = pstrdup(json_string_value(step));
			steps[i].key_len = json_string_length(step);
		}
		else if (json_is_integer(step) && json_integer_value(step) >= 0 &&
				 json_integer_value(step) <= INT_MAX)
			steps[i].index = (int) json_integer_value(step);
		else
			bad_source(reader,
					   "The elements of the array must be keys (texts) and indexes (integers from 0).",
					   NULL);
	}

	source->kind = SI_SOURCE_FIELD;
	source->path.nsteps = (int) n;
	source->path.steps = steps;
}

/*
 * What reads along a path recurses: where types contain themselves for each step,
 * and for each string that is entered.
 */
static void
check_length(const SourceReader *reader, size_t nsteps, int nstrings)
{
	if (nsteps > MAX_STEPS || nstrings > MAX_STRINGS)
		bad_source(reader,
				   psprintf("A path has at most %d steps, and at most %d of them enter a string.",
							MAX_STEPS, MAX_STRINGS),
				   NULL);
}

/*
 * Read a path: names parted by dots, indexes in brackets, and "::json", which
 * enters a string.  The path of a
 * key's field comes with the dot or bracket that parts it from "$key".
 */
static void
read_path(SiWantedField *path, const SourceReader *reader, const char *text)
{
	SiPathStep *steps = palloc0(sizeof(SiPathStep) * (strlen(text) + 1));
	const char *at = text;
	int			n = 0;
	int			nstrings = 0;

	do
	{
		if (strncmp(at, SI_INNER_JSON, strlen(SI_INNER_JSON)) == 0 &&
			(n > 0 || reader->utf8[0] == '$'))
		{
			nstrings++;
			steps[n].index = SI_STEP_JSON;
			at += strlen(SI_INNER_JSON);
		}
		else if (*at == '[')
			at = read_index_step(&steps[n], reader, at);
		else if (n == 0 && reader->utf8[0] != '$')
			at = read_name_step(&steps[n], reader, at);
		else if (*at == '.')
			at = read_name_step(&steps[n], reader, at + 1);
		else
			bad_path(reader, at, "A dot, a bracket or the end is expected");
		n++;
		check_length(reader, n, nstrings);
	} while (*at != '\0');

	path->nsteps = n;
	path->steps = repalloc(steps, sizeof(SiPathStep) * n);
}

/* Read a name; returns what follows it. */
static const char *
read_name_step(SiPathStep *step, const SourceReader *reader, const char *text)
{
	const char *inner = strstr(text, SI_INNER_JSON);
	size_t		len = strcspn(text, ".[]");

	if (inner != NULL && (size_t) (inner - text) <len)
		len = inner - text;

	if (len == 0)
		bad_path(reader, text, "The name of a field is expected");

	step->key = pnstrdup(text, len);
	step->key_len = len;

	return text +len;
}

/* Read "[index]"; returns what follows it. */
static const char *
read_index_step(SiPathStep *step, const SourceReader *reader,
				const char *text)
{
	const char *at = text +1;
	int64		index = 0;

	if (!isdigit((unsigned char) *at))
		bad_path(reader, at, "An index (a number from 0) is expected");

	for (; isdigit((unsigned char) *at); at++)
	{
		index = index * 10 + (*at - '0');
		if (index > INT_MAX)
			bad_path(reader, at, "The index is too large");
	}

	if (*at != ']')
		bad_path(reader, at, "A closing bracket is expected");

	step->index = (int) index;

	return at + 1;
}

/* Complain about a place in a source that is a text. */
static void
bad_path(const SourceReader *reader, const char *at, const char *problem)
{
	int			position = 1;

	/* in characters: count the bytes that begin one */
	for (const char *p = reader->utf8; p < at; p++)
	{
		if (((unsigned char) *p & 0xC0) != 0x80)
			position++;
	}

	bad_source(reader, psprintf("%s at character %d.", problem, position),
			   "A name that holds dots or brackets is written in an array of keys, such as [\"a.b\", \"c\", 0].");
}

static void
bad_source(const SourceReader *reader, const char *detail, const char *hint)
{
	if (reader->column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", "records"),
				 errdetail("%s", detail),
				 hint ? errhint("%s", hint) : 0));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid source for column \"%s\" in the mapping: %s",
					reader->column, reader->json),
			 errdetail("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

/* A text of the mapping, in the database's encoding. */
static const char *
to_server(const char *text)
{
	return pg_any_to_server(text, strlen(text), PG_UTF8);
}
