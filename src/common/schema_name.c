/*-------------------------------------------------------------------------
 *
 * schema_name.c
 *	  By what a schema registry, and the messages, name a schema: its id.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "common/schema_name.h"

bool
si_schema_id_parse(const char *name, SiSchemaId *id)
{
	size_t		len = strlen(name);

	memset(id, 0, sizeof(*id));
	if (len == SI_UUID_TEXT)
	{
		id->kind = SI_SCHEMA_GUID;
		return si_uuid_read(name, id->guid);
	}

	/* 18 digits are what any registry counts to, and 64 bits hold them */
	if (len == 0 || len > 18 || strspn(name, "0123456789") != len || (name[0] == '0' && len > 1))
		return false;
	id->kind = SI_SCHEMA_NUMBER;
	for (; *name != '\0'; name++)
		id->number = id->number * 10 + (uint64_t) (*name - '0');
	return true;
}

void
si_schema_id_text(const SiSchemaId *id, char *name)
{
	if (id->kind != SI_SCHEMA_GUID)
	{
		snprintf(name, SI_SCHEMA_ID_ROOM, "%llu", (unsigned long long) id->number);
		return;
	}
	si_uuid_write(id->guid, name);
	name[SI_UUID_TEXT] = '\0';
}

bool
si_schema_id_matches(const SiSchemaId *id, const SiSchemaId *other)
{
	return (id->kind == SI_SCHEMA_GUID) == (other->kind == SI_SCHEMA_GUID) &&
		id->number == other->number && memcmp(id->guid, other->guid, SI_GUID_BYTES) == 0;
}
