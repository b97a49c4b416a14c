/*-------------------------------------------------------------------------
 *
 * options.c
 *	  A subscription's options: JSON in, a checked struct out.
 *
 * Every option is one row of the table below.  Its default stands there as a
 * user would write it and passes the same parser, and the effective values are
 * printed in the form that the parser takes, so that the three always agree.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "common/subtransaction.h"
#include "options/nearest.h"
#include "options/option_types.h"
#include "options/options.h"
#include "options/property.h"

/* Values of the server's setting, in its own order. */
static const SiKeyword synchronous_commit_keywords[] = {
	{"off", 0},
	{"local", 0},
	{"on", 0},
	{"remote_write", 0},
	{"remote_apply", 0},
	{NULL}
};

static const SiKeyword on_error_keywords[] = {
	{"dead_letter", SI_ON_ERROR_DEAD_LETTER},
	{"stop", SI_ON_ERROR_STOP},
	{"ignore", SI_ON_ERROR_IGNORE},
	{NULL}
};

static const SiKeyword on_gap_keywords[] = {
	{"stop", SI_ON_GAP_STOP},
	{"continue", SI_ON_GAP_CONTINUE},
	{NULL}
};

static const SiKeyword missing_fields_keywords[] = {
	{"default", SI_MISSING_DEFAULT},
	{"null", SI_MISSING_NULL},
	{"error", SI_MISSING_ERROR},
	{NULL}
};

static const SiKeyword unknown_fields_keywords[] = {
	{"ignore", SI_UNKNOWN_IGNORE},
	{"error", SI_UNKNOWN_ERROR},
	{"add_columns", SI_UNKNOWN_ADD_COLUMNS},
	{NULL}
};

/* "No unit" and "by the insert mode" are not words: they are the defaults. */
static const SiKeyword epoch_unit_keywords[] = {
	{"seconds", SI_EPOCH_SECONDS},
	{"milliseconds", SI_EPOCH_MILLISECONDS},
	{"microseconds", SI_EPOCH_MICROSECONDS},
	{NULL}
};

static const SiKeyword tombstones_keywords[] = {
	{"delete", SI_TOMBSTONES_DELETE},
	{"ignore", SI_TOMBSTONES_IGNORE},
	{"error", SI_TOMBSTONES_ERROR},
	{NULL}
};

/* Without a word, the format decides. */
static const SiKeyword wire_format_keywords[] = {
	{"none", SI_WIRE_NONE},
	{"confluent", SI_WIRE_CONFLUENT},
	{"confluent-header", SI_WIRE_CONFLUENT_HEADER},
	{"apicurio", SI_WIRE_APICURIO},
	{"apicurio-header", SI_WIRE_APICURIO_HEADER},
	{"glue", SI_WIRE_GLUE},
	{NULL}
};

static const SiKeyword key_format_keywords[] = {
	{"auto", SI_KEY_AUTO},
	{"json", SI_KEY_JSON},
	{"text", SI_KEY_TEXT},
	{"bytes", SI_KEY_BYTES},
	{"int16", SI_KEY_INT16},
	{"int32", SI_KEY_INT32},
	{"int64", SI_KEY_INT64},
	{"float64", SI_KEY_FLOAT64},
	{"uuid", SI_KEY_UUID},
	{"avro", SI_KEY_AVRO},
	{"protobuf", SI_KEY_PROTOBUF},
	{NULL}
};

static const SiKeyword match_names_keywords[] = {
	{"exact", SI_MATCH_EXACT},
	{"ignore_case", SI_MATCH_IGNORE_CASE},
	{"snake_case", SI_MATCH_SNAKE_CASE},
	{NULL}
};

static const SiKeyword envelope_keywords[] = {
	{"none", SI_ENVELOPE_NONE},
	{"debezium", SI_ENVELOPE_DEBEZIUM},
	{"connect", SI_ENVELOPE_CONNECT},
	{"maxwell", SI_ENVELOPE_MAXWELL},
	{"goldengate", SI_ENVELOPE_GOLDENGATE},
	{NULL}
};

static const SiKeyword truncate_keywords[] = {
	{"error", SI_TRUNCATE_ERROR},
	{"ignore", SI_TRUNCATE_IGNORE},
	{NULL}
};

static const SiKeyword binary_text_keywords[] = {
	{"bytea", SI_BINARY_BYTEA},
	{"base64", SI_BINARY_BASE64},
	{"base64url", SI_BINARY_BASE64URL},
	{"hex", SI_BINARY_HEX},
	{NULL}
};

#define AT(member)	offsetof(SiOptions, member)

static const SiOption option_table[] = {
	{"start", &si_option_start, AT(starts), "earliest"},
	{"partitions", &si_option_partitions, AT(ranges)},
	{"workers", &si_option_integer, AT(workers), "1", 1, 1024},
	{"batch_size", &si_option_integer, AT(batch_size), "10000", 1, 1000000},
	{"batch_bytes", &si_option_size, AT(batch_bytes), "16MB", 1024, 1024 * 1024 * 1024},
	{"batch_interval", &si_option_duration, AT(batch_interval), "0 ms", 0, MS_PER_HOUR},
	{"synchronous_commit", &si_option_setting, AT(synchronous_commit), NULL, 0, 0, synchronous_commit_keywords},
	{"on_error", &si_option_keyword, AT(on_error), "dead_letter", 0, 0, on_error_keywords},
	{"reject_limit", &si_option_reject_limit, AT(reject_limit), NULL, 1, INT_MAX},
	{"breaker", &si_option_integer, AT(breaker), "1000", 0, INT_MAX},
	{"fk_retries", &si_option_integer, AT(fk_retries), "0", 0, 100},
	{"run_as_owner", &si_option_boolean, AT(run_as_owner), "false"},
	{"on_gap", &si_option_keyword, AT(on_gap), "stop", 0, 0, on_gap_keywords},
	{"missing_fields", &si_option_keyword, AT(missing_fields), "default", 0, 0, missing_fields_keywords},
	{"unknown_fields", &si_option_keyword, AT(unknown_fields), "ignore", 0, 0, unknown_fields_keywords},
	{"filter", &si_option_text, AT(filter), NULL, 1, 1024 * 1024},
	{"version_column", &si_option_text, AT(version_column), NULL, 1, NAMEDATALEN - 1},
	{"stop_at", &si_option_stop_at, AT(stops)},
	{"rate_limit", &si_option_integer, AT(rate_limit), NULL, 1, INT_MAX},
	{"epoch_unit", &si_option_keyword, AT(epoch_unit), NULL, 0, 0, epoch_unit_keywords},
	{"tombstones", &si_option_keyword, AT(tombstones), NULL, 0, 0, tombstones_keywords},
	{"delimiter", &si_option_line, AT(delimiter), NULL, 1, 1},
	{"quote", &si_option_line, AT(quote), NULL, 1, 1},
	{"escape", &si_option_line, AT(escape), NULL, 1, 1},
	{"null", &si_option_line, AT(null_text), NULL, 0, 1024},
	{"header_columns", &si_option_names, AT(header_columns), NULL, 1, NAMEDATALEN - 1},
	{"encoding", &si_option_encoding, AT(encoding), "UTF8"},
	{"wire_format", &si_option_keyword, AT(wire_format), NULL, 0, 0, wire_format_keywords},
	{"key_format", &si_option_keyword, AT(key_format), "auto", 0, 0, key_format_keywords},
	{"schema", &si_option_schema, AT(schema), NULL, 1, 4 * 1024 * 1024},
	{"message", &si_option_line, AT(message), NULL, 1, 1024},
	{"match_names", &si_option_keyword, AT(match_names), "exact", 0, 0, match_names_keywords},
	{"extended_json", &si_option_boolean, AT(extended_json), "false"},
	{"records", &si_option_records, AT(records), NULL, 1, 1024},
	{"schemas", &si_option_schemas, AT(schemas), NULL, 1, 4 * 1024 * 1024},
	{"envelope", &si_option_keyword, AT(envelope), "none", 0, 0, envelope_keywords},
	{"truncate", &si_option_keyword, AT(truncate), "error", 0, 0, truncate_keywords},
	{"unavailable_value", &si_option_line, AT(unavailable_value), "__debezium_unavailable_value", 1, 1024},
	{"deleted_field", &si_option_line, AT(deleted_field), NULL, 1, 1024},
	{"binary_text", &si_option_keyword, AT(binary_text), NULL, 0, 0, binary_text_keywords},
	{"group_id", &si_option_line, AT(group_id), NULL, 1, 255},
	{"publish_offsets", &si_option_boolean, AT(publish_offsets), "true"},
	/* in hex, what is kept of a message must fit into a line of pg_dump's */
	{"max_message_bytes", &si_option_size, AT(max_message_bytes), "64MB", 1024, 256 * 1024 * 1024},
};

/* Arguments that users mistake for options. */
static const char *const argument_names[] = {
	"name", "server", "topic", "target", "apply", "format", "fields",
	"mapping", "insert_mode", "key_columns", "enabled", "if_not_exists"
};

/*
 * Read the text of a JSON object.  jansson's own words are not used: they
 * quote the text, which may contain a password by mistake.
 */
static SiDocument *
load_object(const char *given)
{
	SiDocument *holder = si_document_make();
	const char *utf8 = pg_server_to_any(given, strlen(given), PG_UTF8);
	json_error_t error;

	holder->json = json_loads(utf8, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
							  &error);
	if (holder->json == NULL &&
		json_error_code(&error) == json_error_out_of_memory)
		(void) si_document_require(NULL);
	if (holder->json == NULL &&
		json_error_code(&error) == json_error_numeric_overflow)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid options"),
				 errdetail("A number is out of range.")));
	if (holder->json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid options"),
				 errdetail("The text is not valid JSON at line %d, column %d.",
						   error.line, error.column)));
	if (!json_is_object(holder->json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object"),
				 errhint("Write them as '{\"batch_size\": 1000}'.")));
	return holder;
}

static const SiOption *
find_option(const char *key)
{
	for (int i = 0; i < lengthof(option_table); i++)
	{
		if (strcmp(key, option_table[i].name) == 0)
			return &option_table[i];
	}
	return NULL;
}

/* Report an unknown option, with the nearest name as a hint. */
static void
report_unknown(const char *key)
{
	char	   *name = pg_any_to_server(key, strlen(key), PG_UTF8);
	int			n;
	const char **properties = si_property_subscription_names(&n);
	const char **candidates = palloc(sizeof(char *) * (n + lengthof(option_table)));
	const char *nearest;
	const char *hint;
	StringInfoData all;

	initStringInfo(&all);
	memcpy(candidates, properties, sizeof(char *) * n);
	for (int i = 0; i < lengthof(option_table); i++)
	{
		candidates[n++] = option_table[i].name;
		appendStringInfo(&all, "%s%s", all.len > 0 ? ", " : "", option_table[i].name);
	}
	nearest = si_nearest_name(name, candidates, n);

	if (nearest != NULL)
		hint = psprintf("Perhaps you meant \"%s\".", nearest);
	else
		hint = psprintf("Valid options are: %s; and properties of librdkafka, whose names have a dot.",
						all.data);
	for (int i = 0; i < lengthof(argument_names); i++)
	{
		if (strcmp(name, argument_names[i]) == 0)
			hint = psprintf("\"%s\" is an argument of its own, beside the options.",
							name);
	}

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized option \"%.*s\"",
					pg_mbcliplen(name, strlen(name), SI_OPTION_QUOTED), name),
			 errhint("%s", hint)));
}

/* The name under which a key is stored; throws if there is no such option. */
static const char *
canonical_name(const char *key)
{
	const SiOption *option = find_option(key);

	if (option != NULL)
		return option->name;
	if (strchr(key, '.') == NULL)
		report_unknown(key);
	return si_property_check_subscription(pg_any_to_server(key, strlen(key), PG_UTF8),
										  NULL);
}

/* Set every member to the default that the table names. */
static void
set_defaults(SiOptions *options)
{
	SiDocument *holder = si_document_make();

	for (int i = 0; i < lengthof(option_table); i++)
	{
		const SiOption *option = &option_table[i];

		if (option->initial == NULL)
			continue;
		holder->json = si_document_require(json_string(option->initial));
		option->type->parse(option, holder->json, options);
		json_decref(holder->json);
		holder->json = NULL;
	}
	si_document_release(holder);
}

/* Check and keep a property of librdkafka. */
static void
parse_property(const char *key, json_t *value, SiOptions *options)
{
	const char *name = canonical_name(key);
	char	   *given = si_document_string(value);

	if (json_is_integer(value) || json_is_boolean(value))
		given = si_document_text(value);

	if (given == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("The value must be a string, an integer or a boolean.")));
	(void) si_property_check_subscription(name, given);

	for (int i = 0; i < options->nproperties; i++)
	{
		if (strcmp(options->properties[i].name, name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is given twice", name)));
	}
	options->properties[options->nproperties].name = name;
	options->properties[options->nproperties].value = given;

	options->nproperties++;
}

SiOptions *
si_options_parse(const char *json)
{
	SiOptions  *options = palloc0(sizeof(SiOptions));
	SiDocument *given = load_object(json);
	const char *key;
	json_t	   *value;

	set_defaults(options);
	options->properties = palloc(sizeof(SiProperty) *
								 (json_object_size(given->json) + 1));

	json_object_foreach(given->json, key, value)
	{
		const SiOption *option = find_option(key);

		if (json_is_null(value))
			(void) canonical_name(key);
		else if (option == NULL)
			parse_property(key, value, options);
		else
			option->type->parse(option, value, options);
	}
	si_document_release(given);
	return options;
}

/* Is this an error of the server, rather than of the options? */
static bool
is_of_the_server(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_SYSTEM_ERROR;
}

/* Reading a stored document, and what it gives. */
typedef struct StoredOptions
{
	const char *json;
	SiOptions  *options;
} StoredOptions;

/* The work of si_subtransaction_run. */
static void
parse_stored(void *arg)
{
	StoredOptions *stored = arg;

	stored->options = si_options_parse(stored->json);
}

SiOptions *
si_options_parse_stored(const char *json, char **why)
{
	StoredOptions stored = {json};

	/* an error in one subscription's options must not affect the others */
	ErrorData  *error = si_subtransaction_run(parse_stored, &stored, true);

	if (error == NULL)
		return stored.options;
	if (is_of_the_server(error->sqlerrcode))
		ReThrowError(error);
	*why = error->message;
	return NULL;
}

char *
si_options_effective(const SiOptions *options)
{
	SiDocument *holder = si_document_make();
	char	   *result;

	holder->json = si_document_require(json_pack("{}"));
	for (int i = 0; i < lengthof(option_table); i++)
	{
		const SiOption *option = &option_table[i];

		if (json_object_set_new(holder->json, option->name,
								option->type->show(option, options)) != 0)
			(void) si_document_require(NULL);
	}
	for (int i = 0; i < options->nproperties; i++)
	{
		if (json_object_set_new(holder->json, options->properties[i].name,
								si_document_from_string(options->properties[i].value)) != 0)
			(void) si_document_require(NULL);
	}
	result = si_document_text(holder->json);
	si_document_release(holder);
	return result;
}

char *
si_options_merge(const char *options, const char *changes)
{
	SiDocument *merged = load_object(options);
	SiDocument *given = load_object(changes);
	SiDocument *seen = si_document_make();
	const char *key;
	json_t	   *value;
	char	   *result;

	if (json_object_size(given->json) == 0)
		json_object_clear(merged->json);

	seen->json = si_document_require(json_pack("{}"));
	json_object_foreach(given->json, key, value)
	{
		/* options that another version has stored can be removed */
		const char *name = json_is_null(value) && json_object_get(merged->json, key) != NULL
			? key : canonical_name(key);
		const SiOption *option = find_option(key);
		int			failed;

		if (json_object_get(seen->json, name) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is given twice", name)));
		failed = json_object_set_new(seen->json, name, json_true());

		if (json_is_null(value))
			(void) json_object_del(merged->json, name);
		else if (option != NULL && option->type == &si_option_start)
		{
			SiOptions	scratch;

			memset(&scratch, 0, sizeof(scratch));
			option->type->parse(option, value, &scratch);
			failed |= json_object_set_new(merged->json, name,
										  option->type->show(option, &scratch));
		}
		else
			failed |= json_object_set(merged->json, name, value);
		if (failed)
			(void) si_document_require(NULL);
	}
	result = si_document_text(merged->json);
	si_document_release(seen);
	si_document_release(given);
	si_document_release(merged);
	return result;
}

bool
si_options_names(const char *changes, const char *name)
{
	SiDocument *given = load_object(changes);
	bool		named = json_object_size(given->json) == 0 ||
		json_object_get(given->json, name) != NULL;

	si_document_release(given);
	return named;
}

char *
si_options_group_id(const char *options)
{
	SiDocument *given = si_document_make();
	char	   *result;

	/*
	 * not load_object(): an error must not quote another subscription's
	 * options
	 */
	given->json = json_loads(pg_server_to_any(options, strlen(options), PG_UTF8), 0, NULL);
	result = si_document_string(json_object_get(given->json, "group_id"));
	si_document_release(given);
	return result;
}
