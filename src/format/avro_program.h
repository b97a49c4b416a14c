/*-------------------------------------------------------------------------
 *
 * avro_program.h
 *	  An Avro schema and a plan, compiled into a program.
 *
 * The program is a node for each place where a type of the schema meets a node
 * of the plan's tree of paths.  Called by decode_avro, which reads messages by
 * it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_PROGRAM_H
#define SI_AVRO_PROGRAM_H

#include "common/schema_texts.h"
#include "format/avro_types.h"
#include "format/path_tree.h"

/* A type of the schema where it meets a node of the tree. */
typedef struct SiAvroNode
{
	const SiAvroType *type;
	SiPathNode *paths;
	bool		taken;			/* do fields take the value as a whole? */
	bool		as_json;		/* does one of them read JSON? */
	bool		entered;		/* is there a path that leads into it? */
	int			only_field;		/* that takes the value, and nothing else, as
								 * it is; or -1 */

	/*
	 * Of a record by field, NULL where no field takes it; of a union by
	 * branch; of an array by element and of a map by member of the tree.
	 */
	struct SiAvroNode **children;
	struct SiAvroNode *next;	/* of the same type */
} SiAvroNode;

typedef struct SiAvroProgram SiAvroProgram;

/*
 * Compile a schema with the tree, which must outlive the program.  NULL with *error
 * filled, as si_avro_schema_parse has it.
 */
extern SiAvroProgram *si_avro_program_make(const SiSchemaTexts *schema, SiPathTree *tree,
										   SiDecodeError *error);

/* The node of the value as a whole. */
extern const SiAvroNode *si_avro_program_root(const SiAvroProgram *program);

/* Takes any pointer, so that a cache of programs can call it. */
extern void si_avro_program_free(void *program);

#endif							/* SI_AVRO_PROGRAM_H */
