/*-------------------------------------------------------------------------
 *
 * user_sql.h
 *	  SQL that a user wrote as an argument or option: parsed with the server's
 *	  parser, and confined to its place in a statement.
 *
 * Nothing of it runs here.  Errors have the position in the user's own text.
 * Called by statement and writer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_USER_SQL_H
#define SI_USER_SQL_H

#include "access/tupdesc.h"
#include "nodes/parsenodes.h"

/* While a text with the user's text in it is parsed. */
typedef struct SiUserSqlContext
{
	const char *user_text;
	int			begin;			/* how many characters of the whole come
								 * before */
	ErrorContextCallback callback;
} SiUserSqlContext;

/* From here to pop, an error's position is made one in the user's text. */
extern void si_user_sql_push(SiUserSqlContext *context, const char *user_text, int begin);
extern void si_user_sql_pop(SiUserSqlContext *context);

/*
 * Is the option "filter" one expression and nothing behind it?  Error 42601 if
 * not.
 */
extern void si_user_sql_check_filter(const char *filter);

/*
 * Is every statement of "apply" one that we run?  Error 0A000 with a hint if
 * not, 42601 if there is none.
 */
extern void si_user_sql_check_apply(const char *apply);

/*
 * The column definitions of "fields" as a row type with room for more columns
 * behind them; types are looked up in the search_path.  Errors: 42601 for
 * anything but plain definitions, and those of the types' lookup.
 */
extern TupleDesc si_user_sql_columns(const char *fields, int room);

/*
 * Check that the current user may use the relations and functions of an
 * analyzed and rewritten query, sub-queries included.  Error 42501.
 */
extern void si_user_sql_check_privileges(Query *query);

/*
 * Check that a query uses no temporary table, which no other process sees.
 * Error 0A000.
 */
extern void si_user_sql_refuse_temporary(Query *query);

/* Set used[i] if the query reads column i (from 0) of this named relation. */
extern void si_user_sql_used_columns(Query *query, const char *name, bool *used);

#endif							/* SI_USER_SQL_H */
