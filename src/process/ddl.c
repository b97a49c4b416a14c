/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  What a transaction has changed of subscriptions, for its commit.
 *
 * A change is noted in its transaction and told to the launcher at commit.
 * Functions note it, and the hooks of utility.c.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "process/ddl.h"
#include "shmem/slots.h"

static bool scan_at_commit = false;
static bool names_at_commit = false;	/* the same, but may be prepared */
static Oid	other_database = InvalidOid;	/* to be scanned at commit, too */
static bool scan_all_at_commit = false;

void
si_ddl_scan_at_commit(void)
{
	scan_at_commit = true;
}

void
si_ddl_follow_names_at_commit(void)
{
	names_at_commit = true;
}

void
si_ddl_scan_database_at_commit(Oid database)
{
	if (OidIsValid(other_database) && other_database != database)
		scan_all_at_commit = true;
	other_database = database;
}

void
si_ddl_scan_all_at_commit(void)
{
	scan_all_at_commit = true;
}

static void
request_scans(void)
{
	if (scan_at_commit || names_at_commit)
		si_slots_request_scan(MyDatabaseId);
	if (OidIsValid(other_database))
		si_slots_request_scan(other_database);
	if (scan_all_at_commit)
		si_slots_request_scan(InvalidOid);
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (scan_at_commit)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has changed a stream_ingest subscription")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			if (event == XACT_EVENT_COMMIT)
				request_scans();
			scan_at_commit = false;
			names_at_commit = false;
			other_database = InvalidOid;
			scan_all_at_commit = false;
			break;
		case XACT_EVENT_PREPARE:
			names_at_commit = false;
			other_database = InvalidOid;
			scan_all_at_commit = false;
			break;
		default:
			break;
	}
}

void
si_ddl_init(void)
{
	RegisterXactCallback(transaction_ends, NULL);
}
