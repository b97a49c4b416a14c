/*-------------------------------------------------------------------------
 *
 * ddl.h
 *	  What other people's transactions mean to us.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DDL_H
#define SI_DDL_H

/* Install the hooks; called by _PG_init while preloading. */
extern void si_ddl_init(void);

/*
 * A subscription of this database has changed: have it scanned if this
 * transaction commits.  Such a transaction cannot be prepared (0A000).
 */
extern void si_ddl_scan_at_commit(void);

#endif							/* SI_DDL_H */
