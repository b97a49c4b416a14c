/*-------------------------------------------------------------------------
 *
 * kafka_time.h
 *	  Kafka's time and the server's.
 *
 * A producer can set the timestamp of a message to any 64-bit number.  Converted
 * without a check it can become a timestamptz that the server does not print, so
 * that a SELECT of it fails, and pg_dump with it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_KAFKA_TIME_H
#define SI_KAFKA_TIME_H

#include "datatype/timestamp.h"

/* The time of a message that has none. */
#define SI_KAFKA_NO_TIME	(-1)

/*
 * Milliseconds since 1970 as a timestamptz.  False where there is no time, and
 * where timestamptz does not reach it: the result is infinity or -infinity
 * then (infinity where there is no time).
 */
extern bool si_kafka_time_to_timestamptz(int64 milliseconds, TimestampTz *result);

/*
 * The reverse, rounded towards the past; an infinity gives a number that the
 * function above gives infinity for.
 */
extern int64 si_kafka_time_from_timestamptz(TimestampTz timestamp);

#endif							/* SI_KAFKA_TIME_H */
