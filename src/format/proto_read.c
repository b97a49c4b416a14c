/*-------------------------------------------------------------------------
 *
 * proto_read.c
 *	  Protobuf's wire format, checked: tags, values, and what values mean.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/proto_read.h"

#define KEPT_PARTS	20000
#define KEPT_SLOTS	20000

/* ---- a message ---- */

/* Stacks that one odd message has made large must not cost for ever. */
static void
drop_large_stacks(SiProtoReader *reader)
{
	if (reader->parts_room > KEPT_PARTS)
	{
		free(reader->parts);
		reader->parts = NULL;
		reader->parts_room = 0;
	}
	if (reader->slots_room > KEPT_SLOTS)
	{
		free(reader->slots);
		reader->slots = NULL;
		reader->slots_room = 0;
	}
}

void
si_proto_begin(SiProtoReader *reader, const char *data, SiArena *arena)
{
	drop_large_stacks(reader);
	reader->arena = arena;
	reader->start = data;
	reader->depth = 0;
	reader->fault = SI_PROTO_NO_FAULT;
	reader->fault_field = NULL;
	reader->nparts = 0;
	reader->nslots = 0;
}

void
si_proto_reader_free(SiProtoReader *reader)
{
	free(reader->parts);
	free(reader->slots);
}

const char *
si_proto_fault(SiProtoReader *reader, const char *p, SiProtoFault fault)
{
	reader->fault = fault;
	reader->fault_pos = p;
	return NULL;
}

bool
si_proto_refuse_type(SiProtoReader *reader, const SiProtoField *field, const char *p)
{
	reader->fault_field = field;
	return si_proto_fault(reader, p, SI_PROTO_UNKNOWN_TYPE) != NULL;
}

bool
si_proto_report(const SiProtoReader *reader, SiDecodeError *error)
{
	static const struct
	{
		const char *sqlstate;
		const char *words;
	}			faults[] = {
		[SI_PROTO_NO_FAULT] = {"XX000", "nothing is wrong"},
		[SI_PROTO_TRUNCATED] = {"22P03", "the message ends too early"},
		[SI_PROTO_LONG_NUMBER] = {"22P03", "a number has too many bytes"},
		[SI_PROTO_BAD_TAG] = {"22P03", "there is no such tag"},
		[SI_PROTO_WIRE_TYPE] = {"22P03", "a field has another wire type than the schema gives it"},
		[SI_PROTO_BAD_GROUP] = {"22P03", "a group has no end"},
		[SI_PROTO_BAD_UTF8] = {"22021", "a string is not valid UTF-8"},
		[SI_PROTO_TIME_RANGE] = {"22008", "a time is out of range"},
		[SI_PROTO_BAD_SCALE] = {"22003", "a decimal's scale is out of range"},
		[SI_PROTO_LARGE_DECIMAL] = {"54000", "a decimal has too many bytes"},
		[SI_PROTO_TOO_MANY] = {"54000", "there are too many elements or fields"},
		[SI_PROTO_TOO_DEEP] = {"54001", "values are nested too deeply"},
		[SI_PROTO_LARGE_DOCUMENT] = {"54000", "a value is too large as a document"},
		[SI_PROTO_UNKNOWN_TYPE] = {"42P17", "the schema lacks the type of a field"},
	};

	if (reader->fault == SI_PROTO_NO_MEMORY)
		return si_decoder_fail(error, "53200", "out of memory");
	si_decoder_fail(error, faults[reader->fault].sqlstate, "invalid Protobuf at byte %zu: %s",
					(size_t) (reader->fault_pos - reader->start) + 1, faults[reader->fault].words);
	if (reader->fault_field != NULL)
		snprintf(error->detail, sizeof(error->detail), "The field is \"%.*s\".",
				 reader->fault_field->name.len < 200 ? (int) reader->fault_field->name.len : 200,
				 reader->fault_field->name.data);
	return false;
}

/* ---- the wire ---- */

/* A number of several bytes, seven bits each, the lowest first. */
static const char *
read_long_varint(SiProtoReader *reader, const char *p, const char *end, uint64_t *value)
{
	const char *begin = p;
	uint64_t	result = 0;
	int			shift;

	/*
	 * the tenth has a single bit left to fill: writers fill it with their
	 * sign
	 */
	for (shift = 0; shift < 70; shift += 7)
	{
		uint64_t	byte;

		if (p >= end)
			return si_proto_fault(reader, begin, SI_PROTO_TRUNCATED);
		byte = (unsigned char) *p++;
		result |= (byte & 0x7F) << shift;
		if (byte < 0x80)
		{
			*value = result;
			return p;
		}
	}
	return si_proto_fault(reader, begin, SI_PROTO_LONG_NUMBER);
}

static inline const char *
read_varint(SiProtoReader *reader, const char *p, const char *end, uint64_t *value)
{
	if (p < end && (unsigned char) *p < 0x80)
	{
		*value = (unsigned char) *p;
		return p + 1;
	}
	return read_long_varint(reader, p, end, value);
}

static inline const char *
read_fixed(SiProtoReader *reader, const char *p, const char *end, int n, uint64_t *value)
{
	int			i;

	if (end - p < n)
		return si_proto_fault(reader, p, SI_PROTO_TRUNCATED);
	*value = 0;
	for (i = n - 1; i >= 0; i--)
		*value = *value << 8 | (unsigned char) p[i];
	return p + n;
}

/* Find the end of a group, which may have groups within. */
static const char *
read_group(SiProtoReader *reader, const char *p, const char *end, SiProtoItem *group)
{
	const char *begin = p;
	SiProtoItem item;

	if (++reader->depth > SI_PROTO_MAX_DEPTH)
		return si_proto_fault(reader, p, SI_PROTO_TOO_DEEP);
	for (;;)
	{
		const char *tag = p;

		if (p >= end)
			return si_proto_fault(reader, begin, SI_PROTO_BAD_GROUP);
		p = si_proto_read_item(reader, p, end, &item);
		if (p == NULL)
			return NULL;
		if (item.wire != SI_WIRE_END)
			continue;
		if (item.number != group->number)
			return si_proto_fault(reader, tag, SI_PROTO_BAD_GROUP);
		group->data = begin;
		group->len = (size_t) (tag - begin);
		reader->depth--;
		return p;
	}
}

/* Read a value of the item's wire type. */
static inline const char *
read_wire(SiProtoReader *reader, const char *p, const char *end, SiProtoItem *item)
{
	const char *begin = p;

	switch (item->wire)
	{
		case SI_WIRE_VARINT:
			item->data = p;
			return read_varint(reader, p, end, &item->bits);
		case SI_WIRE_64:
			item->data = p;
			return read_fixed(reader, p, end, 8, &item->bits);
		case SI_WIRE_BYTES:
			p = read_varint(reader, p, end, &item->bits);
			if (p == NULL)
				return NULL;
			if (item->bits > (uint64_t) (end - p))
				return si_proto_fault(reader, begin, SI_PROTO_TRUNCATED);
			item->data = p;
			item->len = (size_t) item->bits;
			return p + item->len;
		case SI_WIRE_GROUP:
			return read_group(reader, p, end, item);
		case SI_WIRE_32:
			item->data = p;
			return read_fixed(reader, p, end, 4, &item->bits);
		default:
			return p;			/* the end of a group has no value */
	}
}

const char *
si_proto_read_item(SiProtoReader *reader, const char *p, const char *end, SiProtoItem *item)
{
	const char *begin = p;
	uint64_t	tag;

	p = read_varint(reader, p, end, &tag);
	if (p == NULL)
		return NULL;
	if (tag > UINT32_MAX || tag < 8 || (tag & 7) > SI_WIRE_32)
		return si_proto_fault(reader, begin, SI_PROTO_BAD_TAG);
	item->number = (uint32_t) tag >> 3;
	item->wire = (int) (tag & 7);
	return read_wire(reader, p, end, item);
}

/* Which wire type a field's values have, packed ones aside. */
static inline int
wire_of(SiProtoKind kind)
{
	static const signed char wires[SI_PROTO_NKINDS] = {
		[SI_PROTO_UNRESOLVED] = -1,
		[SI_PROTO_DOUBLE] = SI_WIRE_64,
		[SI_PROTO_FLOAT] = SI_WIRE_32,
		[SI_PROTO_INT64] = SI_WIRE_VARINT,
		[SI_PROTO_UINT64] = SI_WIRE_VARINT,
		[SI_PROTO_INT32] = SI_WIRE_VARINT,
		[SI_PROTO_FIXED64] = SI_WIRE_64,
		[SI_PROTO_FIXED32] = SI_WIRE_32,
		[SI_PROTO_BOOL] = SI_WIRE_VARINT,
		[SI_PROTO_STRING] = SI_WIRE_BYTES,
		[SI_PROTO_GROUP] = SI_WIRE_GROUP,
		[SI_PROTO_MESSAGE] = SI_WIRE_BYTES,
		[SI_PROTO_BYTES] = SI_WIRE_BYTES,
		[SI_PROTO_UINT32] = SI_WIRE_VARINT,
		[SI_PROTO_ENUM] = SI_WIRE_VARINT,
		[SI_PROTO_SFIXED32] = SI_WIRE_32,
		[SI_PROTO_SFIXED64] = SI_WIRE_64,
		[SI_PROTO_SINT32] = SI_WIRE_VARINT,
		[SI_PROTO_SINT64] = SI_WIRE_VARINT
	};

	return wires[kind];
}

bool
si_proto_is_packed(const SiProtoField *field, const SiProtoItem *item)
{
	return item->wire == SI_WIRE_BYTES && field->repeated &&
		wire_of(field->kind) != SI_WIRE_BYTES && wire_of(field->kind) != SI_WIRE_GROUP;
}

const char *
si_proto_read_packed(SiProtoReader *reader, const SiProtoField *field, const char *p,
					 const char *end, SiProtoItem *item)
{
	item->number = (uint32_t) field->number;
	item->wire = wire_of(field->kind);
	return read_wire(reader, p, end, item);
}

/* ---- collecting a message ---- */

/* Make room for so many more slots; new memory is zeroed, as no serial is. */
static bool
reserve_slots(SiProtoReader *reader, int n, const char *p)
{
	int			room = reader->slots_room > 0 ? reader->slots_room : 64;
	SiProtoValue *larger;

	if (n > SI_PROTO_MAX_SLOTS - reader->nslots)
		return si_proto_fault(reader, p, SI_PROTO_TOO_MANY) != NULL;
	while (room < reader->nslots + n)
		room *= 2;
	if (room == reader->slots_room)
		return true;
	larger = realloc(reader->slots, (size_t) room * sizeof(SiProtoValue));
	if (larger == NULL)
		return si_proto_fault(reader, p, SI_PROTO_NO_MEMORY) != NULL;
	memset(larger + reader->slots_room, 0,
		   (size_t) (room - reader->slots_room) * sizeof(SiProtoValue));
	reader->slots = larger;
	reader->slots_room = room;
	return true;
}

static bool
append_part(SiProtoReader *reader, SiProtoValue *slot, const SiProtoItem *item)
{
	SiProtoPart *part;

	if (reader->nparts == reader->parts_room)
	{
		int			room = reader->parts_room > 0 ? reader->parts_room * 2 : 64;

		if (reader->nparts >= SI_PROTO_MAX_PARTS)
			return si_proto_fault(reader, item->data, SI_PROTO_TOO_MANY) != NULL;
		part = realloc(reader->parts, (size_t) room * sizeof(SiProtoPart));
		if (part == NULL)
			return si_proto_fault(reader, item->data, SI_PROTO_NO_MEMORY) != NULL;
		reader->parts = part;
		reader->parts_room = room;
	}
	part = &reader->parts[reader->nparts];
	part->item = *item;
	part->next = -1;
	if (slot->first >= 0)
		reader->parts[slot->last].next = reader->nparts;
	else
		slot->first = reader->nparts;
	slot->last = reader->nparts++;
	return true;
}

/*
 * A field of a oneof came: the one that came before is no more.  A slot behind
 * those of the fields has, as its list, the number of the one that counts.
 */
static inline void
set_oneof(SiProtoReader *reader, const SiProtoFields *fields, const SiProtoField *field)
{
	SiProtoValue *slots = &reader->slots[fields->mark.nslots];
	SiProtoValue *oneof = &slots[fields->type->nfields + field->oneof];

	if (oneof->serial == fields->serial && oneof->first != field->order)
		slots[oneof->first].serial = 0;
	oneof->serial = fields->serial;
	oneof->first = field->order;
}

/* Take account of an item; false with the fault set. */
static inline bool
keep_item(SiProtoReader *reader, const SiProtoFields *fields, const SiProtoField *field,
		  const SiProtoItem *item)
{
	SiProtoValue *slot = &reader->slots[fields->mark.nslots + field->order];
	bool		again = slot->serial == fields->serial;
	bool		listed = field->repeated || field->kind == SI_PROTO_MESSAGE ||
		field->kind == SI_PROTO_GROUP;

	if (!again)
	{
		slot->serial = fields->serial;
		slot->first = -1;
	}
	/* of what is no list, a list is begun by the second */
	if (listed && again && slot->first < 0)
	{
		if (!append_part(reader, slot, &slot->item))
			return false;
	}
	slot->item = *item;
	return !listed || !again || append_part(reader, slot, item);
}

/* What a scan of a message's parts needs. */
typedef struct Scan
{
	SiProtoFields *fields;
	void	   *const *takers;
	SiProtoUnclaimed unclaimed;
	void	   *context;
} Scan;

static bool
scan_part(SiProtoReader *reader, const Scan *scan, const SiProtoItem *part)
{
	const char *p = part->data;
	const char *end = part->data + part->len;
	SiProtoItem item;

	memset(&item, 0, sizeof(item));
	while (p < end)
	{
		const char *begin = p;
		const SiProtoField *field;

		p = si_proto_read_item(reader, p, end, &item);
		if (p == NULL)
			return false;
		if (item.wire == SI_WIRE_END)
			return si_proto_fault(reader, begin, SI_PROTO_BAD_GROUP) != NULL;

		/*
		 * what is in a group is read again where it is entered, and so at
		 * every depth
		 */
		if (item.wire == SI_WIRE_GROUP && !si_arena_work(reader->arena, item.len))
			return si_proto_fault(reader, begin, SI_PROTO_NO_MEMORY) != NULL;
		field = si_proto_find_field(scan->fields->type, item.number);
		if (field != NULL && item.wire != wire_of(field->kind) &&
			field->kind != SI_PROTO_UNRESOLVED && !si_proto_is_packed(field, &item))
		{
			reader->fault_field = field;
			return si_proto_fault(reader, begin, SI_PROTO_WIRE_TYPE) != NULL;
		}
		if (field != NULL && field->oneof >= 0)
			set_oneof(reader, scan->fields, field);
		if (field != NULL && (scan->takers == NULL || scan->takers[field->order] != NULL))
		{
			if (!keep_item(reader, scan->fields, field, &item))
				return false;
		}
		else if (scan->unclaimed != NULL)
			scan->unclaimed(scan->context, field, &item);
	}
	return true;
}

bool
si_proto_collect(SiProtoReader *reader, const SiProtoMessage *type, const SiProtoValue *value,
				 void *const *takers, SiProtoUnclaimed unclaimed, void *context,
				 SiProtoFields *fields)
{
	Scan		scan = {fields, takers, unclaimed, context};
	int			i;

	fields->type = type;
	fields->mark.nparts = reader->nparts;
	fields->mark.nslots = reader->nslots;
	fields->serial = ++reader->serial;
	if (++reader->depth > SI_PROTO_MAX_DEPTH)
		return si_proto_fault(reader, value->item.data, SI_PROTO_TOO_DEEP) != NULL;

	/*
	 * the caller looks at all fields of the type, even if the message is
	 * empty
	 */
	if (!si_arena_work(reader->arena, (uint64_t) type->nfields))
		return si_proto_fault(reader, value->item.data, SI_PROTO_NO_MEMORY) != NULL;
	if (!reserve_slots(reader, type->nfields + type->noneofs, value->item.data))
		return false;
	reader->nslots += type->nfields + type->noneofs;
	if (value->first < 0)
		return scan_part(reader, &scan, &value->item);
	for (i = value->first; i >= 0; i = reader->parts[i].next)
	{
		SiProtoItem part = reader->parts[i].item;

		if (!scan_part(reader, &scan, &part))
			return false;
	}
	return true;
}

void
si_proto_release(SiProtoReader *reader, const SiProtoFields *fields)
{
	reader->depth--;
	reader->nparts = fields->mark.nparts;
	reader->nslots = fields->mark.nslots;
}

void
si_proto_single(const SiProtoItem *item, SiProtoValue *value)
{
	value->serial = 0;
	value->item = *item;
	value->first = -1;
	value->last = -1;
}

void
si_proto_nothing(const SiProtoReader *reader, SiProtoValue *value)
{
	memset(value, 0, sizeof(SiProtoValue));
	value->item.data = reader->start;
	value->first = -1;
	value->last = -1;
}
