/*-------------------------------------------------------------------------
 *
 * moved_key.h
 *	  Change events that give a row another key.
 *
 * Where the old row of an update has another key than the new one, the message
 * makes two rows: one that deletes by the old key, and the new row.  Called by
 * convert_batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_MOVED_KEY_H
#define SI_MOVED_KEY_H

#include "apply/convert.h"
#include "apply/key.h"

typedef struct SiMovedKey SiMovedKey;

/*
 * By field of the mapping: does a column of the key take it?  In the current
 * memory context.
 */
extern bool *si_moved_key_fields(const SiMapping *mapping, const SiKey *key);

/*
 * In the current memory context, with which it goes away.  The mapping and the
 * key, which must outlive it, are the batch's.
 */
extern SiMovedKey *si_moved_key_create(const SiMapping *mapping, const SiKey *key,
									   const char *topic);

/*
 * Look at the record of an update that has old_fields.  A column of the key that
 * one of the two rows lacks is what the other has.  *moved is set if the key has
 * changed, by its own equality: values and nulls, with room for a row of the
 * batch, are then the row that deletes, and the record has been completed by what
 * the old row has.  False with *failure filled (in the current memory context) if
 * a value of the key is bad, or a changed row would lose a column.
 */
extern bool si_moved_key_find(SiMovedKey *moved_key, const SiMessage *message, SiRecord *record,
							  bool *moved, Datum *values, bool *nulls, SiFailure *failure);

/* As si_convert_column and si_convert_recover. */
extern const SiColumn *si_moved_key_column(const SiMovedKey *moved_key);
extern void si_moved_key_recover(SiMovedKey *moved_key);

#endif							/* SI_MOVED_KEY_H */
