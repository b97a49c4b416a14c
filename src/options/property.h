/*-------------------------------------------------------------------------
 *
 * property.h
 *	  Checking the properties that users give in servers, user mappings and
 *	  subscriptions.
 *
 * A property is one line of the table in property_table.c.  Called within this
 * folder only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_PROPERTY_H
#define SI_PROPERTY_H

/* Where a property may be given; a property can have several places. */
#define SI_AT_SERVER			0x01
#define SI_AT_MAPPING			0x02
#define SI_AT_SUBSCRIPTION		0x04

/* Flags of a property. */
#define SI_PROPERTY_SECRET			0x01	/* never quote the value */
#define SI_PROPERTY_SUPERUSER_ONLY	0x02	/* reads files of the server */
#define SI_PROPERTY_OURS			0x04	/* not a property of librdkafka */
#define SI_PROPERTY_CLIENT			0x08	/* for the client, which does not
											 * hand it to librdkafka */

/* For messages. */
#define SI_SASL_MECHANISMS	"\"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\", \"OAUTHBEARER\", \"GSSAPI\""

/* A check beyond librdkafka's own: NULL, or a sentence that says why not. */
typedef const char *(*SiValueCheck) (const char *value);

typedef struct SiAllowedProperty
{
	const char *name;
	const char *alias_of;		/* the property that the name stands for, or
								 * NULL */
	int			where;
	int			flags;
	int			min;			/* both 0: librdkafka's bounds apply */
	int			max;
	SiValueCheck check;
} SiAllowedProperty;

/* Why a property is refused wherever it is given. */
typedef struct SiPropertyRefusal
{
	const char *pattern;		/* a name; "*" at one end matches anything */
	const char *reason;
	const char *hint;			/* or NULL */
} SiPropertyRefusal;

/* An option as given, together with the property that it names. */
typedef struct SiGivenOption
{
	const SiAllowedProperty *property;
	const char *name;			/* as given */
	const char *value;
} SiGivenOption;

/* ---- property_table.c ---- */

/* The allowed properties. */
extern const SiAllowedProperty si_properties[];
extern const int si_nproperties;

/*
 * The property that may be given there under this name, or NULL.  Aliases are
 * resolved, so that equal properties compare equal.
 */
extern const SiAllowedProperty *si_property_find(const char *name, int where);

/* The reason to refuse a name that is not allowed anywhere, or NULL. */
extern const SiPropertyRefusal *si_property_find_refusal(const char *name);

/* ---- property.c ---- */

/* Report why a name that si_property_find() did not find cannot be given. */
extern void si_property_refuse(const char *name, int where) __attribute__((noreturn));

/*
 * Check a value, and whether the user may give it.  Throws 42501 for an option
 * reserved for superusers, 22023 for a bad value.
 */
extern void si_property_check_value(const SiGivenOption *option);

/* The option that was given for a property, or NULL. */
extern const SiGivenOption *si_property_find_given(const SiGivenOption *given, int ngiven,
												   const char *property);

/* Was this value, exactly, given for a property? */
extern bool si_property_is_given(const SiGivenOption *given, int ngiven,
								 const char *property, const char *value);

/* For checks of values. */
extern bool si_property_has_control_character(const char *value);

/*
 * Check one property against the subscription's allow-list and librdkafka;
 * with value NULL only its name.  Returns the property's own name (with dots,
 * aliases resolved); errors 22023 / 42501 with the reason.
 */
extern const char *si_property_check_subscription(const char *name, const char *value);

/* The names of the subscription's allow-list, for hints; palloc'd. */
extern const char **si_property_subscription_names(int *n);

#endif							/* SI_PROPERTY_H */
