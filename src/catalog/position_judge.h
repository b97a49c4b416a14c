/*-------------------------------------------------------------------------
 *
 * position_judge.h
 *	  What is to become of a partition.
 *
 * Compares stored progress with what the brokers answered.  Nothing here
 * changes anything.  Called by position.c and upcoming, and by the worker while it reads.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_POSITION_JUDGE_H
#define SI_POSITION_JUDGE_H

#include "catalog/progress.h"
#include "catalog/subscriptions.h"
#include "kafka/consumer.h"

/* What to ask of the brokers, and what was stored when it was asked. */
typedef struct SiPositionQuestions
{
	SiOffsetQuery *queries;		/* the answers go here, too */
	int			nqueries;
	SiProgress *rows;
	int			nrows;
	TimestampTz asked_at;
} SiPositionQuestions;

/* What is needed to decide about one partition. */
typedef struct SiPositionContext
{
	const SiSubscription *subscription;
	const SiOptions *options;
	const SiProgressKey *key;
	const SiTopicInfo *info;
	const SiPositionQuestions *answered;
	char	  **reason;
} SiPositionContext;

/* What is to become of a partition. */
typedef enum SiVerdict
{
	SI_RESUMES,					/* as stored */
	SI_BEGINS,					/* it has no row yet */
	SI_SEEKS,
	SI_OTHER_LOG,				/* begins at the log's beginning, once adopted */
	SI_HAS_GAP,					/* resumes there, once the gap is accepted */
	SI_NO_ANSWER,
	SI_OUT_OF_RANGE				/* begins or seeks where there is nothing */
} SiVerdict;

typedef struct SiJudgement
{
	SiVerdict	verdict;
	int64		offset;			/* where it resumes */
	const char *why;			/* of SI_OTHER_LOG: what has happened */
	char	   *reason;			/* why the subscription would stop */
} SiJudgement;

/* The row of a partition, or NULL. */
extern SiProgress *si_position_row(SiProgress *rows, int n, int32 partition);

/*
 * The position that a partition is to be moved to: that of a pending seek, or
 * where a new row starts.  False if it resumes as stored.
 */
extern bool si_position_wanted(const SiSubscription *subscription, const SiOptions *options,
							   const SiProgress *row, int32 partition, SiStart *start);

/* The answer to a question; false if there is none. */
extern bool si_position_answer(const SiPositionContext *context, int32 partition, int64 at,
							   int64 *offset);

/* Resolve a position to a number; false if an answer is missing. */
extern bool si_position_number(const SiPositionContext *context, int32 partition,
							   const SiStart *start, int64 *offset);

/*
 * What the ids of cluster and topic, where they are known, say of a row's offset: why
 * it belongs to another topic than there is now, or NULL.
 */
extern const char *si_position_another_topic(const SiProgress *row, const SiTopicInfo *info);

/*
 * Why the row's offset belongs to another log than the brokers have now, or
 * NULL.
 */
extern const char *si_position_another_log(const SiPositionContext *context,
										   const SiProgress *row, int64 high);

/* Judge a partition that the topic has; row is NULL if there is none. */
extern SiJudgement si_position_judge(const SiPositionContext *context, const SiProgress *row,
									 int32 partition);

/* Is a gap passed over without asking the owner? */
extern bool si_position_gap_accepted(const SiPositionContext *context);

/*
 * A row of a partition that the topic does not have: it was recreated with
 * fewer.  Returns the reason to stop, or NULL.  The row stays, for its counts;
 * at offset 0 it misses nothing, and fits should the topic grow again.
 */
extern char *si_position_gone(const SiPositionContext *context, const SiProgress *row);

#endif							/* SI_POSITION_JUDGE_H */
