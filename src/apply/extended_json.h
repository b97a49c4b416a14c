/*-------------------------------------------------------------------------
 *
 * extended_json.h
 *	  MongoDB's extended JSON: objects that stand for a value.
 *
 * {"$oid": ...}, {"$date": ...}, {"$numberInt": ...}, {"$numberLong": ...},
 * {"$numberDouble": ...}, {"$numberDecimal": ...}, {"$uuid": ...} and
 * {"$binary": ...}, in the relaxed, canonical and (binary) older form.  Called
 * by convert for columns that are not JSON, where the option "extended_json" is
 * set.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_EXTENDED_JSON_H
#define SI_EXTENDED_JSON_H

#include "common/record.h"

/*
 * Replace an object that stands for a value by the value; within: else all such
 * objects within the array or object.  An object that only looks like one stays
 * as it is, so that the column's type refuses it.  The value is JSON that a
 * decoder has checked; what is new is in the current memory context.
 */
extern void si_extended_json_unwrap(SiValue *value, Oid base_type, bool within);

#endif							/* SI_EXTENDED_JSON_H */
