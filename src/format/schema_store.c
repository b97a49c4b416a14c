/*-------------------------------------------------------------------------
 *
 * schema_store.c
 *	  Schemas that a schema registry has given, by their ids.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/schema_cache.h"
#include "format/schema_store.h"

struct SiSchemaStore
{
	SiSchemaCache *cache;		/* of Stored */
};

typedef struct Stored
{
	SiSchemaTexts *texts;		/* NULL: messages with the id are refused */
	SiDecodeError error;
	int64_t		until_ms;
} Stored;

static void
free_stored(void *value)
{
	Stored	   *stored = value;

	free(stored->texts);
	free(stored);
}

SiSchemaStore *
si_schema_store_create(void)
{
	SiSchemaStore *store = calloc(1, sizeof(SiSchemaStore));

	if (store == NULL)
		return NULL;
	store->cache = si_schema_cache_create(SI_SCHEMA_CACHE_MOST, free_stored);
	if (store->cache != NULL)
		return store;
	free(store);
	return NULL;
}

void
si_schema_store_free(SiSchemaStore *store)
{
	if (store == NULL)
		return;
	si_schema_cache_free(store->cache);
	free(store);
}

/* Add what is stored, which is the store's then; NULL: there was no memory for it. */
static bool
add(SiSchemaStore *store, const SiSchemaId *id, Stored *stored)
{
	return stored != NULL && si_schema_cache_add(store->cache, id, stored);
}

bool
si_schema_store_add(SiSchemaStore *store, const SiSchemaId *id, SiSchemaTexts *texts)
{
	Stored	   *stored = calloc(1, sizeof(Stored));

	if (stored != NULL)
		stored->texts = texts;
	else
		free(texts);
	return add(store, id, stored);
}

bool
si_schema_store_refuse(SiSchemaStore *store, const SiSchemaId *id,
					   const SiDecodeError *error, int64_t until_ms)
{
	Stored	   *stored = calloc(1, sizeof(Stored));

	if (stored != NULL)
	{
		stored->error = *error;
		stored->until_ms = until_ms;
	}
	return add(store, id, stored);
}

/*
 * The texts of a schema.  False with *error filled: what the id is refused with, or 08006,
 * which is no message's fault, for an id that is not in the store.
 */
static bool
find_stored(SiSchemaStore *store, const SiSchemaId *id, SiSchemaTexts *texts,
			SiDecodeError *error)
{
	const Stored *stored = si_schema_cache_find(store->cache, id);

	if (stored == NULL)
		return si_decoder_fail(error, "08006", "the schema registry was not asked for a schema yet");
	if (stored->texts == NULL)
	{
		*error = stored->error;
		return false;
	}
	*texts = *stored->texts;
	return true;
}

/* Get the text in the options; false if there is none. */
static bool
find_given(const SiFormatOptions *options, const SiSchemaId *id, SiSchemaTexts *texts)
{
	int			i;

	texts->n = 1;
	texts->texts = &options->schema;
	if (options->schema != NULL)
		return true;
	for (i = 0; i < options->nschemas; i++)
	{
		texts->texts = &options->schemas[i].text;
		if (si_schema_id_matches(&options->schemas[i].id, id))
			return true;
	}
	return false;
}

/* The texts of the schema for all messages, or of the one with this id. */
static bool
find_texts(const SiFormatOptions *options, const SiSchemaId *id, SiSchemaTexts *texts,
		   SiDecodeError *error)
{
	char		name[SI_SCHEMA_ID_ROOM];

	if (find_given(options, id, texts))
		return true;
	if (options->store != NULL)
		return find_stored(options->store, id, texts, error);
	si_schema_id_text(id, name);
	return si_decoder_fail(error, "42704", "schema %s is not among the schemas of the option \"schemas\"", name);
}

bool
si_schema_of(const SiFormatOptions *options, const SiMessage *message, bool of_key,
			 SiFrame *frame, SiSchemaTexts *texts, SiDecodeError *error)
{
	memset(frame, 0, sizeof(*frame));
	frame->format = SI_WIRE_NONE;
	return (message == NULL || si_frame_read(options->wire_format, message, of_key, frame, error)) &&
		find_texts(options, &frame->id, texts, error);
}

void *
si_schema_program(SiSchemaCache *programs, const SiFormatOptions *options, const SiSchemaId *id,
				  void *(*make) (void *decoder, const SiSchemaTexts *texts, SiDecodeError *error),
				  void *decoder, SiDecodeError *error)
{
	void	   *program = si_schema_cache_find(programs, id);
	SiSchemaTexts texts;

	if (program != NULL)
		return program;
	if (find_texts(options, id, &texts, error))
		program = make(decoder, &texts, error);
	if (program != NULL && !si_schema_cache_add(programs, id, program))
	{
		si_decoder_fail(error, "53200", "out of memory");
		return NULL;
	}
	return program;
}

SiFormatOptions
si_schema_key_options(const SiFormatOptions *options)
{
	SiFormatOptions own = *options;

	own.schema = NULL;
	own.message = NULL;
	return own;
}

bool
si_schema_check(const SiFormatOptions *options, const char *format,
				bool (*read) (const SiFormatOptions *options, const SiSchemaTexts *texts,
							  SiDecodeError *error),
				SiDecodeError *error)
{
	SiSchemaTexts texts = {1, &options->schema};
	int			i;

	if (options->schema == NULL && options->wire_format == SI_WIRE_NONE)
		return si_decoder_fail(error, "22023", "format \"%s\" without a wire format needs the option \"schema\"", format);
	if (options->schema == NULL && options->nschemas == 0 && options->store == NULL)
		return si_decoder_fail(error, "22023", "format \"%s\" needs the option \"schema\" or \"schemas\", or a server with a schema registry", format);
	if (options->schema != NULL && !read(options, &texts, error))
		return false;
	for (i = 0; i < options->nschemas; i++)
	{
		texts.texts = &options->schemas[i].text;
		if (!read(options, &texts, error))
			return false;
	}
	return true;
}

/* Must the registry be asked for the id? */
static bool
lacks(const SiFormatOptions *options, const SiSchemaId *id, bool of_key, int64_t now_ms)
{
	SiFormatOptions own = of_key ? si_schema_key_options(options) : *options;
	const Stored *stored;
	SiSchemaTexts texts;

	if (find_given(&own, id, &texts))
		return false;
	stored = si_schema_cache_find(options->store->cache, id);
	return stored == NULL || (stored->texts == NULL && stored->until_ms <= now_ms);
}

/* Add an id that is lacking, unless it is there or there is no room. */
static void
note_id(const SiSchemaId *id, SiSchemaId *ids, int *nids)
{
	int			i;

	for (i = 0; i < *nids; i++)
	{
		if (memcmp(&ids[i], id, sizeof(SiSchemaId)) == 0)
			return;
	}
	if (*nids < SI_SCHEMA_MOST_LACKING)
		ids[(*nids)++] = *id;
}

/* The id of a value or key, if it names one. */
static bool
read_id(const SiFormatOptions *options, const SiMessage *message, bool of_key, SiSchemaId *id)
{
	SiDecodeError error;
	SiFrame		frame;

	if ((of_key ? message->key : message->value) == NULL ||
		!si_frame_read(options->wire_format, message, of_key, &frame, &error))
		return false;
	*id = frame.id;
	return true;
}

/* Is a schema lacking that the message names?  known: the last id that was not. */
static bool
message_lacks(const SiFormatOptions *options, const SiMessage *message, bool of_key,
			  int64_t now_ms, SiSchemaId *known, SiSchemaId *ids, int *nids)
{
	SiSchemaId	id;

	/* such a message is refused, whatever its first bytes look like */
	if (message->nheaders == SI_UNREADABLE_HEADERS && si_wire_needs_headers(options->wire_format))
		return false;
	if (!read_id(options, message, of_key, &id) || memcmp(&id, known, sizeof(id)) == 0)
		return false;
	if (lacks(options, &id, of_key, now_ms))
	{
		note_id(&id, ids, nids);
		return true;
	}
	*known = id;
	return false;
}

int
si_schema_lacking(const SiFormatOptions *options, const SiEntry *entries, int n,
				  int64_t now_ms, SiSchemaId *ids, int *nids)
{
	SiSchemaId	known[2];
	int			decodable = n;
	int			i;

	*nids = 0;
	if (options->store == NULL)
		return n;

	/* no id has all bits set */
	memset(known, 0xFF, sizeof(known));
	for (i = 0; i < n; i++)
	{
		const SiMessage *message = &entries[i].message;
		bool		lacking = false;

		if (options->schema == NULL)
			lacking = message_lacks(options, message, false, now_ms, &known[0], ids, nids);
		if (options->key_by_id)
			lacking |= message_lacks(options, message, true, now_ms, &known[1], ids, nids);
		if (lacking && decodable == n)
			decodable = i;
	}
	return decodable;
}
