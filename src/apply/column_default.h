/*-------------------------------------------------------------------------
 *
 * column_default.h
 *	  The default of a column.
 *
 * Called by writer, direct, direct_target and other_index.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_COLUMN_DEFAULT_H
#define SI_COLUMN_DEFAULT_H

#include "nodes/nodes.h"
#include "utils/relcache.h"

/*
 * The expression that an INSERT without this column would evaluate; NULL for
 * NULL.  A view's column without a default of its own has that of the column
 * below it where the server would insert there.
 */
extern Node *si_column_default(Relation target, AttrNumber attnum);

#endif							/* SI_COLUMN_DEFAULT_H */
