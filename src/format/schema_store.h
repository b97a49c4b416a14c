/*-------------------------------------------------------------------------
 *
 * schema_store.h
 *	  Schemas that a schema registry has given, by their ids.
 *
 * The main thread fills the store between batches, and decoders only look things up.
 * That changes the order of the store (schema_cache.c: what was used last is kept
 * longest), so one thread at a time may do it: nothing is decoded ahead where there is
 * a store.
 * Before a batch begins, si_schema_lacking tells which ids the registry must be
 * asked for.  An id that the registry does not have, or has no usable schema
 * for, is remembered with the error that its messages are refused with.
 *
 * Pure C, no server.  Called by apply and the worker; read by the formats
 * that have schemas, through si_schema_of and si_schema_program.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCHEMA_STORE_H
#define SI_SCHEMA_STORE_H

#include "common/schema_texts.h"
#include "format/decoder.h"
#include "format/schema_cache.h"
#include "format/schema_id.h"

/* NULL when out of memory. */
extern SiSchemaStore *si_schema_store_create(void);
extern void si_schema_store_free(SiSchemaStore *store);

/*
 * Add a schema, whose texts, a block of malloc's, are the store's then.  False when out
 * of memory: they are freed.
 */
extern bool si_schema_store_add(SiSchemaStore *store, const SiSchemaId *id,
								SiSchemaTexts *texts);

/*
 * Refuse messages with this id until then, by the clock that si_schema_lacking
 * is given.  False when out of memory.
 */
extern bool si_schema_store_refuse(SiSchemaStore *store, const SiSchemaId *id,
								   const SiDecodeError *error, int64_t until_ms);

/*
 * Read the frame of a message, or of its key, and get the texts of the schema that it
 * names: the one for all messages, or that of its id.  NULL for a message to which only
 * an option's schema applies.  The texts live as long as the options, or until the store
 * is filled again.  False with *error filled (42704 if there is none, 08006 if the
 * registry was not asked yet, or what the id is refused with).
 */
extern bool si_schema_of(const SiFormatOptions *options, const SiMessage *message, bool of_key,
						 SiFrame *frame, SiSchemaTexts *texts, SiDecodeError *error);

/*
 * What a decoder has made of the schema with an id; it is made, and kept in the cache, if
 * it is new.  NULL with *error filled: as si_schema_of and make() have it, or 53200.
 */
extern void *si_schema_program(SiSchemaCache *programs, const SiFormatOptions *options,
							   const SiSchemaId *id,
							   void *(*make) (void *decoder, const SiSchemaTexts *texts,
											  SiDecodeError *error),
							   void *decoder, SiDecodeError *error);

/* The options for keys: "schema" and "message" are about values alone. */
extern SiFormatOptions si_schema_key_options(const SiFormatOptions *options);

/*
 * Check a format's options: that they say where schemas are, and that read() takes the
 * ones that they hold.  False with *error filled: 22023, or what read() says.
 */
extern bool si_schema_check(const SiFormatOptions *options, const char *format,
							bool (*read) (const SiFormatOptions *options,
										  const SiSchemaTexts *texts, SiDecodeError *error),
							SiDecodeError *error);

/*
 * How many of the messages can be decoded before the first one whose schema is
 * not there, and the first ids that are not (*nids: none if all are there).  What
 * has no frame is left to the decoder to refuse.
 */
extern int	si_schema_lacking(const SiFormatOptions *options, const SiEntry *entries, int n,
							  int64_t now_ms, SiSchemaId *ids, int *nids);

#endif							/* SI_SCHEMA_STORE_H */
