/*-------------------------------------------------------------------------
 *
 * neighbour.c
 *	  A library that is preloaded beside ours, and looks whether the server's
 *	  hooks are called where other extensions expect them.
 *
 * Extensions such as pgaudit, pg_stat_statements and auto_explain take for
 * granted what the server itself always does.  Each breach is a line of the
 * server's log that begins with "neighbour:".
 *
 * It reads nothing of ours, so that it shows what any extension would meet.
 *
 * It also has functions of a user's that do harm to the process that calls them;
 * for these it need not be preloaded.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);
extern Datum crash_if(PG_FUNCTION_ARGS);
extern Datum end_late(PG_FUNCTION_ARGS);

/* a query's permissions have a list of their own since 16 */
#if PG_VERSION_NUM >= 160000
#define PERMISSION_PARAMS	List *range_table, List *permissions, bool throw
#define PERMISSION_ARGS		range_table, permissions, throw
#else
#define PERMISSION_PARAMS	List *range_table, bool throw
#define PERMISSION_ARGS		range_table, throw
#endif

/* EXPLAIN passes its state since 19 */
#if PG_VERSION_NUM >= 190000
#define PLANNER_PARAMS		Query *query, const char *sql, int options, ParamListInfo params, ExplainState *state
#define PLANNER_ARGS		query, sql, options, params, state
#else
#define PLANNER_PARAMS		Query *query, const char *sql, int options, ParamListInfo params
#define PLANNER_ARGS		query, sql, options, params
#endif

static planner_hook_type prev_planner;
static ExecutorStart_hook_type prev_executor_start;
static ExecutorEnd_hook_type prev_executor_end;
static ExecutorCheckPerms_hook_type prev_check_permissions;
static ProcessUtility_hook_type prev_process_utility;
static object_access_hook_type prev_object_access;

static int	starting = 0;		/* calls of ExecutorStart that have not
								 * returned */
static int	running = 0;		/* executor runs */
static int	utilities = 0;

/* Log a breach, with the process it is in. */
static void
expect(bool condition, const char *what)
{
	if (!condition)
		elog(LOG, "neighbour: %s", what);
}

static PlannedStmt *
plan(PLANNER_PARAMS)
{
	expect(IsTransactionState(), "planner_hook outside a transaction");
	expect(sql != NULL, "planner_hook without a text");
	expect(ActiveSnapshotSet(), "planner_hook without a snapshot");
	return (prev_planner ? prev_planner : standard_planner) (PLANNER_ARGS);
}

static void
start(QueryDesc *desc, int flags)
{
	expect(desc->sourceText != NULL, "ExecutorStart_hook without a text");
	expect(ActiveSnapshotSet(), "ExecutorStart_hook without a snapshot");
	starting++;
	PG_TRY();
	{
		(prev_executor_start ? prev_executor_start : standard_ExecutorStart) (desc, flags);
	}
	PG_FINALLY();
	{
		starting--;
	}
	PG_END_TRY();
	running++;
}

static void
end(QueryDesc *desc)
{
	expect(running > 0, "ExecutorEnd_hook without ExecutorStart_hook");
	running--;
	(prev_executor_end ? prev_executor_end : standard_ExecutorEnd) (desc);
}

static bool
check_permissions(PERMISSION_PARAMS)
{
	expect(starting > 0 || utilities > 0,
		   "ExecutorCheckPerms_hook outside ExecutorStart and ProcessUtility");
	return prev_check_permissions ? prev_check_permissions(PERMISSION_ARGS) : true;
}

static void
process_utility(PlannedStmt *statement, const char *sql, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	expect(sql != NULL, "ProcessUtility_hook without a text");
	utilities++;
	PG_TRY();
	{
		(prev_process_utility ? prev_process_utility : standard_ProcessUtility)
			(statement, sql, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		utilities--;
	}
	PG_END_TRY();
}

static void
object_accessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	expect(IsTransactionState(), "object_access_hook outside a transaction");
	if (prev_object_access)
		prev_object_access(access, class_id, object_id, sub_id, arg);
}

/* An error takes executor runs away without ExecutorEnd. */
static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		starting = running = utilities = 0;
}

/* crash_if(text, bad text): the text, but a crash of the server if it is the bad one. */
PG_FUNCTION_INFO_V1(crash_if);

Datum
crash_if(PG_FUNCTION_ARGS)
{
	text	   *word = PG_GETARG_TEXT_PP(0);

	if (strcmp(text_to_cstring(word), text_to_cstring(PG_GETARG_TEXT_PP(1))) == 0)
		raise(SIGSEGV);
	PG_RETURN_TEXT_P(word);
}

/* Called at exit just before the server forgets the process, as on a busy machine. */
static void
wait_at_exit(int code, Datum arg)
{
	pg_usleep(500 * 1000);
}

/* end_late(): 1, and the process that calls it stays known to the server for a while at its end. */
PG_FUNCTION_INFO_V1(end_late);

Datum
end_late(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!registered)
		on_shmem_exit(wait_at_exit, (Datum) 0);
	registered = true;
	PG_RETURN_INT32(1);
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_planner = planner_hook;
	planner_hook = plan;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	prev_executor_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end;
	prev_check_permissions = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_permissions;
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_accessed;
	RegisterXactCallback(transaction_ended, NULL);
	elog(LOG, "neighbour is here");
}
