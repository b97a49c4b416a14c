/*-------------------------------------------------------------------------
 *
 * launcher_internal.h
 *	  What the launcher's files share; see launcher.c.
 *
 * Included by the launcher's files alone.  launcher.c calls the two others, and
 * launcher_scan.c calls launcher_workers.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_LAUNCHER_INTERNAL_H
#define SI_LAUNCHER_INTERNAL_H

#include "shmem/slots.h"

/* The delay before a process that failed is started again: doubled each time. */
#define SI_BACK_OFF_MIN_MS	1000
#define SI_BACK_OFF_MAX_MS	60000

/* After the server had no background worker left. */
#define SI_NO_SLOT_RETRY_MS	1000

/* ---- scanners (launcher_scan.c) ---- */

/*
 * Ask for a scan of every database that allows connections.  If the catalog is
 * locked, the next turn does it: the launcher waits for no lock.
 */
extern void si_launcher_request_all_scans(void);

/* Ask again about databases where something may be repaired. */
extern void si_launcher_request_rechecks(void);

/* Start the scanner that is due, if none runs. */
extern void si_launcher_start_scanner(void);

/* ---- workers (launcher_workers.c) ---- */

/* Once, before the other functions on workers. */
extern void si_launcher_init_workers(void);

/* Decide which subscription may have how many places. */
extern void si_launcher_allot_places(void);

/* Stop workers that are not wanted, and free the places of those that ended. */
extern void si_launcher_stop_workers(void);

/*
 * Stop a worker (lock held): the flag first, then SIGTERM, since a worker that
 * waits for a lock looks at no flag.
 */
extern void si_launcher_stop_worker(SiWorkerSlot *worker);

/* Assign free places to the subscriptions that lack some. */
extern void si_launcher_assign_places(void);

/* Start the processes of places that have none. */
extern void si_launcher_start_workers(void);

#endif							/* SI_LAUNCHER_INTERNAL_H */
