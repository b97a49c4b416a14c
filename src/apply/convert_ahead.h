/*-------------------------------------------------------------------------
 *
 * convert_ahead.h
 *	  Converting, in the thread that decodes ahead, what needs no function of the
 *	  server: common types in their usual form.
 *
 * A value that is converted becomes SI_VALUE_STORED in its record, which convert
 * takes as it is.  Everything else, whatever may be wrong included, is left to
 * convert, in the main thread: so errors, and their order, are the same.
 *
 * Called by plan; si_convert_ahead by the thread of ahead.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONVERT_AHEAD_H
#define SI_CONVERT_AHEAD_H

#include "apply/mapping.h"

/* The columns of a mapping that can be converted like this. */
typedef struct SiAheadColumns SiAheadColumns;

/* In the current memory context. */
extern SiAheadColumns *si_convert_ahead_create(const SiMapping *mapping);

/*
 * Convert values of a record; what they point to is in the arena.  columns is a
 * SiAheadColumns.  Runs in a thread: calls no function of the server.
 */
extern void si_convert_ahead(const void *columns, SiRecord *record, SiArena *arena);

#endif							/* SI_CONVERT_AHEAD_H */
