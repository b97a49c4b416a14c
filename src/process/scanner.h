/*-------------------------------------------------------------------------
 *
 * scanner.h
 *	  The short-lived process that reads one database's subscriptions into
 *	  shared memory.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SCANNER_H
#define SI_SCANNER_H

/* Entry point; the argument is the database's OID. */
extern PGDLLEXPORT void si_scanner_main(Datum arg);

#endif							/* SI_SCANNER_H */
