/*-------------------------------------------------------------------------
 *
 * object_ddl.h
 *	  Commands on the servers and roles that subscriptions depend on.
 *
 * Subscriptions are rows, of which the server's dependency machinery knows
 * nothing: here is what it would do.  Caller: utility.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OBJECT_DDL_H
#define SI_OBJECT_DDL_H

#include "nodes/parsenodes.h"

/* Objects that a command names, as they were before it; parallel lists. */
typedef struct SiNamedObjects
{
	List	   *oids;
	List	   *names;			/* of char * */
} SiNamedObjects;

/* Which of our servers does DROP SERVER or ALTER SERVER ... RENAME name? */
extern SiNamedObjects si_object_ddl_servers_to_drop(const DropStmt *stmt);
extern SiNamedObjects si_object_ddl_server_to_rename(const RenameStmt *stmt);

/* Which roles does DROP ROLE name? */
extern SiNamedObjects si_object_ddl_roles_to_drop(const DropRoleStmt *stmt);

/*
 * The servers were dropped: with CASCADE their subscriptions are, too, else it
 * is error 2BP01 if there are any.
 */
extern void si_object_ddl_servers_dropped(const SiNamedObjects *servers, DropBehavior behavior);

/* Their subscriptions follow to the new name. */
extern void si_object_ddl_server_renamed(const SiNamedObjects *servers, const char *name);

/*
 * The roles were dropped: error 2BP01 if one owns a subscription of this
 * database, or one of another that is known in shared memory.
 */
extern void si_object_ddl_roles_dropped(const SiNamedObjects *roles);

/*
 * Before DROP OWNED: drop the subscriptions of the roles, and with CASCADE
 * those of their servers; without, it is error 2BP01 if there are any.
 * Before REASSIGN OWNED: give the subscriptions to the new role.  Neither does
 * anything if the server will refuse the command.
 *
 * They come before the server's part because it locks the targets, and a batch
 * locks its progress before its target.
 */
extern void si_object_ddl_drop_owned(const DropOwnedStmt *stmt);
extern void si_object_ddl_reassign_owned(const ReassignOwnedStmt *stmt);

#endif							/* SI_OBJECT_DDL_H */
