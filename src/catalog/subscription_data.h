/*-------------------------------------------------------------------------
 *
 * subscription_data.h
 *	  A subscription as it is stored.
 *
 * Included by subscriptions.h, and by subscription_columns.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SUBSCRIPTION_DATA_H
#define SI_SUBSCRIPTION_DATA_H

#include "datatype/timestamp.h"
#include "options/insert_mode.h"
#include "shmem/slots.h"

/*
 * A subscription that stopped for a gap or another log has this SQLSTATE
 * (no_data); enable() accepts what is missing only then.
 */
#define SI_GAP_SQLSTATE "02000"

typedef struct SiSubscription
{
	int32		id;
	NameData	name;
	Oid			owner;
	char	   *owner_name;
	char	   *server;
	Oid			server_oid;		/* of the server that had this name when it
								 * was accepted */
	char	   *topic;
	Oid			target;			/* InvalidOid with apply */
	char	   *target_name;
	char	   *apply;			/* NULL with a target; so for the following */
	char	   *format;
	char	   *fields;
	char	   *mapping;		/* text of a JSON object */
	SiInsertModeId insert_mode;
	char	   *unknown_mode;	/* with SI_MODE_UNKNOWN: what is stored */
	Datum		key_columns;	/* name[], 0 for none */
	char	   *options_text;	/* text of a JSON object */
	char	   *pinned[SI_NPINNED];
	bool		enabled;
	int64		epoch;
	char	   *stop_state;		/* NULL: nothing stands in the way */
	char	   *stop_reason;
	char	   *stop_sqlstate;	/* SI_GAP_SQLSTATE: it is a gap or another log
								 * that it stopped for */
	char	   *pending_position;
	int			first_partitions;	/* -1 before the first contact */
	bool		adopt_log;
	TimestampTz run_since;		/* when it was asked where this run ends; 0 if
								 * it never was */
	int64		system_identifier;
	Oid			database;
	Oid			extension;

	/*
	 * What is stored may have been written by an UPDATE, or come with a dump
	 * of another version: what is wrong with it, or NULL, and whether it is
	 * the pinned settings.
	 */
	const char *damage;
	bool		pinned_lost;
} SiSubscription;

#endif							/* SI_SUBSCRIPTION_DATA_H */
