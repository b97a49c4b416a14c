/*-------------------------------------------------------------------------
 *
 * key.c
 *	  The key of a target.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "apply/key.h"
#include "apply/other_index.h"
#include "apply/remote.h"
#include "catalog/view_below.h"

/* A search for the index. */
typedef struct KeySearch
{
	Relation	target;
	const SiMapping *mapping;
	Relation	base;			/* whose indexes count: the target, or the
								 * table below a view */
	AttrNumber *attnums;		/* by column of base, from 1: that of the
								 * target, 0 if it does not show it */
	int			nnames;			/* 0: the primary key */
	AttrNumber *wanted;			/* columns of the target */
	char	   *names;			/* for messages */
	char	   *reason;			/* why an index does not serve, if one nearly
								 * did */
	SiKey	   *key;
} KeySearch;

static void open_base(KeySearch *search);
static void read_names(KeySearch *search, Datum names);
static void look_at_index(KeySearch *search, Oid oid);
static const char *why_not(Relation index);
static bool has_columns(const KeySearch *search, Relation index);
static SiKey *key_of_index(const KeySearch *search, Relation index);
static SiKey *key_without_index(const KeySearch *search);
static int	mapped_column(const KeySearch *search, AttrNumber attnum);
static bool is_same_image(Oid opfamily, Oid type, Oid collation);
static void no_index(const KeySearch *search) __attribute__((noreturn));

SiKey *
si_key_find(Relation target, const SiMapping *mapping, Datum names)
{
	KeySearch	search = {0};
	List	   *indexes;
	ListCell   *lc;

	search.target = target;
	search.mapping = mapping;
	open_base(&search);
	read_names(&search, names);

	if (si_target_is_remote(RelationGetRelid(search.base)))
		search.key = key_without_index(&search);
	indexes = RelationGetIndexList(search.base);
	foreach(lc, indexes)
	{
		if (search.key == NULL)
			look_at_index(&search, lfirst_oid(lc));
	}
	if (search.key == NULL)
		no_index(&search);
	if (search.base != target)
		table_close(search.base, NoLock);
	return search.key;
}

/* Open what lies below a view; an error where a write by key does not go there. */
static Relation
open_below(Relation view, List **passed)
{
	Oid			below = InvalidOid;

	if (view->trigdesc == NULL || !view->trigdesc->trig_insert_instead_row)
		below = si_view_below(view, passed);
	if (!OidIsValid(below))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("view \"%s\" cannot be written to by key", RelationGetRelationName(view)),
				 errdetail("Only automatically updatable views can, without INSTEAD OF triggers."),
				 errhint("Use insert_mode \"insert\", or \"apply\".")));
	return table_open(below, AccessShareLock);
}

/* attnums of what a view shows, by those of the view, which are freed. */
static AttrNumber *
attnums_below(Relation view, AttrNumber *attnums)
{
	AttrNumber *below = palloc0(sizeof(AttrNumber) * (MaxAttrNumber + 1));
	ListCell   *lc;

	foreach(lc, get_view_query(view)->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (!entry->resjunk && IsA(entry->expr, Var) && ((Var *) entry->expr)->varattno > 0)
			below[((Var *) entry->expr)->varattno] = attnums[entry->resno];
	}
	pfree(attnums);
	return below;
}

/*
 * Go down to the table whose indexes a write to the target meets, as the
 * rewriter will: through automatically updatable views.
 */
static void
open_base(KeySearch *search)
{
	List	   *passed = NIL;
	Relation	relation = search->target;
	int			natts = RelationGetNumberOfAttributes(relation);
	AttrNumber *attnums = palloc0(sizeof(AttrNumber) * (MaxAttrNumber + 1));

	for (int i = 1; i <= natts; i++)
		attnums[i] = i;

	while (relation->rd_rel->relkind == RELKIND_VIEW)
	{
		Relation	below = open_below(relation, &passed);

		attnums = attnums_below(relation, attnums);
		if (relation != search->target)
			table_close(relation, NoLock);
		relation = below;
	}
	search->base = relation;
	search->attnums = attnums;
}

/* Read the columns that the user named, in the user's order. */
static void
read_names(KeySearch *search, Datum names)
{
	Datum	   *elements;
	bool	   *nulls;
	StringInfoData list;

	if (names == (Datum) 0)
		return;
	deconstruct_array(DatumGetArrayTypeP(names), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, &search->nnames);
	search->wanted = palloc(sizeof(AttrNumber) * Max(search->nnames, 1));
	initStringInfo(&list);
	for (int i = 0; i < search->nnames; i++)
	{
		const char *name;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("key_columns must not contain nulls")));
		name = NameStr(*DatumGetName(elements[i]));
		search->wanted[i] = get_attnum(RelationGetRelid(search->target), name);
		if (search->wanted[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" in key_columns does not exist in \"%s\"", name,
							RelationGetRelationName(search->target))));
		for (int j = 0; j < i; j++)
		{
			if (search->wanted[j] == search->wanted[i])
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" appears twice in key_columns", name)));
		}
		appendStringInfo(&list, "%s%s", i ? ", " : "", name);
	}
	search->names = list.data;
}

/* Take an index as the key if it serves; else note why it nearly did. */
static void
look_at_index(KeySearch *search, Oid oid)
{
	Relation	index = index_open(oid, AccessShareLock);
	const char *problem;

	if (index->rd_index->indisunique && has_columns(search, index))
	{
		problem = why_not(index);
		if (problem == NULL)
			search->key = key_of_index(search, index);
		else
			search->reason = psprintf("Index \"%s\" cannot serve: it is %s.",
									  RelationGetRelationName(index), problem);
	}
	index_close(index, NoLock);
}

static const char *
why_not(Relation index)
{
	if (index->rd_rel->relam != BTREE_AM_OID)
		return "not a btree index";
	if (RelationGetIndexExpressions(index) != NIL)
		return "on an expression";
	if (RelationGetIndexPredicate(index) != NIL)
		return "partial";
	if (!index->rd_index->indimmediate)
		return "deferrable";
	if (!index->rd_index->indisvalid)
		return "not valid";
	return NULL;
}

/*
 * Does an index have the columns asked for, in any order?  An expression stands
 * for whatever column is still looked for.
 */
static bool
has_columns(const KeySearch *search, Relation index)
{
	int			n = index->rd_index->indnkeyatts;
	int			found = 0,
				expressions = 0;

	if (search->nnames == 0)
		return index->rd_index->indisprimary;
	for (int i = 0; i < n; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];

		if (attnum == 0)
			expressions++;
		for (int j = 0; attnum > 0 && j < search->nnames; j++)
		{
			if (search->attnums[attnum] == search->wanted[j])
				found++;
		}
	}
	return found + expressions == n && n == search->nnames;
}

static SiKey *
key_of_index(const KeySearch *search, Relation index)
{
	SiKey	   *key = palloc0(sizeof(SiKey));
	oidvector  *opclasses;
	bool		isnull;

	opclasses = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
															  Anum_pg_index_indclass, &isnull));
	key->has_index = true;
	key->is_alone = !si_other_index_refuses(search->base, index, search->mapping,
											search->attnums);
	key->nulls_distinct = !index->rd_index->indnullsnotdistinct;
	key->ncolumns = index->rd_index->indnkeyatts;
	key->columns = palloc0(sizeof(SiKeyColumn) * key->ncolumns);
	for (int i = 0; i < key->ncolumns; i++)
	{
		SiKeyColumn *column = &key->columns[i];
		Oid			opfamily = index->rd_opfamily[i];
		Oid			type = index->rd_opcintype[i];

		column->attnum = search->attnums[index->rd_index->indkey.values[i]];
		column->column = mapped_column(search, column->attnum);
		column->name = search->mapping->columns[column->column].name;
		column->opclass = opclasses->values[i];
		column->collation = index->rd_indcollation[i];
		column->equal = get_opfamily_member(opfamily, type, type, BTEqualStrategyNumber);
		column->less = get_opfamily_member(opfamily, type, type, BTLessStrategyNumber);
		column->same_image = is_same_image(opfamily, type, column->collation);
	}
	return key;
}

/*
 * The key of a foreign table, or of a partitioned one with foreign partitions:
 * no index of them is known here, and the server lets such a parent have no
 * unique index.  So the columns that the user names are taken as the key, with
 * their types' own equality.
 */
static SiKey *
key_without_index(const KeySearch *search)
{
	SiKey	   *key = palloc0(sizeof(SiKey));

	if (search->nnames == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("\"%s\" has no key of its own", RelationGetRelationName(search->base)),
				 errdetail("It is a foreign table, or has foreign partitions."),
				 errhint("Name the columns of the remote table's key in \"key_columns\".")));
	key->nulls_distinct = true;
	key->is_alone = true;		/* as far as one can know */
	key->ncolumns = search->nnames;
	key->columns = palloc0(sizeof(SiKeyColumn) * key->ncolumns);
	for (int i = 0; i < key->ncolumns; i++)
	{
		SiKeyColumn *column = &key->columns[i];
		TypeCacheEntry *type;

		column->attnum = search->wanted[i];
		column->column = mapped_column(search, column->attnum);
		column->name = search->mapping->columns[column->column].name;
		column->collation = search->mapping->columns[column->column].collation;
		type = lookup_type_cache(search->mapping->columns[column->column].type,
								 TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
		if (!OidIsValid(type->eq_opr) || !OidIsValid(type->lt_opr))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("column \"%s\" of type %s cannot be part of a key", column->name,
							format_type_be(type->type_id)),
					 errdetail("The type has no order.")));
		column->equal = type->eq_opr;
		column->less = type->lt_opr;
		column->same_image = true;	/* as far as one can know */
	}
	return key;
}

/* The mapping's column for a column of the key; it must take something. */
static int
mapped_column(const KeySearch *search, AttrNumber attnum)
{
	Form_pg_attribute att;

	if (attnum == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("view \"%s\" does not show all columns of the key",
						RelationGetRelationName(search->target))));
	for (int i = 0; i < search->mapping->ncolumns; i++)
	{
		if (search->mapping->columns[i].attnum == attnum)
			return i;
	}
	att = TupleDescAttr(RelationGetDescr(search->target), attnum - 1);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("key column \"%s\" takes nothing from the messages", NameStr(att->attname)),
			 att->attgenerated != '\0' ? errdetail("It is a generated column.") :
			 att->attidentity != '\0' ? errdetail("Identity columns take no field by name alone.") : 0,
			 att->attgenerated != '\0' || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS
			 ? errhint("Name the columns of another unique index in \"key_columns\".")
			 : errhint("Give it a source in \"mapping\", or name the columns of another unique index in \"key_columns\".")));
}

/*
 * Are values that the index calls equal always the same bytes?  The index's
 * own support function knows (1.0 and 1.00 are not, as numeric).
 */
static bool
is_same_image(Oid opfamily, Oid type, Oid collation)
{
	Oid			function = get_opfamily_proc(opfamily, type, type, BTEQUALIMAGE_PROC);

	return OidIsValid(function) &&
		DatumGetBool(OidFunctionCall1Coll(function, collation, ObjectIdGetDatum(type)));
}

static void
no_index(const KeySearch *search)
{
	const char *name = RelationGetRelationName(search->target);

	if (search->nnames == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("\"%s\" has no primary key", name),
				 search->reason ? errdetail("%s", search->reason) : 0,
				 errhint("Name the columns of a unique index in \"key_columns\".")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("\"%s\" has no unique index on (%s)", name, search->names),
			 search->reason ? errdetail("%s", search->reason) : 0,
			 errhint("A key needs a unique index on these columns alone, whole and not deferrable.")));
}

/* ---- as text ---- */

char *
si_key_operator_text(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/* A type by its own name, without a length, whatever the search_path is. */
static char *
type_text(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);

	/* by its bare name: format_type's "character" would be character(1) */
	result = pstrdup(quote_qualified_identifier(get_namespace_name(form->typnamespace),
												NameStr(form->typname)));
	ReleaseSysCache(tuple);
	return result;
}

char *
si_key_operand_text(Oid operator, bool left, Oid type, const char *operand)
{
	Oid			left_type,
				right_type,
				wanted;

	op_input_types(operator, &left_type, &right_type);
	wanted = left ? left_type : right_type;
	if (wanted == type)
		return pstrdup(operand);
	return psprintf("%s::%s", operand, type_text(wanted));
}

char *
si_key_collate_text(Oid collation)
{
	HeapTuple	tuple;
	Form_pg_collation form;
	char	   *result;

	if (!OidIsValid(collation))
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	result = psprintf(" COLLATE %s",
					  quote_qualified_identifier(get_namespace_name(form->collnamespace),
												 NameStr(form->collname)));
	ReleaseSysCache(tuple);
	return result;
}

char *
si_key_opclass_text(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	result = quote_qualified_identifier(get_namespace_name(form->opcnamespace),
										NameStr(form->opcname));
	ReleaseSysCache(tuple);
	return result;
}
