/*-------------------------------------------------------------------------
 *
 * decoder.c
 *	  The formats by name, what is common to all of them, and the arena that
 *	  decoded values live in.
 *
 * No format decodes a tombstone: its record is made here, of the key's fields.
 * A field of the key is a field of a JSON key whatever the format of the value
 * is, unless the format decodes keys itself, or the plan has another key
 * format.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/decoder.h"

/*
 * Under AddressSanitizer the unused parts of a chunk are poisoned, so that a
 * step beyond an allocation is seen although malloc knows only the chunk.
 */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONING
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONING
#endif
#endif

#ifdef ARENA_POISONING
#include <sanitizer/asan_interface.h>
#define poison(address, size)	ASAN_POISON_MEMORY_REGION(address, size)
#define unpoison(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#else
#define poison(address, size)	((void) 0)
#define unpoison(address, size) ((void) 0)
#endif

/* Chunks double from the first size to the largest regular one. */
#define FIRST_CHUNK		((size_t) 64 * 1024)
#define LARGEST_CHUNK	((size_t) 4 * 1024 * 1024)

/* What an arena keeps over a reset: one odd batch must not cost for ever. */
#define KEPT_MEMORY		((size_t) 64 * 1024 * 1024)

/*
 * What one message may use: what is decoded can be far larger than the message (a
 * few bytes are a decimal of 16,383 digits), and is a stranger's.
 */
#define MOST_OF_MESSAGE(size)	((size_t) 64 * 1024 * 1024 + 16 * (size))

/*
 * So much work may one message make, about a second's, which nothing interrupts: any
 * that only reads it, even several times, makes far less.
 */
#define MOST_WORK(size)			(UINT64_C(200000000) + 4 * (uint64_t) (size))

#define ALIGNMENT		((size_t) 16)
#define align_up(size)	(((size) + ALIGNMENT - 1) & ~(ALIGNMENT - 1))

typedef struct Chunk
{
	struct Chunk *next;
	size_t		size;			/* of the memory behind the header */
} Chunk;

#define HEADER_SIZE		align_up(sizeof(Chunk))
#define chunk_memory(chunk) ((char *) (chunk) + HEADER_SIZE)

struct SiArena
{
	Chunk	   *first;
	Chunk	   *current;		/* allocations come from this one; those after
								 * it are free */
	char	   *next_free;
	size_t		remaining;		/* in the current chunk */
	size_t		next_size;		/* of the next chunk to make */
	size_t		opened;			/* size of the chunks up to the current one */
	size_t		most;			/* no chunk is opened to use more */
	uint64_t	worked;			/* steps of work so far */
	uint64_t	most_work;		/* no more of them are made */
	bool		exceeded;		/* a chunk was refused for that */
	bool		overworked;		/* or work was */
};

struct SiDecoder
{
	const SiDecodePlan *plan;
	const SiDecoderRoutine *routine;
	SiJsonInner *inner;			/* NULL where no path enters a string */
	void	   *state;
	SiWireFormat wire_format;	/* of values; of records NONE */
	const SiRecordsPath *records;	/* NULL: a message is one record */
	SiWireFormat frame_of_records;	/* of messages that hold records */
	const SiDecoderRoutine *key_routine;	/* NULL if no field is the key's */
	void	   *key_state;		/* may be the same as state */
	SiEnvelope *envelope;		/* NULL where a message is a row */
	const bool *old_needed;		/* fields of old rows */
	bool		wrapped_keys;	/* it also decodes the keys */
};

const SiDecoderRoutine *const si_decoder_routines[] = {
	&si_decoder_json,
	&si_decoder_csv,
	&si_decoder_text,
	&si_decoder_raw,
	&si_decoder_avro,
	&si_decoder_protobuf,
	NULL
};

static bool open_chunk(SiArena *arena, size_t size);
static void use_chunk(SiArena *arena, Chunk *chunk);
static bool plan_wants_key(const SiDecodePlan *plan);
static bool has_field(const SiRecord *record);

/* ---- arena ---- */

SiArena *
si_arena_create(void)
{
	SiArena    *arena = calloc(1, sizeof(SiArena));

	if (arena != NULL)
	{
		arena->next_size = FIRST_CHUNK;
		arena->most = SIZE_MAX;
		arena->most_work = UINT64_MAX;
	}
	return arena;
}

void *
si_arena_alloc(SiArena *arena, size_t size)
{
	/* nothing, too, needs an address, which NULL is not */
	size_t		needed = size > 0 ? align_up(size) : ALIGNMENT;
	char	   *result;

	/* needed is smaller than size where rounding up overflowed */
	if (needed > arena->remaining || needed < size)
	{
		if (needed < size || !open_chunk(arena, needed))
			return NULL;
	}
	result = arena->next_free;
	arena->next_free += needed;
	arena->remaining -= needed;
	unpoison(result, size);
	return result;
}

void
si_arena_reset(SiArena *arena)
{
	Chunk	  **link = &arena->first;
	size_t		kept = 0;

	while (*link != NULL)
	{
		Chunk	   *chunk = *link;

		if (chunk->size > KEPT_MEMORY - kept)
		{
			*link = chunk->next;
			unpoison(chunk_memory(chunk), chunk->size);
			free(chunk);
			continue;
		}
		kept += chunk->size;
		link = &chunk->next;
	}
	arena->current = NULL;
	arena->next_free = NULL;
	arena->remaining = 0;
	arena->opened = 0;
	if (arena->first != NULL)
		use_chunk(arena, arena->first);
}

size_t
si_arena_used(const SiArena *arena)
{
	return arena->opened - arena->remaining;
}

size_t
si_arena_left(const SiArena *arena)
{
	size_t		used = si_arena_used(arena);

	return arena->most > used ? arena->most - used : 0;
}

bool
si_arena_work(SiArena *arena, uint64_t steps)
{
	arena->worked += steps;
	if (arena->worked > arena->most_work)
		arena->overworked = true;
	return arena->worked <= arena->most_work;
}

/* Let so much more be used and done, if that is less than the limits that there are. */
static void
limit_arena(SiArena *arena, size_t most, uint64_t most_work)
{
	size_t		used = si_arena_used(arena);

	if (arena->most > used && most < arena->most - used)
		arena->most = used + most;
	if (arena->most_work > arena->worked && most_work < arena->most_work - arena->worked)
		arena->most_work = arena->worked + most_work;
	arena->exceeded = false;
	arena->overworked = false;
}

void
si_arena_destroy(SiArena *arena)
{
	Chunk	   *chunk;

	if (arena == NULL)
		return;
	while ((chunk = arena->first) != NULL)
	{
		arena->first = chunk->next;
		unpoison(chunk_memory(chunk), chunk->size);
		free(chunk);
	}
	free(arena);
}

/*
 * Make a chunk with room for size bytes the current one: the next one of those
 * kept if it is large enough, else a new one before it.
 */
static bool
open_chunk(SiArena *arena, size_t size)
{
	Chunk	  **link = arena->current ? &arena->current->next : &arena->first;
	Chunk	   *chunk = *link;

	if (size > si_arena_left(arena))
	{
		arena->exceeded = true;
		return false;
	}
	if (chunk == NULL || chunk->size < size)
	{
		size_t		chunk_size = arena->next_size;

		if (chunk_size < size)
			chunk_size = size;
		if (chunk_size > SIZE_MAX - HEADER_SIZE)
			return false;
		chunk = malloc(HEADER_SIZE + chunk_size);
		if (chunk == NULL)
			return false;
		chunk->size = chunk_size;
		chunk->next = *link;
		*link = chunk;
		if (arena->next_size < LARGEST_CHUNK)
			arena->next_size *= 2;
	}
	use_chunk(arena, chunk);
	return true;
}

static void
use_chunk(SiArena *arena, Chunk *chunk)
{
	arena->current = chunk;
	arena->next_free = chunk_memory(chunk);
	arena->remaining = chunk->size;
	arena->opened += chunk->size;
	poison(arena->next_free, arena->remaining);
}

/* ---- decoders ---- */

const SiDecoderRoutine *
si_decoder_find(const char *format)
{
	const SiDecoderRoutine *const *routine = si_decoder_routines;

	while (*routine != NULL && strcmp((*routine)->format, format) != 0)
		routine++;
	return *routine;
}

/* What decodes keys beside values of a format. */
static const SiDecoderRoutine *
key_routine(const SiDecodePlan *plan, const SiDecoderRoutine *routine)
{
	if (plan->key_format == SI_KEY_AVRO)
		return &si_decoder_avro_key;
	if (plan->key_format == SI_KEY_PROTOBUF)
		return &si_decoder_protobuf_key;
	if (plan->key_format != SI_KEY_JSON)
		return &si_decoder_key;
	return routine->decode_key != NULL ? routine : &si_decoder_json;
}

SiDecoder *
si_decoder_create(const char *format, const SiDecodePlan *plan,
				  const SiFormatOptions *options)
{
	const SiDecoderRoutine *routine = si_decoder_find(format);
	SiDecoder  *decoder;

	if (routine == NULL)
		return NULL;
	decoder = calloc(1, sizeof(SiDecoder));
	if (decoder == NULL)
		return NULL;
	decoder->plan = plan;
	decoder->routine = routine;
	if (si_json_inner_needed(plan))
	{
		decoder->inner = si_json_inner_create(plan);
		if (decoder->inner == NULL)
		{
			free(decoder);
			return NULL;
		}
		plan = si_json_inner_outer_plan(decoder->inner);
	}
	decoder->wire_format = options != NULL ? options->wire_format : SI_WIRE_DEFAULT;
	decoder->records = options != NULL ? options->records : NULL;
	decoder->old_needed = options != NULL ? options->old_needed : NULL;
	if (decoder->records != NULL)
	{
		decoder->frame_of_records = decoder->wire_format;
		decoder->wire_format = SI_WIRE_NONE;
	}
	if (options != NULL && si_envelope_needed(options))
		decoder->envelope = si_envelope_create(routine, plan, options);
	else
		decoder->state = routine->create(plan, options);
	if (decoder->state == NULL && decoder->envelope == NULL)
	{
		si_decoder_destroy(decoder);
		return NULL;
	}
	if (!plan_wants_key(plan))
		return decoder;

	decoder->key_routine = key_routine(plan, routine);
	decoder->wrapped_keys = decoder->envelope != NULL && decoder->key_routine == &si_decoder_json;
	if (decoder->wrapped_keys)
		return decoder;
	if (decoder->key_routine == routine)
	{
		decoder->key_state = decoder->state;
		return decoder;
	}
	decoder->key_state = decoder->key_routine->create(plan, options);
	if (decoder->key_state == NULL)
	{
		si_decoder_destroy(decoder);
		return NULL;
	}
	return decoder;
}

/*
 * Complete the error of a value that has no frame, and return false.  A frame that
 * nothing was said of is told by its first byte, which no text begins with.
 */
static bool
fail_bare_value(const SiDecoderRoutine *routine, const SiMessage *message,
				SiDecodeError *error)
{
	if ((routine->options & SI_FORMAT_WIRE) != 0 && error->detail[0] == '\0' &&
		message->value_len > 0 && message->value[0] == '\0')
		snprintf(error->detail, sizeof(error->detail),
				 "It begins as what a schema registry's serializer writes: "
				 "see the option \"wire_format\".");
	return false;
}

bool
si_decoder_read_value(const SiDecoderRoutine *routine, void *state, SiWireFormat wire_format,
					  const SiMessage *message, SiArena *arena, SiRecord *record,
					  SiDecodeError *error)
{
	SiMessage	inner;
	SiFrame		frame;

	if (wire_format <= SI_WIRE_NONE && routine->select == NULL)
		return routine->decode(state, message, arena, record, error) ||
			fail_bare_value(routine, message, error);
	if (!si_frame_read(wire_format, message, false, &frame, error) ||
		(routine->select != NULL && !routine->select(state, &frame, error)))
		return false;
	inner = *message;
	inner.value = frame.payload;
	inner.value_len = frame.payload_len;
	return routine->decode(state, &inner, arena, record, error);
}

bool
si_decoder_read_key(const SiDecoderRoutine *routine, void *state, SiWireFormat wire_format,
					const char *prefix, const SiMessage *message, SiArena *arena,
					SiRecord *record, SiDecodeError *error)
{
	SiMessage	inner = *message;
	SiFrame		frame;
	char		words[sizeof(error->message)];

	if (!si_frame_read(wire_format, message, true, &frame, error) ||
		!routine->select(state, &frame, error))
		return false;
	inner.value = frame.payload;
	inner.value_len = frame.payload_len;
	if (routine->decode(state, &inner, arena, record, error))
		return true;
	memcpy(words, error->message, sizeof(words));
	snprintf(error->message, sizeof(error->message), "%s%.150s", prefix, words);
	return false;
}

/* Decode a message's value, by its envelope where there is one. */
static bool
decode_value(SiDecoder *decoder, const SiMessage *message, SiArena *arena,
			 SiRecord *record, SiDecodeError *error)
{
	if (decoder->envelope != NULL)
		return si_envelope_decode(decoder->envelope, message, arena, record, error);
	return si_decoder_read_value(decoder->routine, decoder->state, decoder->wire_format, message,
								 arena, record, error);
}

/* Replace the strings that paths enter, in the old row, too. */
static bool
decode_inner(SiDecoder *decoder, SiArena *arena, SiRecord *record, SiDecodeError *error)
{
	SiRecord	old = *record;

	if (!si_json_inner_decode(decoder->inner, arena, record, NULL, error))
		return false;
	old.fields = record->old_fields;
	if (old.fields != NULL &&
		!si_json_inner_decode(decoder->inner, arena, &old, decoder->old_needed, error))
		return false;
	record->old_fields = old.fields;
	return true;
}

/* Decode the fields of a message's key. */
static bool
decode_key(SiDecoder *decoder, const SiMessage *message, SiArena *arena, SiRecord *record,
		   SiDecodeError *error)
{
	if (decoder->wrapped_keys)
		return si_envelope_decode_key(decoder->envelope, message, arena, record, error);
	return decoder->key_routine->decode_key(decoder->key_state, message, arena, record, error);
}

static bool
decode_message(SiDecoder *decoder, const SiMessage *message, SiArena *arena,
			   SiRecord *record, SiDecodeError *error)
{
	int			nfields = decoder->plan->nfields;
	size_t		size = sizeof(SiValue) * (size_t) nfields;

	record->op = message->value == NULL ? SI_OP_DELETE : SI_OP_WRITE;
	record->number = message->value != NULL;
	record->nfields = nfields;
	record->any_field = false;
	record->old_fields = NULL;
	record->fields = si_arena_alloc(arena, size);
	if (record->fields == NULL)
		return si_decoder_fail(error, "53200", "out of memory");

	/* an ABSENT value is all zeroes */
	memset(record->fields, 0, size);
	memset(&record->unknown, 0, sizeof(SiValue));

	if (message->value != NULL &&
		!decode_value(decoder, message, arena, record, error))
		return false;
	/* to a key that is one value, no key is a NULL */
	if ((message->key != NULL || decoder->key_routine == &si_decoder_key) &&
		decoder->key_routine != NULL &&
		!decode_key(decoder, message, arena, record, error))
		return false;
	if (decoder->inner != NULL && !decode_inner(decoder, arena, record, error))
		return false;
	record->any_field = has_field(record);
	return true;
}

bool
si_decoder_decode(SiDecoder *decoder, const SiMessage *message,
				  SiArena *arena, SiRecord *record, SiDecodeError *error)
{
	size_t		size = message->key_len + message->value_len;
	size_t		outer = arena->most;	/* of the message whose string this is */
	uint64_t	outer_work = arena->most_work;
	bool		decoded;

	limit_arena(arena, MOST_OF_MESSAGE(size), MOST_WORK(size));
	decoded = decode_message(decoder, message, arena, record, error);
	arena->most = outer;
	arena->most_work = outer_work;
	if (decoded || !si_decode_error_is_memory(error))
		return decoded;
	if (arena->overworked)
		return si_decoder_fail(error, "54000", "the message takes too much work to be decoded");
	if (!arena->exceeded)
		return false;
	si_decoder_fail(error, "54000", "the message is too large when it is decoded");
	snprintf(error->detail, sizeof(error->detail),
			 "Of its %zu bytes no more than %zu may be made.", size, MOST_OF_MESSAGE(size));
	return false;
}

bool
si_decoder_begin_records(SiDecoder *decoder, const SiMessage *message, SiArena *arena,
						 SiRecords *records, SiDecodeError *error)
{
	SiMessage	inner = *message;
	SiFrame		frame;

	if (decoder->frame_of_records <= SI_WIRE_NONE)
		return si_json_records_begin(records, decoder->records, message, arena, error) ||
			fail_bare_value(decoder->routine, message, error);
	if (!si_frame_read(decoder->frame_of_records, message, false, &frame, error))
		return false;
	inner.value = frame.payload;
	inner.value_len = frame.payload_len;
	return si_json_records_begin(records, decoder->records, &inner, arena, error);
}

void
si_decoder_destroy(SiDecoder *decoder)
{
	if (decoder == NULL)
		return;
	if (decoder->key_state != NULL && decoder->key_state != decoder->state)
		decoder->key_routine->destroy(decoder->key_state);
	if (decoder->state != NULL)
		decoder->routine->destroy(decoder->state);
	si_envelope_destroy(decoder->envelope);
	si_json_inner_destroy(decoder->inner);
	free(decoder);
}

bool
si_decoder_fail(SiDecodeError *error, const char *sqlstate,
				const char *format,...)
{
	va_list		arguments;

	snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	error->detail[0] = '\0';
	return false;
}

static bool
plan_wants_key(const SiDecodePlan *plan)
{
	int			i;

	for (i = 0; i < plan->nfields; i++)
	{
		if (i != plan->rest_field && plan->fields[i].of_key)
			return true;
	}
	return false;
}

static bool
has_field(const SiRecord *record)
{
	int			i;

	for (i = 0; i < record->nfields; i++)
	{
		if (record->fields[i].kind != SI_VALUE_ABSENT)
			return true;
	}
	return false;
}
