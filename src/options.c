/*-------------------------------------------------------------------------
 *
 * options.c
 *	  A subscription's options: JSON in, a checked struct out.
 *
 * Every option is one row of the table below.  Its default is written there as
 * a user would write it and goes through the same parser, and the effective
 * values are printed in the form that the parser takes, so the three cannot
 * drift apart.  An option of a later version has its row, too: it is refused
 * with a clear word until the row says that it is supported.
 *
 * JSON documents are read by jansson.  Two things to mind in this file: the
 * server exports a function json_object() of its own, which wins over
 * jansson's, so objects are made with json_pack("{}"); and utils/builtins.h
 * declares the server's, so it cannot be included here.  jansson's memory does
 * not belong to a memory context, hence JsonHolder: an error on the way must
 * not leak the document.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <jansson.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "options.h"
#include "server_options.h"

/* Between the epochs of Kafka's timestamps (Unix) and the server's. */
#define EPOCH_DIFFERENCE_MS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

/* How much of a value an error message quotes. */
#define MAX_QUOTED		64

#define MS_PER_HOUR		INT64CONST(3600000)

/* A JSON document that goes away with its own memory context. */
typedef struct JsonHolder
{
	MemoryContextCallback callback;
	MemoryContext context;
	json_t	   *json;
} JsonHolder;

/* A word that stands for a number. */
typedef struct Keyword
{
	const char *name;			/* NULL ends the list */
	int			value;
	bool		supported;
} Keyword;

typedef struct Option Option;

/* How values of a kind are read, printed and described. */
typedef struct OptionType
{
	/* set the option's member, or throw by way of report_value() */
	void		(*parse) (const Option *option, json_t *value, SiOptions *options);

	/* the member's value, as a new reference */
	json_t	   *(*show) (const Option *option, const SiOptions *options);

	/* what follows "Valid values are" in a message */
	const char *(*describe) (const Option *option);
} OptionType;

struct Option
{
	const char *name;
	const OptionType *type;
	bool		supported;
	size_t		offset;			/* of the member in SiOptions */
	const char *initial;		/* default; NULL leaves the member zero */
	int64		min;			/* of a number, or of a text's length */
	int64		max;
	const Keyword *keywords;
};

#define MEMBER(options, option, type) \
	(*(type *) ((char *) (options) + (option)->offset))
#define CONST_MEMBER(options, option, type) \
	(*(const type *) ((const char *) (options) + (option)->offset))

static void parse_integer(const Option *option, json_t *value, SiOptions *options);
static void parse_duration(const Option *option, json_t *value, SiOptions *options);
static void parse_size(const Option *option, json_t *value, SiOptions *options);
static void parse_boolean(const Option *option, json_t *value, SiOptions *options);
static void parse_keyword(const Option *option, json_t *value, SiOptions *options);
static void parse_setting(const Option *option, json_t *value, SiOptions *options);
static void parse_text(const Option *option, json_t *value, SiOptions *options);
static void parse_line(const Option *option, json_t *value, SiOptions *options);
static void parse_names(const Option *option, json_t *value, SiOptions *options);
static void parse_encoding(const Option *option, json_t *value, SiOptions *options);
static void parse_reject_limit(const Option *option, json_t *value, SiOptions *options);
static void parse_start(const Option *option, json_t *value, SiOptions *options);
static void parse_stop_at(const Option *option, json_t *value, SiOptions *options);
static void parse_partitions(const Option *option, json_t *value, SiOptions *options);

static json_t *show_integer(const Option *option, const SiOptions *options);
static json_t *show_duration(const Option *option, const SiOptions *options);
static json_t *show_size(const Option *option, const SiOptions *options);
static json_t *show_boolean(const Option *option, const SiOptions *options);
static json_t *show_keyword(const Option *option, const SiOptions *options);
static json_t *show_setting(const Option *option, const SiOptions *options);
static json_t *show_text(const Option *option, const SiOptions *options);
static json_t *show_names(const Option *option, const SiOptions *options);
static json_t *show_encoding(const Option *option, const SiOptions *options);
static json_t *show_reject_limit(const Option *option, const SiOptions *options);
static json_t *show_start(const Option *option, const SiOptions *options);
static json_t *show_stop_at(const Option *option, const SiOptions *options);
static json_t *show_partitions(const Option *option, const SiOptions *options);

static const char *describe_integer(const Option *option);
static const char *describe_duration(const Option *option);
static const char *describe_size(const Option *option);
static const char *describe_boolean(const Option *option);
static const char *describe_keyword(const Option *option);
static const char *describe_text(const Option *option);
static const char *describe_line(const Option *option);
static const char *describe_names(const Option *option);
static const char *describe_encoding(const Option *option);
static const char *describe_reject_limit(const Option *option);
static const char *describe_start(const Option *option);
static const char *describe_stop_at(const Option *option);
static const char *describe_partitions(const Option *option);

static const OptionType integer_type = {parse_integer, show_integer, describe_integer};
static const OptionType duration_type = {parse_duration, show_duration, describe_duration};
static const OptionType size_type = {parse_size, show_size, describe_size};
static const OptionType boolean_type = {parse_boolean, show_boolean, describe_boolean};
static const OptionType keyword_type = {parse_keyword, show_keyword, describe_keyword};
static const OptionType setting_type = {parse_setting, show_setting, describe_keyword};
static const OptionType text_type = {parse_text, show_text, describe_text};
static const OptionType line_type = {parse_line, show_text, describe_line};
static const OptionType names_type = {parse_names, show_names, describe_names};
static const OptionType encoding_type = {parse_encoding, show_encoding, describe_encoding};
static const OptionType reject_limit_type = {parse_reject_limit, show_reject_limit, describe_reject_limit};
static const OptionType start_type = {parse_start, show_start, describe_start};
static const OptionType stop_at_type = {parse_stop_at, show_stop_at, describe_stop_at};
static const OptionType partitions_type = {parse_partitions, show_partitions, describe_partitions};

/* Values of the server's setting, in its own order. */
static const Keyword synchronous_commit_keywords[] = {
	{"off", 0, true},
	{"local", 0, true},
	{"on", 0, true},
	{"remote_write", 0, true},
	{"remote_apply", 0, true},
	{NULL}
};

static const Keyword on_error_keywords[] = {
	{"dead_letter", SI_ON_ERROR_DEAD_LETTER, true},
	{"stop", SI_ON_ERROR_STOP, true},
	{"ignore", SI_ON_ERROR_IGNORE, true},
	{NULL}
};

static const Keyword on_gap_keywords[] = {
	{"stop", SI_ON_GAP_STOP, true},
	{"continue", SI_ON_GAP_CONTINUE, true},
	{NULL}
};

static const Keyword missing_fields_keywords[] = {
	{"default", SI_MISSING_DEFAULT, true},
	{"null", SI_MISSING_NULL, true},
	{"error", SI_MISSING_ERROR, true},
	{NULL}
};

static const Keyword unknown_fields_keywords[] = {
	{"ignore", SI_UNKNOWN_IGNORE, true},
	{"error", SI_UNKNOWN_ERROR, true},
	{NULL}
};

/* "No unit" and "by the insert mode" are not words: they are the defaults. */
static const Keyword epoch_unit_keywords[] = {
	{"seconds", SI_EPOCH_SECONDS, true},
	{"milliseconds", SI_EPOCH_MILLISECONDS, true},
	{"microseconds", SI_EPOCH_MICROSECONDS, true},
	{NULL}
};

static const Keyword tombstones_keywords[] = {
	{"delete", SI_TOMBSTONES_DELETE, true},
	{"ignore", SI_TOMBSTONES_IGNORE, true},
	{"error", SI_TOMBSTONES_ERROR, true},
	{NULL}
};

#define AT(member)	offsetof(SiOptions, member)

static const Option option_table[] = {
	{"start", &start_type, true, AT(starts), "earliest"},
	{"partitions", &partitions_type, true, AT(ranges)},
	{"workers", &integer_type, true, AT(workers), "1", 1, 1024},
	{"batch_size", &integer_type, true, AT(batch_size), "10000", 1, 1000000},
	{"batch_bytes", &size_type, true, AT(batch_bytes), "16MB", 1024, 1024 * 1024 * 1024},
	{"batch_interval", &duration_type, true, AT(batch_interval), "0 ms", 0, MS_PER_HOUR},
	{"synchronous_commit", &setting_type, true, AT(synchronous_commit), NULL, 0, 0, synchronous_commit_keywords},
	{"on_error", &keyword_type, true, AT(on_error), "dead_letter", 0, 0, on_error_keywords},
	{"reject_limit", &reject_limit_type, true, AT(reject_limit), NULL, 1, INT_MAX},
	{"breaker", &integer_type, true, AT(breaker), "1000", 0, INT_MAX},
	{"fk_retries", &integer_type, true, AT(fk_retries), "0", 0, 100},
	{"run_as_owner", &boolean_type, true, AT(run_as_owner), "false"},
	{"on_gap", &keyword_type, true, AT(on_gap), "stop", 0, 0, on_gap_keywords},
	{"missing_fields", &keyword_type, true, AT(missing_fields), "default", 0, 0, missing_fields_keywords},
	{"unknown_fields", &keyword_type, true, AT(unknown_fields), "ignore", 0, 0, unknown_fields_keywords},
	{"filter", &text_type, true, AT(filter), NULL, 1, 1024 * 1024},
	{"version_column", &text_type, true, AT(version_column), NULL, 1, NAMEDATALEN - 1},
	{"stop_at", &stop_at_type, false, AT(stops)},
	{"rate_limit", &integer_type, true, AT(rate_limit), NULL, 1, INT_MAX},
	{"epoch_unit", &keyword_type, true, AT(epoch_unit), NULL, 0, 0, epoch_unit_keywords},
	{"tombstones", &keyword_type, true, AT(tombstones), NULL, 0, 0, tombstones_keywords},
	{"delimiter", &line_type, true, AT(delimiter), NULL, 1, 1},
	{"quote", &line_type, true, AT(quote), NULL, 1, 1},
	{"escape", &line_type, true, AT(escape), NULL, 1, 1},
	{"null", &line_type, true, AT(null_text), NULL, 0, 1024},
	{"header_columns", &names_type, true, AT(header_columns), NULL, 1, NAMEDATALEN - 1},
	{"encoding", &encoding_type, true, AT(encoding), "UTF8"},
	{"group_id", &line_type, true, AT(group_id), NULL, 1, 255},
	{"publish_offsets", &boolean_type, true, AT(publish_offsets), "true"},
};

/* What people put among the options, though it is an argument beside them. */
static const char *const argument_names[] = {
	"name", "server", "topic", "target", "apply", "format", "fields",
	"mapping", "insert_mode", "key_columns", "enabled", "if_not_exists"
};

static JsonHolder *hold_json(void);
static void release_json(JsonHolder *holder);
static json_t *take_json(JsonHolder *holder);
static JsonHolder *load_object(const char *text);
static json_t *require_json(json_t *json);
static char *dump_json(json_t *json);
static char *string_value(json_t *value);
static json_t *string_json(const char *text);
static const Option *find_option(const char *key);
static const char *canonical_name(const char *key);
static void set_defaults(SiOptions *options);
static void parse_property(const char *key, json_t *value, SiOptions *options);
static void report_unknown(const char *key);
static void report_value(const Option *option, json_t *value, const char *reason);
static bool read_position(const char *text, SiStart *start, const char **reason);

/* Check and parse options: see options.h. */
SiOptions *
si_options_parse(const char *json)
{
	SiOptions  *options = palloc0(sizeof(SiOptions));
	JsonHolder *given = load_object(json);
	const char *key;
	json_t	   *value;

	set_defaults(options);
	options->properties = palloc(sizeof(SiProperty) *
								 (json_object_size(given->json) + 1));

	json_object_foreach(given->json, key, value)
	{
		const Option *option = find_option(key);

		if (json_is_null(value))
			(void) canonical_name(key);
		else if (option == NULL)
			parse_property(key, value, options);
		else if (!option->supported)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("option \"%s\" is not supported yet",
							option->name)));
		else
			option->type->parse(option, value, options);
	}
	release_json(given);
	return options;
}

/* The effective values: see options.h. */
char *
si_options_effective(const SiOptions *options)
{
	JsonHolder *holder = hold_json();
	char	   *result;

	holder->json = require_json(json_pack("{}"));
	for (int i = 0; i < lengthof(option_table); i++)
	{
		const Option *option = &option_table[i];

		if (option->supported &&
			json_object_set_new(holder->json, option->name,
								option->type->show(option, options)) != 0)
			(void) require_json(NULL);
	}
	for (int i = 0; i < options->nproperties; i++)
	{
		if (json_object_set_new(holder->json, options->properties[i].name,
								string_json(options->properties[i].value)) != 0)
			(void) require_json(NULL);
	}
	result = dump_json(holder->json);
	release_json(holder);
	return result;
}

/* Merge changes into options: see options.h. */
char *
si_options_merge(const char *options, const char *changes)
{
	JsonHolder *merged = load_object(options);
	JsonHolder *given = load_object(changes);
	JsonHolder *seen = hold_json();
	const char *key;
	json_t	   *value;
	char	   *result;

	if (json_object_size(given->json) == 0)
		json_object_clear(merged->json);

	seen->json = require_json(json_pack("{}"));
	json_object_foreach(given->json, key, value)
	{
		const char *name = canonical_name(key);
		const Option *option = find_option(key);
		int			failed;

		if (json_object_get(seen->json, name) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is given twice", name)));
		failed = json_object_set_new(seen->json, name, json_true());

		if (json_is_null(value))
			(void) json_object_del(merged->json, name);
		else if (option != NULL && option->type == &start_type)
		{
			SiOptions	scratch;

			memset(&scratch, 0, sizeof(scratch));
			parse_start(option, value, &scratch);
			failed |= json_object_set_new(merged->json, name,
										  show_start(option, &scratch));
		}
		else
			failed |= json_object_set(merged->json, name, value);
		if (failed)
			(void) require_json(NULL);
	}
	result = dump_json(merged->json);
	release_json(seen);
	release_json(given);
	release_json(merged);
	return result;
}

/* Is this partition one of those the subscription takes? */
bool
si_options_takes(const SiOptions *options, int32 partition)
{
	for (int i = 0; i < options->nranges; i++)
	{
		if (partition >= options->ranges[i].first &&
			partition <= options->ranges[i].last)
			return true;
	}
	return options->nranges == 0;
}

/* Where this partition begins. */
SiStart
si_options_start(const SiOptions *options, int32 partition)
{
	SiStart		start = {-1, SI_START_EARLIEST, 0};

	for (int i = 0; i < options->nstarts; i++)
	{
		if (options->starts[i].partition == partition ||
			options->starts[i].partition == -1)
		{
			start = options->starts[i];
			break;
		}
	}
	start.partition = partition;
	return start;
}

/* A position as seek() takes it: see options.h. */
SiStart
si_options_parse_position(const char *text)
{
	SiStart		start;
	const char *reason = NULL;

	if (!read_position(text, &start, &reason))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid position: \"%.*s\"",
						pg_mbcliplen(text, strlen(text), MAX_QUOTED), text),
				 errdetail("%s", reason),
				 errhint("Valid positions are \"earliest\", \"latest\" and timestamps.")));
	return start;
}

/* The nearest of several names: see options.h. */
const char *
si_options_nearest(const char *name, const char *const *candidates, int n)
{
	return si_server_nearest(name, candidates, n);
}

static void
json_holder_reset(void *arg)
{
	json_decref(((JsonHolder *) arg)->json);
}

/*
 * Make a holder for a document, to be set in its member json as soon as there
 * is one.  It is released with the current memory context at the latest.
 */
static JsonHolder *
hold_json(void)
{
	MemoryContext context;
	JsonHolder *holder;

	context = AllocSetContextCreate(CurrentMemoryContext,
									"stream_ingest options",
									ALLOCSET_SMALL_SIZES);
	holder = MemoryContextAllocZero(context, sizeof(JsonHolder));
	holder->context = context;
	holder->callback.func = json_holder_reset;
	holder->callback.arg = holder;
	MemoryContextRegisterResetCallback(context, &holder->callback);
	return holder;
}

static void
release_json(JsonHolder *holder)
{
	MemoryContextDelete(holder->context);
}

/* Release the holder, but not its document, which is the caller's then. */
static json_t *
take_json(JsonHolder *holder)
{
	json_t	   *json = holder->json;

	holder->json = NULL;
	release_json(holder);
	return json;
}

/* jansson returns NULL when there is no memory. */
static json_t *
require_json(json_t *json)
{
	if (json == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return json;
}

/*
 * Read the text of a JSON object.  jansson's own words are not used: they
 * quote the text, in which somebody may have put a password by mistake.
 */
static JsonHolder *
load_object(const char *text)
{
	JsonHolder *holder = hold_json();
	const char *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);
	json_error_t error;

	holder->json = json_loads(utf8, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
							  &error);
	if (holder->json == NULL &&
		json_error_code(&error) == json_error_out_of_memory)
		(void) require_json(NULL);
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

/* The text of any JSON value, in the server's encoding. */
static char *
dump_json(json_t *json)
{
	size_t		flags = JSON_ENCODE_ANY;
	size_t		len = json_dumpb(json, NULL, 0, flags);
	char	   *text = palloc(len + 1);

	if (len == 0 || json_dumpb(json, text, len, flags) != len)
		(void) require_json(NULL);
	text[		len] = '\0';

	return pg_any_to_server(text, len, PG_UTF8);
}

/* A string's text in the server's encoding, or NULL if it is no string. */
static char *
string_value(json_t *value)
{
	if (!json_is_string(value))
		return NULL;

	/* the conversion may return what it was given, which is jansson's */
	return pstrdup(pg_any_to_server(json_string_value(value),
									json_string_length(value), PG_UTF8));
}

static json_t *
string_json(const char *text)
{
	return require_json(json_string(pg_server_to_any(text, strlen(text),
													 PG_UTF8)));
}

static const Option *
find_option(const char *key)
{
	for (int i = 0; i < lengthof(option_table); i++)
	{
		if (strcmp(key, option_table[i].name) == 0)
			return &option_table[i];
	}
	return NULL;
}

/* The name under which a key is stored; throws if there is no such option. */
static const char *
canonical_name(const char *key)
{
	const Option *option = find_option(key);

	if (option != NULL)
		return option->name;
	if (strchr(key, '.') == NULL)
		report_unknown(key);
	return si_server_check_subscription_property(pg_any_to_server(key, strlen(key), PG_UTF8),
												 NULL);
}

/* Set every member to the default that the table names. */
static void
set_defaults(SiOptions *options)
{
	JsonHolder *holder = hold_json();

	for (int i = 0; i < lengthof(option_table); i++)
	{
		const Option *option = &option_table[i];

		if (option->initial == NULL)
			continue;
		holder->json = require_json(json_string(option->initial));
		option->type->parse(option, holder->json, options);
		json_decref(holder->json);
		holder->json = NULL;
	}
	release_json(holder);
}

/* Check and keep a property of librdkafka. */
static void
parse_property(const char *key, json_t *value, SiOptions *options)
{
	const char *name = canonical_name(key);
	char	   *text = string_value(value);

	if (json_is_integer(value) || json_is_boolean(value))
		text = dump_json(value);

	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("The value must be a string, an integer or a boolean.")));
	(void) si_server_check_subscription_property(name, text);

	for (int i = 0; i < options->nproperties; i++)
	{
		if (strcmp(options->properties[i].name, name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is given twice", name)));
	}
	options->properties[options->nproperties].name = name;
	options->properties[options->nproperties].value = text;

	options->nproperties++;
}

/* Report a name that is no option, with the nearest one as a hint. */
static void
report_unknown(const char *key)
{
	char	   *name = pg_any_to_server(key, strlen(key), PG_UTF8);
	int			n;
	const char **properties = si_server_subscription_properties(&n);
	const char **candidates = palloc(sizeof(char *) * (n + lengthof(option_table)));
	const char *nearest;
	const char *hint;
	StringInfoData all;

	initStringInfo(&all);
	memcpy(candidates, properties, sizeof(char *) * n);
	for (int i = 0; i < lengthof(option_table); i++)
	{
		candidates[n++] = option_table[i].name;
		if (option_table[i].supported)
			appendStringInfo(&all, "%s%s", all.len > 0 ? ", " : "",
							 option_table[i].name);
	}
	nearest = si_options_nearest(name, candidates, n);

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
					pg_mbcliplen(name, strlen(name), MAX_QUOTED), name),
			 errhint("%s", hint)));
}

/*
 * Report a value that an option cannot have.  The reason is a sentence, or
 * NULL where the valid values say it all.
 */
static void
report_value(const Option *option, json_t *value, const char *reason)
{
	char	   *text = dump_json(value);
	int			len = strlen(text);
	int			shown = pg_mbcliplen(text, len, MAX_QUOTED);
	char	   *valid = psprintf("Valid values are %s.",
								 option->type->describe(option));

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": %.*s%s",
					option->name, shown, text, shown < len ? "..." : ""),
			 errdetail("%s", reason != NULL ? reason : valid),
			 reason != NULL ? errhint("%s", valid) : 0));
}

/*
 * Run a type's input function.  What it says of the text becomes a reason, so
 * that the error can name the option.  An error is always thrown then, so
 * nothing goes on in a transaction whose error was caught.
 */
static Datum
input_value(Oid function, char *text, const char **reason)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;

	PG_TRY();
	{
		result = OidInputFunctionCall(function, text, InvalidOid, -1);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();

		/* the message becomes a sentence */
		error->message[0] = pg_toupper((unsigned char) error->message[0]);
		*reason = psprintf("%s.", error->message);
	}
	PG_END_TRY();
	return result;
}

/* Read an integer, or text that the server's settings would take as one. */
static bool
read_integer(json_t *value, int64 *number)
{
	char	   *text = string_value(value);
	int			parsed;

	if (json_is_integer(value))
	{
		*number = json_integer_value(value);
		return true;
	}
	if (text == NULL || !parse_int(text, &parsed, 0, NULL))
		return false;
	*number = parsed;
	return true;
}

static void
parse_integer(const Option *option, json_t *value, SiOptions *options)
{
	int64		number;

	if (!read_integer(value, &number) ||
		number < option->min || number > option->max)
		report_value(option, value, NULL);
	MEMBER(options, option, int) = (int) number;
}

static json_t *
show_integer(const Option *option, const SiOptions *options)
{
	int			number = CONST_MEMBER(options, option, int);

	/* a value below the bounds is the zero of an option that is not set */
	return number < option->min ? json_null() : require_json(json_integer(number));
}

static const char *
describe_integer(const Option *option)
{
	return psprintf("integers from " INT64_FORMAT " to " INT64_FORMAT,
					option->min, option->max);
}

/*
 * Read an interval's text as milliseconds, rounded up so that a short wait
 * does not become none.
 */
static int64
read_interval(const Option *option, json_t *value, char *text)
{
	const char *reason = NULL;
	Interval   *span;

	/* an interval's bare number is seconds, and a JSON number milliseconds */
	if (text[0] != '\0' && text[strspn(text, " +-.0123456789")] == '\0')
		report_value(option, value, "The text has no unit.");

	span = DatumGetIntervalP(input_value(F_INTERVAL_IN, text, &reason));
	if (reason == NULL && span->month != 0)
		reason = "Months and years have no fixed length.";
	if (reason != NULL)
		report_value(option, value, reason);

	return (int64) span->day * SECS_PER_DAY * 1000 +
		span->time / 1000 + (span->time % 1000 > 0 ? 1 : 0);
}

static void
parse_duration(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);
	int64		number;

	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (text !=NULL)
		number = read_interval(option, value, text);
	else
		number = -1;

	if (number < option->min || number > option->max)
		report_value(option, value, NULL);
	MEMBER(options, option, int) = (int) number;
}

/* Milliseconds as an interval's text, in the largest unit that is exact. */
static const char *
duration_text(int64 number)
{
	if (number > 0 && number % MS_PER_HOUR == 0)
		return psprintf(INT64_FORMAT " h", number / MS_PER_HOUR);
	if (number > 0 && number % 60000 == 0)
		return psprintf(INT64_FORMAT " min", number / 60000);
	if (number > 0 && number % 1000 == 0)
		return psprintf(INT64_FORMAT " s", number / 1000);
	return psprintf(INT64_FORMAT " ms", number);
}

static json_t *
show_duration(const Option *option, const SiOptions *options)
{
	return string_json(duration_text(CONST_MEMBER(options, option, int)));
}

static const char *
describe_duration(const Option *option)
{
	return psprintf("numbers of milliseconds and intervals such as \"100 ms\", from %s to %s",
					duration_text(option->min), duration_text(option->max));
}

static void
parse_size(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);
	const char *hint = NULL;
	int64		number = -1;
	int			parsed;

	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (text !=NULL && parse_int(text, &parsed, GUC_UNIT_BYTE, &hint))
		number = parsed;

	if (number < option->min || number > option->max)
		report_value(option, value, hint);
	MEMBER(options, option, int64) = number;
}

/* Bytes as text, in the largest unit that is exact. */
static const char *
size_text(int64 number)
{
	if (number > 0 && number % (1024 * 1024 * 1024) == 0)
		return psprintf(INT64_FORMAT "GB", number / (1024 * 1024 * 1024));
	if (number > 0 && number % (1024 * 1024) == 0)
		return psprintf(INT64_FORMAT "MB", number / (1024 * 1024));
	if (number > 0 && number % 1024 == 0)
		return psprintf(INT64_FORMAT "kB", number / 1024);
	return psprintf(INT64_FORMAT "B", number);
}

static json_t *
show_size(const Option *option, const SiOptions *options)
{
	return string_json(size_text(CONST_MEMBER(options, option, int64)));
}

static const char *
describe_size(const Option *option)
{
	return psprintf("numbers of bytes and sizes such as \"16MB\", from %s to %s",
					size_text(option->min), size_text(option->max));
}

static void
parse_boolean(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);

	if (json_is_boolean(value))
		MEMBER(options, option, bool) = json_is_true(value);
	else if (text !=NULL &&
			 (pg_strcasecmp(text, "true") == 0 || pg_strcasecmp(text, "on") == 0))
		MEMBER(options, option, bool) = true;
	else if (text !=NULL &&
			 (pg_strcasecmp(text, "false") == 0 || pg_strcasecmp(text, "off") == 0))
		MEMBER(options, option, bool) = false;
	else
		report_value(option, value, NULL);
}

static json_t *
show_boolean(const Option *option, const SiOptions *options)
{
	return json_boolean(CONST_MEMBER(options, option, bool));
}

static const char *
describe_boolean(const Option *option)
{
	return "true and false";
}

/* Find the word that a value is; throws if it is none, or not supported. */
static const Keyword *
read_keyword(const Option *option, json_t *value)
{
	char	   *text = string_value(value);
	const Keyword *keyword = option->keywords;

	while (text !=NULL && keyword->name != NULL &&
		   pg_strcasecmp(text, keyword->name) != 0)
		keyword++;
	if (text == NULL || keyword->name == NULL)
		report_value(option, value, NULL);
	if (!keyword->supported)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("value \"%s\" for option \"%s\" is not supported yet",
						keyword->name, option->name)));
	return keyword;
}

static void
parse_keyword(const Option *option, json_t *value, SiOptions *options)
{
	StaticAssertStmt(sizeof(SiOnError) == sizeof(int), "enums are set as int");

	MEMBER(options, option, int) = read_keyword(option, value)->value;
}

/* A word that is handed on to a setting of the server by its name. */
static void
parse_setting(const Option *option, json_t *value, SiOptions *options)
{
	MEMBER(options, option, char *) = pstrdup(read_keyword(option, value)->name);
}

/* The first word is what there is for most targets where none is set. */
static json_t *
show_setting(const Option *option, const SiOptions *options)
{
	const char *text = CONST_MEMBER(options, option, char *);

	return string_json(text !=NULL ? text : option->keywords[0].name);
}

static json_t *
show_keyword(const Option *option, const SiOptions *options)
{
	for (const Keyword *keyword = option->keywords; keyword->name != NULL; keyword++)
	{
		if (keyword->value == CONST_MEMBER(options, option, int))
			return string_json(keyword->name);
	}
	return json_null();
}

static const char *
describe_keyword(const Option *option)
{
	StringInfoData words;

	initStringInfo(&words);
	for (const Keyword *keyword = option->keywords; keyword->name != NULL; keyword++)
	{
		if (keyword->supported)
			appendStringInfo(&words, "%s\"%s\"", words.len > 0 ? ", " : "",
							 keyword->name);
	}
	return words.data;
}

static void
parse_text(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);

	if (text == NULL || strlen(text) < option->min || strlen(text) > option->max)
		report_value(option, value, NULL);
	MEMBER(options, option, char *) = text;
}

static json_t *
show_text(const Option *option, const SiOptions *options)
{
	const char *text = CONST_MEMBER(options, option, char *);

	return text == NULL ? json_null() : string_json(text);
}

static const char *
describe_text(const Option *option)
{
	return psprintf("strings of " INT64_FORMAT " to " INT64_FORMAT " bytes",
					option->min, option->max);
}

/* As a text, but of one line; COPY asks the same of its options. */
static void
parse_line(const Option *option, json_t *value, SiOptions *options)
{
	parse_text(option, value, options);
	if (strpbrk(MEMBER(options, option, char *), "\r\n") != NULL)
		report_value(option, value, NULL);
}

static const char *
describe_line(const Option *option)
{
	if (option->min == 1 && option->max == 1)
		return "strings of one single-byte character that is not a line break";
	return psprintf("%s without line breaks", describe_text(option));
}

static void
parse_names(const Option *option, json_t *value, SiOptions *options)
{
	int			n = json_array_size(value);
	char	  **names;

	if (n == 0)
		report_value(option, value, NULL);

	names = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		names[i] = string_value(json_array_get(value, i));
		if (names[i] == NULL ||
			strlen(names[i]) < option->min || strlen(names[i]) > option->max)
			report_value(option, value, NULL);
		for (int j = 0; j < i; j++)
		{
			if (strcmp(names[i], names[j]) == 0)
				report_value(option, value, "A name appears twice.");
		}
	}
	options->nheader_columns = n;
	MEMBER(options, option, char **) = names;
}

static json_t *
show_names(const Option *option, const SiOptions *options)
{
	JsonHolder *array;

	if (options->nheader_columns == 0)
		return json_null();
	array = hold_json();
	array->json = require_json(json_array());
	for (int i = 0; i < options->nheader_columns; i++)
	{
		if (json_array_append_new(array->json,
								  string_json(options->header_columns[i])) != 0)
			(void) require_json(NULL);
	}
	return take_json(array);
}

static const char *
describe_names(const Option *option)
{
	return "arrays of column names";
}

static void
parse_encoding(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);
	int			encoding = text !=NULL ? pg_char_to_encoding(text) : -1;

	if (encoding < 0)
		report_value(option, value, NULL);
	MEMBER(options, option, int) = encoding;
}

static json_t *
show_encoding(const Option *option, const SiOptions *options)
{
	return string_json(pg_encoding_to_char(CONST_MEMBER(options, option, int)));
}

static const char *
describe_encoding(const Option *option)
{
	return "the server's names of encodings";
}

/* A number, or a percentage such as "1%". */
static void
parse_reject_limit(const Option *option, json_t *value, SiOptions *options)
{
	SiRejectLimit limit = {0, 0};
	char	   *text = string_value(value);
	char	   *end = NULL;
	int64		number;

	if (read_integer(value, &number))
	{
		if (number < option->min || number > option->max)
			report_value(option, value, NULL);
		limit.count = (int) number;
	}
	else
	{
		if (text !=NULL)
			limit.percent = strtod(text, &end);

		/* written so that a NaN fails, too */
		if (end == NULL || strcmp(end, "%") != 0 ||
			!(limit.percent > 0 && limit.percent <= 100))
			report_value(option, value, NULL);
	}
	MEMBER(options, option, SiRejectLimit) = limit;
}

static json_t *
show_reject_limit(const Option *option, const SiOptions *options)
{
	SiRejectLimit limit = CONST_MEMBER(options, option, SiRejectLimit);

	if (limit.count > 0)
		return require_json(json_integer(limit.count));
	if (limit.percent > 0)
		return string_json(psprintf("%g%%", limit.percent));
	return json_null();
}

static const char *
describe_reject_limit(const Option *option)
{
	return "positive integers and percentages such as \"1%\"";
}

/*
 * Read a position: "earliest", "latest" or a timestamp.  If it is none, say
 * why in a sentence.
 */
static bool
read_position(const char *text, SiStart *start, const char **reason)
{
	TimestampTz timestamp;

	start->partition = -1;
	start->value = 0;
	if (pg_strcasecmp(text, "earliest") == 0)
	{
		start->kind = SI_START_EARLIEST;
		return true;
	}
	if (pg_strcasecmp(text, "latest") == 0)
	{
		start->kind = SI_START_LATEST;
		return true;
	}

	timestamp = DatumGetTimestampTz(input_value(F_TIMESTAMPTZ_IN,
												pstrdup(text), reason));
	if (*reason == NULL && TIMESTAMP_NOT_FINITE(timestamp))
		*reason = "The timestamp is not finite.";
	if (*reason != NULL)
		return false;

	/*
	 * Rounded up: messages before the timestamp are not wanted.  Kafka's
	 * negative numbers do not stand for times, and no message is that old.
	 */
	start->kind = SI_START_TIMESTAMP;
	start->value = timestamp / 1000 + (timestamp % 1000 > 0 ? 1 : 0) +
		EPOCH_DIFFERENCE_MS;
	start->value = Max(start->value, 0);
	return true;
}

char *
si_options_position_text(const SiStart *start)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char	   *text;

	switch (start->kind)
	{
		case SI_START_EARLIEST:
			return pstrdup("earliest");
		case SI_START_LATEST:
			return pstrdup("latest");
		case SI_START_OFFSET:
			return psprintf(INT64_FORMAT, start->value);
		case SI_START_TIMESTAMP:
			break;
	}

	/* in UTC, since other sessions have other time zones */
	if (timestamp2tm((start->value - EPOCH_DIFFERENCE_MS) * 1000, NULL,
					 &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));

	/* without a daylight saving flag the zone would not be printed */
	tm.tm_isdst = 0;
	text = palloc(MAXDATELEN + 1);

	EncodeDateTime(&tm, fsec, true, 0, NULL, USE_ISO_DATES, text);
	return text;
}

/* A position in the form that read_position() and the map of offsets take. */
static json_t *
position_json(const SiStart *start)
{
	if (start->kind == SI_START_OFFSET)
		return require_json(json_integer(start->value));
	return string_json(si_options_position_text(start));
}

/*
 * Read a partition's number; the end of the digits goes to *end.  Leading
 * zeros are refused, so that one partition has one name.
 */
static bool
read_partition(const char *text, int32 *partition, const char **end)
{
	int			len = strspn(text, "0123456789");
	int64		number;

	if (len == 0 || len > 10 || (text[0] == '0' && len > 1))
		return false;
	number = strtoll(text, NULL, 10);
	if (number > PG_INT32_MAX)
		return false;
	*partition = (int32) number;
	*end = text +len;

	return true;
}

static int
compare_starts(const void *a, const void *b)
{
	int32		left = ((const SiStart *) a)->partition;
	int32		right = ((const SiStart *) b)->partition;

	return left < right ? -1 : left > right ? 1 : 0;
}

/*
 * Read an object of positions by partition, with room for one more entry.  An
 * end is only an offset: "latest" there is said for all partitions at once.
 */
static SiStart *
read_positions(const Option *option, json_t *value, bool offsets_only, int *n)
{
	SiStart    *starts = palloc(sizeof(SiStart) * (json_object_size(value) + 1));
	const char *key;
	json_t	   *position;

	*n = 0;
	json_object_foreach(value, key, position)
	{
		SiStart    *start = &starts[*n];
		char	   *text = string_value(position);
		const char *end = NULL;
		const char *reason = NULL;
		int32		partition;

		if (json_is_integer(position) && json_integer_value(position) >= 0)
		{
			start->kind = SI_START_OFFSET;
			start->value = json_integer_value(position);
		}
		else if (text == NULL || offsets_only)
			report_value(option, value, NULL);
		else if (!read_position(text, start, &reason))
			report_value(option, value, reason);

		if (!read_partition(key, &partition, &end) || *end != '\0')
			report_value(option, value, "A key is not the number of a partition.");
		start->partition = partition;
		(*n)++;
	}
	if (*n == 0)
		report_value(option, value, "No partition is named.");
	qsort(starts, *n, sizeof(SiStart), compare_starts);
	return starts;
}

static void
parse_start(const Option *option, json_t *value, SiOptions *options)
{
	SiStart		all = {-1, SI_START_EARLIEST, 0};
	char	   *text = string_value(value);
	const char *reason = NULL;

	if (json_is_object(value))
		options->starts = read_positions(option, value, false, &options->nstarts);
	else
	{
		if (text == NULL)
			report_value(option, value, NULL);
		if (!read_position(text, &all, &reason))
			report_value(option, value, reason);
		options->starts = palloc(sizeof(SiStart));
		options->nstarts = 0;
	}
	options->starts[options->nstarts++] = all;
}

/* Positions of single partitions as an object, or the one for all. */
static json_t *
positions_json(const SiStart *starts, int n)
{
	JsonHolder *object;

	if (n == 0)
		return json_null();
	if (starts[0].partition == -1)
		return position_json(&starts[0]);

	object = hold_json();
	object->json = require_json(json_pack("{}"));
	for (int i = 0; i < n && starts[i].partition != -1; i++)
	{
		if (json_object_set_new(object->json,
								psprintf("%d", starts[i].partition),
								position_json(&starts[i])) != 0)
			(void) require_json(NULL);
	}
	return take_json(object);
}

static json_t *
show_start(const Option *option, const SiOptions *options)
{
	return positions_json(options->starts, options->nstarts);
}

static const char *
describe_start(const Option *option)
{
	return "\"earliest\", \"latest\", timestamps, and objects such as {\"0\": 42, \"1\": \"latest\"}";
}

static void
parse_stop_at(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);

	if (json_is_object(value))
		options->stops = read_positions(option, value, true, &options->nstops);
	else if (text !=NULL && pg_strcasecmp(text, "latest") == 0)
	{
		options->stops = palloc0(sizeof(SiStart));
		options->stops[0].partition = -1;
		options->stops[0].kind = SI_START_LATEST;
		options->nstops = 1;
	}
	else
		report_value(option, value, NULL);
}

static json_t *
show_stop_at(const Option *option, const SiOptions *options)
{
	return positions_json(options->stops, options->nstops);
}

static const char *
describe_stop_at(const Option *option)
{
	return "\"latest\" and objects such as {\"0\": 42}";
}

static int
compare_ranges(const void *a, const void *b)
{
	int32		left = ((const SiPartitionRange *) a)->first;
	int32		right = ((const SiPartitionRange *) b)->first;

	return left < right ? -1 : left > right ? 1 : 0;
}

/* Read one number or range and what follows it; false if it is neither. */
static bool
read_range(const char **position, SiPartitionRange *range)
{
	const char *p = *position + strspn(*position, " ");

	if (!read_partition(p, &range->first, &p))
		return false;
	range->last = range->first;
	p += strspn(p, " ");
	if (*p == '-')
	{
		p += 1 + strspn(p + 1, " ");
		if (!read_partition(p, &range->last, &p))
			return false;
		p += strspn(p, " ");
	}
	*position = p;
	return *p == ',' || *p == '\0';
}

static void
parse_partitions(const Option *option, json_t *value, SiOptions *options)
{
	char	   *text = string_value(value);
	const char *p = text;
	SiPartitionRange *ranges;
	int			n = 0;

	if (json_is_integer(value))
		p = text = dump_json(value);

	if (text == NULL)
		report_value(option, value, NULL);

	/* each range takes two characters of the text or more, but the last */
	ranges = palloc(sizeof(SiPartitionRange) * (strlen(text) / 2 + 1));
	for (;;)
	{
		if (!read_range(&p, &ranges[n]))
			report_value(option, value, NULL);
		if (ranges[n].last < ranges[n].first)
			report_value(option, value, "A range ends before it begins.");
		n++;
		if (*p++ == '\0')
			break;
	}

	qsort(ranges, n, sizeof(SiPartitionRange), compare_ranges);
	for (int i = 1; i < n; i++)
	{
		if (ranges[i].first <= ranges[i - 1].last)
			report_value(option, value,
						 psprintf("Partition %d is named twice.", ranges[i].first));
	}
	options->ranges = ranges;
	options->nranges = n;
}

static json_t *
show_partitions(const Option *option, const SiOptions *options)
{
	StringInfoData list;

	if (options->nranges == 0)
		return json_null();

	initStringInfo(&list);
	for (int i = 0; i < options->nranges; i++)
	{
		const SiPartitionRange *range = &options->ranges[i];

		appendStringInfo(&list, "%s%d", i > 0 ? "," : "", range->first);
		if (range->last > range->first)
			appendStringInfo(&list, "-%d", range->last);
	}
	return string_json(list.data);
}

static const char *
describe_partitions(const Option *option)
{
	return "partitions and ranges of them, such as \"0-7,12\"";
}
