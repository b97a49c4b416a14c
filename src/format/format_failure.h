/*-------------------------------------------------------------------------
 *
 * format_failure.h
 *	  A decoder's error as a failure.
 *
 * Decoders know no server, so their error is text.  Called by applier,
 * tombstone and datum.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FORMAT_FAILURE_H
#define SI_FORMAT_FAILURE_H

#include "common/failure.h"
#include "format/decoder.h"

/* Its SQLSTATE, as the server encodes one. */
extern int	si_format_failure_code(const SiDecodeError *error);

/* All of it, in the current memory context and the database's encoding. */
extern SiFailure *si_failure_from_decode(const SiDecodeError *error);

#endif							/* SI_FORMAT_FAILURE_H */
