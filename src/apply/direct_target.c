/*-------------------------------------------------------------------------
 *
 * direct_target.c
 *	  Which targets the direct path serves, and who may write to them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "apply/column_default.h"
#include "apply/direct_target.h"

/* Is the plan one INSERT into one table, as it was written? */
static bool
is_plain_insert(const PlannedStmt *plan)
{
	const ModifyTable *modify;

	if (plan == NULL || plan->commandType != CMD_INSERT || plan->utilityStmt != NULL ||
		!IsA(plan->planTree, ModifyTable))
		return false;
	modify = (const ModifyTable *) plan->planTree;
	return modify->operation == CMD_INSERT && list_length(modify->resultRelations) == 1 &&
		modify->withCheckOptionLists == NIL && modify->onConflictAction == ONCONFLICT_NONE;
}

/* Triggers that look at rows before theirs, or at all rows together. */
static bool
has_special_trigger(Relation target)
{
	const TriggerDesc *triggers = target->trigdesc;

	return triggers != NULL &&
		(triggers->trig_insert_before_row || triggers->trig_insert_instead_row ||
		 triggers->trig_insert_new_table);
}

const SiColumn *
si_direct_column(const SiMapping *mapping, AttrNumber attnum)
{
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		if (mapping->columns[i].attnum == attnum)
			return &mapping->columns[i];
	}
	return NULL;
}

bool
si_direct_wants_default(const SiMapping *mapping, Form_pg_attribute attribute)
{
	const SiColumn *column = si_direct_column(mapping, attribute->attnum);

	if (attribute->attisdropped || attribute->attgenerated != '\0')
		return false;
	return column == NULL || column->absent_bit >= 0;
}

/* Can the defaults be evaluated for all rows before any is written? */
static bool
are_defaults_simple(Relation target, const SiMapping *mapping)
{
	TupleDesc	desc = RelationGetDescr(target);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Node	   *expression;

		if (!si_direct_wants_default(mapping, attribute))
			continue;
		expression = si_column_default(target, attribute->attnum);
		if (expression != NULL && contain_volatile_functions_not_nextval(expression))
			return false;
		if (expression == NULL && get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN)
			return false;
	}
	return true;
}

bool
si_direct_checks_contain(Relation relation, bool (*functions) (Node *))
{
	const TupleConstr *constraints = RelationGetDescr(relation)->constr;

	for (int i = 0; constraints != NULL && i < constraints->num_check; i++)
	{
		if (functions(stringToNode(constraints->check[i].ccbin)))
			return true;
	}
	return false;
}

bool
si_direct_possible(Relation target, const SiMapping *mapping, const PlannedStmt *insert)
{
	char		relkind = target->rd_rel->relkind;

	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		is_plain_insert(insert) &&
		check_enable_rls(RelationGetRelid(target), InvalidOid, true) == RLS_NONE &&
		target->rd_rules == NULL &&
		!has_special_trigger(target) &&
		!si_direct_checks_contain(target, contain_volatile_functions) &&
		are_defaults_simple(target, mapping);
}

void
si_direct_check_privileges(Relation target, const SiMapping *mapping)
{
	Oid			id = RelationGetRelid(target);
	AclResult	result = pg_class_aclcheck(id, GetUserId(), ACL_INSERT);

	if (result == ACLCHECK_OK)
		return;
	if (mapping->ncolumns == 0)
		result = pg_attribute_aclcheck_all(id, GetUserId(), ACL_INSERT, ACLMASK_ANY);
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		result = pg_attribute_aclcheck(id, mapping->columns[i].attnum, GetUserId(), ACL_INSERT);
		if (result != ACLCHECK_OK)
			break;
	}
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(target->rd_rel->relkind),
					   RelationGetRelationName(target));
}

Bitmapset *
si_direct_inserted_columns(const SiMapping *mapping)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < mapping->ncolumns; i++)
		columns = bms_add_member(columns, mapping->columns[i].attnum -
								 FirstLowInvalidHeapAttributeNumber);
	return columns;
}
