/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings that a role's own session would have.
 *
 * A worker is such a session.  Another process that applies a message (retry_dead_letters,
 * preview) must give the same row, whatever was set in the calling session, by
 * SET, by the caller's role or by the connection.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SETTINGS_H
#define SI_SETTINGS_H

#include "nodes/pg_list.h"

typedef struct SiSetting
{
	char	   *name;
	char	   *value;			/* NULL: what RESET gives */
} SiSetting;

/*
 * What ALTER ROLE and ALTER DATABASE set for a role in this database: a list of
 * SiSetting, of each name the one that counts.
 */
extern List *si_settings_of_role(Oid role);

/* The value among these, or NULL. */
extern char *si_settings_find(List *settings, const char *name);

/*
 * Where this session differs from a new one of the role, of what any user may
 * set: a list of SiSetting.  What only a superuser may set counts where it was
 * set for the role.  What belongs to the session itself stays: its connection,
 * its timeouts, and what it shows and logs.
 */
extern List *si_settings_difference(Oid role);

/* Set them in the current GUC level. */
extern void si_settings_apply(List *settings);

/*
 * Write the cluster's own values, as far as they are not the built-in ones, to
 * room for SI_CLUSTER_SETTINGS_LEN bytes.  Only in a process that has neither a
 * role nor a database.
 */
extern void si_settings_write_cluster(char *dest);

#endif							/* SI_SETTINGS_H */
