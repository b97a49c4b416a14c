/*-------------------------------------------------------------------------
 *
 * proto_parse.h
 *	  The parts of statements of .proto text: names, numbers, options, and what is
 *	  passed over.
 *
 * Functions read from the current token on, and return false with the builder's
 * error filled; those that accept something return whether it was there.
 *
 * Pure C, no server.  Called by proto_text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROTO_PARSE_H
#define SI_PROTO_PARSE_H

#include "format/proto_build.h"
#include "format/proto_token.h"

typedef struct SiProtoParser
{
	SiProtoScan scan;
	SiProtoBuilder *builder;
	int			depth;			/* messages around the next statement */
} SiProtoParser;

/* A name as it is put together of tokens. */
#define SI_PROTO_MAX_NAME	1000

typedef struct SiProtoWord
{
	char		data[SI_PROTO_MAX_NAME + 1];
	size_t		len;
} SiProtoWord;

/* Refuse the schema at the current line; returns false. */
extern bool si_proto_refuse_text(SiProtoParser *parser, const char *words);

extern bool si_proto_accept(SiProtoParser *parser, char symbol);
extern bool si_proto_accept_word(SiProtoParser *parser, const char *word);
extern bool si_proto_expect(SiProtoParser *parser, char symbol);

/* Read a name, with dots where it may be a full one. */
extern bool si_proto_parse_name(SiProtoParser *parser, bool dots, SiProtoWord *name);

/* Read the number of a field or of an enum's value. */
extern bool si_proto_parse_number(SiProtoParser *parser, bool sign, int *number);

/*
 * Pass tokens up to one of these characters outside brackets, which is not
 * passed; with block, also up to a closed block of braces, which is.
 */
extern bool si_proto_skip_to(SiProtoParser *parser, const char *ends, bool block);
extern bool si_proto_skip_statement(SiProtoParser *parser);

/* An option's name and value; what follows it is one of these characters. */
extern bool si_proto_parse_option(SiProtoParser *parser, const char *ends,
								  SiProtoFeatures *features);

/* [option, ...], if there are any. */
extern bool si_proto_parse_options(SiProtoParser *parser, SiProtoFeatures *features);

#endif							/* SI_PROTO_PARSE_H */
