/*-------------------------------------------------------------------------
 *
 * json_verdict.c
 *	  jansson's verdict on a document that the scanner refused.
 *
 * The scanner alone refuses no message.  A document that it refuses is given to
 * jansson: if jansson refuses it too, its verdict words the error; if jansson
 * accepts it, what jansson read counts.  Where the two are known to differ:
 *
 * - Integers beyond 64 bits and numbers beyond double (1e400): the scanner
 *	 accepts them, digit for digit; jansson refuses the document, which is
 *	 therefore only asked about what the scanner refused.
 * - \u0000: accepted by both, but jansson refuses it in a key.  Where a string
 *	 that holds it is taken as a text it is an error (22P05), for no text can
 *	 hold it.  In a value that no field takes it does no harm.  In a string, an
 *	 object or an array that is taken as JSON it is left to the type that reads
 *	 it: json takes it, jsonb does not.
 * - A NUL byte behind a number or a word: jansson (2.14) overlooks it, so that
 *	 "1<NUL>" is 1 to it.  No JSON has NUL bytes, nor could the server take
 *	 them: where the scanner meets one, jansson is not asked.
 * - Depth: the scanner ends at 1,000, jansson at 2,048.  Its reading of a
 *	 document between the two is scanned in turn, and refused for its depth.
 *
 * jansson takes up to 80 bytes of memory for each byte of a document, which is a
 * stranger's: a large one is refused with the scanner's words.
 *
 * So where jansson refuses something that the scanner accepts, while the scanner
 * refuses something else, the scanner's words are used.
 *
 * jansson's function json_object() must not be called: the server exports a
 * function of that name, which would be run instead.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include <errno.h>
#include <jansson.h>

#include "format/json_verdict.h"

/* Larger documents are not given to jansson. */
#define MOST_TO_JUDGE	((size_t) 1024 * 1024)

/* Refuse a document for a fault at a place. */
static bool
refuse_at(const char *prefix, SiJsonFault fault, size_t line, size_t column,
		  SiDecodeError *error)
{
	const char *sqlstate = "22P02";
	const char *words = "invalid JSON";

	switch (fault)
	{
		case SI_JSON_INCOMPLETE:
			words = "incomplete JSON";
			break;
		case SI_JSON_BAD_UTF8:
			sqlstate = "22021";
			words = "invalid UTF-8 in JSON";
			break;
		case SI_JSON_TOO_DEEP:
			sqlstate = "54001";
			words = "JSON is nested too deeply";
			break;
		default:
			break;
	}
	si_decoder_fail(error, sqlstate, "%s%s at line %zu, column %zu",
					prefix, words, line, column);
	if (fault == SI_JSON_TOO_DEEP)
		snprintf(error->detail, sizeof(error->detail),
				 "At most %d levels are supported.", SI_JSON_MAX_DEPTH);
	return false;
}

bool
si_json_refuse_document(const SiJsonScan *scan, const char *prefix,
						SiDecodeError *error)
{
	size_t		line;
	size_t		column;

	si_json_locate(scan, scan->fault_pos, &line, &column);
	return refuse_at(prefix, scan->fault, line, column, error);
}

/*
 * Without memory for a string jansson calls it an invalid token, and elsewhere says
 * nothing; what malloc() leaves behind tells.
 */
json_t *
si_json_load(const char *data, size_t len, size_t flags, json_error_t *verdict, bool *no_memory)
{
	json_t	   *json;

	errno = 0;
	json = json_loadb(data, len, flags, verdict);
	*no_memory = json == NULL &&
		(errno == ENOMEM || verdict->text[0] == '\0' ||
		 json_error_code(verdict) == json_error_out_of_memory);
	return json;
}

/*
 * Refuse a document with jansson's verdict.  Its text quotes the document, so
 * that it may only be the detail.
 */
static bool
refuse_as_judged(const SiJsonScan *scan, const char *prefix,
				 const json_error_t *verdict, SiDecodeError *error)
{
	SiJsonFault fault;
	size_t		column;

	switch (json_error_code(verdict))
	{
		case json_error_premature_end_of_input:
			fault = SI_JSON_INCOMPLETE;
			break;
		case json_error_invalid_utf8:
			fault = SI_JSON_BAD_UTF8;
			break;
		case json_error_stack_overflow:
			fault = SI_JSON_TOO_DEEP;
			break;
		case json_error_invalid_syntax:
		case json_error_end_of_input_expected:
			fault = SI_JSON_BAD_SYNTAX;
			break;
		default:

			/* such as a large number, which the scanner accepted */
			return si_json_refuse_document(scan, prefix, error);
	}

	/* jansson counts the characters that it has read */
	column = verdict->column > 0 ? (size_t) verdict->column : 1;
	refuse_at(prefix, fault, (size_t) verdict->line, column, error);
	snprintf(error->detail, sizeof(error->detail),
			 "The JSON library says: %s.", verdict->text);
	return false;
}

/* A document of jansson's as text in the arena; NULL when out of memory. */
static char *
canonical_text(const json_t *json, SiArena *arena, size_t *len)
{
	const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT |
		JSON_REAL_PRECISION(17);
	char	   *document;

	*len = json_dumpb(json, NULL, 0, flags);
	if (*len == 0)
		return NULL;
	document = si_arena_alloc(arena, *len);
	if (document != NULL && json_dumpb(json, document, *len, flags) != *len)
		return NULL;
	return document;
}

bool
si_json_verdict(const SiJsonScan *scan, const char *prefix, SiArena *arena,
				const char **document, size_t *len, SiDecodeError *error)
{
	json_error_t verdict;
	json_t	   *json;
	bool		no_memory;

	if ((scan->fault_pos < scan->end && *scan->fault_pos == '\0') ||
		(size_t) (scan->end - scan->start) > MOST_TO_JUDGE)
		return si_json_refuse_document(scan, prefix, error);
	json = si_json_load(scan->start, (size_t) (scan->end - scan->start),
						JSON_DECODE_ANY | JSON_ALLOW_NUL, &verdict, &no_memory);
	if (no_memory)
		return si_decoder_fail(error, "53200", "out of memory");
	if (json == NULL)
		return refuse_as_judged(scan, prefix, &verdict, error);
	*document = canonical_text(json, arena, len);
	json_decref(json);
	if (*document == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	return true;
}
