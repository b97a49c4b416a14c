/*-------------------------------------------------------------------------
 *
 * envelope_shape.h
 *	  What the envelopes of messages are like: a table.
 *
 * Pure C, no server.  Called by envelope and its views, and by apply's event_check,
 * format, mapping and writer for what goes with an envelope.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ENVELOPE_SHAPE_H
#define SI_ENVELOPE_SHAPE_H

#include "format/decoder.h"

/* What a change event tells. */
typedef enum SiEventKind
{
	SI_EVENT_UNKNOWN,
	SI_EVENT_WRITE,
	SI_EVENT_UPDATE,			/* a write whose old row may have another key */
	SI_EVENT_DELETE,
	SI_EVENT_TRUNCATE,
	SI_EVENT_NOTHING			/* of any row */
} SiEventKind;

/* A word that an event's mark may be. */
typedef struct SiEventWord
{
	const char *word;			/* NULL ends the list */
	SiEventKind kind;
} SiEventWord;

typedef struct SiEnvelopeShape
{
	const char *name;			/* in the option "envelope" */
	const char *mark;			/* member that tells the operation; NULL: the
								 * message is the row */
	const char *row;			/* member that is the new row; NULL: the
								 * payload */
	const char *old_row;		/* member that is the old row, or its values
								 * that were changed */
	const char *source;			/* member that "$source" is; NULL: the event */
	const char *missing;		/* what is behind a name in that of the member
								 * that says that its NULL is no value, or
								 * NULL */
	bool		deletes_old;	/* a delete's row is the old one */
	bool		always_wrapped;
	const SiEventWord *words;	/* NULL where there is no mark */
} SiEnvelopeShape;

/* By SiEnvelopeKind. */
extern const SiEnvelopeShape si_envelope_shapes[];

/* Is it a change event, which has an operation? */
static inline bool
si_envelope_is_event(SiEnvelopeKind kind)
{
	return si_envelope_shapes[kind].mark != NULL;
}

/* May one of its updates change the key of a row? */
extern bool si_envelope_changes_keys(SiEnvelopeKind kind);

/* What an event tells whose mark is this value. */
extern SiEventKind si_envelope_event(const SiEnvelopeShape *shape, const SiValue *mark);

#endif							/* SI_ENVELOPE_SHAPE_H */
