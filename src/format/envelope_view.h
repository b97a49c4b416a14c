/*-------------------------------------------------------------------------
 *
 * envelope_view.h
 *	  Plans for messages that have an envelope: where the fields are that a plan
 *	  wants, beside fields that the envelope itself needs.
 *
 * What a row's fields are called in a message depends on the operation and on
 * whether Kafka Connect's JSON converter has wrapped the message together with
 * a schema.  There is a view for each of these ways: the plan's fields with
 * other paths, the envelope's own fields behind them, and behind these, where
 * the shape has such, for each field the one that says whether it is missing.
 * Pure C, no server.  Called by envelope.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_ENVELOPE_VIEW_H
#define SI_ENVELOPE_VIEW_H

#include "format/envelope_shape.h"

/* Steps that an envelope puts before those of the plan. */
#define SI_MAX_PREFIX	2

/* Fields of the envelope's own, behind the plan's. */
#define SI_OWN_MARK		0		/* tells the operation; connect: the payload */
#define SI_OWN_DELETED	1		/* deleted_field */
#define SI_OWN_ROW		2		/* never found, so that the row is looked
								 * into; in a view of the row: the row */
#define SI_OWN_SCHEMA	3		/* of a wrapped message; these two tell that a
								 * key is wrapped */
#define SI_OWN_PAYLOAD	4
#define SI_NOWN			5

/* A plan for one sort of message, and a decoder by it. */
typedef struct SiEnvelopeView
{
	SiDecodePlan plan;			/* without fields: not made yet */
	SiWantedField *fields;
	SiPathStep *steps;
	char	   *names;			/* that steps of the view's own have */
	SiPathStep	row[SI_MAX_PREFIX];
	void	   *state;			/* NULL: not made yet; the caller's */
} SiEnvelopeView;

/*
 * Make the view of values, wrapped or not, whose row is the new or the old one.
 * The plan and the options must outlive it.  False when out of memory; the view
 * is then as it was.
 */
extern bool si_envelope_view_values(SiEnvelopeView *view, const SiDecodePlan *plan,
									const SiFormatOptions *options, bool wrapped, bool old);

/* The same for the fields alone of the old row that options->old_needed has. */
extern bool si_envelope_view_needed(SiEnvelopeView *view, const SiDecodePlan *plan,
									const SiFormatOptions *options, bool wrapped);

/* The same for what of a value is the new row as a whole. */
extern bool si_envelope_view_row(SiEnvelopeView *view, const SiDecodePlan *plan,
								 const SiFormatOptions *options, bool wrapped);

/* The same for keys. */
extern bool si_envelope_view_keys(SiEnvelopeView *view, const SiDecodePlan *plan, bool wrapped);

/* The same for keys that are no object: the plan is as it was given. */
extern bool si_envelope_view_plain_keys(SiEnvelopeView *view, const SiDecodePlan *plan);

/* Release the plan, and not the state. */
extern void si_envelope_view_free(SiEnvelopeView *view);

#endif							/* SI_ENVELOPE_VIEW_H */
