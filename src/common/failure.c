/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  What went wrong with a message or a batch, and what kind of error it is.
 *
 * The list of temporary errors is closed: an error that is not in it counts as
 * the message's own as soon as isolation shows it, whatever its code.  So what
 * is missing here costs a dead letter, which can be retried, while a code too
 * many could make one bad message block its stream forever.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "common/failure.h"
#include "common/words.h"

const SiFailure si_failure_skipped = {
	.sqlerrcode = ERRCODE_WARNING,
	.message = "skipped by stream_ingest.skip()",
	.safe = true
};

/* Whole classes that are temporary: they come from the server's or a network's state. */
static const int temporary_classes[] = {
	MAKE_SQLSTATE('0', '8', '0', '0', '0'), /* connection exception */
	MAKE_SQLSTATE('4', '0', '0', '0', '0'), /* transaction rollback */
	MAKE_SQLSTATE('5', '3', '0', '0', '0'), /* insufficient resources */
	MAKE_SQLSTATE('5', '7', '0', '0', '0'), /* operator intervention, with
											 * cancelled and timed out */
	MAKE_SQLSTATE('5', '8', '0', '0', '0')	/* system error */
};

/* Single codes of classes that are not temporary as a whole. */
static const int temporary_codes[] = {
	ERRCODE_LOCK_NOT_AVAILABLE,
	ERRCODE_READ_ONLY_SQL_TRANSACTION
};

/* PostgreSQL's condition names of errors that are common here. */
typedef struct ConditionName
{
	int			sqlerrcode;
	const char *name;
} ConditionName;

static const ConditionName condition_names[] = {
	{ERRCODE_CONNECTION_FAILURE, "connection_failure"},
	{ERRCODE_CARDINALITY_VIOLATION, "cardinality_violation"},
	{ERRCODE_STRING_DATA_RIGHT_TRUNCATION, "string_data_right_truncation"},
	{ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "numeric_value_out_of_range"},
	{ERRCODE_INVALID_DATETIME_FORMAT, "invalid_datetime_format"},
	{ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "datetime_field_overflow"},
	{ERRCODE_DIVISION_BY_ZERO, "division_by_zero"},
	{ERRCODE_CHARACTER_NOT_IN_REPERTOIRE, "character_not_in_repertoire"},
	{ERRCODE_INVALID_PARAMETER_VALUE, "invalid_parameter_value"},
	{ERRCODE_INVALID_JSON_TEXT, "invalid_json_text"},
	{ERRCODE_SQL_JSON_MEMBER_NOT_FOUND, "sql_json_member_not_found"},
	{ERRCODE_TOO_MANY_JSON_OBJECT_MEMBERS, "too_many_json_object_members"},
	{ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid_text_representation"},
	{ERRCODE_INVALID_BINARY_REPRESENTATION, "invalid_binary_representation"},
	{ERRCODE_BAD_COPY_FILE_FORMAT, "bad_copy_file_format"},
	{ERRCODE_UNTRANSLATABLE_CHARACTER, "untranslatable_character"},
	{ERRCODE_NOT_NULL_VIOLATION, "not_null_violation"},
	{ERRCODE_FOREIGN_KEY_VIOLATION, "foreign_key_violation"},
	{ERRCODE_UNIQUE_VIOLATION, "unique_violation"},
	{ERRCODE_CHECK_VIOLATION, "check_violation"},
	{ERRCODE_EXCLUSION_VIOLATION, "exclusion_violation"},
	{ERRCODE_READ_ONLY_SQL_TRANSACTION, "read_only_sql_transaction"},
	{ERRCODE_T_R_SERIALIZATION_FAILURE, "serialization_failure"},
	{ERRCODE_T_R_DEADLOCK_DETECTED, "deadlock_detected"},
	{ERRCODE_INSUFFICIENT_PRIVILEGE, "insufficient_privilege"},
	{ERRCODE_DATATYPE_MISMATCH, "datatype_mismatch"},
	{ERRCODE_UNDEFINED_COLUMN, "undefined_column"},
	{ERRCODE_UNDEFINED_FUNCTION, "undefined_function"},
	{ERRCODE_UNDEFINED_TABLE, "undefined_table"},
	{ERRCODE_WITH_CHECK_OPTION_VIOLATION, "with_check_option_violation"},
	{ERRCODE_DISK_FULL, "disk_full"},
	{ERRCODE_OUT_OF_MEMORY, "out_of_memory"},
	{ERRCODE_PROGRAM_LIMIT_EXCEEDED, "program_limit_exceeded"},
	{ERRCODE_LOCK_NOT_AVAILABLE, "lock_not_available"},
	{ERRCODE_QUERY_CANCELED, "query_canceled"},
	{ERRCODE_ADMIN_SHUTDOWN, "admin_shutdown"},
	{ERRCODE_RAISE_EXCEPTION, "raise_exception"},
	{ERRCODE_INTERNAL_ERROR, "internal_error"}
};

static char *copy_text(const char *text);
static char *server_hint(const ErrorData *edata);
static int	decode_sqlstate(const SiDecodeError *error);
static const char *condition_name(int sqlerrcode);
static void append_place(StringInfo buf, const char *topic,
						 const SiMessage *message, int record);
static void append_error(StringInfo buf, const SiFailure *failure);

/* Copy what matters of a caught error into the current memory context. */
SiFailure *
si_failure_from_error(const ErrorData *edata)
{
	SiFailure  *failure = palloc0(sizeof(SiFailure));

	failure->sqlerrcode = edata->sqlerrcode;
	failure->message = edata->message ? pstrdup(edata->message) :
		pstrdup("missing error text");
	failure->detail = copy_text(edata->detail);
	failure->hint = server_hint(edata);
	failure->column = copy_text(edata->column_name);
	failure->type = copy_text(edata->datatype_name);
	failure->constraint = copy_text(edata->constraint_name);

	/* NOT NULL and CHECK; another server may have it under another name */
	failure->of_row = edata->funcname != NULL &&
		strcmp(edata->funcname, "ExecConstraints") == 0;
	return failure;
}

/* A decoder's verdict as a failure; one that passes is thrown. */
SiFailure *
si_failure_from_decode(const SiDecodeError *error)
{
	SiFailure  *failure = palloc0(sizeof(SiFailure));

	si_failure_check_decode(error);
	failure->sqlerrcode = decode_sqlstate(error);
	failure->message = si_words_show(error->message, strlen(error->message));
	failure->detail = error->detail[0] ? si_words_show(error->detail, strlen(error->detail)) : NULL;
	failure->safe = true;
	return failure;
}

/*
 * A temporary error must reach the caller, which retries.  As a message's failure
 * it would make a dead letter of a good message.
 */
void
si_failure_throw_if_temporary(int sqlerrcode, const char *message)
{
	if (si_failure_kind(sqlerrcode) == SI_ERROR_TEMPORARY)
		ereport(ERROR,
				(errcode(sqlerrcode),
				 errmsg("%s", message)));
}

void
si_failure_check_decode(const SiDecodeError *error)
{
	si_failure_throw_if_temporary(decode_sqlstate(error), error->message);
}

char *
si_failure_type_name(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			schema = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
		ReleaseSysCache(tuple);
	}
	return schema == PG_CATALOG_NAMESPACE ? format_type_be(type) : format_type_be_qualified(type);
}

SiFailure *
si_failure_copy(const SiFailure *failure, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SiFailure  *copy = palloc(sizeof(SiFailure));

	*copy = *failure;
	copy->message = copy_text(failure->message);
	copy->detail = copy_text(failure->detail);
	copy->hint = copy_text(failure->hint);
	copy->column = copy_text(failure->column);
	copy->type = copy_text(failure->type);
	copy->constraint = copy_text(failure->constraint);
	MemoryContextSwitchTo(old);
	return copy;
}

SiErrorKind
si_failure_kind(int sqlerrcode)
{
	for (int i = 0; i < lengthof(temporary_classes); i++)
	{
		if (ERRCODE_TO_CATEGORY(sqlerrcode) == temporary_classes[i])
			return SI_ERROR_TEMPORARY;
	}

	for (int i = 0; i < lengthof(temporary_codes); i++)
	{
		if (sqlerrcode == temporary_codes[i])
			return SI_ERROR_TEMPORARY;
	}

	return SI_ERROR_DATA;
}

bool
si_failure_retry_at_once(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) ==
		ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK);
}

/*
 * A batch of half the messages takes less memory.  Other scarce resources (the
 * disk, connections) do not depend on its size.
 */
bool
si_failure_of_resources(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_OUT_OF_MEMORY;
}

/*
 * One sentence without any payload: the server's own words may quote a value,
 * so only code and names of its errors are reported.
 */
char *
si_failure_describe(const SiFailure *failure, const char *topic,
					const SiMessage *message)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_place(&buf, topic, message, failure->record);
	appendStringInfoString(&buf, " was refused: ");
	append_error(&buf, failure);

	return buf.data;
}

char *
si_failure_detail(const SiFailure *failure)
{
	char	   *detail = failure->detail ? failure->detail : failure->hint;

	if (failure->record == 0)
		return detail;
	return psprintf("Record %d of the message.%s%s", failure->record,
					detail ? " " : "", detail ? detail : "");
}

char *
si_failure_words(const SiFailure *failure)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_error(&buf, failure);
	return buf.data;
}

static char *
copy_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* The SQLSTATE of a decoder's error, as a number. */
static int
decode_sqlstate(const SiDecodeError *error)
{
	const char *c = error->sqlstate;

	return MAKE_SQLSTATE(c[0], c[1], c[2], c[3], c[4]);
}

/*
 * The hint of an error that the server itself raised for lack of resources: it
 * names a setting.  Others may come from a user's function and quote a payload.
 */
static char *
server_hint(const ErrorData *edata)
{
	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) !=
		ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		edata->domain == NULL || strcmp(edata->domain, PG_TEXTDOMAIN("postgres")) != 0)
		return NULL;
	return copy_text(edata->hint);
}

/* The condition's name, or NULL if it is not in the table. */
static const char *
condition_name(int sqlerrcode)
{
	for (int i = 0; i < lengthof(condition_names); i++)
	{
		if (condition_names[i].sqlerrcode == sqlerrcode)
			return condition_names[i].name;
	}

	return NULL;
}

/* What was refused: a message by its coordinates, or else the batch. */
static void
append_place(StringInfo buf, const char *topic, const SiMessage *message, int record)
{
	appendStringInfoString(buf, message ? "message at " : "a batch");
	if (topic)
		appendStringInfo(buf, "%stopic \"%s\"%s", message ? "" : " of ",
						 topic, message ? ", " : "");
	if (message)
		appendStringInfo(buf, "partition %d, offset " INT64_FORMAT,
						 message->partition, (int64) message->offset);
	if (message && record > 0)
		appendStringInfo(buf, ", record %d", record);
}

/* The error: our own words, or only code and names of the server's. */
static void
append_cause(StringInfo buf, const SiFailure *failure)
{
	const char *sqlstate = unpack_sql_state(failure->sqlerrcode);
	const char *name = condition_name(failure->sqlerrcode);

	if (failure->safe)
	{
		/* our own words name the column where there is one */
		appendStringInfo(buf, "%s (%s)", failure->message, sqlstate);
		return;
	}

	appendStringInfoString(buf, sqlstate);
	if (name)
		appendStringInfo(buf, " (%s)", name);
	if (failure->column)
		appendStringInfo(buf, ", column \"%s\"", failure->column);
	if (failure->type)
		appendStringInfo(buf, failure->column ? " of type %s" : ", type %s",
						 failure->type);
	if (failure->constraint)
		appendStringInfo(buf, ", constraint \"%s\"", failure->constraint);
}

/* The error and what to do about it, as a part of a sentence. */
static void
append_error(StringInfo buf, const SiFailure *failure)
{
	int			len;

	append_cause(buf, failure);
	if (failure->hint == NULL)
		return;
	len = strlen(failure->hint);
	while (len > 0 && failure->hint[len - 1] == '.')
		len--;
	appendStringInfo(buf, ", hint: %.*s", len, failure->hint);
}
