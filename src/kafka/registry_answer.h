/*-------------------------------------------------------------------------
 *
 * registry_answer.h
 *	  What a schema registry's HTTP answer means.
 *
 * Pure C, for the client's thread.  Called by registry.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_ANSWER_H
#define SI_REGISTRY_ANSWER_H

#include "kafka/http.h"
#include "kafka/registry_values.h"

/* The largest answer that is read: a schema of 4 MB, escaped as JSON. */
#define SI_REGISTRY_MAX_BODY	((size_t) 8 * 1024 * 1024)
#define SI_REGISTRY_MAX_SCHEMA	((size_t) 4 * 1024 * 1024)

/* Fill in the outcome for answer->id, whose schema is expected to be of that type. */
extern void si_registry_read_answer(const SiHttpAnswer *http, bool apicurio, const char *type,
									SiRegistryAnswer *answer);

/* An outcome in our words. */
extern void si_registry_set_outcome(SiRegistryAnswer *answer, SiRegistryOutcome outcome,
									const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* The schema of answer->id is of no use. */
extern void si_registry_set_unusable(SiRegistryAnswer *answer, const char *sqlstate,
									 const char *what);

#endif							/* SI_REGISTRY_ANSWER_H */
