/*-------------------------------------------------------------------------
 *
 * restored.c
 *	  The owner of a subscription that comes with a dump.
 *
 * In another cluster the OID of its owner is another role's, or nobody's; that
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
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(si_sql_subscription_restored);

/* A column of a new row; an error if it is NULL, which none of these may be. */
static Datum
get_column(const TriggerData *trigger, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;
	Datum		value = heap_getattr(trigger->tg_trigtuple, SPI_fnumber(desc, name), desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"%s\" of relation \"%s\"", name,
						RelationGetRelationName(trigger->tg_relation))));
	return value;
}

/* BEFORE INSERT on subscription, for each row */
Datum
si_sql_subscription_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	int			column;
	bool		isnull = false;
	Datum		owner;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE INSERT FOR EACH ROW",
						"subscription_restored")));
	if (DatumGetInt64(get_column(trigger, "system_identifier")) == (int64) GetSystemIdentifier())
		return PointerGetDatum(trigger->tg_trigtuple);

	owner = ObjectIdGetDatum(get_role_oid(NameStr(*DatumGetName(get_column(trigger, "owner_name"))),
										  true));
	column = SPI_fnumber(RelationGetDescr(trigger->tg_relation), "owner");
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_trigtuple,
													 RelationGetDescr(trigger->tg_relation),
													 1, &column, &owner, &isnull));
}
