/*-------------------------------------------------------------------------
 *
 * document.h
 *	  JSON documents of jansson's, tied to memory contexts.
 *
 * jansson's memory does not belong to a memory context: an error
 * would leak a document.  So an SiDocument holds it until it is added to another
 * document or released.
 *
 * Beware in files that include jansson.h: the server exports a function
 * json_object() of its own, which hides jansson's, so objects are created by
 * json_pack("{}"); and utils/builtins.h declares the server's, so a file cannot
 * include both.  Called within this folder only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DOCUMENT_H
#define SI_DOCUMENT_H

#include <jansson.h>

#include "utils/palloc.h"

/* A JSON document that goes away with its own memory context. */
typedef struct SiDocument
{
	MemoryContextCallback callback;
	MemoryContext context;
	json_t	   *json;
} SiDocument;

/*
 * Make a holder for a document; the caller sets its member json.  It is released
 * with the current memory context at the latest.
 */
extern SiDocument *si_document_make(void);

/* Release the holder and its document. */
extern void si_document_release(SiDocument *document);

/* Release the holder, but not its document, which the caller then owns. */
extern json_t *si_document_take(SiDocument *document);

/* Pass a new document on, or throw 53200 if jansson had no memory for it. */
extern json_t *si_document_require(json_t *json);

/* The text of any JSON value, palloc'd, in the server's encoding. */
extern char *si_document_text(json_t *json);

/* A string's text in the server's encoding, palloc'd; NULL if it is not a string. */
extern char *si_document_string(json_t *value);

/* A new JSON string from a text in the server's encoding. */
extern json_t *si_document_from_string(const char *given);

#endif							/* SI_DOCUMENT_H */
