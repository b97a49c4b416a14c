/*-------------------------------------------------------------------------
 *
 * row_notes.h
 *	  Notes that an upsert takes on the row that it is at.
 *
 * In INSERT ... SELECT ... FROM batch ... ON CONFLICT DO UPDATE the update sees
 * only columns of the target: not which fields the message lacked, and the
 * statement does not report whether the row was inserted or updated (xmax cannot
 * be read on partitioned tables and views).  The executor takes row by row from
 * the batch all the way into the target, so volatile functions in the statement
 * can take notes:
 *
 *	note_row(i, word)	in the scan's WHERE: a new row; its i-th absent word
 *	row_lacks(bit)		in SET: does the row lack the field of this bit?
 *	note_conflict()		last in DO UPDATE's WHERE: it is updated
 *	note_unchanged()	the same where there is nothing to set: counted, and
 *						no update made
 *	note_written()		in RETURNING: the row is written
 *
 * A plan that is not row by row is noticed, and is an error.  Outside of such a
 * statement the functions do nothing.  Called by statement.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ROW_NOTES_H
#define SI_ROW_NOTES_H

#include "access/htup_details.h"
#include "apply/mapping.h"

typedef struct SiRowNotes
{
	uint64		absent[MaxTupleAttributeNumber / SI_ABSENT_BITS + 1];
	bool		at_row;			/* a row is under way */
	bool		conflict;		/* and met one that is there */
	int64		inserted;
	int64		updated;
	struct SiRowNotes *outer;	/* of a statement that runs this one */
} SiRowNotes;

/*
 * Take notes from here to si_row_notes_end, which must be called also when the
 * statement fails.
 */
extern void si_row_notes_begin(SiRowNotes *notes);
extern void si_row_notes_end(SiRowNotes *notes);

#endif							/* SI_ROW_NOTES_H */
