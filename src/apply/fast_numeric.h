/*-------------------------------------------------------------------------
 *
 * fast_numeric.h
 *	  Making a numeric without a function of the server.
 *
 * The server's own way divides, by its arithmetic for numbers of any length.
 * Called by fast_input; test/fast_input_test.c compares the two.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FAST_NUMERIC_H
#define SI_FAST_NUMERIC_H

/* The greatest scale, and the most digits. */
#define SI_FAST_NUMERIC_SCALE	18

/* Bytes that a numeric takes at most. */
#define SI_FAST_NUMERIC_ROOM	32

/* number / 10^scale, in room; number is not negative.  Zero has no sign. */
extern Datum si_fast_numeric_store(bool negative, int64 number, int scale, void *room);

#endif							/* SI_FAST_NUMERIC_H */
