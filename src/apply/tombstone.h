/*-------------------------------------------------------------------------
 *
 * tombstone.h
 *	  Tombstones to keys: which row a message without a value deletes.
 *
 * A column of the key takes what it takes of a write, if that is the message's
 * key or a path into it.  Else it takes the member of its own name from a key
 * that is a JSON object; and a column that is the whole key takes a plain key
 * (a number, a text, a JSON string) as it is.  Called by convert_batch.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TOMBSTONE_H
#define SI_TOMBSTONE_H

#include "apply/convert.h"
#include "apply/key.h"

typedef struct SiTombstone SiTombstone;

/*
 * In the current memory context, with which it goes away.  What is given must
 * outlive it; of options only the envelope matters.
 */
extern SiTombstone *si_tombstone_create(const SiMapping *mapping, const SiKey *key,
										const char *format, const SiFormatOptions *options,
										const char *topic);

/*
 * Make a row of the mapping in which only the key's columns have values.  As
 * si_convert_row; false with *failure filled if the message's key is bad.
 */
extern bool si_tombstone_convert(SiTombstone *tombstone, const SiMessage *message,
								 SiArena *arena, Datum *values, bool *nulls,
								 SiFailure *failure);

/*
 * The same for a message that says that its row is deleted, and of which this
 * is the record: the key's columns are in the record, or else in the message's
 * key.
 */
extern bool si_tombstone_convert_event(SiTombstone *tombstone, const SiMessage *message,
									   const SiRecord *record, SiArena *arena, Datum *values,
									   bool *nulls, SiFailure *failure);

/* As si_convert_column and si_convert_recover. */
extern const SiColumn *si_tombstone_column(const SiTombstone *tombstone);
extern void si_tombstone_recover(SiTombstone *tombstone);

#endif							/* SI_TOMBSTONE_H */
