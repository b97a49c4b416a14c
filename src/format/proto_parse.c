/*-------------------------------------------------------------------------
 *
 * proto_parse.c
 *	  The parts of statements of .proto text: names, numbers, options, and what is
 *	  passed over.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/proto_parse.h"

/* ---- tokens ---- */

bool
si_proto_refuse_text(SiProtoParser *parser, const char *words)
{
	parser->builder->line = parser->scan.line;
	return si_proto_refuse(parser->builder, "42P17", words, NULL, 0);
}

bool
si_proto_accept(SiProtoParser *parser, char symbol)
{
	if (!si_proto_scan_is(&parser->scan, symbol))
		return false;
	si_proto_scan_next(&parser->scan);
	return true;
}

bool
si_proto_expect(SiProtoParser *parser, char symbol)
{
	static const struct
	{
		char symbol;
		const char *words;
	}			expected[] = {
		{';', "\";\" is missing"},
		{'{', "\"{\" is missing"},
		{'=', "\"=\" is missing"},
		{'<', "\"<\" is missing"},
		{',', "\",\" is missing"},
		{'>', "\">\" is missing"},
	};
	size_t		i = 0;

	if (si_proto_accept(parser, symbol))
		return true;
	while (expected[i].symbol !=symbol)
		i++;
	return si_proto_refuse_text(parser, expected[i].words);
}

bool
si_proto_accept_word(SiProtoParser *parser, const char *word)
{
	if (!si_proto_scan_is_word(&parser->scan, word))
		return false;
	si_proto_scan_next(&parser->scan);
	return true;
}

/* Read a name, with dots where it may be a full one. */
bool
si_proto_parse_name(SiProtoParser *parser, bool dots, SiProtoWord *name)
{
	name->len = 0;
	if (dots && si_proto_accept(parser, '.'))
		name->data[name->len++] = '.';
	do
	{
		if (parser->scan.kind != SI_TOKEN_WORD)
			return si_proto_refuse_text(parser, "a name is missing");
		if (name->len + parser->scan.len + 1 > SI_PROTO_MAX_NAME)
			return si_proto_refuse_text(parser, "a name is too long");
		if (name->len > 0 && name->data[name->len - 1] != '.')
			name->data[name->len++] = '.';
		memcpy(name->data + name->len, parser->scan.token, parser->scan.len);
		name->len += parser->scan.len;
		si_proto_scan_next(&parser->scan);
	} while (dots && si_proto_accept(parser, '.'));
	name->data[name->len] = '\0';
	return true;
}

/* Read the number of a field or of an enum's value. */
bool
si_proto_parse_number(SiProtoParser *parser, bool sign, int *number)
{
	bool		negative = sign && si_proto_accept(parser, '-');
	uint64_t	limit = (uint64_t) INT32_MAX + negative;

	if (parser->scan.kind != SI_TOKEN_INTEGER)
		return si_proto_refuse_text(parser, "a number is missing");
	if (parser->scan.integer > limit)
		return si_proto_refuse_text(parser, "a number is out of range");
	*number = (int) (negative ? -(int64_t) parser->scan.integer : (int64_t) parser->scan.integer);
	si_proto_scan_next(&parser->scan);
	return true;
}

/* ---- what is passed over ---- */

/*
 * Pass tokens up to one of these characters outside brackets, which is not
 * passed; with block, also up to a closed block of braces, which is.
 */
bool
si_proto_skip_to(SiProtoParser *parser, const char *ends, bool block)
{
	int			nesting = 0;

	for (;; si_proto_scan_next(&parser->scan))
	{
		const SiProtoScan *scan = &parser->scan;
		char		c = scan->kind == SI_TOKEN_SYMBOL ? *scan->token : '\0';

		if (scan->kind == SI_TOKEN_END)
			return si_proto_refuse_text(parser, "the schema ends too early");
		if (scan->kind == SI_TOKEN_BAD)
			return si_proto_refuse_text(parser, "this is no token of .proto text");
		if (c == '\0')
			continue;
		if (nesting == 0 && strchr(ends, c) != NULL)
			return true;
		if (c == '{' || c == '[' || c == '(')
			nesting++;
		else if (c == '}' || c == ']' || c == ')')
		{
			if (--nesting < 0)
				return si_proto_refuse_text(parser, "a bracket is closed that was not opened");
			if (block && nesting == 0 && c == '}')
			{
				si_proto_scan_next(&parser->scan);
				return true;
			}
		}
	}
}

bool
si_proto_skip_statement(SiProtoParser *parser)
{
	return si_proto_skip_to(parser, ";", false) && si_proto_expect(parser, ';');
}

/* Set the feature that a word names to what another word says. */
static void
set_feature(const SiProtoWord *name, const SiProtoScan *value, SiProtoFeatures *features)
{
	if (strcmp(name->data, "field_presence") == 0)
		features->presence = si_proto_scan_is_word(value, "IMPLICIT") ?
			SI_PRESENCE_IMPLICIT : SI_PRESENCE_EXPLICIT;
	else if (strcmp(name->data, "message_encoding") == 0)
		features->encoding = si_proto_scan_is_word(value, "DELIMITED") ?
			SI_ENCODING_DELIMITED : SI_ENCODING_PREFIXED;
}

/* features = { field_presence: IMPLICIT ... }, behind the brace. */
static bool
parse_feature_set(SiProtoParser *parser, SiProtoFeatures *features)
{
	SiProtoWord name;

	while (!si_proto_accept(parser, '}'))
	{
		if (parser->scan.kind != SI_TOKEN_WORD)
		{
			/* features of a language, in brackets and braces */
			if (!si_proto_skip_to(parser, "},;", true))
				return false;
			if (!si_proto_accept(parser, ','))
				(void) si_proto_accept(parser, ';');
			continue;
		}
		if (!si_proto_parse_name(parser, false, &name))
			return false;
		(void) si_proto_accept(parser, ':');
		set_feature(&name, &parser->scan, features);
		if (!si_proto_accept(parser, '{'))
			si_proto_scan_next(&parser->scan);
		else if (!si_proto_skip_to(parser, "}", false) || !si_proto_accept(parser, '}'))
			return false;
		if (!si_proto_accept(parser, ','))
			(void) si_proto_accept(parser, ';');
	}
	return true;
}

/* An option's name and value; what follows it is one of these characters. */
bool
si_proto_parse_option(SiProtoParser *parser, const char *ends, SiProtoFeatures *features)
{
	SiProtoWord name;

	if (!si_proto_accept_word(parser, "features"))
		return si_proto_skip_to(parser, ends, false);
	if (si_proto_accept(parser, '.'))
	{
		if (parser->scan.kind != SI_TOKEN_WORD)
			return si_proto_skip_to(parser, ends, false);
		if (!si_proto_parse_name(parser, true, &name) || !si_proto_expect(parser, '='))
			return false;
		set_feature(&name, &parser->scan, features);
	}
	else if (si_proto_accept(parser, '=') && si_proto_accept(parser, '{') && !parse_feature_set(parser, features))
		return false;
	return si_proto_skip_to(parser, ends, false);
}

/* [option, ...], if there are any. */
bool
si_proto_parse_options(SiProtoParser *parser, SiProtoFeatures *features)
{
	if (!si_proto_accept(parser, '['))
		return true;
	do
	{
		if (!si_proto_parse_option(parser, ",]", features))
			return false;
	} while (si_proto_accept(parser, ','));
	return si_proto_accept(parser, ']') || si_proto_refuse_text(parser, "\"]\" is missing");
}
