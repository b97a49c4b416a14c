/*-------------------------------------------------------------------------
 *
 * proto_program.h
 *	  A Protobuf schema and a plan, compiled: a node for each place where a field
 *	  of the schema meets a node of the plan's tree of paths.
 *
 * Pure C, no server.  Called by decode_protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_PROGRAM_H
#define SI_PROTO_PROGRAM_H

#include "format/path_tree.h"
#include "format/proto_types.h"

/* A value of the schema where it meets a node of the tree. */
typedef struct SiProtoNode
{
	const SiProtoField *field;	/* NULL for the message as a whole */
	const SiProtoMessage *message;	/* whose fields paths enter, or NULL */
	bool		list;			/* a repeated field as a whole */
	SiPathNode *paths;
	bool		taken;			/* do fields take the value as a whole? */
	bool		as_json;		/* does one of them read JSON? */
	bool		entered;		/* is there a path that leads into it? */
	bool		rest;			/* a part of $rest */
	int			only_field;		/* that takes the value, and nothing else, as
								 * it is; or -1 */

	/*
	 * Of a message by the order of its fields, NULL where no field takes one;
	 * of a list by element, of a map by member of the tree.
	 */
	struct SiProtoNode **children;
} SiProtoNode;

/* Compile a message; NULL when out of memory.  Schema and tree must outlive it. */
extern SiProtoNode *si_proto_compile(SiArena *memory, const SiPathTree *tree,
									 const SiProtoMessage *message);

#endif							/* SI_PROTO_PROGRAM_H */
