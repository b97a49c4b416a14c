/*-------------------------------------------------------------------------
 *
 * document.c
 *	  JSON documents of jansson's, tied to memory contexts.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "options/document.h"

static void
reset_document(void *arg)
{
	json_decref(((SiDocument *) arg)->json);
}

SiDocument *
si_document_make(void)
{
	MemoryContext context;
	SiDocument *document;

	context = AllocSetContextCreate(CurrentMemoryContext,
									"stream_ingest options",
									ALLOCSET_SMALL_SIZES);
	document = MemoryContextAllocZero(context, sizeof(SiDocument));
	document->context = context;
	document->callback.func = reset_document;
	document->callback.arg = document;
	MemoryContextRegisterResetCallback(context, &document->callback);
	return document;
}

void
si_document_release(SiDocument *document)
{
	MemoryContextDelete(document->context);
}

json_t *
si_document_take(SiDocument *document)
{
	json_t	   *json = document->json;

	document->json = NULL;
	si_document_release(document);
	return json;
}

json_t *
si_document_require(json_t *json)
{
	if (json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return json;
}

char *
si_document_text(json_t *json)
{
	size_t		flags = JSON_ENCODE_ANY;
	size_t		len = json_dumpb(json, NULL, 0, flags);
	char	   *dump = palloc(len + 1);

	if (len == 0 || json_dumpb(json, dump, len, flags) != len)
		(void) si_document_require(NULL);
	dump[len] = '\0';
	return pg_any_to_server(dump, len, PG_UTF8);
}

char *
si_document_string(json_t *value)
{
	if (!json_is_string(value))
		return NULL;

	/* the conversion may return what it was given, which is jansson's */
	return pstrdup(pg_any_to_server(json_string_value(value),
									json_string_length(value), PG_UTF8));
}

json_t *
si_document_from_string(const char *given)
{
	return si_document_require(json_string(pg_server_to_any(given, strlen(given),
															PG_UTF8)));
}
