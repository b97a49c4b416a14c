/*-------------------------------------------------------------------------
 *
 * left_out.c
 *	  Rows that a write by the direct path leaves out, since they fail a NOT NULL
 *	  or CHECK constraint.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "apply/direct_target.h"
#include "apply/left_out.h"
#include "common/failure.h"

void
si_left_out_begin(SiLeftOut *left_out, int capacity)
{
	left_out->context = CurrentMemoryContext;
	left_out->errors = palloc0(sizeof(ErrorData *) * Max(capacity, 1));
	left_out->most = 0;
}

void
si_left_out_grow(SiLeftOut *left_out, int capacity)
{
	left_out->errors = repalloc_huge(left_out->errors, sizeof(ErrorData *) * (Size) capacity);
}

void
si_left_out_begin_write(SiLeftOut *left_out, int from, int n, int most)
{
	memset(left_out->errors + from, 0, sizeof(ErrorData *) * n);
	left_out->most = most;
	left_out->relation = InvalidOid;
}

/*
 * A trigger for each row sees what else the write has inserted, and one for the
 * statement how many statements there are.
 */
bool
si_left_out_possible(const ResultRelInfo *relation)
{
	const TriggerDesc *triggers = relation->ri_TrigDesc;

	return triggers == NULL ||
		!(triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
		  triggers->trig_insert_instead_row || triggers->trig_insert_before_statement ||
		  triggers->trig_insert_after_statement);
}

/* Is this the constraint's own error, of a row that may be left out? */
static bool
may_leave_out(SiLeftOut *left_out, const ResultRelInfo *relation, ErrorData *error)
{
	Oid			relid = RelationGetRelid(relation->ri_RelationDesc);

	if (!si_failure_from_error(error)->of_row)
		return false;
	if (left_out->relation != relid)
	{
		left_out->relation = relid;
		/* no check has an effect, or depends on anything but the row */
		left_out->harmless = !si_direct_checks_contain(relation->ri_RelationDesc,
													   contain_mutable_functions);
	}
	return left_out->harmless;
}

bool
si_left_out_check(SiLeftOut *left_out, ResultRelInfo *relation, TupleTableSlot *slot,
				  EState *estate, int row)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool failed = false;

	/*
	 * An error of ExecConstraints itself needs no subtransaction: all that it
	 * called has returned.  Any other is thrown on.
	 */
	PG_TRY();
	{
		ExecConstraints(relation, slot, estate);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(left_out->context);
		error = CopyErrorData();
		if (!may_leave_out(left_out, relation, error))
			PG_RE_THROW();
		FlushErrorState();
		MemoryContextSwitchTo(caller);
		left_out->errors[row] = error;
		failed = true;
	}
	PG_END_TRY();
	return failed;
}

void
si_left_out_end_write(const SiLeftOut *left_out, int from, int n, int *at)
{
	int			in_a_row = 0;

	for (int row = from; row < from + n; row++)
	{
		in_a_row = left_out->errors[row] != NULL ? in_a_row + 1 : 0;
		if (in_a_row <= left_out->most)
			continue;
		*at = row;
		ThrowErrorData(left_out->errors[row]);
	}
}
