/*-------------------------------------------------------------------------
 *
 * proto_build.h
 *	  Making a Protobuf schema: what its readers, of text and of descriptors,
 *	  and proto_schema share.
 *
 * A reader adds the types of a file as it meets them; proto_schema then resolves
 * their names.  All memory is the schema's arena.  A function that fails fills
 * the builder's error.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_BUILD_H
#define SI_PROTO_BUILD_H

#include "format/decoder.h"
#include "format/proto_types.h"

/*
 * Of a name with the package and the messages around it: a limit for the work and
 * the memory that resolving names may take.
 */
#define SI_PROTO_MAX_FULL_NAME	1000

typedef enum SiProtoSyntax
{
	SI_PROTO_2,
	SI_PROTO_3,
	SI_PROTO_EDITION
} SiProtoSyntax;

/* Features of an edition, of a file or a field. */
typedef struct SiProtoFeatures
{
	enum
	{
		SI_PRESENCE_INHERITED,
		SI_PRESENCE_EXPLICIT,
		SI_PRESENCE_IMPLICIT
	}			presence;
	enum
	{
		SI_ENCODING_INHERITED,
		SI_ENCODING_PREFIXED,
		SI_ENCODING_DELIMITED
	}			encoding;
} SiProtoFeatures;

typedef struct SiProtoBuilder
{
	SiArena    *arena;
	SiDecodeError *error;
	int			line;			/* of a text, or 0 */
	int			ntypes;
	SiProtoMessage *messages;	/* all, the last one first */
	SiProtoEnum *enums;

	/* the file that is being read */
	SiProtoName package;
	SiProtoSyntax syntax;
	SiProtoFeatures features;
	SiProtoMessage *first_top;	/* its messages outside messages */
	SiProtoMessage *last_top;
} SiProtoBuilder;

/*
 * Fill in the error, with a name of the schema in its detail if there is one;
 * returns false.
 */
extern bool si_proto_refuse(SiProtoBuilder *builder, const char *sqlstate,
							const char *words, const char *name, size_t len);
extern bool si_proto_out_of_memory(SiProtoBuilder *builder);

/* Zeroed; NULL when out of memory. */
extern void *si_proto_alloc(SiProtoBuilder *builder, size_t size);

extern bool si_proto_copy_name(SiProtoBuilder *builder, const char *data, size_t len,
							   SiProtoName *name);

/* Add a message or enum to a message, or to the file; NULL on failure. */
extern SiProtoMessage *si_proto_add_message(SiProtoBuilder *builder, SiProtoMessage *parent,
											const char *name, size_t len);
extern SiProtoEnum *si_proto_add_enum(SiProtoBuilder *builder, SiProtoMessage *parent,
									  const char *name, size_t len);
extern bool si_proto_add_symbol(SiProtoBuilder *builder, SiProtoEnum *values,
								const char *name, size_t len, int number);

/*
 * Add a field that the reader has filled in but for its presence and encoding,
 * which follow from the syntax and, in an edition, from features.  Label and
 * proto3's "optional" are what_is_written.
 */
extern bool si_proto_add_field(SiProtoBuilder *builder, SiProtoMessage *message,
							   const SiProtoField *field, bool optional,
							   const SiProtoFeatures *features);

/* The readers: add the types of one file. */
extern bool si_proto_read_text(SiProtoBuilder *builder, const char *data, size_t len);

/* A FileDescriptorProto, or a FileDescriptorSet, whose last file is the main one. */
extern bool si_proto_read_descriptor(SiProtoBuilder *builder, const char *data, size_t len);

/* Begin a file. */
extern void si_proto_begin_file(SiProtoBuilder *builder);

/* Texts of the files that every schema may import; NULL ends them. */
extern const char *const si_proto_builtin[];

#endif							/* SI_PROTO_BUILD_H */
