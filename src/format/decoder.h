/*-------------------------------------------------------------------------
 *
 * decoder.h
 *	  Bytes to records: the interface that every format implements.
 *
 * Decoders are pure: no palloc, no ereport, no global state; what they need
 * beyond the message comes from the batch's arena.  A bad message is a return
 * value.  So they run under a fuzzer as a plain library, and could run beside
 * the worker's main thread.  Called by apply (through si_decoder_decode) and
 * by the SQL function decode().
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DECODER_H
#define SI_DECODER_H

#include <string.h>

#include "common/message.h"
#include "common/record.h"
#include "format/json_scan.h"
#include "format/key_format.h"
#include "format/schema_id.h"

/* ---- arena: memory that lives as long as a batch ---- */

typedef struct SiArena SiArena;

/* NULL when out of memory. */
extern SiArena *si_arena_create(void);

/* NULL when out of memory; aligned for any type. */
extern void *si_arena_alloc(SiArena *arena, size_t size);

/* How many bytes are allocated, with those lost at the ends of chunks. */
extern size_t si_arena_used(const SiArena *arena);

/* How many more may be: while a message is decoded they are limited. */
extern size_t si_arena_left(const SiArena *arena);

/*
 * Take account of work on a message that can be far more than its size says, in steps of
 * a few nanoseconds.  False, as where memory is out, when there have been too many.
 */
extern bool si_arena_work(SiArena *arena, uint64_t steps);

/* Forget all allocations, keep the memory for the next batch. */
extern void si_arena_reset(SiArena *arena);
extern void si_arena_destroy(SiArena *arena);

/* ---- what is wanted from each message ---- */

/* One step of a path: into a member (key not NULL) or an array's element. */
typedef struct SiPathStep
{
	const char *key;
	size_t		key_len;
	int			index;			/* from 0; used where key is NULL */
} SiPathStep;

/* What the steps of a wanted field begin at, where messages are change events. */
typedef enum SiFieldPart
{
	SI_PART_ROW,				/* the row: the new one, or the one deleted */
	SI_PART_OLD_ROW,
	SI_PART_MESSAGE
} SiFieldPart;

/* The index of a step into a string that holds JSON; only json_inner has it. */
#define SI_STEP_JSON	(-2)

/* Which names of fields mean a column that takes the field of its own name. */
typedef enum SiMatchNames
{
	SI_MATCH_EXACT,
	SI_MATCH_IGNORE_CASE,
	SI_MATCH_SNAKE_CASE
} SiMatchNames;

/* A value that a column takes; no steps means the whole decoded value. */
typedef struct SiWantedField
{
	bool		of_key;			/* look into the message's key, not its value */
	int			nsteps;
	const SiPathStep *steps;
	bool		as_json;		/* its taker reads JSON: a string with \u0000,
								 * which no text can hold, is handed over as
								 * it is written (SI_VALUE_WRITTEN) */
	SiFieldPart part;			/* used by envelope alone */
	bool		own_name;		/* the only step is the column's own name,
								 * which the plan's match_names is for */
	bool		is_entered;		/* set by json_inner: a string that it looks
								 * into */
} SiWantedField;

/* How many steps of a path come before the first one into a string. */
static inline int
si_path_outer_steps(const SiWantedField *path)
{
	int			n = 0;

	while (n < path->nsteps &&
		   (path->steps[n].key != NULL || path->steps[n].index != SI_STEP_JSON))
		n++;
	return n;
}

typedef struct SiDecodePlan
{
	int			nfields;
	const SiWantedField *fields;
	int			rest_field;		/* field that takes "$rest", or -1; its entry
								 * in fields has no steps and is not looked at */
	bool		find_unknown;	/* report a top-level field that no column
								 * takes */
	SiKeyFormat key_format;		/* of the fields that look into the key */
	int			nrow;			/* where the fields are that "$rest" and */
	const SiPathStep *row;		/* find_unknown look at: none, at the top */
	SiMatchNames match_names;	/* of fields with own_name, which are there */
	bool		of_event;		/* the message's members are parts of a change
								 * event: what is below one that is not there
								 * is ABSENT in every format */
	int			nown;			/* the last so many fields are the envelope's
								 * own, and no column's */
} SiDecodePlan;

/* What a message is, beside its row. */
typedef enum SiEnvelopeKind
{
	SI_ENVELOPE_NONE,
	SI_ENVELOPE_DEBEZIUM,
	SI_ENVELOPE_CONNECT,
	SI_ENVELOPE_MAXWELL,
	SI_ENVELOPE_GOLDENGATE
} SiEnvelopeKind;

/* A schema of the messages that name it by this id. */
typedef struct SiGivenSchema
{
	SiSchemaId	id;
	const char *text;
} SiGivenSchema;

/* Those that a registry has given; see schema_store.h. */
typedef struct SiSchemaStore SiSchemaStore;

/* What columns a table of messages has; see schema_columns.h. */
typedef struct SiSchemaColumns SiSchemaColumns;

/* So many records may a message have; more are an error. */
#define SI_MAX_RECORDS	1000000

/* Where the records of a message are that holds several. */
typedef struct SiRecordsPath
{
	bool		lines;			/* JSON documents one after the other */
	int			nsteps;			/* else these lead to an array of records;
								 * none: it is the whole value */
	const SiPathStep *steps;
} SiRecordsPath;

/*
 * Settings of the formats; a format ignores what is not its own.  Zero and
 * NULL are what COPY has by default.  Texts are UTF-8.
 */
typedef struct SiFormatOptions
{
	char		delimiter;
	char		quote;
	char		escape;
	const char *null_text;

	/*
	 * csv, text: names of the columns, in order.  raw: the name of the field
	 * that the value is, if there is one.  None: csv and text take as many
	 * columns as a message has, and name them column1 and so on.
	 */
	int			ncolumns;
	const char *const *columns;

	SiWireFormat wire_format;
	const char *schema;			/* avro, protobuf: of all messages; NULL for
								 * none */
	const char *message;		/* protobuf: full name of the message, or NULL */
	int			nschemas;		/* of messages by their ids */
	const SiGivenSchema *schemas;
	SiSchemaStore *store;		/* where other ids are; NULL for nowhere */
	bool		key_by_id;		/* keys name their schemas, too */
	const SiRecordsPath *records;	/* NULL: a message is one record */

	SiEnvelopeKind envelope;
	bool		ignore_truncate;
	const char *unavailable;	/* stands for a value that the event lacks */
	const char *unavailable_uuid;	/* its name-based UUID, NULL for none */
	int			ndeleted;		/* steps of "deleted_field" in the row */
	const SiPathStep *deleted;
	bool		old_rows;		/* are those of updates wanted, where an
								 * update may change its row's key? */
	const bool *old_needed;		/* by field: is it of that key?  Others of an
								 * old row are absent where they are wrong;
								 * NULL: all are */
} SiFormatOptions;

/* Does an error tell nothing of the message? */
static inline bool
si_decode_error_is_memory(const SiDecodeError *error)
{
	return strcmp(error->sqlstate, "53200") == 0;
}

/*
 * Fill in *error, with an empty detail, and return false.  The format's
 * arguments must not hold payload.
 */
extern bool si_decoder_fail(SiDecodeError *error, const char *sqlstate,
							const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* ---- a format ---- */

/* Options of a subscription that go with some formats only, as bits. */
#define SI_FORMAT_DELIMITER		0x01	/* also "null" */
#define SI_FORMAT_QUOTE			0x02	/* also "escape" */
#define SI_FORMAT_COLUMNS		0x04	/* "header_columns" */
#define SI_FORMAT_ENCODING		0x08
#define SI_FORMAT_SCHEMA		0x10
#define SI_FORMAT_MESSAGE		0x20
#define SI_FORMAT_WIRE			0x40	/* "wire_format" */
#define SI_FORMAT_SCHEMAS		0x80
#define SI_FORMAT_RECORDS		0x100
#define SI_FORMAT_DELETED		0x200	/* "deleted_field" */
#define SI_FORMAT_DEBEZIUM		0x400
#define SI_FORMAT_CONNECT		0x800	/* and the envelopes behind it */

/* Which fields a message has, and where their names come from. */
typedef enum SiFormatFields
{
	SI_FIELDS_NAMED,			/* the message names its fields */
	SI_FIELDS_IN_ORDER,			/* the option "header_columns" or the
								 * destination names them */
	SI_FIELDS_IN_ORDER_OR_ONE,	/* so, but where there is a single one, it is
								 * the value as it came */
	SI_FIELDS_ONE				/* the value as it came is the only field */
} SiFormatFields;

/* What the value as a whole ("$value") is. */
typedef enum SiFormatValue
{
	SI_WHOLE_JSON,
	SI_WHOLE_TEXT,
	SI_WHOLE_BYTES,
	SI_WHOLE_DECODED			/* no text: the decoder makes JSON of it, and
								 * only bytea takes it as it came */
} SiFormatValue;

/* All that the extension knows of a format; one file each. */
typedef struct SiDecoderRoutine
{
	const char *format;			/* its name */
	const char *called;			/* the name as prose has it */
	const char *registry_type;	/* what schema registries call it, or NULL */
	int			options;		/* SI_FORMAT_... */
	SiFormatOptions initial;	/* what options are that were not given */
	SiFormatFields fields;
	SiFormatValue value;

	/*
	 * Check what the options hold, such as a schema, before a decoder is made
	 * with them: false with *error filled.  NULL where there is nothing to
	 * check.
	 */
	bool		(*check) (const SiFormatOptions *options, SiDecodeError *error);

	/*
	 * Describe the row that a message is by its schema, or its key; NULL for
	 * a message to which only an option's schema applies.  False with *error
	 * filled if the schema cannot be had.  NULL where messages have no
	 * schemas.
	 */
	bool		(*describe) (const SiFormatOptions *options, const SiMessage *message,
							 bool of_key, SiArena *memory, SiSchemaColumns *columns,
							 SiDecodeError *error);

	/*
	 * Set frame->naming to the bytes that say which type of its schema a
	 * message is, or to the schema that is in the message itself, if there
	 * are any.  NULL where all messages of a schema are of one type.
	 */
	void		(*find_naming) (SiFrame *frame);

	/*
	 * Make a decoder for this plan, which must outlive it, as must all that
	 * options point to.  NULL when out of memory.
	 */
	void	   *(*create) (const SiDecodePlan *plan, const SiFormatOptions *options);

	/*
	 * Take the schema that a message's frame names for the message that is
	 * decoded next; what of the payload belongs to the frame is taken off it.
	 * False with *error filled if there is none.  NULL where a format needs
	 * no schema.
	 */
	bool		(*select) (void *state, SiFrame *frame, SiDecodeError *error);

	/*
	 * Decode the value of a message that has one, and leave the fields of the
	 * key alone.  record->fields has room for the plan's fields, all ABSENT.
	 * False with *error filled if the message is bad.
	 */
	bool		(*decode) (void *state, const SiMessage *message, SiArena *arena,
						   SiRecord *record, SiDecodeError *error);
	void		(*destroy) (void *state);

	/*
	 * Decode the fields that look into the key, of a message that has one.
	 * NULL: keys beside this format are JSON, and the JSON routine's function
	 * serves them.
	 */
	bool		(*decode_key) (void *state, const SiMessage *message,
							   SiArena *arena, SiRecord *record,
							   SiDecodeError *error);
} SiDecoderRoutine;

typedef struct SiDecoder SiDecoder;

/* All formats, in the order in which they are listed for users; NULL ends it. */
extern const SiDecoderRoutine *const si_decoder_routines[];

/* The format of that name, or NULL. */
extern const SiDecoderRoutine *si_decoder_find(const char *format);

/* NULL for an unknown format or when out of memory. */
extern SiDecoder *si_decoder_create(const char *format, const SiDecodePlan *plan,
									const SiFormatOptions *options);

/*
 * Decode one message, also a tombstone (operation DELETE; its fields come from
 * the key alone).  Allocates record->fields from the arena.  A message that would
 * need more than 64 MB and 16 times its size is bad (54000).  Fields of a null key
 * are ABSENT.  A decoder learns from message to message: it serves one
 * thread at a time.
 */
extern bool si_decoder_decode(SiDecoder *decoder, const SiMessage *message,
							  SiArena *arena, SiRecord *record,
							  SiDecodeError *error);
extern void si_decoder_destroy(SiDecoder *decoder);

/* ---- several records in one message; the second function is in json_records ---- */

/*
 * A message whose records are gone through.  Each is handed out as a message of its
 * own, whose value is a slice of the whole one's, for si_decoder_decode.
 */
typedef struct SiRecords
{
	SiMessage	record;			/* the message, with this record as its value */
	int			number;			/* of the record, from 1; 0 before the first */

	/* json_records.c's own */
	bool		lines;
	bool		whole;			/* the array is the whole value */
	bool		more;			/* array: another element follows */
	bool		bare;			/* lines: nothing but its end ends the last
								 * record */
	SiJsonScan	scan;
	const char *next;
} SiRecords;

/*
 * Where a decoder has options->records: find those of a message that has a value.
 * False with *error filled if it has none.
 */
extern bool si_decoder_begin_records(SiDecoder *decoder, const SiMessage *message,
									 SiArena *arena, SiRecords *records,
									 SiDecodeError *error);

/*
 * Go to the next record; *found is false where there is none.  False with *error
 * filled if the text is wrong, or there are more than SI_MAX_RECORDS; number has
 * grown then if a record is at fault, and not what is behind the last.  The text
 * is checked as it is passed, so there may have been records before the error.
 */
extern bool si_json_records_next(SiRecords *records, bool *found, SiDecodeError *error);

/* Find the records of a value that has no frame; called by decoder.c alone. */
extern bool si_json_records_begin(SiRecords *records, const SiRecordsPath *path,
								  const SiMessage *message, SiArena *arena,
								  SiDecodeError *error);

/*
 * Decode a message's value, which is the payload of its frame, by a routine that
 * was told of the same wire format; called by envelope.
 */
extern bool si_decoder_read_value(const SiDecoderRoutine *routine, void *state,
								  SiWireFormat wire_format, const SiMessage *message,
								  SiArena *arena, SiRecord *record, SiDecodeError *error);

/*
 * Decode a message's key by a format whose keys name their schemas as values do; the
 * prefix goes before the words of an error.  Called by these formats.
 */
extern bool si_decoder_read_key(const SiDecoderRoutine *routine, void *state,
								SiWireFormat wire_format, const char *prefix,
								const SiMessage *message, SiArena *arena,
								SiRecord *record, SiDecodeError *error);

/* The routines, one file each. */
extern const SiDecoderRoutine si_decoder_json;
extern const SiDecoderRoutine si_decoder_text;
extern const SiDecoderRoutine si_decoder_csv;
extern const SiDecoderRoutine si_decoder_raw;
extern const SiDecoderRoutine si_decoder_avro;
extern const SiDecoderRoutine si_decoder_protobuf;

/* Keys that are one value, whatever the format of values is: decode_key alone. */
extern const SiDecoderRoutine si_decoder_key;

/* ---- envelope.c: messages that are more than a row; called by decoder.c ---- */

typedef struct SiEnvelope SiEnvelope;

/* Is a message of these options more than a row? */
extern bool si_envelope_needed(const SiFormatOptions *options);

/*
 * Make an envelope over a routine.  The plan, and what the options point to,
 * must outlive it.  NULL when out of memory.
 */
extern SiEnvelope *si_envelope_create(const SiDecoderRoutine *routine, const SiDecodePlan *plan,
									  const SiFormatOptions *options);

/*
 * Decode the value of a message that has one, as a routine does, but that
 * record->fields may be exchanged; sets record->op and, of an update with
 * options->old_rows, record->old_fields.
 */
extern bool si_envelope_decode(SiEnvelope *envelope, const SiMessage *message, SiArena *arena,
							   SiRecord *record, SiDecodeError *error);

/* Decode the fields of a key that is JSON, of a message that has one. */
extern bool si_envelope_decode_key(SiEnvelope *envelope, const SiMessage *message, SiArena *arena,
								   SiRecord *record, SiDecodeError *error);
extern void si_envelope_destroy(SiEnvelope *envelope);

/* Keys whose schema is named as that of values: decode_key alone. */
extern const SiDecoderRoutine si_decoder_avro_key;
extern const SiDecoderRoutine si_decoder_protobuf_key;

/* ---- paths that enter strings, in json_inner; called by decoder.c alone ---- */

typedef struct SiJsonInner SiJsonInner;

/* Does a path of the plan enter a string? */
extern bool si_json_inner_needed(const SiDecodePlan *plan);

/* NULL when out of memory.  The plan must outlive the result. */
extern SiJsonInner *si_json_inner_create(const SiDecodePlan *plan);

/* The plan for the format's decoder. */
extern const SiDecodePlan *si_json_inner_outer_plan(const SiJsonInner *inner);

/*
 * Replace the strings that the format's decoder has put into the record by what
 * the plan wants of them.  False with *error filled if one is not JSON; where
 * `needed`, by field, is not NULL, only if it has a field that is.
 */
extern bool si_json_inner_decode(SiJsonInner *inner, SiArena *arena, SiRecord *record,
								 const bool *needed, SiDecodeError *error);
extern void si_json_inner_destroy(SiJsonInner *inner);

#endif							/* SI_DECODER_H */
