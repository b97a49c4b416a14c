/*-------------------------------------------------------------------------
 *
 * fixed_sql.h
 *	  The extension's own statements on its own tables: constant text,
 *	  prepared once a session, run elevated.
 *
 * si_fixed_sql_begin();
 * n = si_fixed_sql_run(&statement, values, nulls);
 * ... si_fixed_sql_text(row, column) ...
 * si_fixed_sql_end();
 *
 * Between begin and end nothing may run that a user wrote, but for triggers that
 * a superuser has put on our tables.  What the column readers return is in the
 * memory context that was current at begin.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FIXED_SQL_H
#define SI_FIXED_SQL_H

#include "executor/spi.h"

#define SI_FIXED_SQL_MAX_ARGS 25

typedef struct SiFixedSql
{
	const char *text;
	int			nargs;
	Oid			types[SI_FIXED_SQL_MAX_ARGS];
	int			cursor_options; /* for the planner; mostly 0 */
	bool		has_payload;	/* an error of it may quote a message */
	const char *writes_later;	/* the transaction will write this table of
								 * ours, which the statement only reads */
	SPIPlanPtr	plan;			/* NULL until first used */
} SiFixedSql;

/* Did one of these statements throw? */
typedef enum SiFixedSqlFailure
{
	SI_FIXED_SQL_DID_NOT_FAIL,
	SI_FIXED_SQL_FAILED,
	SI_FIXED_SQL_FAILED_WITH_PAYLOAD	/* its error may quote a message */
} SiFixedSqlFailure;

extern void si_fixed_sql_begin(void);
extern void si_fixed_sql_end(void);

/*
 * Whether the error that ended the last transaction came from between begin and
 * end: then something is wrong with our tables, and never with a message.
 * Asking forgets it.
 */
extern SiFixedSqlFailure si_fixed_sql_take_failure(void);

/*
 * Lock a table of ours as the statements do that will write it later in this
 * transaction.  REINDEX locks a table against writers and then its indexes
 * against readers, so that a transaction that reads by an index first and
 * writes afterwards would deadlock with it.  The member writes_later does this
 * for a statement.
 */
extern void si_fixed_sql_will_write(const char *table);

/*
 * Run a statement with the newest committed data in sight (also in a
 * transaction with an older snapshot if read_only).  nulls is as SPI's, NULL
 * for none.  Returns the number of rows processed or returned.
 */
extern uint64 si_fixed_sql_run(SiFixedSql *statement, Datum *values, const char *nulls);
extern uint64 si_fixed_sql_read(SiFixedSql *statement, Datum *values, const char *nulls);

/*
 * Throw, between begin and end, because a statement did not write or delete
 * what it had to: a trigger or a rule on that table of ours suppressed it.
 */
extern void si_fixed_sql_suppressed(SiFixedSql *statement, const char *table) __attribute__((noreturn));

/* Begin, run and end, for a statement of which only that number is wanted. */
extern uint64 si_fixed_sql_execute(SiFixedSql *statement, Datum *values, const char *nulls);

/* The same of a statement whose only argument is a subscription. */
extern uint64 si_fixed_sql_execute_for(SiFixedSql *statement, int32 subscription);

/* A column of the last result, from 0 and 1; NULL or the default where null. */
extern char *si_fixed_sql_text(uint64 row, int column);
extern Datum si_fixed_sql_datum(uint64 row, int column, bool *isnull);
extern int64 si_fixed_sql_int(uint64 row, int column, int64 if_null);

#endif							/* SI_FIXED_SQL_H */
