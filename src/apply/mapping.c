/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  Which field of a message goes to which column.
 *
 * First every attribute of the row type gets its source: the one that "mapping"
 * gives, else the field of its own name.  Only then are columns, absent bits
 * and the decoder's fields numbered, so that all of them follow the order of
 * the row type and a path that two columns take is decoded once.
 *
 * "mapping" is read in UTF-8, the encoding of jansson and of the messages;
 * names are turned into the database's encoding where they meet the catalogs
 * or a reader.  This file can include neither utils/builtins.h nor
 * utils/fmgrprotos.h: they clash with jansson.h.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <jansson.h>

#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/mapping.h"
#include "apply/mapping_source.h"
#include "format/envelope_shape.h"
#include "format/match_names.h"
#include "options/nearest.h"

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
	SiMappingSource *sources;	/* per attribute */
	SiMapping  *mapping;
	SiWantedField *fields;		/* mapping->decode.fields, to write to */
} MappingBuilder;

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
static void set_key_source(const MappingBuilder *builder, int attidx);
static bool takes_by_name(Form_pg_attribute att);
static bool takes_field(const SiMappingSource *source);
static void set_own_name(SiMappingSource *source, const char *name);
static void add_column(MappingBuilder *builder, int attidx);
static bool wants_absent_bit(const MappingBuilder *builder,
							 Form_pg_attribute att, const SiMappingSource *source);
static int	add_source_field(MappingBuilder *builder, const SiMappingSource *source, Oid type);
static void add_skipped_fields(MappingBuilder *builder);
static void check_names(const MappingBuilder *builder);
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

/* Build the mapping of apply's batch; see mapping.h. */
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

/* Build the mapping that the builder describes. */
static SiMapping *
build(MappingBuilder *builder, const char *json)
{
	TupleDesc	desc = builder->desc;
	const SiOptions *options = builder->options;
	const bool *skip = builder->skip;
	SiMapping  *mapping = palloc0(sizeof(SiMapping));

	builder->sources = palloc0(sizeof(SiMappingSource) * Max(desc->natts, 1));
	builder->mapping = mapping;
	builder->fields = palloc0(sizeof(SiWantedField) * Max(desc->natts, 1));

	mapping->columns = palloc0(sizeof(SiColumn) * Max(desc->natts, 1));
	mapping->names = palloc0(sizeof(char *) * Max(desc->natts, 1));
	mapping->missing_fields = options->missing_fields;
	mapping->unknown_fields = options->unknown_fields;
	mapping->epoch_unit = options->epoch_unit;
	mapping->encoding = options->encoding;
	mapping->change_events = options->envelope == SI_ENVELOPE_DEBEZIUM;
	mapping->bare_integers = options->bare_integers;
	mapping->binary_text = options->binary_text != SI_BINARY_AUTO ? options->binary_text :
		options->envelope != SI_ENVELOPE_NONE ? SI_BINARY_BASE64 : SI_BINARY_BYTEA;
	mapping->extended_json = options->extended_json;
	mapping->decode.match_names = options->match_names;
	mapping->decode.fields = builder->fields;
	mapping->decode.rest_field = -1;
	mapping->decode.key_format = options->key_format;

	if (json)
		read_mapping(builder, json);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (builder->sources[i].state == SI_SOURCE_UNSET)
			set_own_source(builder, i);
		if (i < builder->nown)
			set_key_source(builder, i);
		if (i < builder->nown && takes_by_name(att) && takes_field(&builder->sources[i]))
			mapping->names[mapping->nnames++] = pstrdup(to_utf8(NameStr(att->attname)));
		if (builder->sources[i].state == SI_SOURCE_SET && !(skip && skip[i]))
			add_column(builder, i);
	}

	if (options->match_names != SI_MATCH_EXACT)
		check_names(builder);
	mapping->needs_field = needs_field(mapping);
	mapping->decode.find_unknown =
		options->unknown_fields != SI_UNKNOWN_IGNORE &&
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
	SiMappingSource *source = &builder->sources[attidx];

	if (attidx >= builder->nown || (builder->whole && attidx == 0))
	{
		int			i = attidx - builder->nown;

		source->state = SI_SOURCE_SET;
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
			builder->sources[i].state = SI_SOURCE_NOTHING;
			continue;
		}
		check_mapped_column(builder, att);
		si_mapping_source_read(&builder->sources[i], NameStr(att->attname),
							   value);
		if (builder->sources[i].of_event &&
			!si_envelope_is_event(builder->options->envelope))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" cannot take \"%s\" without a change event",
							NameStr(att->attname), builder->sources[i].text),
					 errhint("Set the option \"envelope\" to what writes the events, such as \"debezium\".")));
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

/*
 * A key of another format than JSON has no fields; if it is more than its
 * bytes, the whole of it is one.
 */
static void
set_key_source(const MappingBuilder *builder, int attidx)
{
	SiMappingSource *source = &builder->sources[attidx];
	SiKeyFormat format = builder->options->key_format;

	if (source->state != SI_SOURCE_SET || format == SI_KEY_JSON)
		return;
	if (source->kind == SI_SOURCE_FIELD && source->path.of_key && !SI_KEY_HAS_FIELDS(format))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" cannot take \"%s\": by the option \"key_format\" keys have no fields",
						NameStr(TupleDescAttr(builder->desc, attidx)->attname), source->text),
				 errhint("The whole key is \"$key\".")));
	if (source->kind == SI_SOURCE_KEY && SI_KEY_IS_TYPED(format))
	{
		source->kind = SI_SOURCE_FIELD;
		source->path.of_key = true;
	}
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
takes_field(const SiMappingSource *source)
{
	return source->state == SI_SOURCE_SET && source->kind == SI_SOURCE_FIELD &&
		!source->rest && !source->path.of_key && !source->of_event;
}

/* A column's own name is one key, whatever characters it holds. */
static void
set_own_name(SiMappingSource *source, const char *name)
{
	SiPathStep *step = palloc0(sizeof(SiPathStep));

	step->key = pstrdup(to_utf8(name));
	step->key_len = strlen(step->key);

	source->state = SI_SOURCE_SET;
	source->own_name = true;
	source->kind = SI_SOURCE_FIELD;
	source->text = pstrdup(name);
	source->path.nsteps = 1;
	source->path.steps = step;
	source->path.own_name = true;
}

/* Append the column that this attribute with a source is. */
static void
add_column(MappingBuilder *builder, int attidx)
{
	Form_pg_attribute att = TupleDescAttr(builder->desc, attidx);
	const SiMappingSource *source = &builder->sources[attidx];
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
				 const SiMappingSource *source)
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
add_source_field(MappingBuilder *builder, const SiMappingSource *source, Oid type)
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
			si_mapping_source_same_path(&builder->fields[i], &wanted))
			return i;
	}

	builder->fields[decode->nfields] = wanted;
	return decode->nfields++;
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
		const SiMappingSource *source = &builder->sources[i];

		if (builder->skip[i] && source->state == SI_SOURCE_SET &&
			source->kind == SI_SOURCE_FIELD && !source->rest)
			(void) add_source_field(builder, source, TupleDescAttr(builder->desc, i)->atttypid);
	}
}

/* The name that a column's own name becomes by match_names; NULL without one. */
static char *
fold_own_name(const MappingBuilder *builder, int attidx)
{
	const SiMappingSource *source = &builder->sources[attidx];
	char		folded[SI_MATCH_ROOM];
	size_t		len;

	if (source->state != SI_SOURCE_SET || !source->own_name)
		return NULL;
	len = si_match_names_fold(builder->options->match_names, source->path.steps[0].key,
							  source->path.steps[0].key_len, folded);
	return len == 0 ? NULL : pnstrdup(folded, len);
}

/* Refuse two columns that one field could mean. */
static void
check_names(const MappingBuilder *builder)
{
	int			n = builder->desc->natts;
	char	  **folded = palloc(sizeof(char *) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		folded[i] = fold_own_name(builder, i);
		for (int j = 0; j < i && folded[i] != NULL; j++)
		{
			if (folded[j] == NULL || strcmp(folded[i], folded[j]) != 0)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("columns \"%s\" and \"%s\" of \"%s\" would take the same field",
							NameStr(TupleDescAttr(builder->desc, j)->attname),
							NameStr(TupleDescAttr(builder->desc, i)->attname),
							builder->relname),
					 errdetail("By the option \"match_names\" both names are the same."),
					 errhint("Say in \"mapping\" which field one of them takes.")));
		}
	}
}

/*
 * Must a message have one of the fields?  Not if no column takes one, nor if
 * some column takes a whole value.
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
