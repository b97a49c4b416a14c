/*-------------------------------------------------------------------------
 *
 * connect_schemas.h
 *	  The schemas that Kafka Connect's JSON converter puts around messages.
 *
 * Most messages of a topic have the same schema, which is larger than they are:
 * the last ones are remembered, with the types of the fields that are taken.
 * Pure C, no server.  Called by envelope.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONNECT_SCHEMAS_H
#define SI_CONNECT_SCHEMAS_H

#include "format/decoder.h"

/* Ways to read a message, which have the same fields at different places. */
#define SI_CONNECT_VIEWS	3

typedef struct SiConnectSchemas SiConnectSchemas;

/* NULL when out of memory. */
extern SiConnectSchemas *si_connect_schemas_create(void);

/*
 * Replace the values of a wrapped message by what its schema says that they are.
 * plan: that of the view; its paths begin with "payload", and those that do not,
 * or are of the key where of_key is false, or the reverse, are left alone.
 */
extern bool si_connect_schemas_apply(SiConnectSchemas *schemas, const SiValue *schema, int view,
									 const SiDecodePlan *plan, int nfields, bool of_key,
									 SiArena *arena, SiValue *values, SiDecodeError *error);
extern void si_connect_schemas_free(SiConnectSchemas *schemas);

#endif							/* SI_CONNECT_SCHEMAS_H */
