/*-------------------------------------------------------------------------
 *
 * proto_program.h
 *	  A Protobuf schema and a plan, compiled: a node for each place where a field
 *	  of the schema meets a node of the plan's tree of paths.
 *
 * A schema has many messages, and the program is made of those that come.
 *
 * Pure C, no server.  Called by decode_protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_PROGRAM_H
#define SI_PROTO_PROGRAM_H

#include "common/schema_texts.h"
#include "format/path_tree.h"
#include "format/proto_types.h"
#include "format/schema_id.h"

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
	bool		part;			/* of an event: what is below it is there only
								 * with it */
	int			only_field;		/* that takes the value, and nothing else, as
								 * it is; or -1 */

	/*
	 * Of a message by the order of its fields, NULL where no field takes one;
	 * of a list by element, of a map by member of the tree.
	 */
	struct SiProtoNode **children;
} SiProtoNode;

typedef struct SiProtoProgram SiProtoProgram;

/*
 * Read a schema, whose messages are compiled with the tree as they come; the tree must
 * outlive the program.  name is the message that all are, or NULL.  NULL with *error
 * filled: as si_proto_schema_parse has it, 42P17 if the schema has no message, 22023 if
 * it has none of that name.
 */
extern SiProtoProgram *si_proto_program_make(const SiSchemaTexts *texts, const SiPathTree *tree,
											 const char *name, SiDecodeError *error);

/* The message of the schema that a frame names, as si_proto_frame_read has it. */
extern const SiProtoMessage *si_proto_program_message(const SiProtoProgram *program,
													  SiFrame *frame, SiDecodeError *error);

/* The node of that message; NULL with *error filled. */
extern const SiProtoNode *si_proto_program_root(SiProtoProgram *program, SiFrame *frame,
												SiDecodeError *error);

/* Takes any pointer, so that a cache of programs can call it. */
extern void si_proto_program_free(void *program);

#endif							/* SI_PROTO_PROGRAM_H */
