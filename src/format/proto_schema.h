/*-------------------------------------------------------------------------
 *
 * proto_schema.h
 *	  Protobuf schemas: .proto text or descriptors in, a graph of types out.
 *
 * The files of google/protobuf and google/type that schemas import for their
 * types, and confluent/type/decimal.proto, are built in.  Other imports are given
 * as sources, or are not there: a name that stays unknown makes an unresolved
 * field, which is an error only where it is wanted.  Extensions, services,
 * defaults and custom options are passed over.
 *
 * Pure C, no server.  A schema is a stranger's text: it may be wrong, large and
 * nested, but not without limit.  Called by decode_protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_SCHEMA_H
#define SI_PROTO_SCHEMA_H

#include "common/schema_texts.h"
#include "format/proto_types.h"

typedef struct SiProtoSchema SiProtoSchema;

/*
 * Read a schema from its files: .proto text, or base64 of a FileDescriptorProto or -Set.
 * NULL with *error filled: 42P17 for what is no schema, 54000 for one beyond the limits,
 * 53200 without memory.  Names of the schema are in the detail alone.
 */
extern SiProtoSchema *si_proto_schema_parse(const SiSchemaTexts *texts, SiDecodeError *error);

/* A message by its full name, or NULL. */
extern const SiProtoMessage *si_proto_schema_find(const SiProtoSchema *schema, const char *name);

/* The main file's only message outside messages, or NULL. */
extern const SiProtoMessage *si_proto_schema_only(const SiProtoSchema *schema);

/* The first message that the main file has, for a reader of all of them. */
extern const SiProtoMessage *si_proto_schema_first(const SiProtoSchema *schema);

/*
 * The message at these indexes, of which each is in the one before, and the first in the
 * main file; NULL if there is none.  Entries of maps and groups are counted where a
 * descriptor has them, and not in .proto text: Confluent's serializers count so.
 */
extern const SiProtoMessage *si_proto_schema_at(const SiProtoSchema *schema, const int *indexes,
												int n);

/*
 * A message outside messages of the main file by its name without the package, else any
 * message by its full name, or NULL.
 */
extern const SiProtoMessage *si_proto_schema_named(const SiProtoSchema *schema,
												   const char *name, size_t len);

/* Messages have numbers up to this one. */
extern int	si_proto_schema_ntypes(const SiProtoSchema *schema);

extern void si_proto_schema_free(SiProtoSchema *schema);

#endif							/* SI_PROTO_SCHEMA_H */
