/*-------------------------------------------------------------------------
 *
 * infer.c
 *	  From messages to a table that could take them.
 *
 * Each field of the top level becomes a column whose type holds all values
 * that were seen: never a lossy one (a fraction is numeric, not double
 * precision), and text where they do not agree.  Objects and arrays are jsonb.
 * A key is not guessed.  The columns of csv and text have no names, and all
 * their values are texts, so these are looked at for numbers too.
 *
 * Names of fields come from the topic, so they reach the text as quoted
 * identifiers alone: to run the text is to run nothing of the topic's.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "access/htup_details.h"
#include "catalog/heap.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "common/bytes.h"
#include "common/failure.h"
#include "format/decoder.h"
#include "format/json_scan.h"
#include "functions/infer.h"

/* A column is NOT NULL if so many messages, and all there were, had it. */
#define ENOUGH_FOR_NOT_NULL	100

/* The longest string that may be something else than a text. */
#define MAX_SPECIAL_LEN		63

/* What was seen in a column. */
#define SEEN_BOOLEAN		(1 << 0)
#define SEEN_BIGINT			(1 << 1)
#define SEEN_NUMERIC		(1 << 2)
#define SEEN_UUID			(1 << 3)
#define SEEN_DATE			(1 << 4)
#define SEEN_TIMESTAMP		(1 << 5)
#define SEEN_TIMESTAMPTZ	(1 << 6)
#define SEEN_INET			(1 << 7)
#define SEEN_TEXT			(1 << 8)
#define SEEN_NESTED			(1 << 9)

/* Which types hold what was seen; the first that holds all of it is taken. */
static const struct
{
	const char *name;
	int			holds;
}			types[] = {
	{"boolean", SEEN_BOOLEAN},
	{"bigint", SEEN_BIGINT},
	{"numeric", SEEN_BIGINT | SEEN_NUMERIC},
	{"uuid", SEEN_UUID},
	{"date", SEEN_DATE},
	{"timestamp", SEEN_DATE | SEEN_TIMESTAMP},
	{"timestamptz", SEEN_TIMESTAMPTZ},
	{"inet", SEEN_INET},
	{"text", ~SEEN_NESTED},
	{"jsonb", ~0},
};

typedef struct Column
{
	char		name[NAMEDATALEN];	/* the key of the hash table */
	int			seen;
	int			nmessages;		/* how many had a value that is not null */
	int			last_message;
} Column;

struct SiInference
{
	const SiDecoderRoutine *routine;
	bool		json;			/* messages are documents with fields */

	/* csv and text: what makes an object of a message */
	SiDecoder  *decoder;
	SiArena    *arena;
	MemoryContextCallback callback;

	HTAB	   *by_name;
	List	   *columns;		/* of Column, as they appeared */
	int			nmessages;		/* with a value */
	int			nobjects;
	int			nbad;			/* not of the format */
	int			nlarge;			/* too large to be looked at */
	int			nunusable;		/* fields that no column can be named after */
};

/* All columns of a message of csv or text, as an object. */
static const SiWantedField whole_row = {false, 0, NULL};
static const SiDecodePlan row_plan = {1, &whole_row, 0, false};

/* ---- what a string may be ---- */

/* Take n digits as a number between least and most. */
static bool
take_number(const char **p, int n, int least, int most, int *result)
{
	int			value = 0;

	for (int i = 0; i < n; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (**p - '0');
	}
	if (result != NULL)
		*result = value;
	return value >= least && value <= most;
}

static bool
take_char(const char **p, const char *chars)
{
	if (**p == '\0' || strchr(chars, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

static bool
take_date(const char **p)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int			year;
	int			month;
	bool		leap;

	if (!take_number(p, 4, 1, 9999, &year) || !take_char(p, "-") ||
		!take_number(p, 2, 1, 12, &month) || !take_char(p, "-"))
		return false;
	leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return take_number(p, 2, 1, days[month - 1] + (leap ? 1 : 0), NULL);
}

static bool
take_time(const char **p)
{
	if (!take_number(p, 2, 0, 23, NULL) || !take_char(p, ":") ||
		!take_number(p, 2, 0, 59, NULL))
		return false;
	if (!take_char(p, ":"))
		return true;
	if (!take_number(p, 2, 0, 59, NULL))
		return false;
	if (take_char(p, "."))
	{
		if (!take_number(p, 1, 0, 9, NULL))
			return false;
		while (take_char(p, "0123456789"))
			;
	}
	return true;
}

static bool
take_zone(const char **p)
{
	if (take_char(p, "Zz"))
		return true;
	if (!take_char(p, "+-") || !take_number(p, 2, 0, 15, NULL))
		return false;
	if (**p == '\0')
		return true;
	(void) take_char(p, ":");
	return take_number(p, 2, 0, 59, NULL);
}

/* A date or a time of ISO 8601, 0 if it is none. */
static int
seen_in_datetime(const char *text)
{
	const char *p = text;

	if (!take_date(&p))
		return 0;
	if (*p == '\0')
		return SEEN_DATE;
	if (!take_char(&p, "Tt ") || !take_time(&p))
		return 0;
	if (*p == '\0')
		return SEEN_TIMESTAMP;
	return take_zone(&p) && *p == '\0' ? SEEN_TIMESTAMPTZ : 0;
}

static bool
is_uuid(const char *text, size_t len)
{
	if (len != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		hyphen = i == 8 || i == 13 || i == 18 || i == 23;

		if (hyphen ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	return true;
}

static bool
is_inet(const char *text)
{
	unsigned char address[16];

	return inet_pton(AF_INET, text, address) == 1 ||
		inet_pton(AF_INET6, text, address) == 1;
}

static int
seen_in_number(const char *data, size_t len)
{
	char		copy[24];
	char	   *end;

	if (len >= sizeof(copy))
		return SEEN_NUMERIC;
	memcpy(copy, data, len);
	copy[len] = '\0';
	errno = 0;
	(void) strtoi64(copy, &end, 10);
	return *end == '\0' && errno == 0 ? SEEN_BIGINT : SEEN_NUMERIC;
}

/*
 * What a value of csv or text is.  Numbers are JSON's: one with a leading zero
 * is rather the number of a house.
 */
static int
seen_in_text(const char *text)
{
	SiJsonScan	scan;
	SiJsonToken token;
	const char *p;

	if (strcmp(text, "t") == 0 || strcmp(text, "f") == 0)
		return SEEN_BOOLEAN;
	p = si_json_begin(&scan, text, strlen(text));
	if (p != text)
		return SEEN_TEXT;
	p = si_json_read_value(&scan, p, &token);
	if (p == NULL || *p != '\0')
		return SEEN_TEXT;
	if (token.kind == SI_VALUE_NUMBER)
		return seen_in_number(token.data, token.len);
	return token.kind == SI_VALUE_TRUE || token.kind == SI_VALUE_FALSE ?
		SEEN_BOOLEAN : SEEN_TEXT;
}

static int
seen_in_string(const SiInference *inference, const SiJsonToken *token)
{
	char		copy[MAX_SPECIAL_LEN + 1];
	int			seen;

	if (token->escaped || token->len == 0 || token->len > MAX_SPECIAL_LEN)
		return SEEN_TEXT;
	memcpy(copy, token->data, token->len);
	copy[token->len] = '\0';
	seen = seen_in_datetime(copy);
	if (seen != 0)
		return seen;
	if (is_uuid(copy, token->len))
		return SEEN_UUID;
	if (is_inet(copy))
		return SEEN_INET;
	return inference->json ? SEEN_TEXT : seen_in_text(copy);
}

/* ---- adding ---- */

/* The column of a field, NULL if none can have its name. */
static Column *
find_column(SiInference *inference, const SiJsonToken *key)
{
	char	   *raw = palloc(key->len + 1);
	size_t		len = key->len;
	char	   *name;
	Column	   *column;
	bool		found;

	if (key->escaped)
		len = si_json_unescape(key->data, key->len, raw);
	else
		memcpy(raw, key->data, len);
	name = si_bytes_to_text_strict(raw, len);
	pfree(raw);
	if (name == NULL || name[0] == '\0' || strlen(name) >= NAMEDATALEN ||
		SystemAttributeByName(name) != NULL)
		return NULL;

	column = hash_search(inference->by_name, name, HASH_FIND, NULL);
	if (column != NULL || list_length(inference->columns) >= MaxHeapAttributeNumber)
		return column;
	column = hash_search(inference->by_name, name, HASH_ENTER, &found);
	column->seen = column->nmessages = column->last_message = 0;
	inference->columns = lappend(inference->columns, column);
	return column;
}

static void
add_field(SiInference *inference, const SiJsonToken *key, const SiJsonToken *value)
{
	Column	   *column = find_column(inference, key);

	if (column == NULL)
	{
		inference->nunusable++;
		return;
	}
	switch (value->kind)
	{
		case SI_VALUE_NULL:
			return;
		case SI_VALUE_TRUE:
		case SI_VALUE_FALSE:
			column->seen |= SEEN_BOOLEAN;
			break;
		case SI_VALUE_NUMBER:
			column->seen |= seen_in_number(value->data, value->len);
			break;
		case SI_VALUE_STRING:
			column->seen |= seen_in_string(inference, value);
			break;
		default:
			column->seen |= SEEN_NESTED;
			break;
	}
	if (column->last_message != inference->nobjects)
		column->nmessages++;
	column->last_message = inference->nobjects;
}

/* Decoders and arenas are malloc's. */
static void
free_decoder(void *arg)
{
	SiInference *inference = arg;

	si_decoder_destroy(inference->decoder);
	si_arena_destroy(inference->arena);
}

static void
create_decoder(SiInference *inference)
{
	static const SiFormatOptions options = {0};

	inference->callback.func = free_decoder;
	inference->callback.arg = inference;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &inference->callback);
	inference->decoder = si_decoder_create(inference->routine->format, &row_plan, &options);
	inference->arena = si_arena_create();
	if (inference->decoder == NULL || inference->arena == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

SiInference *
si_infer_create(const char *format)
{
	SiInference *inference = palloc0(sizeof(SiInference));
	HASHCTL		control = {0};

	inference->routine = si_decoder_find(format);
	if (inference->routine->value == SI_WHOLE_DECODED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("infer_table does not read format \"%s\"", format),
				 errhint("The schema of the messages says which columns a table needs.")));
	inference->json = inference->routine->value == SI_WHOLE_JSON;
	if (!inference->json && inference->routine->fields != SI_FIELDS_ONE)
		create_decoder(inference);
	control.keysize = NAMEDATALEN;
	control.entrysize = sizeof(Column);
	control.hcxt = CurrentMemoryContext;
	inference->by_name = hash_create("stream_ingest inferred columns", 64, &control,
									 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	return inference;
}

/* A document, which is right, with its fields if it is an object. */
static void
add_document(SiInference *inference, const char *data, size_t len)
{
	SiJsonScan	scan;
	const char *p = si_json_begin(&scan, data, len);
	bool		more;

	if (*p != '{')
		return;
	inference->nobjects++;
	p = si_json_enter(&scan, p, '}', &more);
	while (more)
	{
		SiJsonToken key;
		SiJsonToken value;

		p = si_json_read_key(&scan, p, &key);
		p = si_json_pass_colon(&scan, p);
		p = si_json_read_value(&scan, p, &value);
		add_field(inference, &key, &value);
		p = si_json_next(&scan, p, '}', &more);
	}
}

static void
add_json(SiInference *inference, const SiMessage *message)
{
	SiJsonScan	scan;
	SiJsonToken whole;
	const char *p;

	/* all of it first, so that a bad message leaves no trace */
	p = si_json_begin(&scan, message->value, message->value_len);
	p = si_json_read_value(&scan, p, &whole);
	if (p != NULL && si_json_finish(&scan, p))
		add_document(inference, message->value, message->value_len);
	else
		inference->nbad++;
}

static void
add_row(SiInference *inference, const SiMessage *message)
{
	SiRecord	record;
	SiDecodeError error;

	if (si_decoder_decode(inference->decoder, message, inference->arena, &record, &error))
		add_document(inference, record.fields[0].data, record.fields[0].len);
	else
	{
		si_failure_check_decode(&error);
		inference->nbad++;
	}
	si_arena_reset(inference->arena);
}

void
si_infer_add(SiInference *inference, const SiMessage *message)
{
	if (message->value == NULL && !si_message_is_reduced(message))
		return;
	inference->nmessages++;
	if (si_message_is_reduced(message))
	{
		inference->nlarge++;
		return;
	}
	if (inference->json)
		add_json(inference, message);
	else if (inference->decoder != NULL)
		add_row(inference, message);
}

/* ---- the table ---- */

/* The type of the only column where messages have no fields. */
static const char *const value_types[] = {
	[SI_WHOLE_JSON] = "jsonb",
	[SI_WHOLE_TEXT] = "text",
	[SI_WHOLE_BYTES] = "bytea",
	[SI_WHOLE_DECODED] = "jsonb"
};

static const char *
column_type(const Column *column)
{
	/* null alone: any type holds it */
	if (column->seen == 0)
		return "text";
	for (int i = 0; i < lengthof(types); i++)
	{
		if ((column->seen & ~types[i].holds) == 0)
			return types[i].name;
	}
	pg_unreachable();
}

static void
append_columns(StringInfo table, const SiInference *inference)
{
	ListCell   *cell;

	foreach(cell, inference->columns)
	{
		const Column *column = lfirst(cell);

		appendStringInfo(table, "%s\n    %s %s%s",
						 cell == list_head(inference->columns) ? "" : ",",
						 quote_identifier(column->name), column_type(column),
						 inference->nobjects >= ENOUGH_FOR_NOT_NULL &&
						 column->nmessages == inference->nobjects ? " NOT NULL" : "");
	}
}

/* What one should know of the guess. */
static void
append_notes(StringInfo table, const SiInference *inference, const char *topic)
{
	int			nothers = inference->nmessages - inference->nobjects -
		inference->nbad - inference->nlarge;

	appendStringInfo(table, "-- messages of topic \"%s\" looked at: %d\n",
					 topic, inference->nmessages);
	if (inference->nbad > 0)
		appendStringInfo(table, "-- not valid %s: %d\n",
						 inference->routine->called, inference->nbad);
	if (inference->nlarge > 0)
		appendStringInfo(table, "-- too large to be looked at: %d\n", inference->nlarge);
	if (inference->json && nothers > 0)
		appendStringInfo(table, "-- JSON without fields: %d\n", nothers);
	if (inference->columns == NIL)
		appendStringInfoString(table, "-- use it with mapping => '{\"value\": \"$value\"}'\n");
	if (inference->nunusable > 0)
		appendStringInfo(table, "-- fields whose names no column can have, for \"mapping\": met %d times\n",
						 inference->nunusable);
}

char *
si_infer_table(const SiInference *inference, const char *target, const char *topic)
{
	StringInfoData table;

	if (inference->nmessages == 0)
		return NULL;
	initStringInfo(&table);
	append_notes(&table, inference, topic);
	appendStringInfo(&table, "CREATE TABLE %s (", target);
	if (inference->columns == NIL)
		appendStringInfo(&table, "\n    value %s", value_types[inference->routine->value]);
	append_columns(&table, inference);
	appendStringInfoString(&table, "\n);");
	return table.data;
}
