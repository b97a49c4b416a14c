/*-------------------------------------------------------------------------
 *
 * isolate.h
 *	  Which rows of a batch are at fault: the search.
 *
 * A statement over many rows fails as a whole; alone, only the rows at fault
 * fail.  Rows are tried in the order of their messages, so that what was
 * written at any time is a prefix of the batch (less the rows at fault).
 * Knows nothing of SQL.
 *
 * Called by write; the run of faults also by convert_batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ISOLATE_H
#define SI_ISOLATE_H

#include "common/failure.h"

/* How often rows were at fault lately; zeroed at first, kept between batches. */
typedef struct SiFaultRate
{
	double		rows;
	double		faults;
} SiFaultRate;

/* The server caches the ids of 64 subtransactions of a transaction. */
#define SI_ISOLATE_MAX_WRITES 60

/*
 * Faults in a row.  So many of them end a search, unless everything so far was
 * refused alike: then it must be seen whether the whole batch is.
 */
typedef struct SiFaultRun
{
	int			most;			/* 0: no limit */
	int			in_a_row;
	int			total;			/* rows (or messages) seen */
	int			sqlerrcode;		/* of the first */
	bool		alike;			/* all of them were refused like the first */
} SiFaultRun;

/* alike: may a run of faults that are all alike grow beyond the limit? */
extern void si_fault_run_begin(SiFaultRun *run, int most, bool alike);

/* Note one more, NULL if it is good; true once the run has grown too long. */
extern bool si_fault_run_note(SiFaultRun *run, const SiFailure *failure);

/*
 * About how many rows so many writes will deal with, by what is known of
 * faults: it makes no sense to prepare many more.
 */
extern int	si_isolate_reach(const SiFaultRate *rate, int max_writes);

/* What si_isolate works on. */
typedef struct SiIsolation
{
	/*
	 * Write rows [from, from + n) in a subtransaction.  NULL if that worked,
	 * else why not, with *at the row (from 0, within these) that was being
	 * written when it failed, or -1 if that is not known.
	 */
	SiFailure  *(*try) (void *arg, int from, int n, int *at);

	/*
	 * Why the last try, which succeeded, left out a row of it, which is at
	 * fault then; or NULL.  NULL itself where a try writes all its rows.
	 */
	SiFailure  *(*left_out) (void *arg, int row);

	/* A row is at fault. */
	void		(*refuse) (void *arg, int row, SiFailure *failure);
	void	   *arg;			/* of all three */
	SiFaultRate *rate;
	SiFaultRun *run;
	int			max_writes;		/* subtransactions that may succeed */
	bool		stop_at_first;	/* at the first row at fault */
} SiIsolation;

/*
 * Write n rows, all but those at fault.  Returns how many rows were dealt with:
 * less than n where max_writes subtransactions have succeeded, where the run of
 * faults has grown too long, or, with stop_at_first, at the first row at fault
 * (which is refused, but counts as the next one).
 */
extern int	si_isolate(const SiIsolation *isolation, int n);

#endif							/* SI_ISOLATE_H */
