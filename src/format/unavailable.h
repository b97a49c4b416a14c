/*-------------------------------------------------------------------------
 *
 * unavailable.h
 *	  Debezium's placeholder for a value that an event lacks.
 *
 * An update does not carry a large value that it leaves unchanged, unless the
 * replica identity of the table is full.  Pure C; called by envelope alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_UNAVAILABLE_H
#define SI_UNAVAILABLE_H

#include "format/decoder.h"

/*
 * Is a value the text of the options, its bytes, their base64, its UUID, a list
 * of it or of its bytes, or a map of it to itself?
 */
extern bool si_value_is_unavailable(const SiFormatOptions *options, const SiValue *value);

#endif							/* SI_UNAVAILABLE_H */
