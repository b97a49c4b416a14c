/*-------------------------------------------------------------------------
 *
 * user_sql.c
 *	  SQL that a user wrote as an argument or option.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/sysattr.h"
#include "catalog/heap.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "apply/user_sql.h"
#include "common/compat.h"

/* What "fields" is made into to be parsed. */
#define FIELDS_PREFIX	"CREATE TABLE batch ("

/* ---- positions of errors ---- */

static void
report_position(void *arg)
{
	SiUserSqlContext *context = arg;
	int			position = geterrposition();
	int			inner = getinternalerrposition();
	int			at;

	/* of our own text by a parser, or of a query's by SPI */
	at = (position > 0 ? position : inner) - context->begin;
	if (position <= 0 && inner <= 0)
		return;
	errposition(0);
	if (at < 1 || at > pg_mbstrlen(context->user_text) + 1)
		return;
	internalerrposition(at);
	internalerrquery(context->user_text);
}

void
si_user_sql_push(SiUserSqlContext *context, const char *user_text, int begin)
{
	context->user_text = user_text;
	context->begin = begin;
	context->callback.callback = report_position;
	context->callback.arg = context;
	context->callback.previous = error_context_stack;
	error_context_stack = &context->callback;
}

void
si_user_sql_pop(SiUserSqlContext *context)
{
	error_context_stack = context->callback.previous;
}

static List *
parse(const char *sql, RawParseMode mode, const char *user_text, int begin)
{
	SiUserSqlContext context;
	List	   *result;

	si_user_sql_push(&context, user_text, begin);
	result = raw_parser(sql, mode);
	si_user_sql_pop(&context);
	return result;
}

/* ---- filter ---- */

void
si_user_sql_check_filter(const char *filter)
{
	List	   *list = parse(filter, RAW_PARSE_PLPGSQL_EXPR, filter, 0);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, list)->stmt;

	if (list_length(select->targetList) == 1 &&
		linitial_node(ResTarget, select->targetList)->name == NULL &&
		select->distinctClause == NIL && select->intoClause == NULL &&
		select->fromClause == NIL && select->whereClause == NULL &&
		select->groupClause == NIL && select->havingClause == NULL &&
		select->windowClause == NIL && select->valuesLists == NIL &&
		select->sortClause == NIL && select->limitOffset == NULL &&
		select->limitCount == NULL && select->lockingClause == NIL &&
		select->withClause == NULL && select->op == SETOP_NONE)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("option \"filter\" must be a single condition"),
			 errhint("Write what would stand behind WHERE.")));
}

/* ---- apply ---- */

static bool
is_accepted(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_SelectStmt:
			{
				SelectStmt *select = (SelectStmt *) statement;

				while (select->op != SETOP_NONE)
					select = select->larg;
				return select->intoClause == NULL;
			}
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			return true;
		default:
			return false;
	}
}

void
si_user_sql_check_apply(const char *apply)
{
	List	   *statements = parse(apply, RAW_PARSE_DEFAULT, apply, 0);
	ListCell   *lc;

	if (statements == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("argument \"apply\" has no statement")));
	foreach(lc, statements)
	{
		RawStmt    *raw = lfirst_node(RawStmt, lc);
		int			begin = raw->stmt_location;

		if (is_accepted(raw->stmt))
			continue;
		while (isspace((unsigned char) apply[begin]))
			begin++;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("apply cannot run this statement"),
				 errdetail("SELECT, INSERT, UPDATE, DELETE and MERGE are accepted."),
				 errhint("Write a function that does the rest, and call it with SELECT."),
				 internalerrquery(apply),
				 internalerrposition(pg_mbstrlen_with_len(apply, begin) + 1)));
	}
}

/* ---- fields ---- */

static void
refuse_fields(const ColumnDef *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("argument \"fields\" must be a list of column definitions"),
			 column != NULL ? errdetail("Column \"%s\" has more than a name, a type and a collation.",
										column->colname) : 0,
			 errhint("Write it as in CREATE TABLE, without constraints and defaults: 'id bigint, name text'.")));
}

/* Add one definition to a row type. */
static void
add_field(ParseState *pstate, TupleDesc desc, int i, ColumnDef *column)
{
	Oid			type;
	Oid			collation;
	int32		typmod;

	if (column->constraints != NIL || column->is_not_null || column->raw_default != NULL ||
		column->fdwoptions != NIL || column->compression != NULL)
		refuse_fields(column);
	for (int j = 0; j < i; j++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, j)->attname), column->colname) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" specified more than once", column->colname)));
	}
	typenameTypeIdAndMod(pstate, column->typeName, &type, &typmod);
	collation = GetColumnDefCollation(pstate, column, type);
	if (column->typeName->setof)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("column \"%s\" cannot be declared SETOF", column->colname)));
	CheckAttributeType(column->colname, type, collation, NIL, 0);
	TupleDescInitEntry(desc, i + 1, column->colname, type, typmod,
					   list_length(column->typeName->arrayBounds));
	TupleDescInitEntryCollation(desc, i + 1, collation);
}

TupleDesc
si_user_sql_columns(const char *fields, int room)
{
	char	   *sql = psprintf(FIELDS_PREFIX "%s\n)", fields);
	List	   *list = parse(sql, RAW_PARSE_DEFAULT, fields, strlen(FIELDS_PREFIX));
	Node	   *node = list_length(list) == 1 ? linitial_node(RawStmt, list)->stmt : NULL;
	CreateStmt *create = (CreateStmt *) node;
	ParseState *pstate = make_parsestate(NULL);
	TupleDesc	desc;
	ListCell   *lc;
	int			i = 0;

	if (node == NULL || !IsA(node, CreateStmt) || create->inhRelations != NIL ||
		create->partbound != NULL || create->partspec != NULL || create->ofTypename != NULL ||
		create->constraints != NIL || create->options != NIL ||
		create->oncommit != ONCOMMIT_NOOP || create->tablespacename != NULL ||
		create->accessMethod != NULL || create->tableElts == NIL)
		refuse_fields(NULL);

	pstate->p_sourcetext = sql;
	desc = CreateTemplateTupleDesc(list_length(create->tableElts) + room);
	foreach(lc, create->tableElts)
	{
		SiUserSqlContext context;

		if (!IsA(lfirst(lc), ColumnDef))
			refuse_fields(NULL);
		si_user_sql_push(&context, fields, strlen(FIELDS_PREFIX));
		add_field(pstate, desc, i++, lfirst_node(ColumnDef, lc));
		si_user_sql_pop(&context);
	}
	return desc;
}

/* ---- privileges ---- */

/*
 * Has the role a privilege on each of these columns (numbered as in
 * selectedCols), or if there are none, on any column of the relation?
 */
static bool
may_use_columns(Oid relid, Oid role, const Bitmapset *columns, AclMode privilege)
{
	int			column = -1;

	if (bms_is_empty(columns))
		return pg_attribute_aclcheck_all(relid, role, privilege, ACLMASK_ANY) == ACLCHECK_OK;
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	attnum = column + FirstLowInvalidHeapAttributeNumber;

		/* the whole row: every column */
		if (attnum == InvalidAttrNumber)
		{
			if (pg_attribute_aclcheck_all(relid, role, privilege, ACLMASK_ALL) != ACLCHECK_OK)
				return false;
		}
		else if (pg_attribute_aclcheck(relid, attnum, role, privilege) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/*
 * Check what a query needs of one relation: by the privileges on the relation,
 * else on its columns, as the executor does.  The executor's own function is not
 * called, since it calls ExecutorCheckPerms_hook, and extensions expect that
 * hook within ExecutorStart: pgaudit crashes the server elsewhere.
 */
static void
check_relation(const SiRelationNeeds *needs)
{
	Oid			relid = needs->relid;
	Oid			role = OidIsValid(needs->checkAsUser) ? needs->checkAsUser : GetUserId();
	AclMode		missing = needs->requiredPerms;

	if (missing != 0)
		missing &= ~pg_class_aclmask(relid, role, missing, ACLMASK_ALL);
	if ((missing & ACL_SELECT) && may_use_columns(relid, role, needs->selectedCols, ACL_SELECT))
		missing &= ~ACL_SELECT;
	if ((missing & ACL_INSERT) && may_use_columns(relid, role, needs->insertedCols, ACL_INSERT))
		missing &= ~ACL_INSERT;
	if ((missing & ACL_UPDATE) && may_use_columns(relid, role, needs->updatedCols, ACL_UPDATE))
		missing &= ~ACL_UPDATE;
	if (missing != 0)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/* Check all relations of a query, but not those of its sub-queries. */
static void
check_relations(Query *query)
{
	ListCell   *lc;

	foreach(lc, query_needs_compat(query))
		check_relation(lfirst(lc));
}

static bool
check_function(Oid function, void *context)
{
	check_execute_privilege_compat(function, GetUserId());
	return false;
}

static bool
check_privileges_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		check_relations((Query *) node);
		return query_tree_walker((Query *) node, check_privileges_walker, context, 0);
	}
	(void) check_functions_in_node(node, check_function, context);
	return expression_tree_walker(node, check_privileges_walker, context);
}

void
si_user_sql_check_privileges(Query *query)
{
	(void) check_privileges_walker((Node *) query, NULL);
}

/* ---- temporary tables ---- */

static bool
refuse_temporary_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION &&
			get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a subscription cannot use temporary table \"%s\"",
							get_rel_name(rte->relid)),
					 errdetail("Workers cannot see the temporary tables of other sessions.")));
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, refuse_temporary_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, refuse_temporary_walker, context);
}

void
si_user_sql_refuse_temporary(Query *query)
{
	(void) refuse_temporary_walker((Node *) query, NULL);
}

/* ---- columns that are read ---- */

/* The query that the walker is in, and those around it. */
typedef struct QueryLevel
{
	Query	   *query;
	struct QueryLevel *outer;
	const char *name;
	bool	   *used;
} QueryLevel;

static bool used_columns_walker(Node *node, QueryLevel *level);

static void
note_var(Var *var, QueryLevel *level)
{
	RangeTblEntry *rte;

	for (Index i = 0; i < var->varlevelsup && level != NULL; i++)
		level = level->outer;
	if (level == NULL || IS_SPECIAL_VARNO(var->varno))
		return;
	rte = rt_fetch(var->varno, level->query->rtable);

	/* a join's column stands for those of its sides */
	if (rte->rtekind == RTE_JOIN && var->varattno > 0)
		(void) used_columns_walker(list_nth(rte->joinaliasvars, var->varattno - 1), level);
	else if (rte->rtekind == RTE_JOIN)
		(void) used_columns_walker((Node *) rte->joinaliasvars, level);
	else if (rte->rtekind == RTE_NAMEDTUPLESTORE && strcmp(rte->enrname, level->name) == 0)
	{
		if (var->varattno > 0)
			level->used[var->varattno - 1] = true;
		else
		{
			for (int i = 0; i < list_length(rte->coltypes); i++)
				level->used[i] = true;
		}
	}
}

static bool
used_columns_walker(Node *node, QueryLevel *level)
{
	check_stack_depth();
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		QueryLevel	inner = {(Query *) node, level, level->name, level->used};

		return query_tree_walker((Query *) node, used_columns_walker, &inner,
								 QTW_IGNORE_JOINALIASES);
	}
	if (IsA(node, Var))
	{
		note_var((Var *) node, level);
		return false;
	}
	return expression_tree_walker(node, used_columns_walker, level);
}

void
si_user_sql_used_columns(Query *query, const char *name, bool *used)
{
	QueryLevel	outermost = {query, NULL, name, used};

	(void) query_tree_walker(query, used_columns_walker, &outermost, QTW_IGNORE_JOINALIASES);
}
