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

#include "catalog/token_function.h"
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

/* Give the destination these properties, as the current user has them. */
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
	destination->role = si_token_properties_function(copy, properties->nproperties) != NULL
		? GetUserId() : InvalidOid;
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

/* A token is for the role whose function gave it, so no other one sends by it. */
static SiDestination *
find_destination(Oid server, Oid mapped, Oid user)
{
	for (SiDestination *d = si_destinations; d != NULL; d = d->next)
	{
		if (d->server == server && d->mapped == mapped && (!OidIsValid(d->role) || d->role == user))
			return d;
	}
	return NULL;
}

SiDestination *
si_destination_find(const char *name, bool sweep)
{
	Oid			user = GetUserId();
	Oid			server = get_foreign_server_oid(name, true);
	SiServerProperties *properties = NULL;
	SiDestination *destination;
	Oid			mapped;

	/* it must not lose the producer that its token is for */
	si_token_function_refuse_inside();
	watch_servers();
	if (!OidIsValid(server))
		server = si_server_properties(name, user)->server;	/* words the error */
	if (!has_server_usage_compat(server, user))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, name);
	mapped = SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user),
								   ObjectIdGetDatum(server)) ? user : InvalidOid;

	destination = find_destination(server, mapped, user);
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

/*
 * A failure of the function is like brokers that refuse us: a batch whose trigger sends
 * messages is tried again.
 */
void
si_destination_serve_token(SiDestination *destination)
{
	SiToken    *token = si_producer_token(destination->producer);
	SiFailure  *failure;

	if (si_token_due_ms(token) != 0)
		return;
	failure = si_token_function_serve(token, destination->server, destination->role);
	if (failure == NULL)
		return;
	si_destination_close(destination);
	if (si_failure_kind(failure->sqlerrcode) != SI_ERROR_TEMPORARY)
		failure->sqlerrcode = ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION;
	si_token_function_throw(failure, GetForeignServer(destination->server)->servername);
}
