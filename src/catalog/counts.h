/*-------------------------------------------------------------------------
 *
 * counts.h
 *	  The counts of a subscription: what became of its messages.
 *
 * A batch fills in an SiCounts; progress.c adds it to the row of a partition,
 * and count_changes.c appends one to count_changes.  Both tables have a column
 * of type bigint for each count, of the same name.
 *
 * Called by apply, progress and count_changes, and by the functions that retry
 * and discard.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_COUNTS_H
#define SI_COUNTS_H

/* All of them: expands column(name) for each. */
#define SI_COUNT_COLUMNS(column) \
	column(messages) column(bytes) column(batches) column(applied) \
	column(inserted) column(updated) column(deleted) column(superseded) \
	column(ignored) column(dead_letters)

typedef struct SiCounts
{
	int64		messages;
	int64		bytes;			/* of their keys and values */
	int64		batches;
	int64		applied;		/* the next four, and what apply was given */
	int64		inserted;
	int64		updated;
	int64		deleted;
	int64		superseded;		/* a later record of the same key won */
	int64		ignored;		/* neither applied nor refused */
	int64		dead_letters;	/* that exist now */
} SiCounts;

#endif							/* SI_COUNTS_H */
