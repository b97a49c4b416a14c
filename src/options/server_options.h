/*-------------------------------------------------------------------------
 *
 * server_options.h
 *	  The options of servers and user mappings: the wrapper's validator, and
 *	  the librdkafka properties that follow from them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SERVER_OPTIONS_H
#define SI_SERVER_OPTIONS_H

#include "kafka/consumer.h"
#include "kafka/registry_values.h"

/* The properties of a server as seen by a role. */
typedef struct SiServerProperties
{
	Oid			server;
	char	   *group_prefix;
	int			nproperties;
	SiProperty *properties;		/* server's first, then the user mapping's */
	SiRegistryOptions registry; /* its url is NULL where there is none */
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

#endif							/* SI_SERVER_OPTIONS_H */
