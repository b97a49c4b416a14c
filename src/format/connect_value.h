/*-------------------------------------------------------------------------
 *
 * connect_value.h
 *	  Values that a JSON message has by the types of Kafka Connect's schemas.
 *
 * Pure C, no server.  Called by connect_schemas; the last function also by
 * decode_avro and avro_document.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CONNECT_VALUE_H
#define SI_CONNECT_VALUE_H

#include "format/connect_type.h"

/*
 * Replace a value that was read from JSON by what its type says that it is, also
 * within arrays and objects.  as_json: the taker reads JSON, so bytes stay the
 * text that they are.  A value of another kind than its type's stays, too.
 * False with *error filled if the value is none of its type.
 */
extern bool si_connect_value_take(const SiConnectType *type, bool as_json, SiArena *arena,
								  SiValue *value, SiDecodeError *error);

/*
 * Replace a string by the document that it holds.  What is no object or array is
 * told from the string only where the taker reads JSON; what is no JSON stays a
 * string.
 */
extern void si_connect_take_json(bool as_json, SiValue *value);

#endif							/* SI_CONNECT_VALUE_H */
