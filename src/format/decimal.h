/*-------------------------------------------------------------------------
 *
 * decimal.h
 *	  Decimals of binary formats: bytes in two's complement, highest first.
 *
 * Pure C, no server.  Called by avro_read, connect_value and proto_known.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DECIMAL_H
#define SI_DECIMAL_H

#include "format/decoder.h"

/* Limits of a decimal; the scale is that of PostgreSQL's numeric. */
#define SI_DECIMAL_MAX_BYTES	4096
#define SI_DECIMAL_MAX_SCALE	16383

/*
 * Make a value of bytes and a scale within the limits, which may be negative: an
 * INTEGER where 64 bits hold it, else a NUMBER.  False when out of memory.
 */
extern bool si_decimal_set(SiArena *arena, const char *data, size_t len, int scale,
						   SiValue *value);

#endif							/* SI_DECIMAL_H */
