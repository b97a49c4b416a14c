/*-------------------------------------------------------------------------
 *
 * database_ddl.h
 *	  Commands on databases, which fail while sessions are connected.
 *
 * Caller: utility.c, before and after the server runs the command.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DATABASE_DDL_H
#define SI_DATABASE_DDL_H

#include "nodes/parsenodes.h"

/*
 * Empty the database of our processes, if the command passes the checks that
 * the server will make.  Error 55006 if other sessions stay in it.  A command
 * that must fail for another reason is left to the server, and stops nothing.
 */
extern void si_database_ddl_drop(const DropdbStmt *stmt, bool is_top_level);
extern void si_database_ddl_create(const CreatedbStmt *stmt, bool is_top_level);
extern void si_database_ddl_alter(const AlterDatabaseStmt *stmt, bool is_top_level);
extern void si_database_ddl_rename(const RenameStmt *stmt);

/* The new database may be a copy with subscriptions: have it scanned. */
extern void si_database_ddl_created(const CreatedbStmt *stmt);

/* Connections may be allowed again: have the database scanned. */
extern void si_database_ddl_altered(const AlterDatabaseStmt *stmt);

#endif							/* SI_DATABASE_DDL_H */
