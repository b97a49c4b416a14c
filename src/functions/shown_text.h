/*-------------------------------------------------------------------------
 *
 * shown_text.h
 *	  Keys and values of messages as texts for a human.
 *
 * What has no text of its own (a format with schemas, a key that is a number, a
 * value behind a frame) is decoded.  What cannot be decoded is shown as it came, and
 * a notice tells why, once.
 *
 * Called by peek().
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SHOWN_TEXT_H
#define SI_SHOWN_TEXT_H

#include "common/message.h"
#include "options/options.h"

typedef struct SiShownText SiShownText;

/*
 * For messages of a format with options of a subscription; lives in the current memory
 * context.  Errors: 22023 and others for options that do not go with the format.
 */
extern SiShownText *si_shown_text_create(const char *format, const char *server,
										 const SiOptions *options);

/*
 * Get what it takes to decode these messages.  Errors: what keeps a schema registry
 * from answering.
 */
extern void si_shown_text_await(SiShownText *shown, const SiMessage *messages, int n);

/*
 * The text of a message's value, or of its key, that is there; palloc'd.  shown may be
 * NULL: bytes are texts then, or in bytea's hex form.
 */
extern char *si_shown_text(SiShownText *shown, const SiMessage *message, bool of_key);

#endif							/* SI_SHOWN_TEXT_H */
