/*-------------------------------------------------------------------------
 *
 * reduce.c
 *	  Rows that one key may have many of, put in order.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

#include "apply/reduce.h"

struct SiReducer
{
	const SiMapping *mapping;
	const SiKey *key;
	bool		upsert;
	int			version_column; /* -1: none */
	int			nwords;
	uint64	   *key_bits;		/* absent bits of the key's columns */
	SortSupport order;			/* per column of the key */
	SortSupport version_order;
};

/* A row, with what is looked at. */
typedef struct Entry
{
	int			row;
	bool		is_delete;
	bool		is_old_key;		/* the message's other row counts */
	bool		lacks_key;		/* a field of the key is absent */
	bool		version_absent;
	bool		version_null;
	Datum		version;
	int			wave;			/* where it goes, -1: nowhere */
	const uint64 *absent;
	const Datum *keys;
	const bool *nulls;
	struct Entry *before;		/* in the chain of its key */
} Entry;

/* The parts of a wave, in the order in which they are written. */
enum
{
	DELETE,
	WRITE,
	PARTIAL,
	PARTS
};

/* What is written of one key so far, the newest first. */
typedef struct Chain
{
	Entry	   *last;
	int			nsuperseded;
} Chain;

static SortSupport make_order(Oid operator, Oid collation);
static void read_entries(SiReducer *reducer, const SiRows *rows, const int *chosen, int n,
						 Entry *entries);
static void read_entry(SiReducer *reducer, TupleTableSlot *slot, Entry *entry, Datum *keys,
					   bool *nulls, uint64 *absent);
static int	reduce_segment(SiReducer *reducer, Entry **entries, int n, int first_wave,
						   int *nsuperseded);
static int	compare_entries(const void *a, const void *b, void *arg);
static bool same_key(const SiReducer *reducer, const Entry *a, const Entry *b);
static void add_upsert(SiReducer *reducer, Chain *chain, Entry *entry, int first_wave);
static void add_in_turn(Chain *chain, Entry *entry, int first_wave);
static bool covers(const SiReducer *reducer, const Entry *later, const Entry *earlier);
static int	deal_in_order(SiReducer *reducer, Entry *entries, Entry **sorted, int n);
static int	part_of(const SiReducer *reducer, const Entry *entry);
static SiReduction *make_waves(const SiReducer *reducer, Entry **entries, int n, int nwaves);

SiReducer *
si_reduce_create(const SiMapping *mapping, const SiKey *key, bool upsert, int version_column)
{
	SiReducer  *reducer = palloc0(sizeof(SiReducer));

	reducer->mapping = mapping;
	reducer->key = key;
	reducer->upsert = upsert;
	reducer->version_column = version_column;
	reducer->nwords = SI_MAPPING_ABSENT_WORDS(mapping);
	reducer->key_bits = palloc0(sizeof(uint64) * Max(reducer->nwords, 1));
	reducer->order = palloc0(sizeof(SortSupportData) * key->ncolumns);
	for (int i = 0; i < key->ncolumns; i++)
	{
		const SiKeyColumn *column = &key->columns[i];
		int			bit = mapping->columns[column->column].absent_bit;

		reducer->order[i] = *make_order(column->less, column->collation);
		if (bit >= 0)
			reducer->key_bits[bit / SI_ABSENT_BITS] |= UINT64CONST(1) << (bit % SI_ABSENT_BITS);
	}
	if (version_column >= 0)
	{
		const SiColumn *column = &mapping->columns[version_column];
		TypeCacheEntry *type = lookup_type_cache(column->type, TYPECACHE_LT_OPR);

		/* a NULL is lower than any other version */
		reducer->version_order = make_order(type->lt_opr, column->collation);
		reducer->version_order->ssup_nulls_first = true;
	}
	return reducer;
}

static SortSupport
make_order(Oid operator, Oid collation)
{
	SortSupport order = palloc0(sizeof(SortSupportData));

	order->ssup_cxt = CurrentMemoryContext;
	order->ssup_collation = collation;
	PrepareSortSupportFromOrderingOp(operator, order);
	return order;
}

SiReduction *
si_reduce_rows(SiReducer *reducer, const SiRows *rows, const int *chosen, int n)
{
	Entry	   *entries = palloc_extended(sizeof(Entry) * Max(n, 1), MCXT_ALLOC_HUGE);
	Entry	  **sorted = palloc_extended(sizeof(Entry *) * Max(n, 1), MCXT_ALLOC_HUGE);
	SiReduction *reduction;
	int			nsuperseded = 0;
	int			nwaves = 0;
	int			begin = 0;

	read_entries(reducer, rows, chosen, n, entries);
	for (int i = 0; i < n; i++)
		sorted[i] = &entries[i];
	if (!reducer->key->is_alone)
		nwaves = deal_in_order(reducer, entries, sorted, n);
	else
	{
		for (int i = 0; i < n; i++)
		{
			if (!entries[i].lacks_key)
				continue;
			nwaves = reduce_segment(reducer, sorted + begin, i - begin, nwaves, &nsuperseded);
			entries[i].wave = nwaves++;
			begin = i + 1;
		}
		nwaves = reduce_segment(reducer, sorted + begin, n - begin, nwaves, &nsuperseded);
	}

	reduction = make_waves(reducer, sorted, n, nwaves);
	reduction->nsuperseded = nsuperseded;
	return reduction;
}

/* ---- reading rows ---- */

static void
read_entries(SiReducer *reducer, const SiRows *rows, const int *chosen, int n, Entry *entries)
{
	int			nkeys = reducer->key->ncolumns;
	int			nwords = reducer->nwords;
	Size		room = Max(n, 1);
	Datum	   *keys = palloc_extended(sizeof(Datum) * nkeys * room, MCXT_ALLOC_HUGE);
	bool	   *nulls = palloc_extended(sizeof(bool) * nkeys * room, MCXT_ALLOC_HUGE);
	uint64	   *absent = palloc_extended(sizeof(uint64) * Max(nwords, 1) * room, MCXT_ALLOC_HUGE);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(rows->desc, &TTSOpsMinimalTuple);

	for (int i = 0; i < n; i++)
	{
		Entry	   *entry = &entries[i];

		/* the values stay in the tuple, which the batch keeps */
		ExecStoreMinimalTuple(rows->tuples[chosen[i]], slot, false);
		entry->row = chosen[i];
		entry->is_delete = rows->deletes[chosen[i]];
		entry->is_old_key = si_rows_is_old_key(rows, chosen[i]);
		read_entry(reducer, slot, entry, keys + (Size) i * nkeys, nulls + (Size) i * nkeys,
				   absent + (Size) i * nwords);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static void
read_entry(SiReducer *reducer, TupleTableSlot *slot, Entry *entry, Datum *keys, bool *nulls,
		   uint64 *absent)
{
	const SiMapping *mapping = reducer->mapping;

	entry->lacks_key = false;
	entry->version_absent = true;
	entry->version_null = true;
	entry->version = (Datum) 0;
	entry->wave = -1;
	entry->before = NULL;
	entry->keys = keys;
	entry->nulls = nulls;
	entry->absent = absent;

	for (int i = 0; i < reducer->nwords; i++)
	{
		bool		isnull;

		absent[i] = (uint64) DatumGetInt64(slot_getattr(slot, mapping->ncolumns + i + 1, &isnull));
		if (!entry->is_delete && (absent[i] & reducer->key_bits[i]) != 0)
			entry->lacks_key = true;
	}
	for (int i = 0; i < reducer->key->ncolumns; i++)
		keys[i] = slot_getattr(slot, reducer->key->columns[i].column + 1, &nulls[i]);
	if (reducer->version_column >= 0 && !entry->is_delete)
	{
		int			bit = mapping->columns[reducer->version_column].absent_bit;

		entry->version = slot_getattr(slot, reducer->version_column + 1, &entry->version_null);
		entry->version_absent = bit >= 0 &&
			(absent[bit / SI_ABSENT_BITS] >> (bit % SI_ABSENT_BITS)) & 1;
	}
}

/* ---- one stretch of rows whose keys are known ---- */

/*
 * Assign each entry to a wave, from first_wave on; returns the
 * first one after them.
 */
static int
reduce_segment(SiReducer *reducer, Entry **entries, int n, int first_wave, int *nsuperseded)
{
	Chain		chain = {NULL, 0};
	int			next_wave = first_wave;

	qsort_arg(entries, n, sizeof(Entry *), compare_entries, reducer);
	for (int i = 0; i < n; i++)
	{
		Entry	   *entry = entries[i];

		if (i > 0 && !same_key(reducer, entries[i - 1], entry))
			chain.last = NULL;
		if (reducer->upsert)
			add_upsert(reducer, &chain, entry, first_wave);
		else
			add_in_turn(&chain, entry, first_wave);
		next_wave = Max(next_wave, entry->wave + 1);
	}
	*nsuperseded += chain.nsuperseded;
	return next_wave;
}

/* By key, then in the order of the messages. */
static int
compare_entries(const void *a, const void *b, void *arg)
{
	const SiReducer *reducer = arg;
	const Entry *x = *(Entry *const *) a;
	const Entry *y = *(Entry *const *) b;

	for (int i = 0; i < reducer->key->ncolumns; i++)
	{
		int			order = ApplySortComparator(x->keys[i], x->nulls[i], y->keys[i], y->nulls[i],
												&reducer->order[i]);

		if (order != 0)
			return order;
	}
	return (x->row > y->row) - (x->row < y->row);
}

static bool
same_key(const SiReducer *reducer, const Entry *a, const Entry *b)
{
	for (int i = 0; i < reducer->key->ncolumns; i++)
	{
		if ((a->nulls[i] || b->nulls[i]) && reducer->key->nulls_distinct)
			return false;
		if (ApplySortComparator(a->keys[i], a->nulls[i], b->keys[i], b->nulls[i],
								&reducer->order[i]) != 0)
			return false;
	}
	return true;
}

/* ---- what is left of a key ---- */

static void
append(Chain *chain, Entry *entry, int first_wave)
{
	entry->before = chain->last;
	entry->wave = chain->last ? chain->last->wave + 1 : first_wave;
	chain->last = entry;
}

static void
supersede_last(Chain *chain)
{
	chain->last->wave = -1;
	chain->nsuperseded += !chain->last->is_old_key;
	chain->last = chain->last->before;
}

/* Add the next record of a key, and drop the records that it makes pointless. */
static void
add_upsert(SiReducer *reducer, Chain *chain, Entry *entry, int first_wave)
{
	while (chain->last != NULL)
	{
		const Entry *last = chain->last;

		if (entry->is_delete)
		{
			supersede_last(chain);
			continue;
		}
		if (last->is_delete)
			break;
		if (reducer->version_column >= 0)
		{
			int			order;

			/* only the statement can read what the row has then */
			if (entry->version_absent || last->version_absent)
				break;
			order = ApplySortComparator(entry->version, entry->version_null, last->version,
										last->version_null, reducer->version_order);
			if (order < 0)
				return;
		}
		if (!covers(reducer, entry, last))
			break;
		supersede_last(chain);
	}
	append(chain, entry, first_wave);
}

/* The same where every record counts. */
static void
add_in_turn(Chain *chain, Entry *entry, int first_wave)
{
	if (chain->last != NULL && chain->last->is_delete == entry->is_delete)
	{
		entry->wave = chain->last->wave;
		return;
	}
	append(chain, entry, first_wave);
}

/* Does a later write set all that an earlier one sets? */
static bool
covers(const SiReducer *reducer, const Entry *later, const Entry *earlier)
{
	for (int i = 0; i < reducer->nwords; i++)
	{
		if ((later->absent[i] & ~earlier->absent[i]) != 0)
			return false;
	}
	return true;
}

/* ---- where other indexes can refuse a row ---- */

/*
 * Assign each entry to a wave: a wave is a run of messages of one
 * kind, in upsert mode with no key twice.  A statement writes such a run row by
 * row, in this order.  Partial writes are updates first and inserts then, so
 * they go one by one.  Returns the number of waves; sorted is put in the order
 * of the messages again.
 */
static int
deal_in_order(SiReducer *reducer, Entry *entries, Entry **sorted, int n)
{
	int			nwaves = 0,
				begin = 0;

	qsort_arg(sorted, n, sizeof(Entry *), compare_entries, reducer);
	for (int i = 1; i < n; i++)
	{
		if (same_key(reducer, sorted[i - 1], sorted[i]))
			sorted[i]->before = sorted[i - 1];
	}
	for (int i = 0; i < n; i++)
	{
		Entry	   *entry = &entries[i];
		int			part = part_of(reducer, entry);

		if (i == 0 || part == PARTIAL || part != part_of(reducer, entry - 1) ||
			(reducer->upsert && entry->before != NULL && entry->before >= &entries[begin]))
		{
			begin = i;
			nwaves++;
		}
		entry->wave = nwaves - 1;
		sorted[i] = entry;
	}
	return nwaves;
}

/* ---- the result ---- */

static int
part_of(const SiReducer *reducer, const Entry *entry)
{
	if (entry->is_delete)
		return DELETE;
	for (int i = 0; reducer->upsert && i < reducer->nwords; i++)
	{
		if (entry->absent[i] != 0)
			return PARTIAL;
	}
	return WRITE;
}

/*
 * Deal the entries, which are in the order of their keys, out to their waves:
 * a counting sort, since a hot key may make thousands of waves.
 */
static SiReduction *
make_waves(const SiReducer *reducer, Entry **entries, int n, int nwaves)
{
	SiReduction *reduction = palloc0(sizeof(SiReduction));
	int		   *rows = palloc_extended(sizeof(int) * Max(n, 1), MCXT_ALLOC_HUGE);
	int		   *ends = palloc0(sizeof(int) * (PARTS * (Size) nwaves + 1));
	int			begin = 0;

	for (int i = 0; i < n; i++)
	{
		if (entries[i]->wave >= 0)
			ends[PARTS * entries[i]->wave + part_of(reducer, entries[i])]++;
	}
	for (int i = 0; i < PARTS * nwaves; i++)
	{
		int			count = ends[i];

		ends[i] = begin;
		begin += count;
	}
	for (int i = 0; i < n; i++)
	{
		if (entries[i]->wave >= 0)
			rows[ends[PARTS * entries[i]->wave + part_of(reducer, entries[i])]++] = entries[i]->row;
	}

	/* each end has moved to where the next part begins */
	reduction->nwaves = nwaves;
	reduction->waves = palloc0(sizeof(SiWave) * Max(nwaves, 1));
	begin = 0;
	for (int i = 0; i < nwaves; i++)
	{
		SiWave	   *wave = &reduction->waves[i];
		const int  *end = &ends[PARTS * i];

		wave->deletes = rows + begin;
		wave->ndeletes = end[0] - begin;
		wave->writes = rows + end[0];
		wave->nwrites = end[1] - end[0];
		wave->partials = rows + end[1];
		wave->npartials = end[2] - end[1];
		begin = end[2];
	}
	return reduction;
}
