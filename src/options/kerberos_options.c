/*-------------------------------------------------------------------------
 *
 * kerberos_options.c
 *	  The options of servers about Kerberos.
 *
 * They have the names of librdkafka's properties.  The keytab is read by kafka/ticket
 * alone: librdkafka would put its name into a shell command.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "kafka/kerberos.h"
#include "options/kerberos_options.h"

const char *
si_kerberos_check_keytab(const char *value)
{
	if (!si_kerberos_is_supported())
		return "This build of stream_ingest has no Kerberos: it was made with with_kerberos=no.";
	if (!is_absolute_path(value))
		return "It is not an absolute path.";
	if (strlen(value) >= MAXPGPATH)
		return "It is too long.";
	if (si_property_has_control_character(value))
		return "It contains a control character.";
	return NULL;
}

const char *
si_kerberos_check_principal(const char *value)
{
	if (value[0] == '\0')
		return "It is empty.";
	if (strlen(value) > 255)
		return "It is longer than 255 bytes.";
	if (si_property_has_control_character(value))
		return "It contains a control character.";
	return NULL;
}

const char *
si_kerberos_check_service(const char *value)
{
	if (value[0] == '\0' || strlen(value) > 63 ||
		value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] != '\0')
		return "The name of a service has 1 to 63 letters, digits, dots, underscores and hyphens, and no host.";
	return NULL;
}

bool
si_kerberos_is_used(const SiGivenOption *given, int ngiven)
{
	return si_property_is_given(given, ngiven, "sasl.mechanism", "GSSAPI");
}

void
si_kerberos_options_check_server(const SiGivenOption *given, int ngiven)
{
	static const char *const needed[][2] = {
		{"sasl.kerberos.keytab", "sasl_kerberos_keytab"},
		{"sasl.kerberos.principal", "sasl_kerberos_principal"}
	};

	if (!si_kerberos_is_used(given, ngiven))
		return;
	for (int i = 0; i < lengthof(needed); i++)
	{
		if (si_property_find_given(given, ngiven, needed[i][0]) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					 errmsg("option \"%s\" is required where \"sasl_mechanism\" is \"GSSAPI\"",
							needed[i][1]),
					 errhint("Give the file with the key, and whose key it is, in \"sasl_kerberos_keytab\" and \"sasl_kerberos_principal\".")));
	}
}

void
si_kerberos_check_owner(const char *server, Oid owner)
{
	if (!superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to use Kerberos for server \"%s\": its owner is not a superuser",
						server),
				 errhint("Give the server to a superuser with ALTER SERVER ... OWNER TO.")));
}
