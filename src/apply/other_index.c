/*-------------------------------------------------------------------------
 *
 * other_index.c
 *	  Whether other indexes than the key's can refuse a row.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"

#include "apply/column_default.h"
#include "apply/other_index.h"

/* What the indexes of a table and of its partitions are compared with. */
typedef struct Comparison
{
	Relation	table;
	Relation	key_index;
	const SiMapping *mapping;
	const AttrNumber *attnums;	/* by column of table: that of the mapping's
								 * target */
} Comparison;

/* Is an index the key's, or that of a partition? */
static bool
is_part_of(Oid index, Oid key_index)
{
	while (OidIsValid(index) && index != key_index)
		index = get_rel_relispartition(index) ? get_partition_parent(index, true) : InvalidOid;
	return index == key_index;
}

/* Does an index have a column that the index of the key has, and compare it alike? */
static bool
has_column(Relation index, Relation key_index, int i, AttrNumber attnum)
{
	for (int j = 0; j < index->rd_index->indnkeyatts; j++)
	{
		if (index->rd_index->indkey.values[j] == attnum &&
			index->rd_opfamily[j] == key_index->rd_opfamily[i] &&
			index->rd_indcollation[j] == key_index->rd_indcollation[i])
			return true;
	}
	return false;
}

/*
 * Does an index of a table (or partition, whose columns may have other numbers)
 * have all columns of the key, so that it lets in what the key's own index does?
 */
static bool
follows_from_key(const Comparison *comparison, Relation index, Relation table)
{
	Relation	key_index = comparison->key_index;

	for (int i = 0; i < key_index->rd_index->indnkeyatts; i++)
	{
		char	   *name = get_attname(RelationGetRelid(comparison->table),
									   key_index->rd_index->indkey.values[i], false);

		if (!has_column(index, key_index, i, get_attnum(RelationGetRelid(table), name)))
			return false;
	}
	return !index->rd_index->indnullsnotdistinct || key_index->rd_index->indnullsnotdistinct;
}

/* Does a column take something from the messages? */
static bool
is_mapped(const Comparison *comparison, AttrNumber attnum)
{
	for (int i = 0; i < comparison->mapping->ncolumns; i++)
	{
		if (comparison->mapping->columns[i].attnum == comparison->attnums[attnum])
			return true;
	}
	return false;
}

/*
 * Does an index have a column whose values the server makes, another for each
 * row, such as a serial number?
 */
static bool
has_serial_number(const Comparison *comparison, Relation index, Relation table)
{
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];

		if (attnum > 0)
			attnum = get_attnum(RelationGetRelid(comparison->table),
								get_attname(RelationGetRelid(table), attnum, false));
		if (attnum > 0 && !is_mapped(comparison, attnum) &&
			contain_volatile_functions(si_column_default(comparison->table, attnum)))
			return true;
	}
	return false;
}

/*
 * Can an index refuse a row at once?  One that is deferrable is checked at the
 * end of the batch.
 */
static bool
may_refuse(const Comparison *comparison, Oid oid, Relation table)
{
	Relation	index = index_open(oid, AccessShareLock);
	bool		refuses = index->rd_index->indisunique || index->rd_index->indisexclusion;

	if (refuses && (!index->rd_index->indimmediate ||
					is_part_of(oid, RelationGetRelid(comparison->key_index))))
		refuses = false;
	if (refuses && index->rd_index->indisunique)
		refuses = !follows_from_key(comparison, index, table) &&
			!has_serial_number(comparison, index, table);
	index_close(index, AccessShareLock);
	return refuses;
}

/*
 * No locks on partitions are kept: there may be thousands, and a change of one
 * makes the plan stale.
 */
bool
si_other_index_refuses(Relation table, Relation key_index, const SiMapping *mapping,
					   const AttrNumber *attnums)
{
	Comparison	comparison = {table, key_index, mapping, attnums};
	List	   *tables = list_make1_oid(RelationGetRelid(table));
	ListCell   *lc;
	bool		refuses = false;

	if (table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		tables = find_all_inheritors(RelationGetRelid(table), NoLock, NULL);
	foreach(lc, tables)
	{
		Relation	part = try_relation_open(lfirst_oid(lc), AccessShareLock);
		ListCell   *lc2;

		if (part == NULL)
			continue;
		foreach(lc2, RelationGetIndexList(part))
			refuses = refuses || may_refuse(&comparison, lfirst_oid(lc2), part);
		relation_close(part, AccessShareLock);
	}
	return refuses;
}
