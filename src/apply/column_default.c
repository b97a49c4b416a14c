/*-------------------------------------------------------------------------
 *
 * column_default.c
 *	  The default of a column.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/parsenodes.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "apply/column_default.h"

/* Does the server turn an INSERT into this view into one below it? */
static bool
is_transparent(Relation target, Query *query)
{
	TriggerDesc *triggers = target->trigdesc;

	if (triggers != NULL && triggers->trig_insert_instead_row)
		return false;
	return view_query_is_auto_updatable(query, true) == NULL;
}

/* The default of what a view's column shows. */
static Node *
default_below(Relation view, AttrNumber attnum)
{
	Query	   *query = get_view_query(view);
	TargetEntry *shown = get_tle_by_resno(query->targetList, attnum);
	Relation	below;
	Node	   *expression;
	Var		   *var;

	if (shown == NULL || !IsA(shown->expr, Var) || !is_transparent(view, query))
		return NULL;
	var = (Var *) shown->expr;
	below = table_open(rt_fetch(var->varno, query->rtable)->relid, AccessShareLock);
	expression = si_column_default(below, var->varattno);
	table_close(below, NoLock);
	return expression;
}

Node *
si_column_default(Relation target, AttrNumber attnum)
{
	Node	   *expression = build_column_default(target, attnum);

	if (expression == NULL && target->rd_rel->relkind == RELKIND_VIEW)
		expression = default_below(target, attnum);
	return expression;
}
