/*-------------------------------------------------------------------------
 *
 * trouble.h
 *	  What a consumer hears of brokers in trouble, and how grave it is.
 *
 * A box takes what comes from both of a consumer's threads and has a lock of
 * its own, below all others: nothing here calls anything.  No palloc, no
 * ereport.
 *
 * Called by the consumer and its helper thread.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TROUBLE_H
#define SI_TROUBLE_H

#include <pthread.h>

#include "kafka/consumer_values.h"

typedef struct SiTroubleBox
{
	pthread_mutex_t lock;
	SiTrouble	gravest;		/* until it is taken */
	SiTrouble	last_failure;	/* of a broker, until all is well again */
	int64		throttled_until;	/* in milliseconds of CLOCK_MONOTONIC */
} SiTroubleBox;

extern void si_trouble_init(SiTroubleBox *box);
extern void si_trouble_destroy(SiTroubleBox *box);

/* What kind of trouble one of the library's error codes stands for. */
extern SiTroubleKind si_trouble_kind(int err);

/* Keep the gravest until it is taken, and of equals the newest. */
extern void si_trouble_note(SiTroubleBox *box, SiTroubleKind kind, const char *words);

/* The same, but only if it is graver than all before; false if not. */
extern bool si_trouble_note_graver(SiTroubleBox *box, const SiTrouble *trouble);

/* The same for an error that comes with a code; words may be NULL. */
extern void si_trouble_note_failure(SiTroubleBox *box, int err, const char *words);

/*
 * The same for a serious line of the library's log, unless a broker's failure
 * is known: then it is more of the same, without its kind.
 */
extern void si_trouble_note_log(SiTroubleBox *box, const char *words);

/* Something was read: what a broker said before is old. */
extern void si_trouble_forget_failure(SiTroubleBox *box);

/*
 * What a broker said tells more than that a question was not answered: put
 * that instead, if it is known.
 */
extern void si_trouble_explain(SiTroubleBox *box, SiTrouble *trouble);

/*
 * A broker holds back its answers for so long, because of a quota; and does it,
 * or did it lately?  Then a question that is not answered soon tells nothing.
 */
extern void si_trouble_note_throttle(SiTroubleBox *box, int milliseconds);
extern bool si_trouble_throttled(SiTroubleBox *box);

/* Take the gravest; false if there is none. */
extern bool si_trouble_take(SiTroubleBox *box, SiTrouble *trouble);

#endif							/* SI_TROUBLE_H */
