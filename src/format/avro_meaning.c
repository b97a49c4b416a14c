/*-------------------------------------------------------------------------
 *
 * avro_meaning.c
 *	  What the values of an Avro type mean beyond their kind.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <string.h>

#include "format/avro_meaning.h"
#include "format/decimal.h"

#define NMEANINGS	(sizeof(meanings) / sizeof(meanings[0]))

/* Names of logical types, and those that Kafka Connect and Debezium give. */
static const struct
{
	const char *name;
	SiAvroKind	kind;
	SiAvroMeaning meaning;
	SiAvroUnit	unit;
}			meanings[] = {
	{"date", SI_AVRO_INT, SI_AVRO_DATE},
	{"time-millis", SI_AVRO_INT, SI_AVRO_TIME, SI_AVRO_MILLIS},
	{"time-micros", SI_AVRO_LONG, SI_AVRO_TIME, SI_AVRO_MICROS},
	{"timestamp-millis", SI_AVRO_LONG, SI_AVRO_INSTANT, SI_AVRO_MILLIS},
	{"timestamp-micros", SI_AVRO_LONG, SI_AVRO_INSTANT, SI_AVRO_MICROS},
	{"timestamp-nanos", SI_AVRO_LONG, SI_AVRO_INSTANT, SI_AVRO_NANOS},
	{"local-timestamp-millis", SI_AVRO_LONG, SI_AVRO_TIMESTAMP, SI_AVRO_MILLIS},
	{"local-timestamp-micros", SI_AVRO_LONG, SI_AVRO_TIMESTAMP, SI_AVRO_MICROS},
	{"local-timestamp-nanos", SI_AVRO_LONG, SI_AVRO_TIMESTAMP, SI_AVRO_NANOS},
	{"decimal", SI_AVRO_BYTES, SI_AVRO_DECIMAL},
	{"decimal", SI_AVRO_FIXED, SI_AVRO_DECIMAL},
	{"uuid", SI_AVRO_FIXED, SI_AVRO_UUID},
	{"uuid", SI_AVRO_STRING, SI_AVRO_UUID},
	{"duration", SI_AVRO_FIXED, SI_AVRO_DURATION},
	{"org.apache.kafka.connect.data.Date", SI_AVRO_INT, SI_AVRO_DATE},
	{"org.apache.kafka.connect.data.Time", SI_AVRO_INT, SI_AVRO_TIME, SI_AVRO_MILLIS},
	{"org.apache.kafka.connect.data.Timestamp", SI_AVRO_LONG, SI_AVRO_INSTANT, SI_AVRO_MILLIS},
	{"io.debezium.time.Date", SI_AVRO_INT, SI_AVRO_DATE},
	{"io.debezium.time.Time", SI_AVRO_INT, SI_AVRO_TIME, SI_AVRO_MILLIS},
	{"io.debezium.time.MicroTime", SI_AVRO_LONG, SI_AVRO_TIME, SI_AVRO_MICROS},
	{"io.debezium.time.NanoTime", SI_AVRO_LONG, SI_AVRO_TIME, SI_AVRO_NANOS},
	{"io.debezium.time.Timestamp", SI_AVRO_LONG, SI_AVRO_TIMESTAMP, SI_AVRO_MILLIS},
	{"io.debezium.time.MicroTimestamp", SI_AVRO_LONG, SI_AVRO_TIMESTAMP, SI_AVRO_MICROS},
	{"io.debezium.time.NanoTimestamp", SI_AVRO_LONG, SI_AVRO_TIMESTAMP, SI_AVRO_NANOS},
	{"io.debezium.time.MicroDuration", SI_AVRO_LONG, SI_AVRO_DURATION, SI_AVRO_MICROS},
	{"io.debezium.time.NanoDuration", SI_AVRO_LONG, SI_AVRO_DURATION, SI_AVRO_NANOS},
	{"io.debezium.data.Json", SI_AVRO_STRING, SI_AVRO_JSON},
	{"io.debezium.data.Uuid", SI_AVRO_STRING, SI_AVRO_UUID},
	{"io.debezium.time.ZonedTimestamp", SI_AVRO_STRING, SI_AVRO_INSTANT},
	{"io.debezium.time.ZonedTime", SI_AVRO_STRING, SI_AVRO_TIME},
	{"io.debezium.time.Interval", SI_AVRO_STRING, SI_AVRO_DURATION},
};

/* Set a decimal's scale and precision; *fits is false if the latter cannot have it. */
static bool
set_scale(const json_t *definition, SiAvroType *type, bool *fits)
{
	const json_t *given = json_object_get(definition, "scale");
	json_int_t	precision = json_integer_value(json_object_get(definition, "precision"));
	json_int_t	scale = json_integer_value(given);

	*fits = precision > 0 && scale >= 0 && scale <= precision &&
		(given == NULL || json_is_integer(given));
	type->scale = *fits ? (int) scale : 0;
	type->precision = *fits && precision <= INT_MAX ? (int) precision : 0;
	return !*fits || scale <= SI_DECIMAL_MAX_SCALE;
}

/* Does a meaning go with the size that a fixed has? */
static bool
size_fits(SiAvroMeaning meaning, const SiAvroType *type)
{
	if (type->kind != SI_AVRO_FIXED)
		return true;
	if (meaning == SI_AVRO_UUID)
		return type->size == 16;
	return meaning == SI_AVRO_DURATION ? type->size == 12 : true;
}

/* Set the meaning that an attribute of the definition names, if it names one. */
static bool
set_named(const json_t *definition, const char *attribute, SiAvroType *type)
{
	const char *name = json_string_value(json_object_get(definition, attribute));
	bool		fits = true;
	size_t		i;

	for (i = 0; i < NMEANINGS && name != NULL; i++)
	{
		if (meanings[i].kind == type->kind && strcmp(meanings[i].name, name) == 0)
			break;
	}
	if (name == NULL || i == NMEANINGS)
		return true;
	if (meanings[i].meaning == SI_AVRO_DECIMAL && !set_scale(definition, type, &fits))
		return false;
	if (fits && size_fits(meanings[i].meaning, type))
	{
		type->meaning = meanings[i].meaning;
		type->unit = meanings[i].unit;
	}
	return true;
}

/* Is this Debezium's record of a scale and bytes? */
static bool
is_scaled(const json_t *definition, const SiAvroType *type)
{
	const char *name = json_string_value(json_object_get(definition, "connect.name"));

	return name != NULL && strcmp(name, "io.debezium.data.VariableScaleDecimal") == 0 &&
		type->n == 2 && strcmp(type->fields[0].name.data, "scale") == 0 &&
		type->fields[0].type->kind == SI_AVRO_INT &&
		strcmp(type->fields[1].name.data, "value") == 0 &&
		type->fields[1].type->kind == SI_AVRO_BYTES;
}

bool
si_avro_set_meaning(const json_t *definition, SiAvroType *type)
{
	if (type->kind == SI_AVRO_RECORD && is_scaled(definition, type))
		type->kind = SI_AVRO_SCALED;
	if (!set_named(definition, "logicalType", type))
		return false;
	return type->meaning != SI_AVRO_PLAIN || set_named(definition, "connect.name", type);
}
