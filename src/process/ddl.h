/*-------------------------------------------------------------------------
 *
 * ddl.h
 *	  What a transaction has changed of subscriptions, for its commit.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DDL_H
#define SI_DDL_H

/* Register the callback; called by _PG_init while preloading. */
extern void si_ddl_init(void);

/*
 * A subscription of this database has changed: have it scanned if this
 * transaction commits.  Such a transaction cannot be prepared (0A000).
 */
extern void si_ddl_scan_at_commit(void);

/*
 * Relations or schemas of this database have other names, and those of targets are
 * stored.  A transaction that is prepared does not ask for it.
 */
extern void si_ddl_follow_names_at_commit(void);

/* The same for another database; with a second one, it is for all databases. */
extern void si_ddl_scan_database_at_commit(Oid database);

/* The same for all databases; a transaction that is prepared does not ask for it. */
extern void si_ddl_scan_all_at_commit(void);

#endif							/* SI_DDL_H */
