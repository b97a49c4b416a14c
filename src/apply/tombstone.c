/*-------------------------------------------------------------------------
 *
 * tombstone.c
 *	  Tombstones, and change events that delete, to keys.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "apply/tombstone.h"
#include "format/json_scan.h"
#include "format/transcode.h"

struct SiTombstone
{
	MemoryContextCallback callback;
	const SiKey *key;
	const SiMapping *of_batch;
	int			nwords;			/* of absent bits */
	int			ncolumns;		/* of the batch's mapping */
	SiMapping	mapping;		/* the key's columns alone */
	SiConverter *converter;
	SiTranscoder *transcoder;	/* NULL where keys are UTF-8 */
	SiDecoder  *members;		/* a key that is an object */
	SiDecoder  *whole;			/* a key that is a JSON string; NULL where no
								 * plain key can be taken */
	SiDecodePlan whole_plan;
	SiWantedField whole_field;
	Datum	   *values;
	bool	   *nulls;
};

static void release_decoders(void *arg);
static void set_source(SiTombstone *tombstone, int i, const SiMapping *mapping,
					   const SiColumn *column);
static SiDecoder *make_decoder(const char *format, const SiDecodePlan *plan,
							   const SiFormatOptions *values);
static bool convert_record(SiTombstone *tombstone, const SiMessage *message,
						   const SiRecord *record, Datum *values, bool *nulls,
						   SiFailure *failure);
static bool decode_key(SiTombstone *tombstone, const SiMessage *message, SiArena *arena,
					   SiRecord *record, SiFailure *failure);
static bool decode_with(SiTombstone *tombstone, SiDecoder *decoder, const SiDecodePlan *plan,
						const SiMessage *message, SiArena *arena, SiRecord *record,
						SiDecodeError *error);
static bool take_plain_key(SiTombstone *tombstone, const SiMessage *message, SiArena *arena,
						   SiRecord *record);
static bool fail(SiFailure *failure, int sqlerrcode, const char *message);

SiTombstone *
si_tombstone_create(const SiMapping *mapping, const SiKey *key, const char *format,
					const SiFormatOptions *options, const char *topic)
{
	SiTombstone *tombstone = palloc0(sizeof(SiTombstone));
	int			n = key->ncolumns;

	tombstone->callback.func = release_decoders;
	tombstone->callback.arg = tombstone;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &tombstone->callback);
	tombstone->key = key;
	tombstone->of_batch = mapping;
	tombstone->nwords = SI_MAPPING_ABSENT_WORDS(mapping);
	tombstone->ncolumns = mapping->ncolumns;
	tombstone->values = palloc0(sizeof(Datum) * n);
	tombstone->nulls = palloc0(sizeof(bool) * n);

	tombstone->mapping.columns = palloc0(sizeof(SiColumn) * n);
	tombstone->mapping.decode.fields = palloc0(sizeof(SiWantedField) * n);
	tombstone->mapping.decode.rest_field = -1;
	tombstone->mapping.decode.key_format = mapping->decode.key_format;
	tombstone->mapping.missing_fields = SI_MISSING_NULL;
	tombstone->mapping.epoch_unit = mapping->epoch_unit;
	tombstone->mapping.encoding = mapping->encoding;
	tombstone->mapping.change_events = mapping->change_events;
	tombstone->mapping.bare_integers = mapping->bare_integers;
	tombstone->mapping.binary_text = mapping->binary_text;
	tombstone->mapping.extended_json = mapping->extended_json;
	tombstone->mapping.decode.match_names = mapping->decode.match_names;
	tombstone->transcoder = si_transcode_create(mapping->encoding);
	for (int i = 0; i < n; i++)
		set_source(tombstone, i, mapping, &mapping->columns[key->columns[i].column]);

	tombstone->converter = si_convert_create(&tombstone->mapping, topic);
	tombstone->members = make_decoder(format, &tombstone->mapping.decode, options);
	if (tombstone->whole_plan.nfields > 0)
		tombstone->whole = make_decoder(format, &tombstone->whole_plan, options);
	return tombstone;
}

/* Decide where a column of the key comes from. */
static void
set_source(SiTombstone *tombstone, int i, const SiMapping *mapping, const SiColumn *column)
{
	SiMapping  *own = &tombstone->mapping;
	SiColumn   *copy = &own->columns[i];
	SiWantedField *wanted = (SiWantedField *) &own->decode.fields[own->decode.nfields];
	SiPathStep *step;

	*copy = *column;
	copy->absent_bit = -1;
	own->ncolumns++;
	if (column->source == SI_SOURCE_RECORD)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of the key cannot take \"$record\" where tombstones delete",
						column->name),
				 errdetail("A tombstone has no records."),
				 errhint("Set the option \"tombstones\" to \"ignore\" or \"error\".")));
	if (column->source != SI_SOURCE_FIELD && column->source != SI_SOURCE_VALUE)
	{
		own->wants_headers |= column->source == SI_SOURCE_HEADER;
		return;
	}

	copy->source = SI_SOURCE_FIELD;
	copy->field = own->decode.nfields++;
	if (column->source == SI_SOURCE_FIELD && column->field != mapping->decode.rest_field &&
		mapping->decode.fields[column->field].of_key)
	{
		*wanted = mapping->decode.fields[column->field];
		return;
	}
	wanted->of_key = true;
	if (!SI_KEY_HAS_FIELDS(own->decode.key_format) && tombstone->key->ncolumns == 1)
		return;
	step = palloc0(sizeof(SiPathStep));
	step->key = pg_server_to_any(column->name, strlen(column->name), PG_UTF8);
	step->key_len = strlen(step->key);
	wanted->nsteps = 1;
	wanted->steps = step;
	wanted->own_name = true;
	if (tombstone->key->ncolumns == 1)
	{
		tombstone->whole_field.of_key = true;
		tombstone->whole_plan.nfields = 1;
		tombstone->whole_plan.fields = &tombstone->whole_field;
		tombstone->whole_plan.rest_field = -1;
		tombstone->whole_plan.key_format = own->decode.key_format;
	}
}

/* A decoder of keys, which needs of the options only where their schemas are. */
static SiDecoder *
make_decoder(const char *format, const SiDecodePlan *plan, const SiFormatOptions *values)
{
	SiFormatOptions options = {
		.wire_format = values->wire_format,
		.envelope = values->envelope,
		.nschemas = values->nschemas,
		.schemas = values->schemas,
		.store = values->store,
		.key_by_id = values->key_by_id
	};
	SiDecoder  *decoder = si_decoder_create(format, plan, &options);

	if (decoder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return decoder;
}

bool
si_tombstone_convert(SiTombstone *tombstone, const SiMessage *message, SiArena *arena,
					 Datum *values, bool *nulls, SiFailure *failure)
{
	SiRecord	record;

	if (message->key == NULL)
		return fail(failure, ERRCODE_NULL_VALUE_NOT_ALLOWED,
					"a tombstone without a key deletes nothing");
	if (!decode_key(tombstone, message, arena, &record, failure))
		return false;
	for (int i = 0; i < tombstone->mapping.ncolumns; i++)
	{
		const SiColumn *column = &tombstone->mapping.columns[i];

		if (column->source != SI_SOURCE_FIELD ||
			record.fields[column->field].kind != SI_VALUE_ABSENT)
			continue;
		failure->column = pstrdup(column->name);
		return fail(failure, ERRCODE_SQL_JSON_MEMBER_NOT_FOUND,
					psprintf("the tombstone's key has nothing for column \"%s\"", column->name));
	}
	return convert_record(tombstone, message, &record, values, nulls, failure);
}

bool
si_tombstone_convert_event(SiTombstone *tombstone, const SiMessage *message,
						   const SiRecord *record, SiArena *arena, Datum *values, bool *nulls,
						   SiFailure *failure)
{
	SiRecord	own = *record;
	SiMessage	key_alone = *message;

	/* the decoders of keys do not know the schema of values */
	key_alone.value = NULL;
	key_alone.value_len = 0;
	own.nfields = tombstone->mapping.decode.nfields;
	own.fields = palloc0(sizeof(SiValue) * Max(own.nfields, 1));
	for (int i = 0; i < tombstone->mapping.ncolumns; i++)
	{
		const SiColumn *column = &tombstone->mapping.columns[i];
		const SiColumn *given = &tombstone->of_batch->columns[tombstone->key->columns[i].column];
		const SiValue *value;

		if (column->source != SI_SOURCE_FIELD)
			continue;
		value = given->source == SI_SOURCE_FIELD ? &record->fields[given->field] : NULL;
		if (value == NULL || value->kind == SI_VALUE_ABSENT || value->kind == SI_VALUE_NULL)
		{
			if (message->key == NULL)
				return fail(failure, ERRCODE_NOT_NULL_VIOLATION,
							"a delete has neither the key of its row nor a message key");
			return si_tombstone_convert(tombstone, &key_alone, arena, values, nulls, failure);
		}
		own.fields[column->field] = *value;
	}
	return convert_record(tombstone, message, &own, values, nulls, failure);
}

/* Make the row of a record of the key's columns. */
static bool
convert_record(SiTombstone *tombstone, const SiMessage *message, const SiRecord *record,
			   Datum *values, bool *nulls, SiFailure *failure)
{
	int			n = tombstone->ncolumns + tombstone->nwords;

	if (!si_convert_row(tombstone->converter, message, record, tombstone->values,
						tombstone->nulls, failure))
		return false;

	for (int i = 0; i < n; i++)
	{
		values[i] = (Datum) 0;
		nulls[i] = i < tombstone->ncolumns;
	}
	for (int i = 0; i < tombstone->key->ncolumns; i++)
	{
		values[tombstone->key->columns[i].column] = tombstone->values[i];
		nulls[tombstone->key->columns[i].column] = tombstone->nulls[i];
	}
	return true;
}

/* Fill a record with the fields of a message's key. */
static bool
decode_key(SiTombstone *tombstone, const SiMessage *message, SiArena *arena, SiRecord *record,
		   SiFailure *failure)
{
	bool		by_id = SI_KEY_BY_ID(tombstone->mapping.decode.key_format);
	SiDecodeError error;

	if (tombstone->whole != NULL && !by_id && take_plain_key(tombstone, message, arena, record))
		return true;
	if (decode_with(tombstone, tombstone->members, &tombstone->mapping.decode, message, arena,
					record, &error))
		return true;

	/* a key by its schema that is no record is the value of the only column */
	if (tombstone->whole != NULL && by_id && strcmp(error.sqlstate, "22023") == 0 &&
		decode_with(tombstone, tombstone->whole, &tombstone->whole_plan, message, arena, record,
					&error))
		return true;
	*failure = *si_failure_from_decode(&error);
	return false;
}

/* Decode a message's key, which becomes UTF-8 first. */
static bool
decode_with(SiTombstone *tombstone, SiDecoder *decoder, const SiDecodePlan *plan,
			const SiMessage *message, SiArena *arena, SiRecord *record, SiDecodeError *error)
{
	SiMessage	utf8;

	if (tombstone->transcoder != NULL)
	{
		if (!si_transcode_message(tombstone->transcoder, plan, message, arena, &utf8, error))
			return false;
		message = &utf8;
	}
	return si_decoder_decode(decoder, message, arena, record, error);
}

/*
 * Take a key that is no JSON object: a JSON string without its quotes and
 * escapes, anything else as it is written.  False if it is an object.
 */
static bool
take_plain_key(SiTombstone *tombstone, const SiMessage *message, SiArena *arena,
			   SiRecord *record)
{
	size_t		begin = 0;
	SiDecodeError error;

	/* the decoder skips it, too; a key that is no JSON stays as it is */
	if (tombstone->transcoder == NULL)
		begin = si_json_byte_order_mark(message->key, message->key_len);

	while (begin < message->key_len && strchr(" \t\r\n", message->key[begin]) != NULL &&
		   message->key[begin] != '\0')
		begin++;
	if (begin < message->key_len && message->key[begin] == '{')
		return false;
	if (begin < message->key_len && message->key[begin] == '"')
	{
		if (decode_with(tombstone, tombstone->whole, &tombstone->whole_plan, message, arena,
						record, &error))
			return true;
		si_failure_check_decode(&error);
	}

	record->op = SI_OP_DELETE;
	record->nfields = 1;
	record->any_field = true;
	record->fields = si_arena_alloc(arena, sizeof(SiValue));
	if (record->fields == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	memset(&record->unknown, 0, sizeof(SiValue));
	record->fields[0].kind = SI_VALUE_BYTES;
	record->fields[0].data = message->key;
	record->fields[0].len = message->key_len;
	return true;
}

static bool
fail(SiFailure *failure, int sqlerrcode, const char *message)
{
	failure->sqlerrcode = sqlerrcode;
	failure->message = (char *) message;
	failure->safe = true;
	return false;
}

const SiColumn *
si_tombstone_column(const SiTombstone *tombstone)
{
	return si_convert_column(tombstone->converter);
}

void
si_tombstone_recover(SiTombstone *tombstone)
{
	si_convert_recover(tombstone->converter);
}

static void
release_decoders(void *arg)
{
	SiTombstone *tombstone = arg;

	if (tombstone->whole != NULL)
		si_decoder_destroy(tombstone->whole);
	if (tombstone->members != NULL)
		si_decoder_destroy(tombstone->members);
}
