/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The one process per cluster that starts scanners and workers.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_LAUNCHER_H
#define SI_LAUNCHER_H

/* Register the launcher; called by _PG_init while preloading. */
extern void si_launcher_init(void);

/* Entry point. */
extern PGDLLEXPORT void si_launcher_main(Datum arg);

#endif							/* SI_LAUNCHER_H */
