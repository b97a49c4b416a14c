/*-------------------------------------------------------------------------
 *
 * position.h
 *	  Where each partition resumes: what is stored against what the brokers
 *	  have.
 *
 * At every contact with a topic its partitions get their rows of progress (all
 * known ones together, with "start" resolved to numbers), seeks are carried
 * out, and an offset that the broker does not have, or another log than the
 * offset belongs to, is recorded in gaps.  With the option stop_at the first
 * contact of a run finds out where the run ends, in numbers, so that nothing
 * that happens later moves its end.  Two steps, since no transaction is open
 * while Kafka is asked: si_position_questions, then si_position_resolve with
 * the answers.
 *
 * Called by the worker, and by preview.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_POSITION_H
#define SI_POSITION_H

#include "catalog/position_judge.h"

/* In a transaction; the result is in the current memory context. */
extern SiPositionQuestions *si_position_questions(const SiSubscription *subscription,
												  const SiOptions *options,
												  const SiTopicInfo *info);

typedef enum SiPositionEnd
{
	SI_POSITION_READY,
	SI_POSITION_FENCED,			/* the subscription has changed */
	SI_POSITION_AGAIN,			/* an answer is missing: ask once more */
	SI_POSITION_STOP,			/* the subscription must stop; *reason says
								 * why */
	SI_POSITION_GAP				/* the same; enable() accepts what is missing */
} SiPositionEnd;

/*
 * Bring the rows of progress up to what the brokers say, in the current
 * transaction, which the caller commits (FENCED, AGAIN: aborts).  On READY the
 * rows can be loaded and fetched from.  On GAP, what was found is in gaps;
 * *reason is palloc'd and quotes nothing but numbers and names.
 */
extern SiPositionEnd si_position_resolve(const SiSubscription *subscription,
										 const SiOptions *options,
										 const SiProgressKey *key,
										 const SiTopicInfo *info,
										 const SiPositionQuestions *answered,
										 char **reason);

/*
 * The same without changing anything, for preview: where each of the topic's
 * partitions would resume, -1 for those that the
 * subscription does not take.  On STOP there is no such place; on GAP the
 * places are those behind what is missing, which enable() accepts.
 */
extern SiPositionEnd si_position_foresee(const SiSubscription *subscription,
										 const SiOptions *options,
										 const SiTopicInfo *info,
										 const SiPositionQuestions *answered,
										 int64 *offsets, char **reason);

#endif							/* SI_POSITION_H */
