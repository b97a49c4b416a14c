/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  A batch of messages: what the caller gives, and what becomes of it.
 *
 * The entries belong to the caller.  All that has an effect is a prefix of
 * them.  Failures and rows are in the plan's batch context: they are valid
 * until the next batch of the same plan.
 *
 * Filled in by the worker, retry and preview; see apply.h.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_BATCH_H
#define SI_BATCH_H

#include "apply/isolate.h"
#include "apply/rows.h"
#include "catalog/dead_letter.h"
#include "catalog/progress.h"
#include "common/message.h"
#include "kafka/consumer.h"

/* So many messages refused alike are not the messages' fault. */
#define SI_BATCH_IS_LARGE	100

typedef enum SiBatchEnd
{
	SI_BATCH_DONE,				/* committed; entries behind the first `done`
								 * need another transaction */
	SI_BATCH_FENCED,			/* nothing done: the subscription has changed,
								 * or is about to */
	SI_BATCH_AT_DEAD_LETTER,	/* nothing done: another session is busy with
								 * a dead letter that the batch meets again */
	SI_BATCH_LACKS_COLUMNS,		/* nothing done: the schema of the first
								 * message asks for columns */
	SI_BATCH_CHANGED_ITSELF,	/* nothing done: what the batch ran has
								 * disabled, altered, moved or dropped the
								 * batch's own subscription */
	SI_BATCH_STOPPED			/* committed up to the message at fault */
} SiBatchEnd;

typedef struct SiBatch
{
	SiEntry    *entries;		/* in the order in which they came; of each
								 * partition in offset order, none below its
								 * next offset */
	int			n;
	int			nbehind;		/* so many entries follow in the array, for
								 * later batches: a thread may decode them */

	/* given for si_apply_batch only */
	SiProgress **progress;		/* the rows of the entries' partitions, in
								 * partition order */
	int64	   *ends;			/* by partition: its end, when that was seen
								 * behind the entries; else -1 */
	int			npartitions;
	SiConsumer *consumer;		/* reads the headers of dead letters */
	const SiFailure *refusal;	/* not NULL: the only entry is refused for
								 * this, without being tried */
	bool		skip;			/* and goes to the dead letters, whatever
								 * on_error says */

	/* where to stop before the end; set by apply.c */
	bool		stop_at_first;	/* at the first message refused */
	int			max_writes;		/* subtransactions that may succeed */
	int			breaker;		/* messages refused in a row; 0: any number */
	int			max_rows;		/* the batch ends with the message whose
								 * records reach it */

	/* while it is applied */
	int			reach;			/* so many entries are converted */
	int			converted;		/* of these, so many have been */
	int			current;		/* the entry that is being converted, or the
								 * first of those being written; -1: none */
	int			record;			/* of the message that is being converted; 0
								 * where it has but one */
	SiRows	   *rows;
	int			columns_reach;	/* so many entries come before the first whose
								 * schema asks for columns */
	bool		probed;			/* the statement is known to work over no rows */
	SiFaultRun	fault_run;		/* in conversion, then in writing */

	/* the outcome */
	SiBatchEnd	end;
	SiPlace		awaited;		/* the dead letter of SI_BATCH_AT_DEAD_LETTER */
	int			met;			/* so many dead letters were met again */
	int			done;			/* entries dealt with, from the first on */
	int			refused;		/* of these, so many have a failure */
	int64		written;		/* rows, and those of records superseded */
	SiCounts	counts;
	int			new_dead_letters;
	int64		rejected;		/* dead letters of the subscription since it
								 * was enabled, where there is a limit to them */
} SiBatch;

#endif							/* SI_BATCH_H */
