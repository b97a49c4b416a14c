/*-------------------------------------------------------------------------
 *
 * fast_input.h
 *	  Values of common types in their usual form, read without the type's
 *	  input function.
 *
 * A routine reads only forms that the input function reads in one way
 * whatever the session's settings are, and gives bit for bit what that
 * function gives; whatever else it is handed (other forms, and all that is
 * wrong) it leaves to the input function, which also words the error.
 * test/fast_input_test.c compares the two.
 *
 * Called by datum.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FAST_INPUT_H
#define SI_FAST_INPUT_H

/*
 * Read a text of len bytes, which need not end with a NUL.  The result is in
 * the current memory context.  False: the input function has to read it.
 */
typedef bool (*si_fast_input_routine) (const char *text, size_t len, int32 typmod,
									   Datum *result);

/* The routine for a type (not a domain) with this typmod, or NULL. */
extern si_fast_input_routine si_fast_input_find(Oid type, int32 typmod);

#endif							/* SI_FAST_INPUT_H */
