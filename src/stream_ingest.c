/*-------------------------------------------------------------------------
 *
 * stream_ingest.c
 *	  The library's initialization.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "common/clock.h"
#include "common/guc.h"
#include "process/ddl.h"
#include "process/launcher.h"
#include "process/utility.h"
#include "shmem/slots.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/*
 * Without shared_preload_libraries only the functions are available, and report
 * that the library is not preloaded.  Under pg_upgrade no worker may run.
 */
void
_PG_init(void)
{
	si_clock_init();
	si_guc_init();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	si_slots_init();
	si_ddl_init();
	si_utility_init();
	si_launcher_init();
}
