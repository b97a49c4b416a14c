/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  What is the same for every batch of a subscription.
 *
 * Mapping, decoder, converter, statements.  A plan notices when its target
 * changes; it is then made again, under a lock on the target, so that an old
 * plan never meets a new table.
 *
 * Called by apply and its parts, which read the struct; created by the worker,
 * retry, preview and the check of a new subscription.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PLAN_H
#define SI_PLAN_H

#include "apply/convert_ahead.h"
#include "apply/isolate.h"
#include "apply/moved_key.h"
#include "apply/tombstone.h"
#include "apply/writer.h"
#include "catalog/session.h"
#include "catalog/subscriptions.h"
#include "format/ahead.h"
#include "format/decoder.h"
#include "format/transcode.h"

typedef struct SiPlan
{
	const SiSubscription *subscription;
	const SiOptions *options;

	/* made by si_plan_check; read while the target is locked */
	SiIdentity	identity;
	SiWriter   *writer;			/* NULL until the plan is made */
	const SiMapping *mapping;	/* the writer's */
	SiTranscoder *transcoder;	/* NULL if messages are in UTF-8 */
	SiFormatOptions format;		/* what the decoders know of the messages */
	SiDecoder  *decoder;
	SiDecoder  *unread_decoder; /* of fields that apply does not read */
	SiConverter *converter;
	SiDecoder  *ahead_decoder;	/* of the thread that decodes ahead; NULL if
								 * none may */
	SiAheadColumns *ahead_columns;
	SiTombstone *tombstone;		/* NULL where nothing is deleted by key */
	SiMovedKey *moved_key;		/* NULL where no update changes a key */
	bool		wants_headers;	/* does anything read a message's headers? */

	/* for one batch after the other; see si_plan_begin_batch */
	MemoryContext batch_context;
	MemoryContext row_context;	/* reset for each row */
	SiArena    *arena;			/* what decoders allocate in a batch */
	SiAhead    *ahead;			/* NULL until it is used */
	SiSchemaStore *store;		/* of a registry's schemas; NULL: there is
								 * none */
	List	   *settings;		/* to be set for the batch, beside the pinned */
	SiFaultRate fault_rate;		/* kept from batch to batch */

	/* new_columns.c's own */
	struct SiNewColumns *new_columns;	/* NULL until it is used */
	int			columns_added;	/* since the subscription was enabled, as far
								 * as it knows */
	bool		told_no_room;	/* it has logged that there is no room */

	/* whose fault an error is, for those who catch it */
	bool		at_fault;		/* the plan's: its text quotes no payload */
	bool		committing;		/* COMMIT's: of some message, not known which */

	bool		stale;			/* the target has changed: make the plan again */

	/* plan.c's own */
	struct SiPlan *next_live;
	bool		of_worker;
	bool		of_view;		/* the target is a view */
	MemoryContext context;		/* as long as this struct */
	MemoryContext made_context; /* as long as what was made */
	List	   *partitions;		/* OIDs of a partitioned target's; their
								 * changes are no changes of it */
	List	   *row_types;		/* OIDs of the composite types in the
								 * mapping's columns; their changes make the
								 * plan stale, too */
	char	   *target_schema;	/* by which names the statement was made */
	char	   *target_name;
} SiPlan;

/*
 * Create one for a subscription, in a context below the current one.  Does not
 * touch the database: si_plan_check makes the plan.  of_worker: rows may go by the
 * direct path, which leaves nothing for si_apply_show, and a thread may decode.
 */
extern SiPlan *si_plan_create(const SiSubscription *subscription, const SiOptions *options,
							  bool of_worker);
extern void si_plan_destroy(SiPlan *plan);

/*
 * Lock the target until the transaction ends, and make the plan if there is
 * none or it is stale.  The lock comes first: taking it also takes in what
 * other sessions have changed.  So everything is checked that can be before the
 * first message comes: target, mapping, statements and privileges.  Throws what
 * makes a plan impossible; at_fault is then left set.
 */
extern void si_plan_check(SiPlan *plan);

/*
 * After the rows were written: was it the target that they were written to?
 * Throws 40001 if that is not certain.
 */
extern void si_plan_check_target(SiPlan *plan);

/* Forget the last batch, and what an error has left of it. */
extern void si_plan_begin_batch(SiPlan *plan);

/* The thread that decodes ahead, which ends with the plan; NULL if there is none. */
extern SiAhead *si_plan_ahead(SiPlan *plan);

#endif							/* SI_PLAN_H */
