/*-------------------------------------------------------------------------
 *
 * isolate.c
 *	  Which rows of a batch are at fault: the search.
 *
 * All rows are tried at once as long as that works.  When a try fails, the row
 * that was being written is the suspect: the rows before it are written, then
 * it is tried alone, and only if it fails alone is it at fault (what fails a
 * CHECK constraint among others does so alone, by definition).  Where there is
 * no suspect (an error at the end of the statement: AFTER triggers, deferred
 * constraints), the run is halved.
 *
 * While rows are at fault, runs are kept short.  With a fixed cost f of a try,
 * a cost r of a row and a share p of rows at fault, the cost per row is about
 * f/n + p*n*r for runs of n, least at n = sqrt(f/(p*r)).  Measured, f is about
 * four times r; and as a transaction may have so many successful tries only,
 * each bears its part of what a transaction costs, which is as much again.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "miscadmin.h"

#include "apply/isolate.h"

/* Cost of a try in rows. */
#define TRY_COST	8.0

/* Older batches count for less: half of it is forgotten after so many rows. */
#define MEMORY_ROWS 20000.0

typedef struct Search
{
	const SiIsolation *isolation;
	SiFaultRate *rate;			/* the isolation's */
	SiFaultRun *run;
	bool		run_too_long;
	bool		refused;		/* the last row dealt with is at fault */
	int			n;
	int			next;			/* first row not dealt with */
	int			writes;			/* tries that succeeded */
	int			most;			/* rows to try at once, found by halving */
} Search;

void
si_fault_run_begin(SiFaultRun *run, int most, bool alike)
{
	memset(run, 0, sizeof(SiFaultRun));
	run->most = most;
	run->alike = alike;
}

bool
si_fault_run_note(SiFaultRun *run, const SiFailure *failure)
{
	if (run->total++ == 0 && failure != NULL)
		run->sqlerrcode = failure->sqlerrcode;
	if (failure == NULL || failure->sqlerrcode != run->sqlerrcode)
		run->alike = false;
	run->in_a_row = (failure != NULL) ? run->in_a_row + 1 : 0;
	return run->most > 0 && run->in_a_row >= run->most && !run->alike;
}

/* Keep the rate of faults, older rows counting for less. */
static void
note_rows(SiFaultRate *rate, int rows, int faults)
{
	rate->rows += rows;
	rate->faults += faults;
	if (rate->rows > MEMORY_ROWS)
	{
		rate->rows /= 2;
		rate->faults /= 2;
	}
}

/* How many rows to try at once. */
static int
run_length(const Search *search)
{
	int			left = search->n - search->next;
	double		best;

	if (search->rate->faults < 0.5)
		return Min(left, search->most);
	best = sqrt(TRY_COST * search->rate->rows / search->rate->faults);
	return Min(Min(left, search->most), Max((int) best, 1));
}

/*
 * The next n rows were written, except those left out.  These cost no try, so runs
 * need not be shorter for them.
 */
static void
note_written(Search *search, int n)
{
	const SiIsolation *isolation = search->isolation;

	note_rows(search->rate, n, 0);
	search->refused = false;
	if (isolation->left_out == NULL)
	{
		(void) si_fault_run_note(search->run, NULL);
		return;
	}
	for (int row = search->next; row < search->next + n; row++)
	{
		SiFailure  *failure = isolation->left_out(isolation->arg, row);

		if (failure != NULL)
			isolation->refuse(isolation->arg, row, failure);
		(void) si_fault_run_note(search->run, failure);
	}
}

/* Try rows from the next one on; on success they are dealt with. */
static SiFailure *
try_run(Search *search, int n, int *at)
{
	SiFailure  *failure = search->isolation->try(search->isolation->arg, search->next, n, at);

	if (failure == NULL)
	{
		note_written(search, n);
		search->next += n;
		search->writes++;
	}
	return failure;
}

/* The next row failed alone. */
static void
set_at_fault(Search *search, SiFailure *failure)
{
	search->isolation->refuse(search->isolation->arg, search->next++, failure);
	search->refused = true;
	search->run_too_long = si_fault_run_note(search->run, failure);
	note_rows(search->rate, 1, 1);
}

/*
 * A run failed while its row `at` was being written.  Where the failure is of
 * that row alone by its nature, trying it alone would show nothing new.
 */
static void
try_suspect(Search *search, int at, SiFailure *failure)
{
	int			unused;

	if (at > 0 && try_run(search, at, &unused) != NULL)
	{
		/* it was not the suspect's own fault, or not only */
		search->most = Max(at / 2, 1);
		return;
	}
	if (!failure->of_row)
		failure = try_run(search, 1, &unused);
	if (failure != NULL)
		set_at_fault(search, failure);
}

/*
 * A run of at most n rows ends at the first row at fault; so it is
 * (1 - (1 - p)^n) / p rows long.
 */
int
si_isolate_reach(const SiFaultRate *rate, int max_writes)
{
	double		p,
				n;

	if (rate->faults < 0.5)
		return INT_MAX;
	p = rate->faults / rate->rows;
	n = Max(sqrt(TRY_COST / p), 1.0);
	return (int) Min(max_writes * (1.0 - pow(1.0 - p, n)) / p, (double) (INT_MAX / 2));
}

int
si_isolate(const SiIsolation *isolation, int n)
{
	Search		search = {
		.isolation = isolation,
		.rate = isolation->rate,
		.run = isolation->run,
		.n = n,
		.most = n
	};

	while (search.next < n && search.writes < isolation->max_writes && !search.run_too_long)
	{
		int			length = run_length(&search);
		int			at = -1;
		SiFailure  *failure;

		CHECK_FOR_INTERRUPTS();
		failure = try_run(&search, length, &at);
		if (failure == NULL)
			search.most = Min(search.most * 2, n);
		else if (length == 1)
			set_at_fault(&search, failure);
		else if (at >= 0 && at < length - 1)
			try_suspect(&search, at, failure);
		else
			search.most = length / 2;

		if (isolation->stop_at_first && search.refused)
			return search.next - 1;
	}
	return search.next;
}
