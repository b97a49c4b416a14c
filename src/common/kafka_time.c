/*-------------------------------------------------------------------------
 *
 * kafka_time.c
 *	  Kafka's time and the server's.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"

#include "common/kafka_time.h"

/* From 1970, where Kafka begins to count, to 2000, where the server does. */
#define EPOCH_DIFFERENCE_MS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

bool
si_kafka_time_to_timestamptz(int64 milliseconds, TimestampTz *result)
{
	int64		since_2000;

	*result = (milliseconds < 0) ? DT_NOBEGIN : DT_NOEND;
	if (milliseconds == SI_KAFKA_NO_TIME)
	{
		*result = DT_NOEND;
		return false;
	}
	if (pg_sub_s64_overflow(milliseconds, EPOCH_DIFFERENCE_MS, &since_2000) ||
		since_2000 < MIN_TIMESTAMP / 1000 || since_2000 >= END_TIMESTAMP / 1000)
		return false;
	*result = since_2000 * 1000;
	return true;
}

int64
si_kafka_time_from_timestamptz(TimestampTz timestamp)
{
	int64		milliseconds = timestamp / 1000;

	if (TIMESTAMP_IS_NOBEGIN(timestamp))
		return PG_INT64_MIN;
	if (TIMESTAMP_IS_NOEND(timestamp))
		return PG_INT64_MAX;
	if (timestamp % 1000 < 0)
		milliseconds--;
	return milliseconds + EPOCH_DIFFERENCE_MS;
}
