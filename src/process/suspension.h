/*-------------------------------------------------------------------------
 *
 * suspension.h
 *	  Keeping our processes out of a database while a command needs it empty.
 *
 * Callers: database_ddl.c, after it has made the command's own checks.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SUSPENSION_H
#define SI_SUSPENSION_H

/* Register the callbacks; called while preloading. */
extern void si_suspension_init(void);

/*
 * Stop our processes in a database, wait until they are gone, and start no
 * other before the current subtransaction aborts or the transaction ends.
 * drops: a commit means that the database is dropped.  Waits five seconds at
 * most, as the server does for other sessions, and can be interrupted.
 */
extern void si_suspension_begin(Oid database, bool drops);

/*
 * Count the other sessions in a database, without our own processes and
 * autovacuum, which the server ends itself.  *roles, if not NULL, becomes a
 * list of their roles' OIDs.
 */
extern int	si_suspension_count_others(Oid database, List **roles);

/* Is one of our processes in this database, or about to start there? */
extern bool si_suspension_is_needed(Oid database);

#endif							/* SI_SUSPENSION_H */
