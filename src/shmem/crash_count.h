/*-------------------------------------------------------------------------
 *
 * crash_count.h
 *	  How often in a row the workers of a subscription have crashed the server.
 *
 * A crash of any process makes the postmaster create shared memory again, and then
 * the workers start again: without a count, a message that makes a function crash
 * would crash the server without end.  The postmaster counts, the launcher delays
 * the next start, and the scanner stops the subscription at SI_CRASH_LIMIT.
 *
 * A changed subscription (another epoch) has a new count, and so has one whose
 * worker ran for SI_HEALTHY_MS before.
 *
 * Called by slots.c in the postmaster; the rest by process.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CRASH_COUNT_H
#define SI_CRASH_COUNT_H

#include "datatype/timestamp.h"

/* So many crashes in a row stop a subscription. */
#define SI_CRASH_LIMIT		5

/* A worker that ran for so long works. */
#define SI_HEALTHY_MS		60000

/* How many subscriptions are counted at once; then the oldest count is lost. */
#define SI_MAX_CRASH_COUNTS	64

typedef struct SiCrashCount
{
	Oid			database;		/* InvalidOid: the entry is free */
	int32		subscription;
	int64		epoch;
	TimestampTz crashed_at;		/* the last time */
	int32		count;
	int32		unused;			/* no undefined bytes in the checksum */
} SiCrashCount;

/* The file in which the counts survive the postmaster. */
typedef struct SiCrashFile
{
	uint32		magic;
	uint32		crc;			/* of the counts */
	SiCrashCount counts[SI_MAX_CRASH_COUNTS];
} SiCrashFile;

/*
 * In the postmaster: read the file at the start of the server; it is no error if
 * there is none.
 */
extern void si_crash_count_load(void);

/*
 * In the postmaster, when the server has crashed: a worker crashed, or one that
 * was not at fault has run for SI_HEALTHY_MS.
 */
extern void si_crash_count_add(Oid database, int32 subscription, int64 epoch, bool ran_well);
extern void si_crash_count_clear(Oid database, int32 subscription);

/* In the postmaster, after these: write the file, if anything has changed. */
extern void si_crash_count_save(void);

/* In any process: crashes in a row. */
extern int	si_crash_count(Oid database, int32 subscription, int64 epoch);

#endif							/* SI_CRASH_COUNT_H */
