/*-------------------------------------------------------------------------
 *
 * insert_mode.c
 *	  The insert modes, and what differs between them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "options/insert_mode.h"

const SiInsertMode si_insert_modes[SI_NMODES] = {
	/* id, name, updates, takes_key, in_order, skips_conflicts */
	[SI_INSERT] = {SI_INSERT, "insert", false, false, true, false},
	[SI_UPSERT] = {SI_UPSERT, "upsert", true, true, false, false},
	[SI_IGNORE] = {SI_IGNORE, "ignore", false, true, false, true},
};

SiInsertModeId
si_insert_mode_parse(const char *name)
{
	for (int i = 0; i < SI_NMODES; i++)
	{
		if (strcmp(si_insert_modes[i].name, name) == 0)
			return si_insert_modes[i].id;
	}
	return SI_MODE_UNKNOWN;
}
