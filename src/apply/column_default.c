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
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "apply/column_default.h"
#include "catalog/view_below.h"

/*
 * The column of the table below that a view's column shows where the server turns
 * an INSERT into the view into one there; 0 if it does not, or there is none.
 */
static AttrNumber
column_below(Relation view, AttrNumber attnum)
{
	TriggerDesc *triggers = view->trigdesc;
	TargetEntry *shown = get_tle_by_resno(get_view_query(view)->targetList, attnum);

	if (triggers != NULL && triggers->trig_insert_instead_row)
		return InvalidAttrNumber;
	if (shown == NULL || !IsA(shown->expr, Var))
		return InvalidAttrNumber;
	return Max(((Var *) shown->expr)->varattno, InvalidAttrNumber);
}

Node *
si_column_default(Relation target, AttrNumber attnum)
{
	List	   *passed = NIL;
	Relation	relation = target;
	Node	   *expression;

	while ((expression = build_column_default(relation, attnum)) == NULL &&
		   relation->rd_rel->relkind == RELKIND_VIEW)
	{
		Oid			below = InvalidOid;

		attnum = column_below(relation, attnum);
		if (attnum > 0)
			below = si_view_below(relation, &passed);
		if (relation != target)
			table_close(relation, NoLock);
		if (!OidIsValid(below))
			return NULL;
		relation = table_open(below, AccessShareLock);
	}
	if (relation != target)
		table_close(relation, NoLock);
	return expression;
}
