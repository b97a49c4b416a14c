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

#define GUID_TEXT_LENGTH	36

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_hyphen_place(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static bool
parse_guid(const char *text, SiSchemaId *id)
{
	size_t		n = 0;
	size_t		i;

	id->kind = SI_SCHEMA_GUID;
	for (i = 0; i < GUID_TEXT_LENGTH; i++)
	{
		int			digit = hex_digit(text[i]);

		if (is_hyphen_place(i) && text[i] == '-')
			continue;
		if (is_hyphen_place(i) || digit < 0)
			return false;
		id->guid[n / 2] = (unsigned char) (id->guid[n / 2] << 4 | digit);
		n++;
	}
	return true;
}

bool
si_schema_id_parse(const char *text, SiSchemaId *id)
{
	size_t		len = strlen(text);

	memset(id, 0, sizeof(*id));
	if (len == GUID_TEXT_LENGTH)
		return parse_guid(text, id);

	/* 18 digits are what any registry counts to, and 64 bits hold them */
	if (len == 0 || len > 18 || strspn(text, "0123456789") != len || (text[0] == '0' && len > 1))
		return false;
	id->kind = SI_SCHEMA_NUMBER;
	for (; *text !='\0'; text ++)
		id->number = id->number * 10 + (uint64_t) (*text -'0');
	return true;
}

void
si_schema_id_text(const SiSchemaId *id, char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t		n = 0;
	size_t		i;

	if (id->kind != SI_SCHEMA_GUID)
	{
		snprintf(text, SI_SCHEMA_ID_ROOM, "%llu", (unsigned long long) id->number);
		return;
	}
	for (i = 0; i < GUID_TEXT_LENGTH; i++)
	{
		if (is_hyphen_place(i))
			text[		i] = '-';

		else
		{
			text[		i] = digits[id->guid[n / 2] >> (n % 2 == 0 ? 4 : 0) & 0xF];

			n++;
		}
	}
	text[		GUID_TEXT_LENGTH] = '\0';
}

bool
si_schema_id_matches(const SiSchemaId *id, const SiSchemaId *other)
{
	return (id->kind == SI_SCHEMA_GUID) == (other->kind == SI_SCHEMA_GUID) &&
		id->number == other->number && memcmp(id->guid, other->guid, SI_GUID_BYTES) == 0;
}
