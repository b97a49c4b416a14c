/*-------------------------------------------------------------------------
 *
 * avro_meaning.h
 *	  What the values of an Avro type mean beyond their kind.
 *
 * Pure C, no server.  Called by avro_schema.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_MEANING_H
#define SI_AVRO_MEANING_H

#include <jansson.h>

#include "format/avro_types.h"

/*
 * Set what the values of a type mean, where the attributes of its definition
 * define it; a logical type that is not known, or does not fit, is ignored.
 * False for a decimal with a scale that no numeric has.
 */
extern bool si_avro_set_meaning(const json_t *definition, SiAvroType *type);

#endif							/* SI_AVRO_MEANING_H */
