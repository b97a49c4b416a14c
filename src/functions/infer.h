/*-------------------------------------------------------------------------
 *
 * infer.h
 *	  From messages to a table that could take them.
 *
 * Where messages have schemas, the table takes all messages of these.  Else it is
 * a guess for a human to read: it holds for the messages seen.  Called by
 * infer_table().
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INFER_H
#define SI_INFER_H

#include "common/message.h"
#include "options/options.h"

typedef struct SiInference SiInference;

/*
 * Lives in the current memory context, with all that is taken.  Errors: 22023 and
 * others for options that do not go with the format.
 */
extern SiInference *si_infer_create(const char *format, const char *server,
									const SiOptions *options);

/*
 * Take messages into account, in the order of their time.  Errors: what keeps a schema
 * registry from answering.
 */
extern void si_infer_take(SiInference *inference, const SiMessage *messages, int n);

/*
 * The text of a CREATE TABLE, with a comment on where it comes from.  target is
 * quoted already.  Error 55000 if there was no message with a value, or none whose
 * schema can be read.
 */
extern char *si_infer_table(const SiInference *inference, const char *target,
							const char *topic);

#endif							/* SI_INFER_H */
