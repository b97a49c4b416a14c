/*-------------------------------------------------------------------------
 *
 * infer.h
 *	  From messages to a table that could take them.
 *
 * A guess for a human to read: it holds for the messages seen.  Called by
 * infer_table().
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INFER_H
#define SI_INFER_H

#include "common/message.h"

typedef struct SiInference SiInference;

/* Lives in the current memory context, with all that is added. */
extern SiInference *si_infer_create(const char *format);

/* Take a message into account. */
extern void si_infer_add(SiInference *inference, const SiMessage *message);

/*
 * The text of a CREATE TABLE, with a comment on where it comes from.  target is
 * quoted already.  NULL if there was no message with a value.
 */
extern char *si_infer_table(const SiInference *inference, const char *target,
							const char *topic);

#endif							/* SI_INFER_H */
