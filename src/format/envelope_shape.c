/*-------------------------------------------------------------------------
 *
 * envelope_shape.c
 *	  What the envelopes of messages are like: a table.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/envelope_shape.h"

static const SiEventWord debezium_words[] = {
	{"c", SI_EVENT_WRITE},
	{"r", SI_EVENT_WRITE},
	{"u", SI_EVENT_WRITE},		/* a changed key comes as "d" and "c" */
	{"d", SI_EVENT_DELETE},
	{"t", SI_EVENT_TRUNCATE},
	{"m", SI_EVENT_NOTHING},
	{NULL}
};

static const SiEventWord maxwell_words[] = {
	{"insert", SI_EVENT_WRITE},
	{"update", SI_EVENT_UPDATE},
	{"delete", SI_EVENT_DELETE},
	{"bootstrap-insert", SI_EVENT_WRITE},
	{"bootstrap-start", SI_EVENT_NOTHING},
	{"bootstrap-complete", SI_EVENT_NOTHING},
	{"table-create", SI_EVENT_NOTHING},
	{"table-alter", SI_EVENT_NOTHING},
	{"table-drop", SI_EVENT_NOTHING},
	{"database-create", SI_EVENT_NOTHING},
	{"database-alter", SI_EVENT_NOTHING},
	{"database-drop", SI_EVENT_NOTHING},
	{NULL}
};

static const SiEventWord goldengate_words[] = {
	{"I", SI_EVENT_WRITE},
	{"U", SI_EVENT_UPDATE},
	{"D", SI_EVENT_DELETE},
	{"T", SI_EVENT_TRUNCATE},
	{NULL}
};

const SiEnvelopeShape si_envelope_shapes[] = {
	[SI_ENVELOPE_NONE] = {"none"},
	[SI_ENVELOPE_DEBEZIUM] = {
		.name = "debezium",
		.mark = "op",
		.row = "after",
		.old_row = "before",
		.source = "source",
		.deletes_old = true,
		.words = debezium_words
	},
	[SI_ENVELOPE_CONNECT] = {
		.name = "connect",
		.always_wrapped = true
	},
	[SI_ENVELOPE_MAXWELL] = {
		.name = "maxwell",
		.mark = "type",
		.row = "data",
		.old_row = "old",
		.words = maxwell_words
	},
	[SI_ENVELOPE_GOLDENGATE] = {
		.name = "goldengate",
		.mark = "op_type",
		.row = "after",
		.old_row = "before",
		.missing = "_isMissing",
		.deletes_old = true,
		.words = goldengate_words
	}
};

bool
si_envelope_changes_keys(SiEnvelopeKind kind)
{
	const SiEventWord *word = si_envelope_shapes[kind].words;

	while (word != NULL && word->word != NULL && word->kind != SI_EVENT_UPDATE)
		word++;
	return word != NULL && word->kind == SI_EVENT_UPDATE;
}

SiEventKind
si_envelope_event(const SiEnvelopeShape *shape, const SiValue *mark)
{
	const SiEventWord *word = shape->words;

	if (mark->kind != SI_VALUE_STRING)
		return SI_EVENT_UNKNOWN;
	while (word->word != NULL &&
		   (strlen(word->word) != mark->len || memcmp(word->word, mark->data, mark->len) != 0))
		word++;
	return word->kind;
}
