/*-------------------------------------------------------------------------
 *
 * direct.c
 *	  Inserting the rows of a batch without a statement.
 *
 * Rows are formed as tuples of the target when they are added, and kept until
 * the batch ends: a write that fails is repeated with parts of them.  A write
 * first evaluates defaults, if there are any, and routes all its rows, and then
 * inserts partition by partition, up to MAX_BUFFERED rows at a time; so rows of
 * one partition keep the messages' order.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "commands/trigger.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "apply/column_default.h"
#include "apply/direct.h"
#include "apply/direct_target.h"
#include "apply/left_out.h"
#include "common/compat.h"

/* Rows inserted by one call of the access method, as in COPY. */
#define MAX_BUFFERED	1000

/* A column whose value may come from its default. */
typedef struct ColumnDefault
{
	AttrNumber	attnum;
	int			absent_bit;		/* that says the message lacks it; -1: always */
	Expr	   *expression;
} ColumnDefault;

struct SiDirect
{
	Oid			target;
	const SiMapping *mapping;
	TupleDesc	desc;			/* of the target */
	Datum	   *values;			/* of one row, by attribute */
	bool	   *nulls;
	ColumnDefault *defaults;
	int			ndefaults;
	bool		harmless;		/* defaults have no effect but their value */

	/* the batch */
	MemoryContext context;
	HeapTuple  *tuples;			/* without what defaults give */
	int64	   *absent;			/* by row: the words of absent bits */
	int			ntuples;
	int			capacity;		/* for tuples */
	int			row;			/* at which a write is; -1 if not known */
	SiLeftOut	left_out;
};

/* The rows of a write that go to the same table: a list by row number. */
typedef struct Share
{
	ResultRelInfo *relation;
	int			first;
	int			last;
	int			nrows;
	bool		leaves_out;		/* rows that fail a constraint */
} Share;

/* A write: n rows from `from` on. */
typedef struct Write
{
	SiDirect   *direct;
	EState	   *estate;
	ResultRelInfo *root;
	ModifyTableState *mtstate;	/* NULL unless partitioned */
	PartitionTupleRouting *routing;
	TupleTableSlot *root_slot;
	int			from;
	int			n;
	HeapTuple  *tuples;			/* by row - from */
	int		   *next;			/* by row - from: the next of its share, or -1 */
	List	   *shares;
	CommandId	cid;
	int64		inserted;
} Write;

SiDirect *
si_direct_create(Relation target, const SiMapping *mapping)
{
	SiDirect   *direct = palloc0(sizeof(SiDirect));
	int			natts = RelationGetDescr(target)->natts;

	direct->target = RelationGetRelid(target);
	direct->mapping = mapping;
	direct->desc = CreateTupleDescCopy(RelationGetDescr(target));
	direct->values = palloc0(sizeof(Datum) * Max(natts, 1));
	direct->nulls = palloc(sizeof(bool) * Max(natts, 1));
	memset(direct->nulls, true, natts);
	direct->harmless = true;
	direct->defaults = palloc0(sizeof(ColumnDefault) * Max(natts, 1));
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(direct->desc, i);
		const SiColumn *column = si_direct_column(mapping, attribute->attnum);
		Node	   *expression;

		if (!si_direct_wants_default(mapping, TupleDescAttr(RelationGetDescr(target), i)))
			continue;
		expression = si_column_default(target, attribute->attnum);
		if (expression == NULL)
			continue;
		direct->defaults[direct->ndefaults].attnum = attribute->attnum;
		direct->defaults[direct->ndefaults].absent_bit = column ? column->absent_bit : -1;
		direct->defaults[direct->ndefaults++].expression = (Expr *) expression;
		if (contain_volatile_functions_not_nextval(expression))
			direct->harmless = false;
	}
	return direct;
}

/* ---- rows ---- */

void
si_direct_begin(SiDirect *direct, int capacity)
{
	int			nwords = SI_MAPPING_ABSENT_WORDS(direct->mapping);

	direct->context = CurrentMemoryContext;
	direct->ntuples = 0;
	direct->capacity = Max(capacity, 1);
	direct->tuples = palloc(sizeof(HeapTuple) * direct->capacity);
	direct->absent = palloc(sizeof(int64) * Max(direct->capacity * nwords, 1));
	direct->row = -1;
	si_left_out_begin(&direct->left_out, capacity);
}

/* Make room for more rows than there are messages. */
static void
grow(SiDirect *direct)
{
	Size		nwords = Max(SI_MAPPING_ABSENT_WORDS(direct->mapping), 1);

	direct->capacity *= 2;
	direct->tuples = repalloc_huge(direct->tuples, sizeof(HeapTuple) * direct->capacity);
	direct->absent = repalloc_huge(direct->absent, sizeof(int64) * nwords * direct->capacity);
	si_left_out_grow(&direct->left_out, direct->capacity);
}

void
si_direct_take_back(SiDirect *direct, int nrows)
{
	direct->ntuples = nrows;
}

void
si_direct_put(SiDirect *direct, const Datum *values, const bool *nulls)
{
	const SiMapping *mapping = direct->mapping;
	int			nwords = SI_MAPPING_ABSENT_WORDS(mapping);
	MemoryContext old;

	for (int i = 0; i < mapping->ncolumns; i++)
	{
		int			attribute = mapping->columns[i].attnum - 1;

		direct->values[attribute] = values[i];
		direct->nulls[attribute] = nulls[i];
	}
	if (direct->ntuples == direct->capacity)
		grow(direct);
	for (int i = 0; i < nwords; i++)
		direct->absent[direct->ntuples * nwords + i] = DatumGetInt64(values[mapping->ncolumns + i]);

	old = MemoryContextSwitchTo(direct->context);
	direct->tuples[direct->ntuples] = heap_form_tuple(direct->desc, direct->values, direct->nulls);
	direct->ntuples++;
	MemoryContextSwitchTo(old);
}

/* ---- defaults ---- */

static bool
is_absent(const int64 *words, int bit)
{
	return (words[bit / SI_ABSENT_BITS] >> (bit % SI_ABSENT_BITS)) & 1;
}

/* A row with its defaults, in the executor state's memory. */
static HeapTuple
complete_row(Write *write, ExprState **states, int row)
{
	SiDirect   *direct = write->direct;
	const int64 *words = direct->absent + row * SI_MAPPING_ABSENT_WORDS(direct->mapping);
	Datum	   *values = palloc(sizeof(Datum) * direct->desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * direct->desc->natts);
	HeapTuple	tuple;

	ResetPerTupleExprContext(write->estate);
	heap_deform_tuple(direct->tuples[row], direct->desc, values, nulls);
	for (int i = 0; i < direct->ndefaults; i++)
	{
		const ColumnDefault *def = &direct->defaults[i];

		if (def->absent_bit >= 0 && !is_absent(words, def->absent_bit))
			continue;
		values[def->attnum - 1] =
			ExecEvalExprSwitchContext(states[i], GetPerTupleExprContext(write->estate),
									  &nulls[def->attnum - 1]);
	}
	tuple = heap_form_tuple(direct->desc, values, nulls);
	pfree(values);
	pfree(nulls);
	return tuple;
}

/*
 * The tuples of a write.  Defaults are evaluated here, once for each row, and not
 * when the row was added: what they throw must be found as what a statement over
 * the rows throws, and prepared even if there are no rows.
 */
static void
complete_rows(Write *write)
{
	SiDirect   *direct = write->direct;
	ExprState **states;

	write->tuples = direct->tuples + write->from;
	if (direct->ndefaults == 0)
		return;
	states = palloc(sizeof(ExprState *) * direct->ndefaults);
	for (int i = 0; i < direct->ndefaults; i++)
		states[i] = ExecPrepareExpr(direct->defaults[i].expression, write->estate);
	write->tuples = palloc(sizeof(HeapTuple) * Max(write->n, 1));
	for (int i = 0; i < write->n; i++)
	{
		if (i % 256 == 0)
			CHECK_FOR_INTERRUPTS();
		direct->row = write->from + i;
		write->tuples[i] = complete_row(write, states, direct->row);
	}
}

/* ---- routing ---- */

/*
 * The table that a row goes to.  A partition attached since the plan was made
 * can be a foreign table, whose rows the statement has to write.
 */
static ResultRelInfo *
route_row(Write *write, int row)
{
	ResultRelInfo *relation = write->root;

	if (write->routing == NULL)
		return relation;
	write->direct->row = row;
	ExecStoreHeapTuple(write->tuples[row - write->from], write->root_slot, false);
	ResetPerTupleExprContext(write->estate);
	relation = ExecFindPartition(write->mtstate, write->root, write->routing,
								 write->root_slot, write->estate);
	if (relation->ri_FdwRoutine != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a foreign table was attached to the target while a batch was being applied")));
	return relation;
}

/*
 * The share of a table, found by the pointer that the executor keeps there for
 * COPY, which does not run in this executor state.
 */
static Share *
share_of(Write *write, ResultRelInfo *relation)
{
	Share	   *share = (Share *) relation->ri_CopyMultiInsertBuffer;

	if (share != NULL)
		return share;
	share = palloc0(sizeof(Share));
	share->relation = relation;
	share->first = share->last = -1;
	relation->ri_CopyMultiInsertBuffer = (struct CopyMultiInsertBuffer *) share;
	write->shares = lappend(write->shares, share);
	return share;
}

static void
share_rows(Write *write)
{
	write->next = palloc(sizeof(int) * Max(write->n, 1));
	for (int i = 0; i < write->n; i++)
	{
		Share	   *share;

		if (i % 256 == 0)
			CHECK_FOR_INTERRUPTS();
		share = share_of(write, route_row(write, write->from + i));
		write->next[i] = -1;
		if (share->nrows++ == 0)
			share->first = i;
		else
			write->next[share->last] = i;
		share->last = i;
	}
}

/* ---- inserting ---- */

/* A row as a tuple of the table that it goes to. */
static void
store_row(Write *write, ResultRelInfo *relation, int row, TupleTableSlot *slot)
{
	TupleConversionMap *map = write->routing ? root_to_partition_map_compat(relation, write->estate)
		: NULL;

	if (map == NULL)
		ExecStoreHeapTuple(write->tuples[row - write->from], slot, false);
	else
	{
		ExecStoreHeapTuple(write->tuples[row - write->from], write->root_slot, false);
		execute_attr_map_slot(map->attrMap, write->root_slot, slot);
	}
}

/*
 * Compute the generated columns of a row, and check it; false if it is left out.
 * Triggers before the row come first: they may change what is computed and checked, and
 * with it goes tableoid.  The executor has found the partition by the row, so that its
 * bounds need no check unless a trigger has changed the row since, or the target itself
 * is a partition.
 */
static bool
finish_values(Write *write, const Share *share, TupleTableSlot *slot, bool changed)
{
	ResultRelInfo *relation = share->relation;
	SiDirect   *direct = write->direct;
	TupleConstr *constraints = RelationGetDescr(relation->ri_RelationDesc)->constr;

	slot->tts_tableOid = RelationGetRelid(relation->ri_RelationDesc);
	if (constraints != NULL && constraints->has_generated_stored)
		ExecComputeStoredGenerated(relation, write->estate, slot, CMD_INSERT);
	if (constraints == NULL)
		 /* nothing to check */ ;
	else if (!share->leaves_out)
		ExecConstraints(relation, slot, write->estate);
	else if (si_left_out_check(&direct->left_out, relation, slot, write->estate, direct->row))
		return false;
	if (relation->ri_RelationDesc->rd_rel->relispartition && (write->routing == NULL || changed))
		ExecPartitionCheck(relation, slot, write->estate, true);
	return true;
}

/* After a row was inserted: its index entries, and its triggers. */
static void
finish_row(Write *write, ResultRelInfo *relation, TupleTableSlot *slot)
{
	List	   *recheck = NIL;

	if (relation->ri_NumIndices > 0)
		recheck = insert_index_tuples_compat(relation, slot, write->estate);
	ExecARInsertTriggers(write->estate, relation, slot, recheck, NULL);
	list_free(recheck);
}

/*
 * Insert buffered rows by one call.  A heap copies a tuple that its slot does
 * not own; the slots own theirs for as long as it takes.  Nothing is freed by
 * that: the batch may need the tuples again.
 */
static void
insert_buffered(Write *write, ResultRelInfo *relation, TupleTableSlot **slots, const int *rows,
				int n)
{
	bool		borrowed[MAX_BUFFERED];
	MemoryContext old;

	for (int i = 0; i < n; i++)
	{
		borrowed[i] = TTS_IS_HEAPTUPLE(slots[i]) && !TTS_SHOULDFREE(slots[i]) &&
			((HeapTupleTableSlot *) slots[i])->tuple != NULL;
		if (borrowed[i])
			slots[i]->tts_flags |= TTS_FLAG_SHOULDFREE;
	}
	write->direct->row = -1;
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(write->estate));
	table_multi_insert(relation->ri_RelationDesc, slots, n, write->cid, 0, NULL);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < n; i++)
	{
		if (borrowed[i])
			slots[i]->tts_flags &= ~TTS_FLAG_SHOULDFREE;
		if (relation->ri_NumIndices > 0 || relation->ri_TrigDesc != NULL)
		{
			ResetPerTupleExprContext(write->estate);
			write->direct->row = rows[i];
			finish_row(write, relation, slots[i]);
		}
	}
	ResetPerTupleExprContext(write->estate);
	write->inserted += n;
}

/* Insert one row of a partition that has triggers before each row. */
static void
insert_single(Write *write, const Share *share, TupleTableSlot *slot, int row)
{
	ResultRelInfo *relation = share->relation;

	store_row(write, relation, row, slot);
	if (!ExecBRInsertTriggers(write->estate, relation, slot))
		return;
	(void) finish_values(write, share, slot, true);
	table_tuple_insert(relation->ri_RelationDesc, slot, write->cid, 0, NULL);
	finish_row(write, relation, slot);
	write->inserted++;
}

/*
 * Slots for rows of a table.  They share a copy of its row type that is not
 * counted: the resource owner would have to remember each slot's reference.
 */
static TupleTableSlot **
make_slots(Relation relation, int n)
{
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * n);
	TupleDesc	desc = CreateTupleDescCopyConstr(RelationGetDescr(relation));

	for (int i = 0; i < n; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	return slots;
}

/* Insert the rows of one table. */
static void
insert_share(Write *write, Share *share)
{
	ResultRelInfo *relation = share->relation;
	bool		single = relation->ri_TrigDesc && relation->ri_TrigDesc->trig_insert_before_row;
	int			nslots = single ? 1 : Min(share->nrows, MAX_BUFFERED);
	TupleTableSlot **slots = make_slots(relation->ri_RelationDesc, nslots);
	int			rows[MAX_BUFFERED];
	int			n = 0;

	share->leaves_out = write->direct->left_out.most > 0 && si_left_out_possible(relation);
	if (relation->ri_IndexRelationDescs == NULL && relation->ri_RelationDesc->rd_rel->relhasindex)
		ExecOpenIndices(relation, false);
	for (int i = share->first; i >= 0; i = write->next[i])
	{
		int			row = write->from + i;

		if (i % 256 == 0)
			CHECK_FOR_INTERRUPTS();
		write->direct->row = row;
		ResetPerTupleExprContext(write->estate);
		if (single)
		{
			insert_single(write, share, slots[0], row);
			continue;
		}
		store_row(write, relation, row, slots[n]);
		if (finish_values(write, share, slots[n], false))
			rows[n++] = row;
		if (n == nslots)
		{
			insert_buffered(write, relation, slots, rows, n);
			n = 0;
		}
	}
	if (n > 0)
		insert_buffered(write, relation, slots, rows, n);
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	pfree(slots);
}

/* ---- a write ---- */

/* What the executor keeps of a partitioned target. */
static void
begin_routing(Write *write, Relation target)
{
	ModifyTableState *mtstate = makeNode(ModifyTableState);

	mtstate->ps.plan = NULL;
	mtstate->ps.state = write->estate;
	mtstate->operation = CMD_INSERT;
	mtstate->mt_nrels = 1;
	mtstate->resultRelInfo = write->root;
	mtstate->rootResultRelInfo = write->root;
	write->mtstate = mtstate;
	write->routing = ExecSetupPartitionTupleRouting(write->estate, target);
	write->root_slot = ExecInitExtraTupleSlot(write->estate, RelationGetDescr(target),
											  &TTSOpsHeapTuple);
}

static void
begin_write(Write *write, Relation target)
{
	write->estate = CreateExecutorState();
	write->cid = GetCurrentCommandId(true);
	write->estate->es_output_cid = write->cid;
	init_insert_range_table_compat(write->estate, target, si_direct_inserted_columns(write->direct->mapping));
	write->root = makeNode(ResultRelInfo);
	ExecInitResultRelation(write->estate, write->root, 1);
	AfterTriggerBeginQuery();
	if (target->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		begin_routing(write, target);
}

static void
end_write(Write *write)
{
	AfterTriggerEndQuery(write->estate);
	if (write->routing != NULL)
		ExecCleanupTupleRouting(write->mtstate, write->routing);
	ExecResetTupleTable(write->estate->es_tupleTable, false);
	ExecCloseResultRelations(write->estate);
	ExecCloseRangeTableRelations(write->estate);
	FreeExecutorState(write->estate);
}

int64
si_direct_write(SiDirect *direct, int from, int n, int most_left_out)
{
	Relation	target = table_open(direct->target, NoLock);
	Write		write = {.direct = direct,.from = from,.n = n};
	ListCell   *lc;
	MemoryContext old;

	PreventCommandIfReadOnly("INSERT");
	si_direct_check_privileges(target, direct->mapping);
	PushActiveSnapshot(GetTransactionSnapshot());
	direct->row = -1;
	begin_write(&write, target);
	si_left_out_begin_write(&direct->left_out, from, n,
							direct->harmless && si_left_out_possible(write.root) ? most_left_out : 0);
	old = MemoryContextSwitchTo(write.estate->es_query_cxt);
	ExecBSInsertTriggers(write.estate, write.root);
	complete_rows(&write);
	share_rows(&write);
	foreach(lc, write.shares)
		insert_share(&write, lfirst(lc));
	direct->row = -1;
	si_left_out_end_write(&direct->left_out, from, n, &direct->row);
	ExecASInsertTriggers(write.estate, write.root, NULL);
	MemoryContextSwitchTo(old);
	end_write(&write);
	PopActiveSnapshot();
	CommandCounterIncrement();
	table_close(target, NoLock);
	return write.inserted;
}

SiFailure *
si_direct_left_out(const SiDirect *direct, int row)
{
	ErrorData  *error = direct->left_out.errors[row];

	return error ? si_failure_from_error(error) : NULL;
}

int
si_direct_row(const SiDirect *direct)
{
	return direct->row;
}
