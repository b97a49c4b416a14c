/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  Which field of a message goes to which column.
 *
 * First every attribute of the row type gets its source: what "mapping" says
 * of it, else the field of its own name.  Only then are columns, absent bits
 * and the decoder's fields numbered, so that all of them follow the order of
 * the row type and a path that two columns want is decoded once.
 *
 * "mapping" is read in UTF-8, which is what jansson and the messages speak;
 * names are turned into the database's encoding where they meet the catalogs
 * or a reader.  This file can include neither utils/builtins.h nor
 * utils/fmgrprotos.h: they clash with jansson.h.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>

#include <jansson.h>

#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/mapping.h"
#include "options/nearest.h"

/* What is known of an attribute's source. */
typedef enum SourceState
{
	SOURCE_UNSET,				/* not named in "mapping" */
	SOURCE_NOTHING,				/* the column takes nothing */
	SOURCE_SET
} SourceState;

typedef struct Source
{
	SourceState state;
	SiSourceKind kind;
	const char *text;			/* as the user wrote it */
	bool		own_name;		/* not named in "mapping" */
	bool		rest;			/* SI_SOURCE_FIELD: "$rest", no path */
	SiWantedField path;			/* SI_SOURCE_FIELD */
	const char *header;			/* SI_SOURCE_HEADER */
} Source;

typedef struct MappingBuilder
{
	TupleDesc	desc;
	const char *relname;
	const SiOptions *options;
	bool		track_absent;
	const bool *skip;
	bool		apply;			/* of apply's batch */
	int			nown;			/* attributes that the mapping may name */
	bool		whole;			/* the first one takes $value */
	Source	   *sources;		/* per attribute */
	SiMapping  *mapping;
	SiWantedField *fields;		/* mapping->decode.fields, to write to */
} MappingBuilder;

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
} SpecialSource;

/* "$rest" is a field for everybody but the decoder. */
static const SpecialSource special_sources[] = {
	{"$value", SI_SOURCE_VALUE},
	{"$key", SI_SOURCE_KEY},
	{"$topic", SI_SOURCE_TOPIC},
	{"$partition", SI_SOURCE_PARTITION},
	{"$offset", SI_SOURCE_OFFSET},
	{"$timestamp", SI_SOURCE_TIMESTAMP},
	{"$headers", SI_SOURCE_HEADERS},
	{"$rest", SI_SOURCE_FIELD}
};

/* In the order of the columns. */
static const struct
{
	const char *name;
	Oid			type;
	SiSourceKind kind;
	const char *text;
}			metadata_columns[SI_METADATA_COLUMNS] = {
	{"_topic", TEXTOID, SI_SOURCE_TOPIC, "$topic"},
	{"_partition", INT4OID, SI_SOURCE_PARTITION, "$partition"},
	{"_offset", INT8OID, SI_SOURCE_OFFSET, "$offset"},
	{"_timestamp", TIMESTAMPTZOID, SI_SOURCE_TIMESTAMP, "$timestamp"},
	{"_key", BYTEAOID, SI_SOURCE_KEY, "$key"},
	{"_headers", JSONBOID, SI_SOURCE_HEADERS, "$headers"},
	{"_deleted", BOOLOID, SI_SOURCE_DELETED, "_deleted"}
};

static SiMapping *build(MappingBuilder *builder, const char *json);
static void set_own_source(MappingBuilder *builder, int attidx);
static void read_mapping(MappingBuilder *builder, const char *json);
static json_t *load_json(const char *json, MemoryContext context);
static void release_json(void *arg);
static int	find_mapped_column(const MappingBuilder *builder,
							   const char *name);
static const char *nearest_column(const MappingBuilder *builder,
								  const char *name);
static void check_mapped_column(const MappingBuilder *builder,
								Form_pg_attribute att);
static void read_source(Source *source, const char *column, json_t *json);
static const char *dump_json(json_t *json);
static void read_text_source(Source *source, const SourceReader *reader);
static void read_special_source(Source *source, const SourceReader *reader);
static void read_special_tail(Source *source, const SourceReader *reader,
							  const SpecialSource *special,
							  const char *tail);
static const SpecialSource *find_special(const SourceReader *reader,
										 size_t len);
static void read_array_source(Source *source, const SourceReader *reader,
							  json_t *json);
static void read_path(SiWantedField *path, const SourceReader *reader,
					  const char *text);
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
static bool takes_by_name(Form_pg_attribute att);
static bool takes_field(const Source *source);
static void set_own_name(Source *source, const char *name);
static void add_column(MappingBuilder *builder, int attidx);
static bool wants_absent_bit(const MappingBuilder *builder,
							 Form_pg_attribute att, const Source *source);
static int	add_source_field(MappingBuilder *builder, const Source *source, Oid type);
static bool same_path(const SiWantedField *a, const SiWantedField *b);
static void add_skipped_fields(MappingBuilder *builder);
static bool needs_field(const SiMapping *mapping);
static const char *to_utf8(const char *text);
static const char *to_server(const char *text);

/* Build the mapping of a row type; see mapping.h. */
SiMapping *
si_mapping_build(TupleDesc desc, const char *relname, const char *json,
				 const SiOptions *options, bool track_absent,
				 const bool *skip)
{
	MappingBuilder builder = {0};

	builder.desc = desc;
	builder.relname = relname;
	builder.options = options;
	builder.track_absent = track_absent;
	builder.skip = skip;
	builder.nown = desc->natts;
	return build(&builder, json);
}

/* The same of apply's batch; see mapping.h. */
SiMapping *
si_mapping_build_apply(TupleDesc desc, bool whole, const char *json,
					   const SiOptions *options, const bool *skip)
{
	MappingBuilder builder = {0};

	builder.desc = desc;
	builder.relname = "batch";
	builder.options = options;
	builder.skip = skip;
	builder.apply = true;
	builder.nown = desc->natts - SI_METADATA_COLUMNS;
	builder.whole = whole;
	return build(&builder, json);
}

/* Add the columns with metadata; see mapping.h. */
void
si_mapping_add_metadata(TupleDesc desc, int first)
{
	for (int i = 0; i < SI_METADATA_COLUMNS; i++)
	{
		for (int j = 0; j < first; j++)
		{
			if (strcmp(NameStr(TupleDescAttr(desc, j)->attname), metadata_columns[i].name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" cannot stand in \"fields\"",
								metadata_columns[i].name),
						 errdetail("The relation \"batch\" has a column of this name by itself.")));
		}
		TupleDescInitEntry(desc, first + i + 1, metadata_columns[i].name,
						   metadata_columns[i].type, -1, 0);
	}
}

/* Build what the builder was told. */
static SiMapping *
build(MappingBuilder *builder, const char *json)
{
	TupleDesc	desc = builder->desc;
	const SiOptions *options = builder->options;
	const bool *skip = builder->skip;
	SiMapping  *mapping = palloc0(sizeof(SiMapping));

	builder->sources = palloc0(sizeof(Source) * Max(desc->natts, 1));
	builder->mapping = mapping;
	builder->fields = palloc0(sizeof(SiWantedField) * Max(desc->natts, 1));

	mapping->columns = palloc0(sizeof(SiColumn) * Max(desc->natts, 1));
	mapping->names = palloc0(sizeof(char *) * Max(desc->natts, 1));
	mapping->missing_fields = options->missing_fields;
	mapping->unknown_fields = options->unknown_fields;
	mapping->epoch_unit = options->epoch_unit;
	mapping->encoding = options->encoding;
	mapping->decode.fields = builder->fields;
	mapping->decode.rest_field = -1;

	if (json)
		read_mapping(builder, json);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (builder->sources[i].state == SOURCE_UNSET)
			set_own_source(builder, i);
		if (i < builder->nown && takes_by_name(att) && takes_field(&builder->sources[i]))
			mapping->names[mapping->nnames++] = pstrdup(to_utf8(NameStr(att->attname)));
		if (builder->sources[i].state == SOURCE_SET && !(skip && skip[i]))
			add_column(builder, i);
	}

	mapping->needs_field = needs_field(mapping);
	mapping->decode.find_unknown =
		options->unknown_fields == SI_UNKNOWN_ERROR &&
		mapping->decode.rest_field < 0;
	if (skip &&
		(mapping->decode.find_unknown || mapping->decode.rest_field >= 0))
		add_skipped_fields(builder);

	return mapping;
}

/* The source of an attribute that "mapping" does not name. */
static void
set_own_source(MappingBuilder *builder, int attidx)
{
	Form_pg_attribute att = TupleDescAttr(builder->desc, attidx);
	Source	   *source = &builder->sources[attidx];

	if (attidx >= builder->nown || (builder->whole && attidx == 0))
	{
		int			i = attidx - builder->nown;

		source->state = SOURCE_SET;
		source->kind = i >= 0 ? metadata_columns[i].kind : SI_SOURCE_VALUE;
		source->text = i >= 0 ? metadata_columns[i].text : "$value";
	}
	else if (takes_by_name(att))
		set_own_name(source, NameStr(att->attname));
}

/* ---- the "mapping" argument ---- */

/* Fill in the sources of the columns that "mapping" names. */
static void
read_mapping(MappingBuilder *builder, const char *json)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "stream_ingest mapping",
												  ALLOCSET_SMALL_SIZES);
	json_t	   *root = load_json(json, context);
	const char *key;
	json_t	   *value;

	if (!json_is_object(root))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping must be a JSON object"),
				 errhint("Write {\"column\": \"source\", ...}.")));

	json_object_foreach(root, key, value)
	{
		int			i = find_mapped_column(builder, to_server(key));
		Form_pg_attribute att = TupleDescAttr(builder->desc, i);

		if (i >= builder->nown)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" of relation \"%s\" cannot have a source in the mapping",
							NameStr(att->attname), builder->relname),
					 errdetail("Every batch has it by itself.")));
		if (json_is_null(value) && !builder->apply)
		{
			builder->sources[i].state = SOURCE_NOTHING;
			continue;
		}
		check_mapped_column(builder, att);
		read_source(&builder->sources[i], NameStr(att->attname), value);
	}

	MemoryContextDelete(context);
}

/*
 * Parse a JSON text.  The result goes away with the context, and so also when
 * an error is thrown over it.
 */
static json_t *
load_json(const char *json, MemoryContext context)
{
	MemoryContextCallback *callback =
		MemoryContextAllocZero(context, sizeof(MemoryContextCallback));
	const char *utf8 = to_utf8(json);
	json_error_t error;
	json_t	   *root;

	callback->func = release_json;
	MemoryContextRegisterResetCallback(context, callback);

	root = json_loads(utf8, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	callback->arg = root;
	if (root == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping is not valid JSON"),
				 errdetail("Line %d, column %d: %s.", error.line,
						   error.column, to_server(error.text))));

	return root;
}

static void
release_json(void *arg)
{
	json_decref(arg);
}

/* The index of a column that "mapping" names; an error if there is none. */
static int
find_mapped_column(const MappingBuilder *builder, const char *name)
{
	const char *nearest;

	for (int i = 0; i < builder->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(builder->desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i;
	}

	nearest = nearest_column(builder, name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist",
					name, builder->relname),
			 nearest ? errhint("Perhaps you meant the column \"%s\".",
							   nearest) :
			 errhint("The keys of the mapping are columns, its values are sources.")));
}

static const char *
nearest_column(const MappingBuilder *builder, const char *name)
{
	const char **names = palloc(sizeof(char *) * Max(builder->desc->natts, 1));
	int			n = 0;

	for (int i = 0; i < builder->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(builder->desc, i);

		if (!att->attisdropped)
			names[n++] = NameStr(att->attname);
	}

	return si_nearest_name(name, names, n);
}

/* A column that the server alone may fill cannot have a source. */
static void
check_mapped_column(const MappingBuilder *builder, Form_pg_attribute att)
{
	if (att->attgenerated == '\0' &&
		att->attidentity != ATTRIBUTE_IDENTITY_ALWAYS)
		return;

	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("column \"%s\" of relation \"%s\" cannot have a source in the mapping",
					NameStr(att->attname), builder->relname),
			 att->attgenerated != '\0' ?
			 errdetail("It is a generated column.") :
			 errdetail("It is an identity column defined as GENERATED ALWAYS."),
			 att->attgenerated != '\0' ? 0 :
			 errhint("Define it as GENERATED BY DEFAULT AS IDENTITY.")));
}

/* ---- sources ---- */

/* Read what "mapping" says of one column. */
static void
read_source(Source *source, const char *column, json_t *json)
{
	SourceReader reader;

	reader.column = column;
	reader.json = dump_json(json);
	reader.utf8 = json_string_value(json);

	source->state = SOURCE_SET;
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

/* The text of a JSON value, in the database's encoding. */
static const char *
dump_json(json_t *json)
{
	size_t		size = json_dumpb(json, NULL, 0, JSON_ENCODE_ANY);
	char	   *text = palloc(size + 1);

	json_dumpb(json, text, size, JSON_ENCODE_ANY);
	text[		size] = '\0';

	return to_server(text);
}

static void
read_text_source(Source *source, const SourceReader *reader)
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
read_special_source(Source *source, const SourceReader *reader)
{
	size_t		len = strcspn(reader->utf8, ".[");
	const SpecialSource *special = find_special(reader, len);
	const char *tail = reader->utf8 + len;

	source->kind = special->kind;
	if (*tail != '\0')
		read_special_tail(source, reader, special, tail);
	else
		source->rest = special->kind == SI_SOURCE_FIELD;
}

/* "$key" takes a path, "$headers" a name, which may hold dots itself. */
static void
read_special_tail(Source *source, const SourceReader *reader,
				  const SpecialSource *special, const char *tail)
{
	if (special->kind == SI_SOURCE_KEY)
	{
		source->kind = SI_SOURCE_FIELD;
		source->path.of_key = true;
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
read_array_source(Source *source, const SourceReader *reader, json_t *json)
{
	size_t		n = json_array_size(json);
	SiPathStep *steps = palloc0(sizeof(SiPathStep) * Max(n, 1));

	if (n == 0)
		bad_source(reader, "It has no keys.",
				   "The whole value is written \"$value\".");

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
 * Read a path: names parted by dots, and indexes in brackets.  The path of a
 * key's field comes with the dot or bracket that parts it from "$key".
 */
static void
read_path(SiWantedField *path, const SourceReader *reader, const char *text)
{
	SiPathStep *steps = palloc0(sizeof(SiPathStep) * (strlen(text) + 1));
	const char *at = text;
	int			n = 0;

	do
	{
		if (*at == '[')
			at = read_index_step(&steps[n], reader, at);
		else if (n == 0 && !path->of_key)
			at = read_name_step(&steps[n], reader, at);
		else if (*at == '.')
			at = read_name_step(&steps[n], reader, at + 1);
		else
			bad_path(reader, at, "A dot, a bracket or the end is expected");
		n++;
	} while (*at != '\0');

	path->nsteps = n;
	path->steps = repalloc(steps, sizeof(SiPathStep) * n);
}

/* Read a name; returns what follows it. */
static const char *
read_name_step(SiPathStep *step, const SourceReader *reader, const char *text)
{
	size_t		len = strcspn(text, ".[]");

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
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid source for column \"%s\" in the mapping: %s",
					reader->column, reader->json),
			 errdetail("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

/* ---- columns and fields ---- */

/* Does this attribute take the field of its own name? */
static bool
takes_by_name(Form_pg_attribute att)
{
	return !att->attisdropped && att->attgenerated == '\0' &&
		att->attidentity == '\0';
}

/* Does this source look for a field of the value? */
static bool
takes_field(const Source *source)
{
	return source->state == SOURCE_SET && source->kind == SI_SOURCE_FIELD &&
		!source->rest && !source->path.of_key;
}

/* A column's own name is one key, whatever characters it holds. */
static void
set_own_name(Source *source, const char *name)
{
	SiPathStep *step = palloc0(sizeof(SiPathStep));

	step->key = pstrdup(to_utf8(name));
	step->key_len = strlen(step->key);

	source->state = SOURCE_SET;
	source->own_name = true;
	source->kind = SI_SOURCE_FIELD;
	source->text = pstrdup(name);
	source->path.nsteps = 1;
	source->path.steps = step;
}

/* Append the column that this attribute with a source is. */
static void
add_column(MappingBuilder *builder, int attidx)
{
	Form_pg_attribute att = TupleDescAttr(builder->desc, attidx);
	const Source *source = &builder->sources[attidx];
	SiMapping  *mapping = builder->mapping;
	SiColumn   *column = &mapping->columns[mapping->ncolumns++];

	column->name = pstrdup(NameStr(att->attname));
	column->attnum = attidx + 1;
	column->type = att->atttypid;
	column->typmod = att->atttypmod;
	column->collation = att->attcollation;
	column->source = source->kind;
	column->mapped = !source->own_name;
	column->source_text = source->text;
	column->field = -1;
	column->header = source->header;
	column->absent_bit = -1;

	if (source->kind == SI_SOURCE_FIELD)
		column->field = add_source_field(builder, source, att->atttypid);
	if (wants_absent_bit(builder, att, source))
		column->absent_bit = mapping->nabsent++;
	if (source->kind == SI_SOURCE_HEADERS || source->kind == SI_SOURCE_HEADER)
		mapping->wants_headers = true;
}

/*
 * Does the statement have to know that the message lacks this column's field?
 * Not where NULL is what a missing field gives anyway.
 */
static bool
wants_absent_bit(const MappingBuilder *builder, Form_pg_attribute att,
				 const Source *source)
{
	if (source->kind != SI_SOURCE_FIELD || source->rest || builder->apply ||
		builder->options->missing_fields != SI_MISSING_DEFAULT)
		return false;

	return builder->track_absent || att->atthasdef ||
		att->attidentity == ATTRIBUTE_IDENTITY_BY_DEFAULT ||
		get_typdefault(att->atttypid) != NULL;
}

/* The number of the decoder's field for this source, an old one if possible. */
static int
add_source_field(MappingBuilder *builder, const Source *source, Oid type)
{
	SiDecodePlan *decode = &builder->mapping->decode;
	SiWantedField wanted = source->path;
	Oid			base_type = getBaseType(type);

	wanted.as_json = base_type == JSONOID || base_type == JSONBOID;

	if (source->rest)
	{
		if (decode->rest_field < 0)
			decode->rest_field = decode->nfields++;
		return decode->rest_field;
	}

	for (int i = 0; i < decode->nfields; i++)
	{
		if (i != decode->rest_field &&
			same_path(&builder->fields[i], &wanted))
			return i;
	}

	builder->fields[decode->nfields] = wanted;
	return decode->nfields++;
}

static bool
same_path(const SiWantedField *a, const SiWantedField *b)
{
	if (a->of_key != b->of_key || a->nsteps != b->nsteps || a->as_json != b->as_json)
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

/*
 * A column that the statement does not read still takes its field: neither
 * "$rest" nor a complaint about unknown fields may depend on it.
 */
static void
add_skipped_fields(MappingBuilder *builder)
{
	for (int i = 0; i < builder->desc->natts; i++)
	{
		const Source *source = &builder->sources[i];

		if (builder->skip[i] && source->state == SOURCE_SET &&
			source->kind == SI_SOURCE_FIELD && !source->rest)
			(void) add_source_field(builder, source, TupleDescAttr(builder->desc, i)->atttypid);
	}
}

/*
 * Must a message have one of the fields?  Not if nobody asks for any, nor if
 * some column takes whatever comes.
 */
static bool
needs_field(const SiMapping *mapping)
{
	bool		any = false;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		const SiColumn *column = &mapping->columns[i];

		if (column->source == SI_SOURCE_VALUE)
			return false;
		if (column->source != SI_SOURCE_FIELD)
			continue;
		if (column->field == mapping->decode.rest_field)
			return false;
		any = true;
	}

	return any;
}

/* ---- encodings ---- */

static const char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static const char *
to_server(const char *text)
{
	return pg_any_to_server(text, strlen(text), PG_UTF8);
}
