/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between server and library versions; the only file with
 *	  PG_VERSION_NUM or RD_KAFKA_VERSION.
 *
 * Newer names are made available on older servers, or a static inline function
 * with the suffix _compat hides what changed.  A core name is never redefined
 * with another meaning.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_COMPAT_H
#define SI_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "stream_ingest needs PostgreSQL 15 or later"
#endif

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_relation.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* SET ROLE became a separate privilege in 16 */
static inline bool
member_can_set_role_compat(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

static inline void
check_can_set_role_compat(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	check_can_set_role(member, role);
#else
	check_is_member_of_role(member, role);
#endif
}

/* what a query needs of a relation moved out of the range table in 16 */
#if PG_VERSION_NUM >= 160000
typedef RTEPermissionInfo SiRelationNeeds;

#define query_needs_compat(query)	((query)->rteperminfos)
#else
typedef RangeTblEntry SiRelationNeeds;	/* requiredPerms is 0 unless a table */

#define query_needs_compat(query)	((query)->rtable)
#endif

static inline bool
has_execute_compat(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static inline bool
has_schema_usage_compat(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline void
check_execute_privilege_compat(Oid function, Oid role)
{
	if (!has_execute_compat(function, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
}

/* a role without LOGIN can own a worker since 17 */
static inline uint32
worker_connect_flags_compat(void)
{
#if PG_VERSION_NUM >= 170000
	return BGWORKER_BYPASS_ROLELOGINCHECK;
#else
	return 0;
#endif
}

/* object privileges have one function for all kinds since 16 */
static inline bool
has_database_connect_compat(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

static inline bool
owns_relation_compat(Oid relation, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relation, role);
#else
	return pg_class_ownercheck(relation, role);
#endif
}

static inline bool
owns_database_compat(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* The server's have_createdb_privilege() is not in all minor releases of 15. */
static inline bool
has_createdb_compat(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		may;

	if (!HeapTupleIsValid(tuple))
		return false;
	may = superuser_arg(role) || ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return may;
}

static inline bool
has_tablespace_create_compat(Oid tablespace, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(TableSpaceRelationId, tablespace, role, ACL_CREATE) == ACLCHECK_OK;
#else
	return pg_tablespace_aclcheck(tablespace, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

static inline bool
has_server_usage_compat(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(server, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* an extension's own wait events have names since 17 */
static inline uint32
new_wait_event_compat(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* a set of wait events belongs to a resource owner, and no context, since 17 */
static inline WaitEventSet *
create_wait_event_set_compat(MemoryContext context, int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(context, nevents);
#endif
}

/* workers that DROP DATABASE and its like may end by themselves, since 19 */
static inline int
worker_flags_compat(void)
{
#ifdef BGWORKER_INTERRUPTIBLE
	return BGWORKER_INTERRUPTIBLE;
#else
	return 0;
#endif
}

/* a minimal tuple can have room before it since 18 */
static inline MinimalTuple
heap_form_minimal_tuple_compat(TupleDesc desc, Datum *values, bool *nulls)
{
#if PG_VERSION_NUM >= 180000
	return heap_form_minimal_tuple(desc, values, nulls, 0);
#else
	return heap_form_minimal_tuple(desc, values, nulls);
#endif
}

/* privileges to check moved out of the range table in 16; unpruned ones since 18 */
static inline void
init_insert_range_table_compat(EState *estate, Relation target, Bitmapset *columns)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List	   *table = list_make1(entry);

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(target);
	entry->relkind = target->rd_rel->relkind;
	entry->rellockmode = RowExclusiveLock;
#if PG_VERSION_NUM >= 160000
	{
		List	   *permissions = NIL;
		RTEPermissionInfo *permission = addRTEPermissionInfo(&permissions, entry);

		permission->requiredPerms = ACL_INSERT;
		permission->insertedCols = columns;
#if PG_VERSION_NUM >= 180000
		ExecInitRangeTable(estate, table, permissions, bms_make_singleton(1));
#else
		ExecInitRangeTable(estate, table, permissions);
#endif
	}
#else
	entry->requiredPerms = ACL_INSERT;
	entry->insertedCols = columns;
	ExecInitRangeTable(estate, table);
#endif
}

static inline TupleConversionMap *
root_to_partition_map_compat(ResultRelInfo *partition, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecGetRootToChildMap(partition, estate);
#else
	return partition->ri_RootToPartitionMap;
#endif
}

/* index entries of a new row; throws where one is there already */
static inline List *
insert_index_tuples_compat(ResultRelInfo *relation, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(relation, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(relation, slot, estate, false, false, NULL, NIL);
#endif
}

/* all settings, and the type-specific part of each (in one struct since 19) */
static inline struct config_generic **
guc_variables_compat(int *n)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(n);
#else
	*n = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

#if PG_VERSION_NUM >= 190000
#define guc_bool_compat(setting)	(&(setting)->_bool)
#define guc_int_compat(setting)		(&(setting)->_int)
#define guc_real_compat(setting)	(&(setting)->_real)
#define guc_string_compat(setting)	(&(setting)->_string)
#define guc_enum_compat(setting)	(&(setting)->_enum)
#define guc_enum_word_compat(setting, value)	config_enum_lookup_by_value(setting, value)
#else
#define guc_bool_compat(setting)	((struct config_bool *) (setting))
#define guc_int_compat(setting)		((struct config_int *) (setting))
#define guc_real_compat(setting)	((struct config_real *) (setting))
#define guc_string_compat(setting)	((struct config_string *) (setting))
#define guc_enum_compat(setting)	((struct config_enum *) (setting))
#define guc_enum_word_compat(setting, value) \
	config_enum_lookup_by_value((struct config_enum *) (setting), value)
#endif

/* soft errors of input functions (16); before, the call throws */
#include "fmgr.h"
#if PG_VERSION_NUM >= 160000
#define SI_HAVE_SOFT_ERRORS 1
#include "nodes/miscnodes.h"
#else
#include "nodes/nodes.h"

#define T_ErrorSaveContext T_Invalid

typedef struct ErrorSaveContext
{
	NodeTag		type;
	bool		error_occurred;
	bool		details_wanted;
	ErrorData  *error_data;
} ErrorSaveContext;

static inline bool
InputFunctionCallSafe(FmgrInfo *flinfo, char *str, Oid typioparam,
					  int32 typmod, fmNodePtr escontext, Datum *result)
{
	*result = InputFunctionCall(flinfo, str, typioparam, typmod);
	return true;
}
#endif

/* librdkafka, for files that include rdkafka.h before this one */
#ifdef RD_KAFKA_VERSION

#if RD_KAFKA_VERSION < 0x020002ff
#error "stream_ingest needs librdkafka 2.0.2 or later"
#endif

/* rd_kafka_message_leader_epoch() and similar functions */
#if RD_KAFKA_VERSION >= 0x020100ff
#define SI_RDKAFKA_HAS_LEADER_EPOCH 1
#endif

/* rd_kafka_DescribeTopics(), which knows a topic's id */
#if RD_KAFKA_VERSION >= 0x020300ff
#define SI_RDKAFKA_HAS_TOPIC_ID 1
#endif

#endif							/* RD_KAFKA_VERSION */

#endif							/* SI_COMPAT_H */
