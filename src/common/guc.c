/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The extension's settings.
 *
 * Everything that concerns one subscription is one of its options; a setting
 * is only what sizes shared memory, or what an administrator must be able to
 * say for the whole cluster.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "common/guc.h"

/*
 * Administrators can stop all workers of a cluster with this: the workers of a
 * copy made by pg_basebackup cannot distinguish it from its original, and would
 * otherwise resume from the original's offsets.
 */
bool		si_guc_enabled = true;
bool		si_guc_direct_write = true;
int			si_guc_decode_ahead = SI_DECODE_AHEAD_AUTO;

static const struct config_enum_entry decode_ahead_values[] = {
	{"auto", SI_DECODE_AHEAD_AUTO, false},
	{"on", SI_DECODE_AHEAD_ON, false},
	{"off", SI_DECODE_AHEAD_OFF, false},
	{NULL, 0, false}
};

/* How many subscriptions of one role take part in the cluster. */
int			si_guc_max_subscriptions_per_role = -1;

/* Sizes of the arrays in shared memory. */
int			si_guc_max_subscriptions = 256;
int			si_guc_max_workers = 32;
int			si_guc_max_partitions = 4096;

void
si_guc_init(void)
{
	DefineCustomBoolVariable("stream_ingest.enabled",
							 "Starts the workers of all subscriptions.",
							 "Off stops all workers and starts none.",
							 &si_guc_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("stream_ingest.direct_write",
							 "Writes the rows of plain inserts without a statement.",
							 "The results are the same; off is for comparing the two.",
							 &si_guc_direct_write, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("stream_ingest.decode_ahead",
							 "Lets a thread of a worker decode a part of each batch.",
							 "The results are the same. \"auto\" does so for large batches where there is more than one processor.",
							 &si_guc_decode_ahead, SI_DECODE_AHEAD_AUTO, decode_ahead_values,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("stream_ingest.max_subscriptions_per_role",
							"Sets the maximum number of subscriptions of one role.",
							"-1 means as many as stream_ingest.max_subscriptions.",
							&si_guc_max_subscriptions_per_role, -1, -1, 65536,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	/* sizes of shared memory are set before it is allocated */
	if (process_shared_preload_libraries_in_progress)
	{
		DefineCustomIntVariable("stream_ingest.max_subscriptions",
								"Sets the maximum number of subscriptions in the cluster.",
								NULL, &si_guc_max_subscriptions, 256, 1, 65536,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
		DefineCustomIntVariable("stream_ingest.max_workers",
								"Sets the maximum number of worker processes.",
								"Subscriptions beyond it wait.",
								&si_guc_max_workers, 32, 1, 1024,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
		DefineCustomIntVariable("stream_ingest.max_partitions",
								"Sets the maximum number of partitions whose watermarks are kept.",
								NULL, &si_guc_max_partitions, 4096, 1, 1048576,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
	}

	MarkGUCPrefixReserved("stream_ingest");
}
