/*-------------------------------------------------------------------------
 *
 * view_below.h
 *	  What lies below a view that the server writes through.
 *
 * Called by unlogged, and by what makes plans for a target.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_VIEW_BELOW_H
#define SI_VIEW_BELOW_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

/*
 * The relation below an automatically updatable view, or InvalidOid for any
 * other relation.  INSTEAD OF triggers are the caller's matter.  The OIDs of the
 * views that one way down has passed are kept in "passed", NIL at its start: a
 * view may select from itself, or two from each other, which is an error (42P17)
 * as in the server's rewriter.
 */
extern Oid	si_view_below(Relation view, List **passed);

#endif							/* SI_VIEW_BELOW_H */
