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
 * Called by datum and convert_ahead.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FAST_INPUT_H
#define SI_FAST_INPUT_H

/*
 * Read a text of len bytes, which need not end with a NUL.  What the result points
 * to is put into room.  False: the input function has to read it.
 */
typedef bool (*si_fast_input_routine) (const char *text, size_t len, int32 typmod, void *room,
									   Datum *result);

typedef struct SiFastInput
{
	Oid			type;
	bool		with_typmod;	/* may it have one, and not only none? */
	bool		pure;			/* it calls no function of the server, so it
								 * may run in a thread */
	size_t		room;			/* bytes; a routine that is not pure allocates
								 * for itself, in the current memory context */
	si_fast_input_routine routine;
} SiFastInput;

/* The routine for a type (not a domain) with this typmod, or NULL. */
extern const SiFastInput *si_fast_input_find(Oid type, int32 typmod);

/* Call it, with the result in the current memory context. */
static inline bool
si_fast_input_read(const SiFastInput *input, const char *text, size_t len, int32 typmod,
				   Datum *result)
{
	void	   *room = input->room > 0 ? palloc(input->room) : NULL;

	return input->routine(text, len, typmod, room, result);
}

#endif							/* SI_FAST_INPUT_H */
