/*-------------------------------------------------------------------------
 *
 * registry_answer.h
 *	  What a schema registry's HTTP answer means.
 *
 * Pure C, for the client's thread.  Called by registry_http and registry_schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_ANSWER_H
#define SI_REGISTRY_ANSWER_H

#include <jansson.h>

#include "kafka/http.h"
#include "kafka/registry_values.h"

/*
 * The largest answer that is read: a schema of 4 MB, escaped as JSON.  So many bytes,
 * too, have all answers for a schema with those that it refers to.
 */
#define SI_REGISTRY_MAX_BODY	((size_t) 8 * 1024 * 1024)
#define SI_REGISTRY_MAX_SCHEMA	((size_t) 4 * 1024 * 1024)

/* What was asked for. */
typedef enum SiRegistryPart
{
	SI_REGISTRY_OWN,			/* the schema of the answer's id */
	SI_REGISTRY_REFERRED,		/* one that it refers to */
	SI_REGISTRY_LIST			/* what a schema refers to, where that is
								 * beside it */
} SiRegistryPart;

/* What an answer holds. */
typedef struct SiRegistryDocument
{
	char	   *text;			/* a schema, without a NUL; malloc'd */
	size_t		len;
	json_t	   *references;		/* a list of objects, or NULL */
	size_t		received;		/* bytes of the answer */
} SiRegistryDocument;

extern void si_registry_document_free(SiRegistryDocument *document);

/*
 * Read an answer into a document, where the outcome is FOUND, and fill in the outcome
 * for answer->id, whose schema is expected to be of that type.
 */
extern void si_registry_read_answer(const SiHttpAnswer *http, bool apicurio, const char *type,
									SiRegistryPart part, SiRegistryDocument *document,
									SiRegistryAnswer *answer);

/* An outcome in our words. */
extern void si_registry_set_outcome(SiRegistryAnswer *answer, SiRegistryOutcome outcome,
									const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* The schema of answer->id is of no use. */
extern void si_registry_set_unusable(SiRegistryAnswer *answer, const char *sqlstate,
									 const char *what);

/* The same of the schema that was asked for. */
extern void si_registry_set_part_unusable(SiRegistryAnswer *answer, SiRegistryPart part,
										  const char *sqlstate, const char *what);

#endif							/* SI_REGISTRY_ANSWER_H */
