/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  The client of a schema registry.
 *
 * A thread of its own makes the HTTP requests, so that the main thread never
 * waits for them: it asks, and the descriptor becomes readable when there are
 * answers.  What a registry says is shown to no user, but for a schema that can
 * be parsed; words are ours.
 *
 * In a build without libcurl (make with_schema_registry=no) there is no client.
 * Called by the worker and by apply, which waits for answers in a backend; the
 * checks also by options.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_H
#define SI_REGISTRY_H

#include "format/schema_store.h"

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
	char	   *text;			/* malloc'd: the caller's */
	SiDecodeError error;		/* of UNKNOWN and UNUSABLE */
	char		words[128];		/* of the others */
	int			retry_after_s;	/* as the registry wishes; 0: it does not say */
} SiRegistryAnswer;

typedef struct SiRegistry SiRegistry;

/*
 * Start a client; options are copied.  type is what the registry calls the kind of
 * schema that is expected ("AVRO").  Errors: 53200, 53000, and 0A000 in a build without
 * libcurl.
 */
extern SiRegistry *si_registry_open(const SiRegistryOptions *options, const char *type);

/* Readable when there are answers; drained by si_client_drain_fd. */
extern int	si_registry_fd(const SiRegistry *registry);

/*
 * Ask for up to SI_SCHEMA_MOST_LACKING schemas.  One question at a time: a question
 * that is not answered yet is replaced.
 */
extern void si_registry_ask(SiRegistry *registry, const SiSchemaId *ids, int n);

/*
 * Take the answers, up to SI_SCHEMA_MOST_LACKING; returns their number, 0 while there
 * are none.  There are fewer than questions where the last one says that asking more
 * is in vain.
 */
extern int	si_registry_answers(SiRegistry *registry, SiRegistryAnswer *answers);

/*
 * End the client.  False if its thread did not end in time: it ends by itself then.
 */
extern bool si_registry_close(SiRegistry *registry, int timeout_ms);

/* Wait for the threads that did not end in time; false if some still run. */
extern bool si_registry_await_abandoned(int timeout_ms);

/* Is this a build with libcurl? */
extern bool si_registry_is_supported(void);

#endif							/* SI_REGISTRY_H */
