/*-------------------------------------------------------------------------
 *
 * envelope.h
 *	  Messages that are more than a row: change events, and rows that may say
 *	  that they are deleted.
 *
 * An envelope stands between decoder.c and the routine of a format.  It asks
 * the routine for the plan's fields where the envelope has them, and for what
 * tells the operation.  Pure C; called by decoder.c alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ENVELOPE_H
#define SI_ENVELOPE_H

#include "format/decoder.h"

typedef struct SiEnvelope SiEnvelope;

/* Is a message of these options more than a row? */
extern bool si_envelope_needed(const SiFormatOptions *options);

/*
 * Make an envelope over a routine.  The plan, and what the options point to,
 * must outlive it.  NULL when out of memory.
 */
extern SiEnvelope *si_envelope_create(const SiDecoderRoutine *routine, const SiDecodePlan *plan,
									  const SiFormatOptions *options);

/*
 * Decode the value of a message that has one, as a routine does, but that
 * record->fields may be exchanged; sets record->op.
 */
extern bool si_envelope_decode(SiEnvelope *envelope, const SiMessage *message, SiArena *arena,
							   SiRecord *record, SiDecodeError *error);

/* Decode the fields of a key that is JSON, of a message that has one. */
extern bool si_envelope_decode_key(SiEnvelope *envelope, const SiMessage *message, SiArena *arena,
								   SiRecord *record, SiDecodeError *error);
extern void si_envelope_destroy(SiEnvelope *envelope);

#endif							/* SI_ENVELOPE_H */
