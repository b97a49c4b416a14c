/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  A background process's own transactions.
 *
 * Before version 18 the end of a transaction leaves TopMemoryContext as the
 * current one, and what is allocated there until the next turn of a loop stays
 * for ever.  These give the caller's memory context back.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TRANSACTION_H
#define SI_TRANSACTION_H

/*
 * Begin a transaction with a snapshot.  Returns the caller's memory context;
 * the current one is the transaction's.
 */
extern MemoryContext si_transaction_begin(void);

/* Commit it, or undo it, and return to that memory context. */
extern void si_transaction_commit(MemoryContext caller);
extern void si_transaction_abort(MemoryContext caller);

#endif							/* SI_TRANSACTION_H */
