/*-------------------------------------------------------------------------
 *
 * property.c
 *	  Checking the properties that users give in servers, user mappings and
 *	  subscriptions.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "kafka/consumer.h"
#include "options/nearest.h"
#include "options/property.h"

static void report_unknown(const char *name, int where) __attribute__((noreturn));

/* ---- names ---- */

/* Name errors have the wrapper's code in DDL, 22023 in options. */
static int
name_sqlstate(int where)
{
	return where == SI_AT_SUBSCRIPTION ?
		ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_FDW_INVALID_OPTION_NAME;
}

/* What messages call the place. */
static const char *
place_name(int where)
{
	switch (where)
	{
		case SI_AT_SERVER:
			return "server";
		case SI_AT_MAPPING:
			return "user mapping";
		default:
			return "subscription";
	}
}

/*
 * A name as users write it there: underscores in DDL, where dots would need
 * double quotes.
 */
static const char *
display_name(const char *name, int where)
{
	char	   *result = pstrdup(name);

	if (where != SI_AT_SUBSCRIPTION)
	{
		for (char *p = result; *p != '\0'; p++)
		{
			if (*p == '.')
				*p = '_';
		}
	}
	return result;
}

/* Report a property that exists, but may not be given in this place. */
static void
report_wrong_place(const char *name, const SiAllowedProperty *property, int where)
{
	const char *reason;
	const char *hint;

	if (where == SI_AT_MAPPING)
		reason = "A user mapping only says who connects.";
	else if (where == SI_AT_SUBSCRIPTION)
		reason = "A subscription only says how messages are fetched and queued.";
	else if (property->where & SI_AT_MAPPING)
		reason = "Any user can read the options of a server.";
	else
		reason = "A server only says where and how to connect.";

	if (property->where & SI_AT_SUBSCRIPTION)
		hint = psprintf("Set \"%s\" in the options of a subscription.",
						display_name(property->name, SI_AT_SUBSCRIPTION));
	else
		hint = psprintf("Set \"%s\" in a %s.",
						display_name(property->name, SI_AT_SERVER),
						place_name(property->where & SI_AT_MAPPING ?
								   SI_AT_MAPPING : SI_AT_SERVER));

	ereport(ERROR,
			(errcode(name_sqlstate(where)),
			 errmsg("option \"%s\" cannot be set in a %s",
					name, place_name(where)),
			 errdetail("%s", reason),
			 errhint("%s", hint)));
}

/* Report an unknown name, with the nearest one as a hint. */
static void
report_unknown(const char *name, int where)
{
	const char **candidates = palloc(sizeof(char *) * si_nproperties);
	const char *nearest;
	StringInfoData all;
	int			n = 0;

	initStringInfo(&all);
	for (int i = 0; i < si_nproperties; i++)
	{
		const SiAllowedProperty *property = &si_properties[i];

		if ((property->where & where) == 0)
			continue;
		candidates[n++] = display_name(property->name, where);
		if (property->alias_of == NULL)
			appendStringInfo(&all, "%s%s", all.len > 0 ? ", " : "",
							 candidates[n - 1]);
	}
	nearest = si_nearest_name(name, candidates, n);

	ereport(ERROR,
			(errcode(name_sqlstate(where)),
			 errmsg("unrecognized option \"%s\" in a %s",
					name, place_name(where)),
			 nearest != NULL ?
			 errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("Valid options in a %s are: %s.",
					 place_name(where), all.data)));
}

/*
 * Report why a name that si_property_find() did not find cannot be given; never
 * returns.
 */
void
si_property_refuse(const char *name, int where)
{
	const SiPropertyRefusal *refusal = si_property_find_refusal(name);
	const SiAllowedProperty *elsewhere;

	elsewhere = si_property_find(name, SI_AT_SERVER | SI_AT_MAPPING | SI_AT_SUBSCRIPTION);
	if (elsewhere != NULL)
		report_wrong_place(name, elsewhere, where);

	if (refusal != NULL)
		ereport(ERROR,
				(errcode(name_sqlstate(where)),
				 errmsg("option \"%s\" is not allowed", name),
				 errdetail("%s", refusal->reason),
				 refusal->hint ? errhint("%s", refusal->hint) : 0));
	report_unknown(name, where);
}

/* ---- values ---- */

/*
 * Report a bad value.  The reason may quote it (librdkafka's own do), and is
 * left out where that would show a secret.
 */
static void
report_value(const SiGivenOption *option, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", option->name),
			 errdetail("%s", reason)));
}

/*
 * Check a value, and whether the user may give it.  Throws 42501 for what only
 * a superuser may do, 22023 for a bad value.
 */
void
si_property_check_value(const SiGivenOption *option)
{
	const SiAllowedProperty *property = option->property;
	const char *reason = NULL;

	if ((property->flags & SI_PROPERTY_SUPERUSER_ONLY) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", option->name),
				 errdetail("Only superusers may make the server read a file."),
				 strcmp(property->name, "ssl.ca.location") == 0 ?
				 errhint("Give the certificate's text in \"ssl_ca_pem\".") :
				 strcmp(property->name, "https.ca.location") == 0 ?
				 errhint("Give the certificate's text in \"https_ca_pem\".") :
				 strcmp(property->name, "schema_registry_ssl_ca_location") == 0 ?
				 errhint("Give the certificate's text in \"schema_registry_ssl_ca_pem\".") :
				 property->where & SI_AT_MAPPING ?
				 errhint("Give the text in \"ssl_key_pem\" and \"ssl_certificate_pem\" of a user mapping.") : 0));

	/* our own checks first: they refuse values that librdkafka would accept */
	if (property->check != NULL)
		reason = property->check(option->value);
	if (reason != NULL)
		report_value(option, reason);
	if (property->flags & (SI_PROPERTY_OURS | SI_PROPERTY_CLIENT))
		return;

	reason = si_consumer_check_property(property->name, option->value);
	if (reason != NULL)
	{
		char	   *words = pstrdup(reason);
		int			len = strlen(words);

		/* its longer messages end in a line break */
		while (len > 0 && isspace((unsigned char) words[len - 1]))
			words[--len] = '\0';
		report_value(option, property->flags & SI_PROPERTY_SECRET ?
					 "librdkafka does not accept it." : words);
	}

	/* librdkafka has accepted it as an integer, so it can be read as one */
	if (property->max > 0)
	{
		long		number = strtol(option->value, NULL, 0);

		if (number < property->min || number > property->max)
			report_value(option,
						 psprintf("%ld is outside the valid range (%d .. %d).",
								  number, property->min, property->max));
	}
}

bool
si_property_has_control_character(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			return true;
	}
	return false;
}

/* ---- several options together ---- */

const SiGivenOption *
si_property_find_given(const SiGivenOption *given, int ngiven, const char *property)
{
	for (int i = 0; i < ngiven; i++)
	{
		if (strcmp(given[i].property->name, property) == 0)
			return &given[i];
	}
	return NULL;
}

bool
si_property_is_given(const SiGivenOption *given, int ngiven, const char *property, const char *value)
{
	const SiGivenOption *option = si_property_find_given(given, ngiven, property);

	return option != NULL && strcmp(option->value, value) == 0;
}

/* ---- subscriptions ---- */

const char *
si_property_check_subscription(const char *name, const char *value)
{
	SiGivenOption option;

	option.property = si_property_find(name, SI_AT_SUBSCRIPTION);
	if (option.property == NULL)
	{
		/* a key of a JSON document can have any length */
		si_property_refuse(pnstrdup(name, pg_mbcliplen(name, strlen(name),
													   NAMEDATALEN)),
						   SI_AT_SUBSCRIPTION);
	}
	option.name = name;
	option.value = value;
	if (value != NULL)
		si_property_check_value(&option);
	return option.property->name;
}

const char **
si_property_subscription_names(int *n)
{
	const char **names = palloc(sizeof(char *) * si_nproperties);

	*n = 0;
	for (int i = 0; i < si_nproperties; i++)
	{
		if (si_properties[i].where & SI_AT_SUBSCRIPTION)
			names[(*n)++] = si_properties[i].name;
	}
	return names;
}
