/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The time by which processes wait for each other and for themselves.
 *
 * An administrator, NTP or the host of a virtual machine may set the machine's clock
 * at any moment.  A process that waited until a time of that clock would then wait for
 * days, or not at all.  What is shown or stored is the machine's time as ever.
 *
 * Called by process, shmem and functions; _PG_init calls si_clock_init.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CLOCK_H
#define SI_CLOCK_H

#include "datatype/timestamp.h"

/* Take the machine's time, for this process and those that it starts. */
extern void si_clock_init(void);

/* The time that was taken, and what has passed since; it never jumps. */
extern TimestampTz si_clock_now(void);

/* The machine's time for a time of this clock, and the reverse; 0 stays 0. */
extern TimestampTz si_clock_to_wall(TimestampTz at);
extern TimestampTz si_clock_from_wall(TimestampTz at);

#endif							/* SI_CLOCK_H */
