/*-------------------------------------------------------------------------
 *
 * view_below.c
 *	  What lies below a view that the server writes through.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "catalog/view_below.h"

/* Note that the way down leads through a view; an error if it was here before. */
static void
pass(List **passed, Relation view)
{
	Oid			id = RelationGetRelid(view);

	/* chains of views have no limit */
	CHECK_FOR_INTERRUPTS();
	if (list_member_oid(*passed, id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("infinite recursion detected in rules for relation \"%s\"",
						RelationGetRelationName(view))));
	*passed = lappend_oid(*passed, id);
}

Oid
si_view_below(Relation view, List **passed)
{
	Query	   *query;
	RangeTblRef *rtr;

	if (view->rd_rel->relkind != RELKIND_VIEW)
		return InvalidOid;
	pass(passed, view);
	query = get_view_query(view);
	if (view_query_is_auto_updatable(query, false) != NULL)
		return InvalidOid;
	rtr = linitial_node(RangeTblRef, query->jointree->fromlist);
	return rt_fetch(rtr->rtindex, query->rtable)->relid;
}
