/*-------------------------------------------------------------------------
 *
 * subscription_columns.h
 *	  The columns of the table "subscription", as SiSubscription has them.
 *
 * One table says of each column its name, its type and its place; the statements
 * that read and write all columns, and their arguments, are made from it.
 *
 * Called by subscriptions; si_subscription_read between si_fixed_sql_begin and end.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SUBSCRIPTION_COLUMNS_H
#define SI_SUBSCRIPTION_COLUMNS_H

#include "catalog/fixed_sql.h"
#include "catalog/subscription_data.h"

/*
 * Complete a statement whose text is NULL: SELECT all columns, INSERT or UPDATE
 * those that are stored, by name.  rest: what follows in the SELECT.
 */
extern void si_subscription_select(SiFixedSql *statement, const char *rest);
extern void si_subscription_insert(SiFixedSql *statement);
extern void si_subscription_update(SiFixedSql *statement);

/* Arguments of the INSERT and of the UPDATE, which are the same. */
extern void si_subscription_arguments(const SiSubscription *subscription, Datum *values,
									  char *nulls);

/* Read a row of the SELECT; all pointers are in the caller's memory (SPI_palloc). */
extern void si_subscription_read(SiSubscription *subscription, uint64 row);

#endif							/* SI_SUBSCRIPTION_COLUMNS_H */
