/*-------------------------------------------------------------------------
 *
 * option_positions.c
 *	  The options "start", "stop_at" and "partitions".
 *
 * Also parses the positions that seek() takes.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "common/kafka_time.h"
#include "options/option_types.h"
#include "options/options.h"

/* ---- positions ---- */

/*
 * Read a position: "earliest", "latest" or a timestamp.  If it is none, false,
 * and the reason as a sentence.
 */
static bool
read_position(const char *given, SiStart *start, const char **reason)
{
	TimestampTz timestamp;

	start->partition = -1;
	start->value = 0;
	if (pg_strcasecmp(given, "earliest") == 0)
	{
		start->kind = SI_START_EARLIEST;
		return true;
	}
	if (pg_strcasecmp(given, "latest") == 0)
	{
		start->kind = SI_START_LATEST;
		return true;
	}

	timestamp = DatumGetTimestampTz(si_option_input(F_TIMESTAMPTZ_IN,
													pstrdup(given), reason));
	if (*reason == NULL && TIMESTAMP_NOT_FINITE(timestamp))
		*reason = "The timestamp is not finite.";
	if (*reason != NULL)
		return false;

	/*
	 * Rounded up: messages before the timestamp are not wanted.  Kafka's
	 * negative numbers do not stand for times, and no message is that old.
	 */
	start->kind = SI_START_TIMESTAMP;
	start->value = si_kafka_time_from_timestamptz(timestamp + 999);
	start->value = Max(start->value, 0);
	return true;
}

SiStart
si_options_parse_position(const char *given)
{
	SiStart		start;
	const char *reason = NULL;

	if (!read_position(given, &start, &reason))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid position: \"%.*s\"",
						pg_mbcliplen(given, strlen(given), SI_OPTION_QUOTED), given),
				 errdetail("%s", reason),
				 errhint("Valid positions are \"earliest\", \"latest\" and timestamps.")));
	return start;
}

char *
si_options_position_text(const SiStart *start)
{
	struct pg_tm tm;
	fsec_t		fsec;
	TimestampTz timestamp;
	char	   *given;

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
	if (!si_kafka_time_to_timestamptz(start->value, &timestamp) ||
		timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));

	/* without a daylight saving flag the zone would not be printed */
	tm.tm_isdst = 0;
	given = palloc(MAXDATELEN + 1);

	EncodeDateTime(&tm, fsec, true, 0, NULL, USE_ISO_DATES, given);
	return given;
}

/* A position in the form that read_position() and the map of offsets take. */
static json_t *
position_document(const SiStart *start)
{
	if (start->kind == SI_START_OFFSET)
		return si_document_require(json_integer(start->value));
	return si_document_from_string(si_options_position_text(start));
}

/*
 * Read a partition's number; the end of the digits goes to *end.  Leading
 * zeros are refused, so that one partition has one name.
 */
static bool
read_partition(const char *given, int32 *partition, const char **end)
{
	int			len = strspn(given, "0123456789");
	int64		number;

	if (len == 0 || len > 10 || (given[0] == '0' && len > 1))
		return false;
	number = strtoll(given, NULL, 10);
	if (number > PG_INT32_MAX)
		return false;
	*partition = (int32) number;
	*end = given + len;

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
 * Read an object of positions by partition, with room for one more entry.
 * With offsets_only, "latest" is not valid: a partition that is not named has
 * that meaning.
 */
static SiStart *
read_positions(const SiOption *option, json_t *value, bool offsets_only, int *n)
{
	SiStart    *starts = palloc(sizeof(SiStart) * (json_object_size(value) + 1));
	const char *key;
	json_t	   *position;

	*n = 0;
	json_object_foreach(value, key, position)
	{
		SiStart    *start = &starts[*n];
		char	   *given = si_document_string(position);
		const char *end = NULL;
		const char *reason = NULL;
		int32		partition;

		if (json_is_integer(position) && json_integer_value(position) >= 0)
		{
			start->kind = SI_START_OFFSET;
			start->value = json_integer_value(position);
		}
		else if (offsets_only)
			si_option_refuse(option, value,
							 "A partition stops at an offset; one that is not named stops at its end.");
		else if (given == NULL)
			si_option_refuse(option, value, NULL);
		else if (!read_position(given, start, &reason))
			si_option_refuse(option, value, reason);

		if (!read_partition(key, &partition, &end) || *end != '\0')
			si_option_refuse(option, value, "A key is not the number of a partition.");
		start->partition = partition;
		(*n)++;
	}
	if (*n == 0)
		si_option_refuse(option, value, "No partition is named.");
	qsort(starts, *n, sizeof(SiStart), compare_starts);
	return starts;
}

/* Positions of single partitions as an object, or the one for all. */
static json_t *
positions_document(const SiStart *starts, int n)
{
	SiDocument *object;

	if (n == 0)
		return json_null();
	if (starts[0].partition == -1)
		return position_document(&starts[0]);

	object = si_document_make();
	object->json = si_document_require(json_pack("{}"));
	for (int i = 0; i < n && starts[i].partition != -1; i++)
	{
		if (json_object_set_new(object->json,
								psprintf("%d", starts[i].partition),
								position_document(&starts[i])) != 0)
			(void) si_document_require(NULL);
	}
	return si_document_take(object);
}

/* ---- start ---- */

/* One position for all partitions, or an object of positions by partition. */
static void
parse_start(const SiOption *option, json_t *value, SiOptions *options)
{
	SiStart		all = {-1, SI_START_EARLIEST, 0};
	char	   *given = si_document_string(value);
	const char *reason = NULL;

	if (json_is_object(value))
		options->starts = read_positions(option, value, false, &options->nstarts);
	else
	{
		if (given == NULL)
			si_option_refuse(option, value, NULL);
		if (!read_position(given, &all, &reason))
			si_option_refuse(option, value, reason);
		options->starts = palloc(sizeof(SiStart));
		options->nstarts = 0;
	}
	options->starts[options->nstarts++] = all;
}

static json_t *
show_start(const SiOption *option, const SiOptions *options)
{
	return positions_document(options->starts, options->nstarts);
}

static const char *
describe_start(const SiOption *option)
{
	return "\"earliest\", \"latest\", timestamps, and objects such as {\"0\": 42, \"1\": \"latest\"}";
}

const SiOptionType si_option_start = {parse_start, show_start, describe_start};

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

/* ---- stop_at ---- */

/* "latest", or an object of offsets by partition. */
static void
parse_stop_at(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);

	if (json_is_object(value))
		options->stops = read_positions(option, value, true, &options->nstops);
	else if (given != NULL && pg_strcasecmp(given, "latest") == 0)
	{
		options->stops = palloc0(sizeof(SiStart));
		options->stops[0].partition = -1;
		options->stops[0].kind = SI_START_LATEST;
		options->nstops = 1;
	}
	else
		si_option_refuse(option, value, NULL);
}

static json_t *
show_stop_at(const SiOption *option, const SiOptions *options)
{
	return positions_document(options->stops, options->nstops);
}

static const char *
describe_stop_at(const SiOption *option)
{
	return "\"latest\" and objects such as {\"0\": 42, \"1\": 17}";
}

const SiOptionType si_option_stop_at = {parse_stop_at, show_stop_at, describe_stop_at};

SiStart
si_options_stop(const SiOptions *options, int32 partition)
{
	SiStart		stop = {partition, SI_START_LATEST, 0};

	for (int i = 0; i < options->nstops; i++)
	{
		if (options->stops[i].partition == partition)
			return options->stops[i];
	}
	return stop;
}

/* ---- partitions ---- */

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

/* A list of numbers and ranges, such as "0-7,12"; they must not overlap. */
static void
parse_partitions(const SiOption *option, json_t *value, SiOptions *options)
{
	char	   *given = si_document_string(value);
	const char *p = given;
	SiPartitionRange *ranges;
	int			n = 0;

	if (json_is_integer(value))
		p = given = si_document_text(value);

	if (given == NULL)
		si_option_refuse(option, value, NULL);

	/* each range but the last takes at least two characters of the text */
	ranges = palloc(sizeof(SiPartitionRange) * (strlen(given) / 2 + 1));
	for (;;)
	{
		if (!read_range(&p, &ranges[n]))
			si_option_refuse(option, value, NULL);
		if (ranges[n].last < ranges[n].first)
			si_option_refuse(option, value, "A range ends before it begins.");
		n++;
		if (*p++ == '\0')
			break;
	}

	qsort(ranges, n, sizeof(SiPartitionRange), compare_ranges);
	for (int i = 1; i < n; i++)
	{
		if (ranges[i].first <= ranges[i - 1].last)
			si_option_refuse(option, value,
							 psprintf("Partition %d is named twice.", ranges[i].first));
	}
	options->ranges = ranges;
	options->nranges = n;
}

static json_t *
show_partitions(const SiOption *option, const SiOptions *options)
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
	return si_document_from_string(list.data);
}

static const char *
describe_partitions(const SiOption *option)
{
	return "partitions and ranges of them, such as \"0-7,12\"";
}

const SiOptionType si_option_partitions = {parse_partitions, show_partitions, describe_partitions};

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
