/*-------------------------------------------------------------------------
 *
 * stream_ingest.c
 *	  The library's beginning.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "common/guc.h"
#include "process/ddl.h"
#include "process/launcher.h"
#include "process/utility.h"
#include "shmem/slots.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/*
 * Without shared_preload_libraries there are only the functions, which say
 * what is missing.  Under pg_upgrade nothing may run.
 */
void
_PG_init(void)
{
	si_guc_init();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	si_slots_init();
	si_ddl_init();
	si_utility_init();
	si_launcher_init();
}
