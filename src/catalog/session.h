/*-------------------------------------------------------------------------
 *
 * session.h
 *	  Who runs what, and with which settings.
 *
 * Two things change the user: our own fixed statements run elevated, with a
 * pinned search_path, and a batch may run as its target's owner in a
 * security-restricted context.  Both are undone by the end of the
 * (sub)transaction if an ERROR takes them away.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SESSION_H
#define SI_SESSION_H

#include "nodes/pg_list.h"

#include "shmem/slots.h"

/* What to go back to. */
typedef struct SiSavedSession
{
	Oid			user;
	int			sec_context;
	int			guc_level;
} SiSavedSession;

/* Who a batch runs as. */
typedef struct SiIdentity
{
	Oid			user;
	bool		restricted;		/* in a security-restricted context */
} SiIdentity;

/*
 * Become the bootstrap superuser for one of our own fixed statements, with
 * search_path pg_catalog, pg_temp and plans that go by index or ctid.  Nothing
 * that a user wrote may run until si_session_restore.
 */
extern void si_session_elevate(SiSavedSession *saved);
extern void si_session_restore(const SiSavedSession *saved);

/*
 * Decide who runs a batch into a target: its owner, in a restricted context,
 * if the subscription's owner may become that role and is not it; else the
 * subscription's owner.
 */
extern SiIdentity si_session_identity(Oid subscription_owner, Oid target_owner,
									  bool run_as_owner);

/*
 * What a batch must set so that it finds the settings of the owner's session:
 * nothing in a worker, which is one.  A palloc'd list.
 */
extern List *si_session_settings_for(Oid owner);

/*
 * Begin a batch: set these and the pinned settings in a level of their own (so
 * that no SET of a trigger outlives it) and become that identity.
 */
extern void si_session_begin_batch(SiSavedSession *saved, const SiIdentity *identity,
								   List *settings, char *const *pinned);

/*
 * Have our own statements planned by indexes, whatever size the tables have at that
 * time, and not compiled (jit); for the current GUC level.
 */
extern void si_session_plan_by_index(void);

/*
 * Have auto_explain log no plans, whose constants may be secrets; for the current GUC
 * level.
 */
extern void si_session_log_no_plans(void);

/* The settings of a worker's whole life, as far as no batch changes them. */
extern void si_session_init_worker(void);

/*
 * From now on a wait for a lock ends after so long with error 55P03; 0: never.
 * For processes that serve others beside the one who holds the lock, and for
 * the time before there is a batch.
 */
extern void si_session_limit_lock_waits(int ms);

/* The same until the current transaction ends. */
extern void si_session_limit_lock_waits_here(int ms);

/*
 * Let the commit of the current transaction wait until it is durable, here and
 * at the synchronous standbys, whatever the session's synchronous_commit is.
 * wanted is the level that was asked for, or NULL; it counts if it waits
 * for more.
 */
extern void si_session_commit_durably(const char *wanted);

/*
 * Values of the pinned settings for a role: its settings for this database,
 * its own, the database's, else the cluster's; palloc'd.
 */
extern void si_session_pinned_for(Oid role, char **pinned);

#endif							/* SI_SESSION_H */
