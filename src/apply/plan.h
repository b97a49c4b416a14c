/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  What is the same for every batch of a subscription.
 *
 * Mapping, decoder, converter, statement.  A plan notices when its target
 * changes and is made anew then, under a lock on the target, so that an old plan
 * never meets a new table.
 *
 * Called by applier.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PLAN_H
#define SI_PLAN_H

#include "apply/tombstone.h"
#include "apply/writer.h"
#include "catalog/session.h"
#include "catalog/subscriptions.h"
#include "format/decoder.h"
#include "format/transcode.h"

typedef struct SiPlan
{
	const SiSubscription *subscription;
	const SiOptions *options;

	/* what is used by who runs a batch, once the target is locked */
	SiIdentity	identity;
	SiWriter   *writer;			/* NULL until there is a plan */
	const SiMapping *mapping;	/* the writer's */
	SiTranscoder *transcoder;	/* NULL if messages are in UTF-8 */
	SiDecoder  *decoder;
	SiDecoder  *unread_decoder; /* of fields that apply does not read */
	SiConverter *converter;
	SiTombstone *tombstone;		/* NULL where nothing is deleted by key */

	/* what he may tell */
	bool		stale;			/* the target has changed: make the plan anew */
	bool		at_fault;		/* an error now is the plan's */

	/* plan.c's own */
	struct SiPlan *next_live;
	bool		of_view;		/* the target is a view */
	MemoryContext parent;		/* as long as this struct */
	MemoryContext context;		/* as long as what was made */
	List	   *partitions;		/* OIDs of a partitioned target's; their
								 * changes are no changes of it */
	char	   *target_schema;	/* by which names the statement was made */
	char	   *target_name;
} SiPlan;

/*
 * For a subscription, in the current memory context, with which it goes.  Does
 * not touch the database: there is no plan before the target is locked.
 */
extern SiPlan *si_plan_create(const SiSubscription *subscription, const SiOptions *options);

/*
 * Lock the target and see to it that the plan fits it.  The lock comes first:
 * taking it also takes in what others have changed.  Throws what makes a plan
 * impossible; at_fault is then left set.
 */
extern void si_plan_lock_target(SiPlan *plan);

/*
 * After the rows were written: was it the target that they were written to?
 * Throws 40001 if that is not certain.
 */
extern void si_plan_check_target(SiPlan *plan);

#endif							/* SI_PLAN_H */
