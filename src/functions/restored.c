/*-------------------------------------------------------------------------
 *
 * restored.c
 *	  A subscription that comes with a dump: its owner, and that it is noticed.
 *
 * In another cluster the OID of its owner is another role's, or no role's; another
 * role would see the dead letters, and could enable the subscription.  There
 * the owner's name counts, as for everything else that is restored.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "process/ddl.h"

PG_FUNCTION_INFO_V1(si_sql_subscription_restored);

/*
 * A column's number.  Any role can give its own table a trigger that calls
 * this, so the column is looked at before it is read.
 */
static int
find_column(const TriggerData *trigger, const char *name, Oid type)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			column = SPI_fnumber(desc, name);

	if (column <= 0 || SPI_gettypeid(desc, column) != type)
		elog(ERROR, "fired for a table that is not subscription");
	return column;
}

/* A column of a new row; false if it is NULL. */
static bool
get_column(const TriggerData *trigger, int column, Datum *value)
{
	bool		isnull;

	*value = heap_getattr(trigger->tg_trigtuple, column,
						  RelationGetDescr(trigger->tg_relation), &isnull);
	return !isnull;
}

/* Is this the extension's own table? */
static bool
is_ours(Relation relation)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(relation));

	return schema != NULL && strcmp(schema, "stream_ingest") == 0 &&
		strcmp(RelationGetRelationName(relation), "subscription") == 0;
}

/*
 * BEFORE INSERT on subscription, for each row.  However rows come, the launcher
 * is to notice them.
 */
Datum
si_sql_subscription_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		isnull = false;
	Datum		identifier,
				name,
				owner;
	int			column;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "not fired before an insert of a row");

	column = find_column(trigger, "owner", OIDOID);
	if (is_ours(trigger->tg_relation))
		si_ddl_scan_at_commit();

	/* what is NULL here, the table refuses */
	if (!get_column(trigger, find_column(trigger, "system_identifier", INT8OID), &identifier) ||
		!get_column(trigger, find_column(trigger, "owner_name", NAMEOID), &name) ||
		DatumGetInt64(identifier) == (int64) GetSystemIdentifier())
		return PointerGetDatum(trigger->tg_trigtuple);

	owner = ObjectIdGetDatum(get_role_oid(NameStr(*DatumGetName(name)), true));
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_trigtuple,
													 RelationGetDescr(trigger->tg_relation),
													 1, &column, &owner, &isnull));
}
