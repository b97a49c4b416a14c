/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  What is the same for every batch of a subscription.
 *
 * The plan is made under a lock on its target, as the identity that runs the
 * batches and with its pinned settings.  Callbacks of the server's caches tell
 * when it must be made again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "apply/column_check.h"
#include "apply/format.h"
#include "apply/plan.h"
#include "apply/schemas.h"
#include "format/schema_store.h"

/* All plans of this process, for the callbacks that make them stale. */
static SiPlan *live = NULL;

/* ---- when a plan becomes stale ---- */

/* Callback: a relation has changed (InvalidOid: any may have). */
static void
relation_changed(Datum arg, Oid relid)
{
	for (SiPlan *plan = live; plan != NULL; plan = plan->next_live)
	{
		/* a change of a table below a view is not reported for the view */
		if (relid == plan->subscription->target || relid == InvalidOid || plan->of_view ||
			list_member_oid(plan->partitions, relid) || list_member_oid(plan->row_types, relid))
			plan->stale = true;
	}
}

/* Callback: schemas were renamed, types altered, or roles changed. */
static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	relation_changed(arg, InvalidOid);
}

static void
watch_catalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum) 0);
	watching = true;
}

/* ---- life ---- */

/* Release what is not palloc'd, also when an ERROR deletes the context. */
static void
release_plan(void *arg)
{
	SiPlan	   *plan = arg;
	SiPlan	  **link = &live;

	while (*link != NULL && *link != plan)
		link = &(*link)->next_live;
	if (*link == plan)
		*link = plan->next_live;
	if (plan->arena != NULL)
		si_arena_destroy(plan->arena);
	plan->arena = NULL;
	si_ahead_destroy(plan->ahead);
	plan->ahead = NULL;
	si_schema_store_free(plan->store);
	plan->store = NULL;
}

/* The same for what si_plan_check made. */
static void
release_made(void *arg)
{
	SiPlan	   *plan = arg;

	plan->writer = NULL;
	plan->tombstone = NULL;
	plan->moved_key = NULL;
	plan->new_columns = NULL;
	if (plan->decoder)
		si_decoder_destroy(plan->decoder);
	plan->decoder = NULL;
	if (plan->unread_decoder)
		si_decoder_destroy(plan->unread_decoder);
	plan->unread_decoder = NULL;
	if (plan->ahead)
		si_ahead_end(plan->ahead);
	if (plan->ahead_decoder)
		si_decoder_destroy(plan->ahead_decoder);
	plan->ahead_decoder = NULL;
	plan->made_context = NULL;
	plan->partitions = NIL;
	plan->row_types = NIL;
}

/* Have a function called when a context is deleted. */
static void
on_delete(MemoryContext context, MemoryContextCallbackFunction function, void *arg)
{
	MemoryContextCallback *callback = MemoryContextAllocZero(context,
															 sizeof(MemoryContextCallback));

	callback->func = function;
	callback->arg = arg;
	MemoryContextRegisterResetCallback(context, callback);
}

SiPlan *
si_plan_create(const SiSubscription *subscription, const SiOptions *options, bool of_worker)
{
	MemoryContext context;
	SiPlan	   *plan;

	si_catalog_check_damage(subscription);
	context = AllocSetContextCreate(CurrentMemoryContext, "stream_ingest plan",
									ALLOCSET_DEFAULT_SIZES);
	plan = MemoryContextAllocZero(context, sizeof(SiPlan));
	plan->subscription = subscription;
	plan->options = options;
	plan->of_worker = of_worker;
	plan->context = context;
	plan->batch_context = AllocSetContextCreate(context, "stream_ingest batch",
												ALLOCSET_DEFAULT_SIZES);
	plan->row_context = AllocSetContextCreate(context, "stream_ingest row",
											  ALLOCSET_DEFAULT_SIZES);
	on_delete(context, release_plan, plan);
	plan->arena = si_arena_create();
	if (plan->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	plan->stale = true;
	plan->next_live = live;
	live = plan;
	watch_catalogs();
	return plan;
}

void
si_plan_destroy(SiPlan *plan)
{
	MemoryContextDelete(plan->context);
}

void
si_plan_begin_batch(SiPlan *plan)
{
	plan->at_fault = false;
	plan->committing = false;
	plan->settings = NIL;
	MemoryContextReset(plan->row_context);
	MemoryContextReset(plan->batch_context);
	si_arena_reset(plan->arena);
}

/*
 * Exit callback: end the threads.  It is registered later, and so called earlier,
 * than what releases the messages that a thread may be reading.
 */
static void
end_threads(int code, Datum arg)
{
	for (SiPlan *plan = live; plan != NULL; plan = plan->next_live)
	{
		si_ahead_destroy(plan->ahead);
		plan->ahead = NULL;
	}
}

SiAhead *
si_plan_ahead(SiPlan *plan)
{
	static bool registered = false;

	if (plan->ahead != NULL)
		return plan->ahead;
	if (!registered)
		before_shmem_exit(end_threads, (Datum) 0);
	registered = true;
	plan->ahead = si_ahead_create();
	return plan->ahead;
}

/* Drop what si_plan_check made. */
static void
drop_made(SiPlan *plan)
{
	if (plan->made_context != NULL)
		MemoryContextDelete(plan->made_context);
	plan->made_context = NULL;
	plan->partitions = NIL;
	plan->row_types = NIL;
}

/* ---- making it ---- */

/* A decoder for the subscription's format. */
static SiDecoder *
make_decoder(const SiSubscription *s, const SiDecodePlan *plan,
			 const SiFormatOptions *format)
{
	SiDecoder  *decoder = si_decoder_create(s->format, plan, format);

	if (decoder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return decoder;
}

/* Make what reads messages. */
static void
make_decoders(SiPlan *plan, const SiWriter *writer)
{
	const SiSubscription *s = plan->subscription;

	plan->decoder = make_decoder(s, &plan->mapping->decode, &plan->format);

	/*
	 * the store changes between batches, while the thread may read it;
	 * records of a message are decoded one by one, to keep no more than one
	 */
	if (plan->of_worker && plan->transcoder == NULL && plan->store == NULL &&
		plan->format.records == NULL)
	{
		plan->ahead_decoder = make_decoder(s, &plan->mapping->decode, &plan->format);
		plan->ahead_columns = si_convert_ahead_create(plan->mapping);
	}
	if (writer->unread != NULL)
		plan->unread_decoder = make_decoder(s, writer->unread, &plan->format);
	if (writer->delete_key != NULL)
		plan->tombstone = si_tombstone_create(plan->mapping, writer->delete_key,
											  s->format, &plan->format, s->topic);
	if (writer->moved_key != NULL)
		plan->moved_key = si_moved_key_create(plan->mapping, writer->moved_key, s->topic);
}

/* Append the relations of the composite types that a type is made of. */
static List *
add_row_types(List *relids, Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);
	Oid			relid;
	TupleDesc	desc;

	/* they may be nested without a limit */
	check_stack_depth();
	if (OidIsValid(element))
		return add_row_types(relids, element);
	relid = get_typ_typrelid(base);
	if (!OidIsValid(relid) || list_member_oid(relids, relid))
		return relids;
	relids = lappend_oid(relids, relid);
	desc = lookup_rowtype_tupdesc_copy(base, -1);
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			relids = add_row_types(relids, TupleDescAttr(desc, i)->atttypid);
	}
	return relids;
}

/* The same of a mapping's columns. */
static List *
row_types(const SiMapping *mapping)
{
	List	   *relids = NIL;

	for (int i = 0; i < mapping->ncolumns; i++)
		relids = add_row_types(relids, mapping->columns[i].type);
	return relids;
}

/*
 * Make the plan, for a target or (NULL) for apply.  The writer is set last: while
 * it is NULL, what an error has left half made is not used, and made again.
 */
static void
make_plan(SiPlan *plan, Relation target)
{
	const SiSubscription *s = plan->subscription;
	SiWriter   *writer;
	SiSavedSession saved;
	MemoryContext old;

	drop_made(plan);
	plan->made_context = AllocSetContextCreate(plan->context, "stream_ingest mapping",
											   ALLOCSET_DEFAULT_SIZES);
	on_delete(plan->made_context, release_made, plan);
	old = MemoryContextSwitchTo(plan->made_context);
	plan->identity = si_session_identity(s->owner, target ? target->rd_rel->relowner : s->owner,
										 plan->options->run_as_owner);

	/* names are looked up as they are when it runs */
	si_session_begin_batch(&saved, &plan->identity, si_session_settings_for(s->owner), s->pinned);
	writer = si_writer_create(target, s, plan->options, plan->of_worker);
	plan->mapping = writer->mapping;
	plan->row_types = row_types(plan->mapping);
	plan->converter = si_convert_create(plan->mapping, pstrdup(s->topic));
	plan->transcoder = si_transcode_create(plan->options->encoding);
	if (plan->store == NULL &&
		(plan->options->schema == NULL || SI_KEY_BY_ID(writer->options->key_format)))
		plan->store = si_schemas_create_store(s->format, s->server, s->owner);
	si_format_options(s->format, plan->mapping,
					  target ? RelationGetRelationName(target) : SI_BATCH_NAME,
					  writer->options, plan->store, &plan->format);
	plan->format.old_rows = writer->moved_key != NULL;
	if (writer->moved_key != NULL)
		plan->format.old_needed = si_moved_key_fields(plan->mapping, writer->moved_key);
	plan->wants_headers = plan->mapping->wants_headers || si_wire_needs_headers(plan->format.wire_format);
	make_decoders(plan, writer);
	if (plan->options->unknown_fields == SI_UNKNOWN_ADD_COLUMNS)
		si_column_check(target, plan->identity.user, s->format, &plan->format,
						plan->transcoder != NULL);
	if (target != NULL && target->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		plan->partitions = find_all_inheritors(s->target, NoLock, NULL);
	if (target != NULL)
	{
		plan->target_schema = get_namespace_name(RelationGetNamespace(target));
		plan->target_name = pstrdup(RelationGetRelationName(target));
	}
	si_session_restore(&saved);
	MemoryContextSwitchTo(old);
	plan->writer = writer;
}

void
si_plan_check(SiPlan *plan)
{
	const SiSubscription *s = plan->subscription;
	Relation	target;

	plan->at_fault = true;
	if (s->apply != NULL)
	{
		/* its statements lock what they touch; their plans follow changes */
		AcceptInvalidationMessages();
		if (plan->stale || plan->writer == NULL)
		{
			plan->stale = false;
			make_plan(plan, NULL);
		}
		plan->at_fault = false;
		return;
	}

	LockRelationOid(s->target, RowExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(s->target)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target \"%s\" of subscription \"%s\" does not exist",
						s->target_name, NameStr(s->name)),
				 errhint("Use stream_ingest.alter_subscription to name another target, or drop the subscription.")));

	if (plan->stale || plan->writer == NULL)
	{
		target = table_open(s->target, NoLock);
		plan->stale = false;
		plan->of_view = (target->rd_rel->relkind == RELKIND_VIEW);
		make_plan(plan, target);
		table_close(target, NoLock);
	}
	plan->at_fault = false;
}

/*
 * Renaming a schema takes no lock on the tables in it, and a plan that it
 * makes invalid is made again from its text: by names that may mean another
 * table by now.  If they still mean the target, the target was written to.
 */
void
si_plan_check_target(SiPlan *plan)
{
	Oid			schema;

	if (plan->subscription->apply != NULL)
		return;
	AcceptInvalidationMessages();
	schema = get_namespace_oid(plan->target_schema, true);
	if (OidIsValid(schema) &&
		get_relname_relid(plan->target_name, schema) == plan->subscription->target)
		return;
	plan->stale = true;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the target was renamed while a batch was being applied")));
}
