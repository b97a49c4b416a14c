/*-------------------------------------------------------------------------
 *
 * cleaner.h
 *	  The short-lived process that deletes in Kafka the offsets that a
 *	  subscription has left behind.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CLEANER_H
#define SI_CLEANER_H

/*
 * See to it that there is one for this database; false if the server has no
 * place for it.
 */
extern bool si_cleaner_start(void);

/* Entry point; the argument is the database's OID. */
extern PGDLLEXPORT void si_cleaner_main(Datum arg);

#endif							/* SI_CLEANER_H */
