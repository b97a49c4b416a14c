/*-------------------------------------------------------------------------
 *
 * other_index.h
 *	  Whether other indexes than the key's can refuse a row.
 *
 * Where they can, it depends on the rows of other keys whether a row is
 * refused, and so on the order in which rows are written.
 *
 * Called by key.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OTHER_INDEX_H
#define SI_OTHER_INDEX_H

#include "apply/mapping.h"
#include "utils/rel.h"

/*
 * Can another index than the key's, of a table or of its partitions, refuse a
 * row at once that the key's lets in?  attnums: by column of the table, from 1,
 * that of the target which the mapping is for, or 0.
 */
extern bool si_other_index_refuses(Relation table, Relation key_index,
								   const SiMapping *mapping, const AttrNumber *attnums);

#endif							/* SI_OTHER_INDEX_H */
