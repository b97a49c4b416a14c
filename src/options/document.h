/*-------------------------------------------------------------------------
 *
 * document.h
 *	  JSON documents of jansson's, tied to memory contexts.
 *
 * jansson's memory does not belong to a memory context: an error on the way
 * would leak a document.  So one is held by an SiDocument until it is given to
 * another or released.
 *
 * Two things to mind where jansson.h is included.  The server exports a function
 * json_object() of its own, which wins over jansson's, so objects are made with
 * json_pack("{}"); and utils/builtins.h declares the server's, so it cannot be
 * included beside.  Called by options and option_types.
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
 * Make a holder for a document, to be set in its member json as soon as there
 * is one.  It is released with the current memory context at the latest.
 */
extern SiDocument *si_document_make(void);

/* Release the holder and its document. */
extern void si_document_release(SiDocument *document);

/* Release the holder, but not its document, which is the caller's then. */
extern json_t *si_document_take(SiDocument *document);

/* What jansson made, or error 53200: it returns NULL when there is no memory. */
extern json_t *si_document_require(json_t *json);

/* The text of any JSON value, palloc'd, in the server's encoding. */
extern char *si_document_text(json_t *json);

/* A string's text in the server's encoding, palloc'd; NULL if it is no string. */
extern char *si_document_string(json_t *value);

/* A new JSON string from a text in the server's encoding. */
extern json_t *si_document_from_string(const char *given);

#endif							/* SI_DOCUMENT_H */
