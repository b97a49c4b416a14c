/*-------------------------------------------------------------------------
 *
 * infer_schema.h
 *	  From the schemas of messages to the columns of a table.
 *
 * Called by infer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_INFER_SCHEMA_H
#define SI_INFER_SCHEMA_H

#include "functions/infer_columns.h"

/* What was found of schemas. */
typedef struct SiInferSchemas
{
	int			n;				/* how many; 0: no message has one */
	bool		differ;			/* do others than the newest have other
								 * fields? */
	int			nleft_out;		/* fields whose types the schema does not have */
	int			nbad;			/* messages whose schema could not be read */
	SiDecodeError error;		/* of the newest of these */
} SiInferSchemas;

/*
 * Make the columns of the newest message's schema, or of the one that the options have
 * for all messages.  A column is nullable if a schema of another message lacks it, and
 * its type holds what it is by all of them.  The key's columns are those of the newest
 * key that has a schema, if the table has all of them and they are never null.
 *
 * Messages are in the order of their time; of those that a registry describes the
 * schemas must be in the store.
 */
extern void si_infer_schemas(const SiDecoderRoutine *routine, const SiFormatOptions *options,
							 const SiMessage *messages, int n, SiInferColumns *columns,
							 SiInferSchemas *schemas);

#endif							/* SI_INFER_SCHEMA_H */
