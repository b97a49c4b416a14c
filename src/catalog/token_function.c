/*-------------------------------------------------------------------------
 *
 * token_function.c
 *	  Tokens that a user's function gives: calling it.
 *
 * From the name to the call there must be no moment in which another function can take
 * the place of the one that was checked.  So the name is resolved once, by the role that
 * calls; the function is locked, which keeps it from being dropped, renamed or given
 * to another owner; what it is and whose is looked at after that; and it is called by
 * its OID.  What can still change is its text, by those who may write it anyway, and the
 * attributes of a composite type: so the executor compares the types of what comes with
 * those that are read.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

#include "catalog/session.h"
#include "catalog/token_function.h"
#include "common/compat.h"
#include "common/subtransaction.h"

/* It is canceled after so long; a worker does nothing else meanwhile. */
#define CALL_MS				10000

#define MAX_TOKEN_LEN		16384
#define MAX_LIFE_DAYS		366

typedef struct Call
{
	char	   *schema;
	char	   *function;
	const char *shown;			/* both, as messages have them */
	Oid			server;
	Oid			role;
	bool		check_only;
	bool		in_user_code;	/* what is thrown now is the function's */
	char	   *token;			/* the result */
	int64		life_ms;
} Call;

/* A function that gives tokens runs. */
static bool calling = false;

static emit_log_hook_type prev_emit_log_hook = NULL;

/*
 * The context of a message quotes the statements that run, and dynamic ones may hold a
 * secret.  An ERROR is not logged, but the FATAL of a shutdown is, and notices.
 */
static void
hide_context(ErrorData *edata)
{
	edata->context = NULL;
	edata->internalquery = NULL;
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

static void
begin_calling(void)
{
	calling = true;
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = hide_context;
}

static void
end_calling(void)
{
	if (calling)
		emit_log_hook = prev_emit_log_hook;
	calling = false;
}

/* ---- a limit for its time ---- */

static TimeoutId limit = MAX_TIMEOUTS;
static volatile sig_atomic_t limit_reached = false;

/* Cancel the function as a user's request would: statement_timeout may be the session's. */
static void
cancel_call(void)
{
	limit_reached = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
begin_limit(void)
{
	if (limit == MAX_TIMEOUTS)
		limit = RegisterTimeout(USER_TIMEOUT, cancel_call);
	limit_reached = false;
	enable_timeout_after(limit, CALL_MS);
}

/* A cancel that came too late for the function must not hit what comes after it. */
static void
end_limit(void)
{
	if (limit == MAX_TIMEOUTS)
		return;
	disable_timeout(limit, false);
	if (limit_reached)
		QueryCancelPending = false;
}

/* ---- which function ---- */

/* The function of that name without arguments, locked until the subtransaction ends. */
static Oid
lock_function(const Call *call)
{
	oidvector  *no_arguments = buildoidvector(NULL, 0);
	Oid			locked = InvalidOid;

	/* while the lock is awaited, the name can become another function's */
	for (;;)
	{
		Oid			schema = LookupExplicitNamespace(call->schema, true);
		Oid			function = InvalidOid;

		if (OidIsValid(schema))
			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
									   CStringGetDatum(call->function),
									   PointerGetDatum(no_arguments),
									   ObjectIdGetDatum(schema));
		if (!OidIsValid(function))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("function %s does not exist", call->shown),
					 errhint("Create it without arguments, or correct the option \"sasl_oauthbearer_function\" of the server.")));
		if (function == locked)
			return function;
		LockDatabaseObject(ProcedureRelationId, function, 0, AccessShareLock);
		locked = function;
	}
}

/* The owner of the server. */
static Oid
server_owner(Oid server)
{
	ForeignServer *found = GetForeignServerExtended(server, FSV_MISSING_OK);

	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server with OID %u does not exist", server)));
	return found->owner;
}

/*
 * May this function be called by that role, which did not choose it, and may its token
 * go to the brokers that the server names?
 */
static void
check_rights(const Call *call, Oid function, Oid owner)
{
	Oid			receiver = server_owner(call->server);

	if (owner != call->role && !superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s may not give tokens to role \"%s\"", call->shown,
						GetUserNameFromId(call->role, false)),
				 errdetail("It is neither that role's own nor a superuser's, and would run with that role's rights."),
				 errhint("Make that role, or a superuser, the owner of the function.")));
	check_execute_privilege_compat(function, call->role);
	if (!has_schema_usage_compat(get_func_namespace(function), receiver) ||
		!has_execute_compat(function, receiver))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s may not give tokens for a server of role \"%s\"", call->shown,
						GetUserNameFromId(receiver, false)),
				 errdetail("The owner of the server chooses the brokers that get the token, and lacks EXECUTE on the function or USAGE on its schema."),
				 errhint("Grant that to the role if the server is the one that the tokens are for.")));
}

/* Does its result have the right columns? */
static bool
has_right_result(Oid function)
{
	TupleDesc	desc;

	return get_func_result_type(function, NULL, &desc) == TYPEFUNC_COMPOSITE && desc->natts == 2 &&
		!TupleDescAttr(desc, 0)->attisdropped && TupleDescAttr(desc, 0)->atttypid == TEXTOID &&
		!TupleDescAttr(desc, 1)->attisdropped && TupleDescAttr(desc, 1)->atttypid == TIMESTAMPTZOID;
}

static void
check_function(const Call *call, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;
	char		kind;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	kind = ((Form_pg_proc) GETSTRUCT(tuple))->prokind;
	ReleaseSysCache(tuple);
	check_rights(call, function, owner);
	if (kind != PROKIND_FUNCTION || !has_right_result(function))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s does not return a token and when it expires", call->shown),
				 errhint("Create it with RETURNS TABLE (token text, expires_at timestamptz).")));
}

/* ---- its result ---- */

static void
refuse(const Call *call, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("function %s gives no token that can be used: %s", call->shown, why),
			 errhint("It must return one row, with a token and a time within a year at which that expires.")));
}

/* Take the token: what HTTP can carry, as RFC 6750 wants it. */
static void
take_token(Call *call, Datum value, bool isnull)
{
	if (isnull)
		refuse(call, "the token is null");
	if (toast_raw_datum_size(value) - VARHDRSZ > MAX_TOKEN_LEN)
		refuse(call, "the token is longer than 16384 bytes");
	call->token = TextDatumGetCString(value);
	if (call->token[0] == '\0')
		refuse(call, "the token is empty");
	for (const char *c = call->token; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c > '~')
			refuse(call, "the token has a character other than printable ASCII without blanks");
	}
}

static void
take_expiry(Call *call, Datum value, bool isnull)
{
	TimestampTz expires = isnull ? 0 : DatumGetTimestampTz(value);

	if (isnull)
		refuse(call, "the time at which the token expires is null");
	if (TIMESTAMP_NOT_FINITE(expires))
		refuse(call, "the time at which the token expires is infinite");

	/* both are after 4713 BC: the difference is no overflow */
	call->life_ms = (expires - GetCurrentTimestamp()) / 1000;
	if (call->life_ms <= 0)
		refuse(call, "the token has expired already");
	if (call->life_ms > MAX_LIFE_DAYS * INT64CONST(86400000))
		refuse(call, "the token expires in more than 366 days");
}

/* The one row that the function returned. */
static void
take_row(Call *call, Tuplestorestate *rows, TupleDesc desc)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	Datum		values[2];
	bool		nulls[2];

	if (!tuplestore_gettupleslot(rows, true, false, slot))
		refuse(call, "it returns no row");
	for (int i = 0; i < lengthof(values); i++)
		values[i] = slot_getattr(slot, i + 1, &nulls[i]);
	take_token(call, values[0], nulls[0]);
	take_expiry(call, values[1], nulls[1]);
	if (tuplestore_gettupleslot(rows, true, false, slot))
		refuse(call, "it returns more than one row");
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Call the function as a scan of it would do.  No statement takes part, so none is
 * logged, and the executor checks that the rows have the columns that are read.
 */
static void
call_function(Call *call, Oid function)
{
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = CreateExprContext(estate);
	MemoryContext arguments = AllocSetContextCreate(CurrentMemoryContext,
													"stream_ingest token arguments",
													ALLOCSET_SMALL_SIZES);
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	FuncExpr   *expr = makeFuncExpr(function, get_func_rettype(function), NIL, InvalidOid,
									InvalidOid, COERCE_EXPLICIT_CALL);
	SetExprState *state;
	Tuplestorestate *rows;

	TupleDescInitEntry(desc, 1, "token", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 2, "expires_at", TIMESTAMPTZOID, -1, 0);
	expr->funcretset = get_func_retset(function);
	call->in_user_code = true;
	state = ExecInitTableFunctionResult((Expr *) expr, econtext, NULL);
	rows = ExecMakeTableFunctionResult(state, econtext, arguments, desc, false);
	call->in_user_code = false;
	take_row(call, rows, desc);
	tuplestore_end(rows);
	FreeExecutorState(estate);
}

/* ---- the call ---- */

/* The work of si_subtransaction_run. */
static void
run_call(void *arg)
{
	Call	   *call = arg;
	SiIdentity	identity = {call->role, true};
	List	   *settings = si_session_settings_for(call->role);
	char	   *pinned[SI_NPINNED];
	SiSavedSession saved;
	Oid			function;

	si_session_pinned_for(call->role, pinned);
	begin_calling();
	begin_limit();
	si_session_begin_batch(&saved, &identity, settings, pinned);
	si_session_log_no_plans();
	function = lock_function(call);
	check_function(call, function);
	if (!call->check_only)
		call_function(call, function);
	si_session_restore(&saved);
}

/* What the function threw: its words may hold a secret, and are not shown. */
static SiFailure *
failure_of_user_code(const Call *call, const ErrorData *edata)
{
	SiFailure	code = {.sqlerrcode = edata->sqlerrcode};
	SiFailure  *failure = palloc0(sizeof(SiFailure));

	failure->sqlerrcode = edata->sqlerrcode;
	failure->safe = true;
	failure->message = psprintf("function %s failed: %s", call->shown, si_failure_words(&code));
	failure->hint = psprintf("Its words are not shown, since they may hold a secret; call it as role \"%s\" to see them.",
							 GetUserNameFromId(call->role, true));
	return failure;
}

/* The same of a call that was canceled because it took too long. */
static SiFailure *
failure_of_limit(const Call *call)
{
	SiFailure  *failure = palloc0(sizeof(SiFailure));

	failure->sqlerrcode = ERRCODE_QUERY_CANCELED;
	failure->safe = true;
	failure->message = psprintf("function %s did not end within %d seconds", call->shown,
								CALL_MS / 1000);
	return failure;
}

/* Run the call; NULL, or why there is no token. */
static SiFailure *
run(Call *call)
{
	ErrorData  *edata;
	SiFailure  *failure;

	si_token_function_refuse_inside();
	edata = si_subtransaction_run(run_call, call, false);
	end_calling();
	end_limit();
	if (edata == NULL)
		return NULL;
	if (limit_reached && edata->sqlerrcode == ERRCODE_QUERY_CANCELED)
		return failure_of_limit(call);
	if (call->in_user_code)
		return failure_of_user_code(call, edata);
	failure = si_failure_from_error(edata);
	failure->hint = edata->hint;
	failure->safe = true;
	return failure;
}

void
si_token_function_refuse_inside(void)
{
	if (calling)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a function that gives tokens cannot use Kafka itself")));
}

/* A call of the function that a server names. */
static void
init_call(Call *call, const char *name, Oid server, Oid role)
{
	List	   *names;

	si_slots_require();
	memset(call, 0, sizeof(Call));
	if (!SplitIdentifierString(pstrdup(name), '.', &names) || list_length(names) != 2)
		elog(ERROR, "the option \"sasl_oauthbearer_function\" names no function");
	call->schema = linitial(names);
	call->function = lsecond(names);
	call->shown = psprintf("%s()", quote_qualified_identifier(call->schema, call->function));
	call->server = server;
	call->role = role;
}

SiFailure *
si_token_function_serve(SiToken *token, Oid server, Oid role)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	SiFailure  *failure;
	Call		call;

	if (si_token_due_ms(token) != 0)
		return NULL;
	context = AllocSetContextCreate(caller, "stream_ingest token", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	init_call(&call, si_token_function(token), server, role);
	failure = run(&call);
	if (failure == NULL)
		si_token_give(token, call.token, call.life_ms);
	else
	{
		si_token_deny(token, si_failure_kind(failure->sqlerrcode) == SI_ERROR_TEMPORARY,
					  failure->message);
		failure = si_failure_copy(failure, caller);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return failure;
}

void
si_token_function_throw(const SiFailure *failure, const char *server)
{
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg("could not get a token for server \"%s\": %s", server, failure->message),
			 failure->detail ? errdetail_internal("%s", failure->detail) : 0,
			 failure->hint ? errhint("%s", failure->hint) : 0));
}

void
si_token_function_check(const char *function, Oid server, const char *server_name, Oid role)
{
	SiFailure  *failure;
	Call		call;

	init_call(&call, function, server, role);
	call.check_only = true;
	failure = run(&call);
	if (failure != NULL)
		si_token_function_throw(failure, server_name);
}
