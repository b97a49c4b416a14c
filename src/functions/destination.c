/*-------------------------------------------------------------------------
 *
 * destination.c
 *	  Where a backend's messages to Kafka go.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/dbcommands.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "common/compat.h"
#include "functions/destination.h"

SiDestination *si_destinations = NULL;

static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	for (SiDestination *d = si_destinations; d != NULL; d = d->next)
		d->valid = false;
}

/* Have changes of servers and user mappings noticed. */
static void
watch_servers(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, server_changed, (Datum) 0);
	watching = true;
}

void
si_destination_close(SiDestination *destination)
{
	if (destination->producer != NULL)
		si_producer_discard(destination->producer);
	destination->producer = NULL;
	destination->sending = false;
}

/* Close what has lost its server or user mapping. */
static void
sweep_destinations(void)
{
	SiDestination **link = &si_destinations;

	while (*link != NULL)
	{
		SiDestination *d = *link;

		if (d->valid ||
			(SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(d->server)) &&
			 (!OidIsValid(d->mapped) ||
			  SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(d->mapped),
									ObjectIdGetDatum(d->server)))))
		{
			link = &d->next;
			continue;
		}
		*link = d->next;
		si_destination_close(d);
		MemoryContextDelete(d->context);
	}
}

static bool
same_properties(const SiDestination *destination, const SiServerProperties *properties)
{
	if (destination->nproperties != properties->nproperties)
		return false;
	for (int i = 0; i < properties->nproperties; i++)
	{
		if (strcmp(destination->properties[i].name, properties->properties[i].name) != 0 ||
			strcmp(destination->properties[i].value, properties->properties[i].value) != 0)
			return false;
	}
	return true;
}

/* A copy of the destination with these properties; the old one is freed. */
static void
set_properties(SiDestination *destination, const SiServerProperties *properties)
{
	MemoryContext old = MemoryContextSwitchTo(destination->context);
	SiProperty *copy = palloc(sizeof(SiProperty) * Max(properties->nproperties, 1));

	for (int i = 0; i < properties->nproperties; i++)
	{
		copy[i].name = pstrdup(properties->properties[i].name);
		copy[i].value = pstrdup(properties->properties[i].value);
	}
	destination->tls_files = si_tls_files_note(copy, properties->nproperties);
	MemoryContextSwitchTo(old);
	destination->properties = copy;
	destination->nproperties = properties->nproperties;
}

static SiDestination *
add_destination(Oid server, Oid mapped)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "stream_ingest destination",
												  ALLOCSET_SMALL_SIZES);
	SiDestination *destination = MemoryContextAllocZero(context, sizeof(SiDestination));

	destination->context = context;
	destination->server = server;
	destination->mapped = mapped;
	destination->next = si_destinations;
	si_destinations = destination;
	return destination;
}

SiDestination *
si_destination_find(const char *name, bool sweep)
{
	Oid			user = GetUserId();
	Oid			server = get_foreign_server_oid(name, true);
	SiServerProperties *properties = NULL;
	SiDestination *destination;
	Oid			mapped;

	watch_servers();
	if (!OidIsValid(server))
		server = si_server_properties(name, user)->server;	/* words the error */
	if (!has_server_usage_compat(server, user))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, name);
	mapped = SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user),
								   ObjectIdGetDatum(server)) ? user : InvalidOid;

	for (destination = si_destinations; destination != NULL; destination = destination->next)
	{
		if (destination->server == server && destination->mapped == mapped)
			break;
	}
	if (destination != NULL && destination->valid)
		return destination;

	properties = si_server_properties(name, user);
	if (sweep && destination == NULL)
		sweep_destinations();
	if (destination == NULL)
		destination = add_destination(server, mapped);
	if (destination->properties == NULL || !same_properties(destination, properties))
	{
		si_destination_close(destination);
		set_properties(destination, properties);
	}
	destination->valid = true;
	return destination;
}

/* Were certificates or keys replaced?  Asked while nothing is being sent. */
static bool
has_new_tls_files(const SiDestination *destination)
{
	return destination->tls_files != NULL && !destination->sending &&
		si_tls_files_check(destination->tls_files) == SI_TLS_FILES_NEW;
}

void
si_destination_open(SiDestination *destination)
{
	if (destination->producer != NULL && si_producer_usable(destination->producer) &&
		!has_new_tls_files(destination))
		return;
	si_destination_close(destination);
	si_tls_files_note_again(destination->tls_files);
	destination->producer =
		si_producer_open(destination->properties, destination->nproperties,
						 psprintf("stream_ingest/%s", get_database_name(MyDatabaseId)));
}
