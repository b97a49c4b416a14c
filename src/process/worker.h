/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The process that applies batches.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_WORKER_H
#define SI_WORKER_H

/* bgw_type, which pg_stat_activity shows as backend_type. */
#define SI_WORKER_TYPE "stream_ingest worker"

/* What the launcher hands over, beside the slot's index as the argument. */
typedef struct SiWorkerArgs
{
	uint32		generation;
} SiWorkerArgs;

/* Entry point; the argument is the index of the worker's slot. */
extern PGDLLEXPORT void si_worker_main(Datum arg);

#endif							/* SI_WORKER_H */
