/*-------------------------------------------------------------------------
 *
 * insert_mode.h
 *	  The insert modes, and what differs between them.
 *
 * A mode is one line of a table; apply/statement.c builds the statement of each.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INSERT_MODE_H
#define SI_INSERT_MODE_H

typedef enum SiInsertModeId
{
	SI_INSERT,
	SI_UPSERT,
	SI_IGNORE,
	SI_NMODES,
	SI_MODE_UNKNOWN = SI_NMODES /* what is stored names no mode of ours */
} SiInsertModeId;

typedef struct SiInsertMode
{
	SiInsertModeId id;
	const char *name;

	/*
	 * The newest record of each key in a batch updates the row that exists:
	 * an absent field leaves its column, version_column may be given, and
	 * tombstones delete unless the option says otherwise.
	 */
	bool		updates;

	/* The argument key_columns may be given also where nothing is deleted. */
	bool		takes_key;

	/* A statement fails at the row that it is writing. */
	bool		in_order;

	/* A row that conflicts with an existing one is left out (DO NOTHING). */
	bool		skips_conflicts;
} SiInsertMode;

/* All modes, by their SiInsertModeId. */
extern const SiInsertMode si_insert_modes[SI_NMODES];

/* The mode of that name, or SI_MODE_UNKNOWN. */
extern SiInsertModeId si_insert_mode_parse(const char *name);

#endif							/* SI_INSERT_MODE_H */
