/*-------------------------------------------------------------------------
 *
 * decode_protobuf.c
 *	  Protobuf messages to records.
 *
 * Schema and plan are compiled once into a program (proto_program).  Of a message,
 * the fields that its nodes take are collected, and then given to the record's fields;
 * whatever no node takes is passed over.  A path enters messages by field, maps by
 * key and repeated fields by index.
 *
 * The schema knows all fields, so one that a message lacks is not missing: it is
 * NULL if it has presence, and else its zero.  Below a message that is not there
 * all is NULL.  An element or a key that is not there is missing, though, and so is
 * what is below a part that a change event does not have, such as a row.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"
#include "format/path_tree.h"
#include "format/proto_columns.h"
#include "format/proto_document.h"
#include "format/proto_frame.h"
#include "format/proto_program.h"
#include "format/schema_cache.h"
#include "format/schema_store.h"

typedef struct ProtobufDecoder
{
	SiPathTree	tree;
	SiFormatOptions options;	/* where schemas come from */
	SiSchemaCache *programs;	/* by the ids of their schemas */
	const SiProtoNode *root;	/* of the program of the next message */
	SiProtoReader reader;
	SiRecord   *record;			/* of the message that is being read */
	SiTextBuffer document;		/* the value that is being made */
	SiTextBuffer rest;			/* $rest */
} ProtobufDecoder;

static bool give_value(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoValue *value);
static bool give_nothing(ProtobufDecoder *decoder, const SiProtoNode *node, bool null);

/* ---- taking values ---- */

/* A finished document becomes a value in the arena. */
static bool
keep_document(ProtobufDecoder *decoder, SiTextBuffer *out, SiValueKind kind, SiValue *value)
{
	SiProtoReader *reader = &decoder->reader;
	char	   *copy = NULL;

	if (out->fault == SI_TEXT_TOO_LONG)
		return si_proto_fault(reader, reader->start, SI_PROTO_LARGE_DOCUMENT) != NULL;
	if (out->fault == SI_TEXT_NO_FAULT)
		copy = si_arena_alloc(reader->arena, out->len);
	if (copy == NULL)
		return si_proto_fault(reader, reader->start, SI_PROTO_NO_MEMORY) != NULL;
	memcpy(copy, out->data, out->len);
	value->kind = kind;
	value->data = copy;
	value->len = out->len;
	return true;
}

/*
 * What a taker that reads JSON gets instead of bytes, and instead of a string with
 * U+0000, which no text can hold: a JSON string.
 */
static bool
make_written(ProtobufDecoder *decoder, SiValue *value)
{
	SiTextBuffer *out = &decoder->document;

	if (value->kind != SI_VALUE_BYTES &&
		(value->kind != SI_VALUE_STRING || memchr(value->data, '\0', value->len) == NULL))
		return true;
	si_text_reset(out, si_arena_left(decoder->reader.arena));
	si_text_append_value(out, value);
	return keep_document(decoder, out, SI_VALUE_WRITTEN, value);
}

/* Give a value to the fields at a node. */
static bool
take(ProtobufDecoder *decoder, const SiProtoNode *node, const SiValue *value)
{
	const SiPathField *field = &decoder->tree.fields[node->paths->first_field];
	const SiPathField *end = &decoder->tree.fields[node->paths->end_own];
	SiValue		written = *value;

	if (node->as_json && !make_written(decoder, &written))
		return false;
	for (; field < end; field++)
		decoder->record->fields[field->number] = field->wanted->as_json ? written : *value;
	return true;
}

/* Take a list, a map or a message as a whole. */
static bool
take_document(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoValue *from)
{
	SiTextBuffer *out = &decoder->document;
	SiValueKind kind = node->list && !node->field->map ? SI_VALUE_ARRAY : SI_VALUE_OBJECT;
	SiValue		value = {SI_VALUE_ABSENT};

	if (!node->list && node->message->meaning != SI_PROTO_PLAIN)
		return si_proto_set_known(&decoder->reader, node->message, from, &value) &&
			take(decoder, node, &value);
	si_text_reset(out, si_arena_left(decoder->reader.arena));
	if (!(node->list ? si_proto_write_field(&decoder->reader, node->field, from, out) :
		  si_proto_write_message(&decoder->reader, node->message, from, out)))
		return false;
	return keep_document(decoder, out, kind, &value) && take(decoder, node, &value);
}

static bool
take_scalar(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoItem *item)
{
	SiValue		value = {SI_VALUE_ABSENT};

	if (node->only_field >= 0)
		return si_proto_set_scalar(&decoder->reader, node->field, item,
								   &decoder->record->fields[node->only_field]);
	return !node->taken ||
		(si_proto_set_scalar(&decoder->reader, node->field, item, &value) &&
		 take(decoder, node, &value));
}

/* ---- what a message lacks ---- */

static void
set_nothing(const SiProtoField *field, bool list, bool null, SiValue *value)
{
	value->kind = SI_VALUE_NULL;
	if (null)
		return;
	if (list)
	{
		value->kind = field->map ? SI_VALUE_OBJECT : SI_VALUE_ARRAY;
		value->data = field->map ? "{}" : "[]";
		value->len = 2;
	}
	else
		si_proto_set_zero(field, value);
}

/*
 * Give the fields at and below a node what they are where a message lacks the
 * value: with null, because it lacks the message around it.
 */
static bool
give_nothing(ProtobufDecoder *decoder, const SiProtoNode *node, bool null)
{
	SiValue		value = {SI_VALUE_ABSENT};
	int			i;

	set_nothing(node->field, node->list, null || (node->field->presence && !node->list), &value);
	if (!take(decoder, node, &value))
		return false;
	if (node->list || node->part || !node->entered)
		return true;
	if (!si_arena_work(decoder->reader.arena, (uint64_t) node->message->nfields))
		return si_proto_fault(&decoder->reader, decoder->reader.start, SI_PROTO_NO_MEMORY) != NULL;
	for (i = 0; i < node->message->nfields; i++)
	{
		const SiProtoNode *child = node->children[i];

		if (child != NULL && !child->rest && !give_nothing(decoder, child, true))
			return false;
	}
	return true;
}

/*
 * Give the fields at and below a node nothing at all: work for each time that a message has
 * the same key.
 */
static bool
forget(ProtobufDecoder *decoder, const SiPathNode *paths)
{
	SiProtoReader *reader = &decoder->reader;

	if (!si_arena_work(reader->arena, (uint64_t) (paths->end_below - paths->first_field)))
		return si_proto_fault(reader, reader->start, SI_PROTO_NO_MEMORY) != NULL;
	si_path_tree_forget(&decoder->tree, paths, decoder->record);
	return true;
}

/* ---- lists ---- */

/* An entry of a map; of equal keys the last wins. */
static bool
give_entry(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoItem *item)
{
	const SiPathTree *tree = &decoder->tree;
	SiProtoReader *reader = &decoder->reader;
	SiProtoFields entry;
	SiProtoValue value;
	SiProtoKey	key;
	const SiProtoNode *child;
	int			member;
	bool		done = true;

	si_proto_single(item, &value);
	if (!si_proto_collect(reader, node->message, &value, NULL, NULL, NULL, &entry) ||
		!si_proto_get_key(reader, &entry, &key))
		return false;
	member = si_path_tree_find(tree, node->paths, key.data, key.len);
	if (member >= 0)
	{
		child = node->children[member - node->paths->first_member];
		if (child->field->kind == SI_PROTO_UNRESOLVED)
			return si_proto_refuse_type(reader, child->field, item->data);
		if (!forget(decoder, child->paths))
			return false;
		if (si_proto_get(reader, &entry, child->field, &value))
			done = give_value(decoder, child, &value);
		else if (child->message != NULL)
		{
			si_proto_nothing(reader, &value);
			done = give_value(decoder, child, &value);
		}
		else
		{
			SiValue		zero = {SI_VALUE_ABSENT};

			set_nothing(child->field, false, false, &zero);
			done = take(decoder, child, &zero);
		}
	}
	si_proto_release(reader, &entry);
	return done;
}

/* Where in a list a reading is. */
typedef struct Place
{
	uint64_t	index;
	int			next;			/* of the tree's elements */
} Place;

static bool
give_element(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoItem *item, Place *place)
{
	const SiPathElement *elements = &decoder->tree.elements[node->paths->first_element];
	SiProtoValue value;

	/* an index below 0 is none that any list has */
	while (place->next < node->paths->nelements &&
		   (elements[place->next].index < 0 ||
			(uint64_t) elements[place->next].index < place->index))
		place->next++;
	if (place->next == node->paths->nelements ||
		(uint64_t) elements[place->next].index != place->index++)
		return true;
	si_proto_single(item, &value);
	return give_value(decoder, node->children[place->next], &value);
}

/* Elements that came as one item: a single one, or packed ones. */
static bool
give_elements(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoItem *item, Place *place)
{
	const char *p = item->data;
	const char *end = item->data + item->len;
	SiProtoItem element = *item;

	if (node->field->map)
		return give_entry(decoder, node, item);
	if (!si_proto_is_packed(node->field, item))
		return give_element(decoder, node, item, place);
	while (p < end)
	{
		p = si_proto_read_packed(&decoder->reader, node->field, p, end, &element);
		if (p == NULL || !give_element(decoder, node, &element, place))
			return false;
	}
	return true;
}

static bool
give_list(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoValue *value)
{
	Place		place = {0, 0};
	int			i;

	if (value->first < 0)
		return give_elements(decoder, node, &value->item, &place);
	for (i = value->first; i >= 0; i = decoder->reader.parts[i].next)
	{
		SiProtoItem item = decoder->reader.parts[i].item;

		if (!give_elements(decoder, node, &item, &place))
			return false;
	}
	return true;
}

/* ---- messages ---- */

/* The name of a field that no column takes; one that is unknown has a number. */
static void
note_unknown(void *context, const SiProtoField *field, const SiProtoItem *item)
{
	ProtobufDecoder *decoder = context;
	SiValue    *unknown = &decoder->record->unknown;
	char	   *text;

	if (unknown->kind != SI_VALUE_ABSENT)
		return;
	text = si_arena_alloc(decoder->reader.arena, 16);

	if (field == NULL && text == NULL)
		return;
	unknown->kind = SI_VALUE_STRING;
	unknown->data = field != NULL ? field->name.data : text;

	unknown->len = field != NULL ? field->name.len : (size_t) sprintf(text, "%u", item->number);
}

/* Append a field to $rest, unless the message lacks it. */
static bool
give_rest(ProtobufDecoder *decoder, const SiProtoField *field, const SiProtoValue *value)
{
	SiTextBuffer *rest = &decoder->rest;

	si_text_append_byte(rest, rest->len == 0 ? '{' : ',');
	si_text_append_string(rest, field->name.data, field->name.len);
	si_text_append_byte(rest, ':');
	return si_proto_write_field(&decoder->reader, field, value, rest);
}

/* Read a message's fields by the paths into it. */
static bool
give_message(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoValue *value)
{
	SiProtoReader *reader = &decoder->reader;
	bool		watch = decoder->tree.find_unknown &&
		si_path_tree_watches(&decoder->tree, node->paths);
	SiProtoFields fields;
	int			i;

	if (!si_proto_collect(reader, node->message, value, (void *const *) node->children,
						  watch ? note_unknown : NULL, decoder, &fields))
		return false;
	for (i = 0; i < node->message->nfields; i++)
	{
		const SiProtoNode *child = node->children[i];
		SiProtoValue found;
		bool		done = true;

		if (child == NULL)
			continue;
		if (child->field->kind == SI_PROTO_UNRESOLVED)
			return si_proto_refuse_type(reader, child->field, value->item.data);
		if (!si_proto_get(reader, &fields, child->field, &found))
			done = child->rest || give_nothing(decoder, child, false);
		else
			done = child->rest ? give_rest(decoder, child->field, &found) :
				give_value(decoder, child, &found);
		if (!done)
			return false;
	}
	si_proto_release(reader, &fields);
	return true;
}

/* Give a value to the fields at and below a node. */
static bool
give_value(ProtobufDecoder *decoder, const SiProtoNode *node, const SiProtoValue *value)
{
	if (node->message == NULL && !node->list)
		return take_scalar(decoder, node, &value->item);
	if (node->taken && !take_document(decoder, node, value))
		return false;
	if (!node->entered)
		return true;
	return node->list ? give_list(decoder, node, value) : give_message(decoder, node, value);
}

/* ---- a message ---- */

static bool
finish_rest(ProtobufDecoder *decoder)
{
	SiTextBuffer *rest = &decoder->rest;

	if (decoder->tree.rest_field < 0)
		return true;
	if (rest->len == 0)
		si_text_append_byte(rest, '{');
	si_text_append_byte(rest, '}');
	return keep_document(decoder, rest, SI_VALUE_OBJECT,
						 &decoder->record->fields[decoder->tree.rest_field]);
}

static bool
protobuf_decode(void *state, const SiMessage *message, SiArena *arena, SiRecord *record,
				SiDecodeError *error)
{
	ProtobufDecoder *decoder = state;
	SiProtoValue value;

	decoder->record = record;
	si_text_reset(&decoder->rest, si_arena_left(arena));
	si_proto_begin(&decoder->reader, message->value, arena);
	si_proto_nothing(&decoder->reader, &value);
	value.item.len = message->value_len;
	if (!give_value(decoder, decoder->root, &value) || !finish_rest(decoder))
		return si_proto_report(&decoder->reader, error);
	return true;
}

/* ---- the routine ---- */

static void
protobuf_destroy(void *state)
{
	ProtobufDecoder *decoder = state;

	si_path_tree_free(&decoder->tree);
	si_schema_cache_free(decoder->programs);
	si_proto_reader_free(&decoder->reader);
	si_text_free(&decoder->document);
	si_text_free(&decoder->rest);
	free(decoder);
}

static void *
make_program(void *state, const SiSchemaTexts *texts, SiDecodeError *error)
{
	ProtobufDecoder *decoder = state;

	return si_proto_program_make(texts, &decoder->tree, decoder->options.message, error);
}

/* Take the program of the message that the frame names. */
static bool
protobuf_select(void *state, SiFrame *frame, SiDecodeError *error)
{
	ProtobufDecoder *decoder = state;
	SiProtoProgram *program = si_schema_program(decoder->programs, &decoder->options, &frame->id,
												make_program, decoder, error);

	decoder->root = program != NULL ? si_proto_program_root(program, frame, error) : NULL;
	return decoder->root != NULL;
}

static ProtobufDecoder *
make_decoder(const SiDecodePlan *plan, const SiFormatOptions *options, bool of_key)
{
	ProtobufDecoder *decoder = calloc(1, sizeof(ProtobufDecoder));

	if (decoder == NULL)
		return NULL;
	if (options != NULL)
		decoder->options = of_key ? si_schema_key_options(options) : *options;
	decoder->programs = si_schema_cache_create(SI_SCHEMA_CACHE_MOST, si_proto_program_free);
	if (decoder->programs == NULL || !si_path_tree_build(&decoder->tree, plan, of_key))
	{
		protobuf_destroy(decoder);
		return NULL;
	}
	return decoder;
}

static void *
protobuf_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	return make_decoder(plan, options, false);
}

static void *
key_create(const SiDecodePlan *plan, const SiFormatOptions *options)
{
	return make_decoder(plan, options, true);
}

static bool
key_decode(void *state, const SiMessage *message, SiArena *arena, SiRecord *record,
		   SiDecodeError *error)
{
	ProtobufDecoder *decoder = state;

	return si_decoder_read_key(&si_decoder_protobuf, decoder, decoder->options.wire_format,
							   decoder->tree.prefix, message, arena, record, error);
}

/* Can messages be decoded by a schema of the options? */
static bool
check_schema(const SiFormatOptions *options, const SiSchemaTexts *texts, SiDecodeError *error)
{
	SiProtoProgram *program = si_proto_program_make(texts, NULL, options->message, error);
	SiFrame		frame = {.format = SI_WIRE_NONE};
	bool		done = program != NULL;

	if (done && !si_proto_frame_names(options->wire_format))
		done = si_proto_program_message(program, &frame, error) != NULL;
	si_proto_program_free(program);
	return done;
}

static bool
protobuf_check(const SiFormatOptions *options, SiDecodeError *error)
{
	return si_schema_check(options, "protobuf", check_schema, error);
}

static bool
protobuf_describe(const SiFormatOptions *options, const SiMessage *message, bool of_key,
				  SiArena *memory, SiSchemaColumns *columns, SiDecodeError *error)
{
	SiFormatOptions own = of_key ? si_schema_key_options(options) : *options;
	SiFrame		frame;
	SiProtoProgram *program = NULL;
	const SiProtoMessage *root = NULL;
	SiSchemaTexts texts;
	bool		described;

	memset(columns, 0, sizeof(SiSchemaColumns));
	if (of_key && !options->key_by_id)
		return true;
	if (si_schema_of(&own, message, of_key, &frame, &texts, error))
		program = si_proto_program_make(&texts, NULL, own.message, error);
	if (program != NULL)
		root = si_proto_program_message(program, &frame, error);
	described = root != NULL &&
		si_proto_describe(root, of_key ? SI_ENVELOPE_NONE : own.envelope, memory, columns, error);
	si_proto_program_free(program);
	return described;
}

const SiDecoderRoutine si_decoder_protobuf = {
	.format = "protobuf",
	.called = "Protobuf",
	.registry_type = "PROTOBUF",
	.options = SI_FORMAT_SCHEMA | SI_FORMAT_SCHEMAS | SI_FORMAT_WIRE | SI_FORMAT_MESSAGE |
	SI_FORMAT_DELETED | SI_FORMAT_DEBEZIUM,
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_DECODED,
	.check = protobuf_check,
	.describe = protobuf_describe,
	.find_naming = si_proto_frame_find_naming,
	.create = protobuf_create,
	.select = protobuf_select,
	.decode = protobuf_decode,
	.destroy = protobuf_destroy
};

const SiDecoderRoutine si_decoder_protobuf_key = {
	.format = "protobuf",
	.called = "Protobuf",
	.fields = SI_FIELDS_NAMED,
	.value = SI_WHOLE_DECODED,
	.create = key_create,
	.destroy = protobuf_destroy,
	.decode_key = key_decode
};
