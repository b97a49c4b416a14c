/*-------------------------------------------------------------------------
 *
 * server_options.h
 *	  What may be said about a Kafka cluster: the wrapper's validator, and the
 *	  librdkafka properties of a server and a user mapping.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SERVER_OPTIONS_H
#define SI_SERVER_OPTIONS_H

#include "kafka/consumer.h"

/* The properties of a server as seen by a role. */
typedef struct SiServerProperties
{
	Oid			server;
	char	   *group_prefix;
	int			nproperties;
	SiProperty *properties;		/* server's first, then the user mapping's */
} SiServerProperties;

/*
 * Look up a server of our wrapper and the mapping of that role (else
 * PUBLIC's).  The result is in the current memory context and may hold
 * secrets: it must never be logged.  Errors: 42704 for an unknown server,
 * 42809 if the server is of another wrapper.
 */
extern SiServerProperties *si_server_properties(const char *server, Oid role);

/* The option group_prefix of a server; the default if there is no such server. */
extern char *si_server_group_prefix(const char *server);

/*
 * The consumer group under which a subscription publishes its offsets,
 * palloc'd: what its option group_id names, or if that is NULL, what follows
 * from the server's group_prefix, the database and the subscription.
 */
extern char *si_server_group_name(const SiServerProperties *server, const char *group_id,
								  const char *database, const char *subscription);

/* May a topic have this name? */
extern bool si_server_is_topic(const char *topic);

/* Error 22023 unless Kafka could have a topic of that name. */
extern void si_server_check_topic(const char *topic);

/*
 * Check one property against the subscription's allow-list and librdkafka;
 * with value NULL only its name.  Returns the property's own name (dots, and
 * the first of several names); errors 22023 / 42501 with the reason.
 */
extern const char *si_server_check_subscription_property(const char *name, const char *value);

/* The names of the subscription's allow-list, for hints; palloc'd. */
extern const char **si_server_subscription_properties(int *n);

/*
 * The candidate with the smallest edit distance to name, or NULL if none is
 * near.  It stands here because options use this module and not the reverse.
 */
extern const char *si_server_nearest(const char *name, const char *const *candidates, int n);

#endif							/* SI_SERVER_OPTIONS_H */
