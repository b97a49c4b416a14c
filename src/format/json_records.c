/*-------------------------------------------------------------------------
 *
 * json_records.c
 *	  The records of a message that holds several: the elements of an array, or
 *	  JSON documents one after the other.
 *
 * A path is followed through a document that was read to its end before, since
 * of equal names the last one counts.  An array that is the whole value, and
 * documents in a row, are read but once, while their records are handed out.
 *
 * What the scanner refuses is refused here: unlike a message of one record, the
 * text is not given to jansson.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/decoder.h"
#include "format/json_verdict.h"
#include "format/value_text.h"

/* Refuse the text for the scanner's fault; one that ends too early is incomplete. */
static bool
refuse_text(SiJsonScan *scan, SiDecodeError *error)
{
	if (scan->fault == SI_JSON_BAD_SYNTAX && scan->fault_pos >= scan->end)
		scan->fault = SI_JSON_INCOMPLETE;
	return si_json_refuse_document(scan, "", error);
}

static bool
refuse_kind(const SiJsonToken *token, SiDecodeError *error)
{
	return si_decoder_fail(error, "22023", "JSON value is %s, not an array of records",
						   si_value_kind_name(token->kind));
}

/* Is the name of a member the step's?  False also where memory is out. */
static bool
is_named(const SiJsonToken *key, const SiPathStep *step, SiArena *arena, bool *out_of_memory)
{
	const char *name = key->data;
	size_t		len = key->len;

	if (key->escaped)
	{
		char	   *plain = si_arena_alloc(arena, key->len);

		if (plain == NULL)
		{
			*out_of_memory = true;
			return false;
		}
		len = si_json_unescape(key->data, key->len, plain);
		name = plain;
	}
	return len == step->key_len && memcmp(name, step->key, len) == 0;
}

/* What is followed through a document that is known to be right. */
typedef struct Search
{
	SiJsonScan *scan;
	const SiRecordsPath *path;
	SiArena    *arena;
	bool		out_of_memory;
	SiJsonToken found;			/* at the path's end; ABSENT if there is
								 * nothing */
} Search;

/*
 * Follow the steps from this one on into the value at p; of equal names the last one
 * counts.  Every byte is read once, whatever the number of steps.  Recurses no deeper
 * than both path and document are.
 */
static const char *
follow_steps(Search *search, int at, const char *p)
{
	SiJsonScan *scan = search->scan;
	const SiPathStep *step = &search->path->steps[at];
	bool		more = false;
	int			index;

	search->found.kind = SI_VALUE_ABSENT;
	if (at == search->path->nsteps)
		return si_json_read_value(scan, p, &search->found);
	if (*p != (step->key != NULL ? '{' : '['))
	{
		p = si_json_read_value(scan, p, &search->found);
		search->found.kind = SI_VALUE_ABSENT;
		return p;
	}
	p = si_json_enter(scan, p, step->key != NULL ? '}' : ']', &more);
	for (index = 0; p != NULL && more; index++)
	{
		SiJsonToken token;
		bool		named = step->key == NULL && index == step->index;

		if (step->key != NULL)
		{
			p = si_json_read_key(scan, p, &token);
			if (p == NULL)
				return NULL;
			named = is_named(&token, step, search->arena, &search->out_of_memory);
			p = si_json_pass_colon(scan, p);
		}
		if (p == NULL || search->out_of_memory)
			return NULL;
		p = named ? follow_steps(search, at + 1, p) : si_json_read_value(scan, p, &token);
		if (p != NULL)
			p = si_json_next(scan, p, step->key != NULL ? '}' : ']', &more);
	}
	return p;
}

/* Follow the path through the document at p to the array, which *p is then. */
static bool
find_array(SiRecords *records, const SiRecordsPath *path, SiArena *arena, const char **p,
		   SiDecodeError *error)
{
	SiJsonScan *scan = &records->scan;
	Search		search = {scan, path, arena};
	SiJsonToken token;
	const char *end = si_json_read_value(scan, *p, &token);

	if (end == NULL || !si_json_finish(scan, end))
		return refuse_text(scan, error);
	(void) follow_steps(&search, 0, *p);
	if (search.out_of_memory)
		return si_decoder_fail(error, "53200", "out of memory");
	if (search.found.kind == SI_VALUE_ABSENT)
		return si_decoder_fail(error, "22023",
							   "there is nothing at the path of the option \"records\"");
	*p = search.found.data;
	return search.found.kind == SI_VALUE_ARRAY || refuse_kind(&search.found, error);
}

bool
si_json_records_begin(SiRecords *records, const SiRecordsPath *path, const SiMessage *message,
					  SiArena *arena, SiDecodeError *error)
{
	SiJsonScan *scan = &records->scan;
	const char *p = si_json_begin(scan, message->value, message->value_len);
	SiJsonToken token;

	records->record = *message;
	records->number = 0;
	records->lines = path->lines;
	records->whole = path->nsteps == 0;
	records->more = false;
	records->bare = false;
	records->next = p;
	if (path->lines)
		return true;
	if (path->nsteps > 0 && !find_array(records, path, arena, &p, error))
		return false;
	if (p >= scan->end || *p != '[')
	{
		p = si_json_read_value(scan, p, &token);
		if (p == NULL || !si_json_finish(scan, p))
			return refuse_text(scan, error);
		return refuse_kind(&token, error);
	}
	records->next = si_json_enter(scan, p, ']', &records->more);
	return records->next != NULL || refuse_text(scan, error);
}

/* Is there another record?  False with the scan's fault set if the text is wrong. */
static bool
look_for_next(SiRecords *records, bool *found)
{
	SiJsonScan *scan = &records->scan;
	const char *p = records->next;

	if (!records->lines)
	{
		*found = records->more;
		return *found || !records->whole || si_json_finish(scan, p);
	}
	records->next = si_json_pass_space(scan, p);
	*found = records->next < scan->end;

	/* two numbers or words without anything between them would be another one */
	if (!*found || !records->bare || records->next != p)
		return true;
	records->number++;
	(void) si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	return false;
}

bool
si_json_records_next(SiRecords *records, bool *found, SiDecodeError *error)
{
	SiJsonScan *scan = &records->scan;
	SiJsonToken token;
	const char *begin;
	const char *p;

	if (!look_for_next(records, found))
		return refuse_text(scan, error);
	if (!*found)
		return true;
	if (records->number >= SI_MAX_RECORDS)
		return si_decoder_fail(error, "54000", "the message has more than %d records",
							   SI_MAX_RECORDS);
	begin = records->next;
	records->number++;
	p = si_json_read_value(scan, begin, &token);
	if (p == NULL)
		return refuse_text(scan, error);
	records->record.value = begin;
	records->record.value_len = (size_t) (p - begin);
	records->bare = token.kind != SI_VALUE_OBJECT && token.kind != SI_VALUE_ARRAY &&
		token.kind != SI_VALUE_STRING;
	if (!records->lines)
		p = si_json_next(scan, p, ']', &records->more);
	records->next = p;
	return p != NULL || refuse_text(scan, error);
}
