/*-------------------------------------------------------------------------
 *
 * match_names.h
 *	  Names that differ by their spelling only: the option "match_names".
 *
 * Letters are those of ASCII, so that the result depends on no locale.  Pure.
 * Called by path_tree for fields, and by apply's mapping, format, schema_column and
 * new_columns for columns.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_MATCH_NAMES_H
#define SI_MATCH_NAMES_H

#include "format/decoder.h"

/* The longest name that is matched, and the room for what it becomes. */
#define SI_MATCH_LENGTH	128
#define SI_MATCH_ROOM	(2 * SI_MATCH_LENGTH)

/*
 * Write what a name becomes; equal results mean the same column.  Returns its
 * length, 0 for a name that is too long or empty.  how is not SI_MATCH_EXACT.
 */
extern size_t si_match_names_fold(SiMatchNames how, const char *name, size_t len,
								  char *folded);

#endif							/* SI_MATCH_NAMES_H */
