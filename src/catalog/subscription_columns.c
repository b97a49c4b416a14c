/*-------------------------------------------------------------------------
 *
 * subscription_columns.c
 *	  The columns of the table "subscription", as SiSubscription has them.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/subscription_columns.h"

/* How a column is kept in the struct. */
typedef enum ColumnKind
{
	COLUMN_NAME,				/* NameData */
	COLUMN_NAME_TEXT,			/* a name as char * */
	COLUMN_TEXT,				/* char *, NULL for null; so for jsonb */
	COLUMN_JSONB,
	COLUMN_NAMES,				/* name[] as Datum, 0 for null */
	COLUMN_OID,
	COLUMN_OID_OR_NULL,			/* InvalidOid for null */
	COLUMN_INT4,				/* -1 for null */
	COLUMN_INT8,
	COLUMN_BOOL,
	COLUMN_TIME,				/* 0 for null */
	COLUMN_MODE,				/* text as insert_mode and unknown_mode */
	COLUMN_PINNED				/* text[] as pinned[] and pinned_lost */
} ColumnKind;

typedef struct Column
{
	const char *name;
	ColumnKind	kind;
	size_t		place;			/* in SiSubscription */
	bool		stored;			/* by INSERT and UPDATE; else only read here */
} Column;

#define PLACE(member) offsetof(SiSubscription, member)

static const Column columns[] = {
	{"name", COLUMN_NAME, PLACE(name), true},
	{"owner", COLUMN_OID, PLACE(owner), true},
	{"owner_name", COLUMN_NAME_TEXT, PLACE(owner_name), true},
	{"server", COLUMN_NAME_TEXT, PLACE(server), true},
	{"server_oid", COLUMN_OID_OR_NULL, PLACE(server_oid), true},
	{"topic", COLUMN_TEXT, PLACE(topic), true},
	{"target", COLUMN_OID_OR_NULL, PLACE(target), true},
	{"target_name", COLUMN_TEXT, PLACE(target_name), true},
	{"apply", COLUMN_TEXT, PLACE(apply), true},
	{"format", COLUMN_TEXT, PLACE(format), true},
	{"fields", COLUMN_TEXT, PLACE(fields), true},
	{"mapping", COLUMN_JSONB, PLACE(mapping), true},
	{"insert_mode", COLUMN_MODE, PLACE(insert_mode), true},
	{"key_columns", COLUMN_NAMES, PLACE(key_columns), true},
	{"options", COLUMN_JSONB, PLACE(options_text), true},
	{"pinned", COLUMN_PINNED, PLACE(pinned), true},
	{"enabled", COLUMN_BOOL, PLACE(enabled), true},
	{"stop_state", COLUMN_TEXT, PLACE(stop_state), true},
	{"stop_reason", COLUMN_TEXT, PLACE(stop_reason), true},
	{"pending_position", COLUMN_TEXT, PLACE(pending_position), true},
	{"first_partitions", COLUMN_INT4, PLACE(first_partitions), true},
	{"adopt_log", COLUMN_BOOL, PLACE(adopt_log), true},
	{"system_identifier", COLUMN_INT8, PLACE(system_identifier), true},
	{"database", COLUMN_OID, PLACE(database), true},
	{"extension", COLUMN_OID, PLACE(extension), true},
	{"id", COLUMN_INT4, PLACE(id), false},
	{"epoch", COLUMN_INT8, PLACE(epoch), false},
	{"stop_sqlstate", COLUMN_TEXT, PLACE(stop_sqlstate), false},
	{"run_since", COLUMN_TIME, PLACE(run_since), false},
};

/* The type of a statement's argument. */
static Oid
argument_type(ColumnKind kind)
{
	switch (kind)
	{
		case COLUMN_NAME:
		case COLUMN_NAME_TEXT:
			return NAMEOID;
		case COLUMN_TEXT:
		case COLUMN_JSONB:		/* cast in the statement */
		case COLUMN_MODE:
			return TEXTOID;
		case COLUMN_NAMES:
			return NAMEARRAYOID;
		case COLUMN_OID:
		case COLUMN_OID_OR_NULL:
			return OIDOID;
		case COLUMN_INT4:
			return INT4OID;
		case COLUMN_INT8:
			return INT8OID;
		case COLUMN_BOOL:
			return BOOLOID;
		case COLUMN_TIME:
			return TIMESTAMPTZOID;
		case COLUMN_PINNED:
			return TEXTARRAYOID;
	}
	pg_unreachable();
}

/* ---- the statements ---- */

/* Set a statement's text, for as long as the process lives. */
static void
set_text(SiFixedSql *statement, StringInfo sql)
{
	statement->text = MemoryContextStrdup(TopMemoryContext, sql->data);
	pfree(sql->data);
}

/* Set the types of a statement's arguments: those of the stored columns, in order. */
static void
set_types(SiFixedSql *statement)
{
	statement->nargs = 0;
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!columns[i].stored)
			continue;
		Assert(statement->nargs < SI_FIXED_SQL_MAX_ARGS);
		statement->types[statement->nargs++] = argument_type(columns[i].kind);
	}
}

/* The number of a stored column's argument. */
static int
argument_of(const char *name)
{
	int			number = 0;

	for (int i = 0; i < lengthof(columns); i++)
	{
		number += columns[i].stored;
		if (strcmp(columns[i].name, name) == 0)
			return number;
	}
	elog(ERROR, "table subscription has no column \"%s\"", name);
}

static void
append_argument(StringInfo sql, const Column *column)
{
	appendStringInfo(sql, "$%d%s", argument_of(column->name),
					 column->kind == COLUMN_JSONB ? "::jsonb" : "");
}

void
si_subscription_select(SiFixedSql *statement, const char *rest)
{
	StringInfoData sql;

	if (statement->text !=NULL)
		return;
	initStringInfo(&sql);
	for (int i = 0; i < lengthof(columns); i++)
		appendStringInfo(&sql, "%s s.%s", i ? "," : "SELECT", columns[i].name);
	appendStringInfo(&sql, " FROM stream_ingest.subscription s %s", rest);
	set_text(statement, &sql);
}

void
si_subscription_insert(SiFixedSql *statement)
{
	StringInfoData sql;
	const char *separator = "";

	if (statement->text !=NULL)
		return;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "INSERT INTO stream_ingest.subscription AS s (");
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!columns[i].stored)
			continue;
		appendStringInfo(&sql, "%s%s", separator, columns[i].name);
		separator = ", ";
	}
	separator = ") VALUES (";
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!columns[i].stored)
			continue;
		appendStringInfoString(&sql, separator);
		append_argument(&sql, &columns[i]);
		separator = ", ";
	}
	appendStringInfoString(&sql, ") ON CONFLICT (name) DO NOTHING RETURNING s.id");
	set_types(statement);
	set_text(statement, &sql);
}

/* What an update sets beside the stored columns depends on whether it stops. */
void
si_subscription_update(SiFixedSql *statement)
{
	int			stop = argument_of("stop_state");
	StringInfoData sql;

	if (statement->text !=NULL)
		return;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "UPDATE stream_ingest.subscription s SET epoch = s.epoch + 1");
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!columns[i].stored || columns[i].kind == COLUMN_NAME)
			continue;
		appendStringInfo(&sql, ", %s = ", columns[i].name);
		append_argument(&sql, &columns[i]);
	}
	appendStringInfo(&sql, ", stop_sqlstate = CASE WHEN $%d IS NOT NULL THEN s.stop_sqlstate END"
					 ", stopped_at = CASE WHEN $%d IS NOT NULL THEN s.stopped_at END"
					 " WHERE s.name = $%d RETURNING s.epoch",
					 stop, stop, argument_of("name"));
	set_types(statement);
	set_text(statement, &sql);
}

/* ---- from the struct ---- */

static Datum
name_datum(const char *value)
{
	NameData   *name = palloc(sizeof(NameData));

	namestrcpy(name, value);
	return NameGetDatum(name);
}

/* A text that may be NULL. */
static Datum
text_datum(const char *value, bool *null)
{
	*null = (value == NULL);
	return (value == NULL) ? (Datum) 0 : CStringGetTextDatum(value);
}

static Datum
pinned_datum(char *const *pinned)
{
	Datum		elements[SI_NPINNED];

	for (int i = 0; i < SI_NPINNED; i++)
		elements[i] = CStringGetTextDatum(pinned[i]);
	return PointerGetDatum(construct_array(elements, SI_NPINNED, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* A stored column's value. */
static Datum
column_datum(const SiSubscription *s, const Column *column, bool *null)
{
	const void *at = (const char *) s + column->place;

	*null = false;
	switch (column->kind)
	{
		case COLUMN_NAME:
			return NameGetDatum((const NameData *) at);
		case COLUMN_NAME_TEXT:
			return name_datum(*(char *const *) at);
		case COLUMN_TEXT:
		case COLUMN_JSONB:
			return text_datum(*(char *const *) at, null);
		case COLUMN_MODE:
			return CStringGetTextDatum(s->insert_mode == SI_MODE_UNKNOWN ? s->unknown_mode
									   : si_insert_modes[s->insert_mode].name);
		case COLUMN_NAMES:
			*null = (*(const Datum *) at == (Datum) 0);
			return *(const Datum *) at;
		case COLUMN_OID_OR_NULL:
			*null = !OidIsValid(*(const Oid *) at);
			return ObjectIdGetDatum(*(const Oid *) at);
		case COLUMN_OID:
			return ObjectIdGetDatum(*(const Oid *) at);
		case COLUMN_INT4:
			*null = (*(const int32 *) at < 0);
			return Int32GetDatum(*(const int32 *) at);
		case COLUMN_INT8:
			return Int64GetDatum(*(const int64 *) at);
		case COLUMN_BOOL:
			return BoolGetDatum(*(const bool *) at);
		case COLUMN_TIME:
			*null = (*(const TimestampTz *) at == 0);
			return TimestampTzGetDatum(*(const TimestampTz *) at);
		case COLUMN_PINNED:
			return pinned_datum(s->pinned);
	}
	pg_unreachable();
}

void
si_subscription_arguments(const SiSubscription *subscription, Datum *values, char *nulls)
{
	int			n = 0;

	for (int i = 0; i < lengthof(columns); i++)
	{
		bool		null;

		if (!columns[i].stored)
			continue;
		values[n] = column_datum(subscription, &columns[i], &null);
		nulls[n++] = null ? 'n' : ' ';
	}
}

/* ---- into the struct ---- */

/*
 * Read the pinned settings.  Missing ones are empty, so that functions that only
 * move the row do not fail by them.
 */
static void
read_pinned(SiSubscription *s, Datum pinned, bool isnull)
{
	Datum	   *elements = NULL;
	bool	   *nulls = NULL;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(pinned), TEXTOID, -1, false, TYPALIGN_INT,
						  &elements, &nulls, &n);
	s->pinned_lost = (n != SI_NPINNED);
	for (int i = 0; i < SI_NPINNED; i++)
	{
		char	   *value = (i >= n || nulls[i]) ? "" : TextDatumGetCString(elements[i]);

		/* only a search_path can be empty */
		s->pinned_lost |= (value[0] == '\0' && i != SI_PINNED_SEARCH_PATH);
		s->pinned[i] = SPI_palloc(strlen(value) + 1);
		strcpy(s->pinned[i], value);
	}
}

static void
read_column(SiSubscription *s, const Column *column, uint64 row, int number)
{
	void	   *at = (char *) s + column->place;
	Datum		value;
	bool		isnull;

	switch (column->kind)
	{
		case COLUMN_NAME:
			namestrcpy((NameData *) at, si_fixed_sql_text(row, number));
			break;
		case COLUMN_NAME_TEXT:
		case COLUMN_TEXT:
		case COLUMN_JSONB:
			*(char **) at = si_fixed_sql_text(row, number);
			break;
		case COLUMN_MODE:
			s->unknown_mode = si_fixed_sql_text(row, number);
			s->insert_mode = si_insert_mode_parse(s->unknown_mode);
			break;
		case COLUMN_NAMES:
			value = si_fixed_sql_datum(row, number, &isnull);
			*(Datum *) at = isnull ? (Datum) 0 : value;
			break;
		case COLUMN_OID:
		case COLUMN_OID_OR_NULL:
			*(Oid *) at = si_fixed_sql_int(row, number, InvalidOid);
			break;
		case COLUMN_INT4:
			*(int32 *) at = si_fixed_sql_int(row, number, -1);
			break;
		case COLUMN_INT8:
			*(int64 *) at = si_fixed_sql_int(row, number, 0);
			break;
		case COLUMN_BOOL:
			*(bool *) at = si_fixed_sql_int(row, number, false);
			break;
		case COLUMN_TIME:
			value = si_fixed_sql_datum(row, number, &isnull);
			*(TimestampTz *) at = isnull ? 0 : DatumGetTimestampTz(value);
			break;
		case COLUMN_PINNED:
			value = si_fixed_sql_datum(row, number, &isnull);
			read_pinned(s, value, isnull);
			break;
	}
}

void
si_subscription_read(SiSubscription *subscription, uint64 row)
{
	for (int i = 0; i < lengthof(columns); i++)
		read_column(subscription, &columns[i], row, i + 1);
}
