/*-------------------------------------------------------------------------
 *
 * transcode.h
 *	  Messages in another encoding: what decoders get is UTF-8.
 *
 * Decoders are pure and know one encoding; the converter turns their texts
 * into the database's.  So messages in another encoding (the option
 * "encoding") become UTF-8 before they are decoded.  Called by convert_batch, convert
 * and the SQL function decode().
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TRANSCODE_H
#define SI_TRANSCODE_H

#include "format/decoder.h"

typedef struct SiTranscoder SiTranscoder;

/*
 * A transcoder, in the current memory context; NULL where messages need none
 * (UTF8, and SQL_ASCII, which names no encoding).  Error: 42883 if the server
 * cannot convert this encoding.
 */
extern SiTranscoder *si_transcode_create(int encoding);

/*
 * Turn a text into UTF-8, and *text and *len to what is gone with the next
 * call.  False with *error filled if it is not valid, or holds what UTF-8
 * lacks.
 */
extern bool si_transcode_text(SiTranscoder *transcoder, const char **text,
							  size_t *len, SiDecodeError *error);

/*
 * Make *utf8 a copy of the message with its value, and what the plan reads of
 * its key, turned into UTF-8, which is in the arena.
 */
extern bool si_transcode_message(SiTranscoder *transcoder, const SiDecodePlan *plan,
								 const SiMessage *message, SiArena *arena,
								 SiMessage *utf8, SiDecodeError *error);

#endif							/* SI_TRANSCODE_H */
