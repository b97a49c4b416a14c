/*-------------------------------------------------------------------------
 *
 * registry_values.h
 *	  Schema registries: how to reach one, and what it answers.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_VALUES_H
#define SI_REGISTRY_VALUES_H

#include "common/record.h"
#include "common/schema_name.h"
#include "common/schema_texts.h"

/* A server names so many URLs at most. */
#define SI_REGISTRY_MAX_URLS	3

/* How to reach a registry; texts are NULL where they were not given. */
typedef struct SiRegistryOptions
{
	const char *url;			/* one or several, by commas; NULL: there is
								 * no registry */
	bool		apicurio;		/* Apicurio's own API, not Confluent's */
	int			timeout_ms;		/* of an answer */
	const char *ca_pem;
	const char *ca_location;
	const char *proxy;
	const char *username;
	const char *password;
	const char *token;
	const char *certificate_pem;
	const char *key_pem;
} SiRegistryOptions;

typedef enum SiRegistryOutcome
{
	SI_REGISTRY_FOUND,			/* text */
	SI_REGISTRY_UNKNOWN,		/* the registry does not have the id (yet) */
	SI_REGISTRY_UNUSABLE,		/* error: its schema is of no use */
	SI_REGISTRY_AWAY,			/* no answer, or one that says later */
	SI_REGISTRY_UNTRUSTED,		/* its certificate is refused */
	SI_REGISTRY_REFUSED,		/* it refuses us */
	SI_REGISTRY_NONE			/* what answers is no schema registry */
} SiRegistryOutcome;

typedef struct SiRegistryAnswer
{
	SiSchemaId	id;
	SiRegistryOutcome outcome;
	SiSchemaTexts *texts;		/* a block of malloc's: the caller's */
	SiDecodeError error;		/* of UNKNOWN and UNUSABLE */
	char		words[128];		/* of the others */
	int			retry_after_s;	/* as the registry wishes; 0: it does not say */
} SiRegistryAnswer;

#endif							/* SI_REGISTRY_VALUES_H */
