/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  A background process's own transactions.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalog/transaction.h"

MemoryContext
si_transaction_begin(void)
{
	MemoryContext caller = CurrentMemoryContext;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	return caller;
}

void
si_transaction_commit(MemoryContext caller)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}

void
si_transaction_abort(MemoryContext caller)
{
	AbortCurrentTransaction();
	MemoryContextSwitchTo(caller);
}
