/*-------------------------------------------------------------------------
 *
 * unavailable.c
 *	  Debezium's placeholder for a value that an event lacks, in all the forms
 *	  that it has by the type of the column.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "format/unavailable.h"

static bool
is_text(const char *data, size_t len, const char *text)
{
	return text !=NULL && len == strlen(text) && memcmp(data, text, len) == 0;
}

/*
 * Is a JSON document nothing but this text in a list, a map of the text to
 * itself, or a list of the text's bytes?
 */
static bool
is_document_of(const char *data, size_t len, const char *text)
{
	size_t		text_len = strlen(text);
	const char *end = data + len;
	const char *p = data;
	size_t		ntexts = 0;
	size_t		nbytes = 0;

	while (p < end)
	{
		unsigned	byte = 0;

		if (*p == '"')
		{
			if ((size_t) (end - p) < text_len + 2 || memcmp(p + 1, text, text_len) != 0 ||
				p[text_len + 1] != '"')
				return false;
			p += text_len + 2;
			ntexts++;
			continue;
		}
		if (*p < '0' || *p > '9')
		{
			if (strchr(" \t\r\n,:[]{}", *p) == NULL || *p == '\0')
				return false;
			p++;
			continue;
		}
		for (; p < end && *p >= '0' && *p <= '9' && byte < 1000; p++)
			byte = byte * 10 + (unsigned) (*p - '0');
		if (nbytes >= text_len || byte != (unsigned char) text[nbytes++])
			return false;
	}
	if (*data == '{')
		return ntexts == 2 && nbytes == 0;
	return (ntexts == 1 && nbytes == 0) || (ntexts == 0 && nbytes == text_len);
}

/* Is this text the base64 of that one? */
static bool
is_base64_of(const char *data, size_t len, const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		text_len = strlen(text);
	size_t		i;

	if (len != (text_len + 2) / 3 * 4)
		return false;
	for (i = 0; i < len; i++)
	{
		size_t		at = i / 4 * 3;
		unsigned	bits = 0;
		int			n;

		for (n = 0; n < 3; n++)
			bits = bits << 8 | (at + (size_t) n < text_len ? (unsigned char) text[at + (size_t) n] : 0);
		if (data[i] != (at + i % 4 > text_len ? '=' : digits[bits >> (18 - 6 * (i % 4)) & 63]))
			return false;
	}
	return true;
}

bool
si_value_is_unavailable(const SiFormatOptions *options, const SiValue *value)
{
	const char *text = options->unavailable;

	switch (value->kind)
	{
		case SI_VALUE_STRING:
		case SI_VALUE_BYTES:
			return is_text(value->data, value->len, text) ||
				is_text(value->data, value->len, options->unavailable_uuid) ||
				is_base64_of(value->data, value->len, text);
		case SI_VALUE_WRITTEN:
			return value->len >= 2 && is_text(value->data + 1, value->len - 2, text);
		case SI_VALUE_OBJECT:
		case SI_VALUE_ARRAY:
			return value->len < 16 * strlen(text) + 64 && is_document_of(value->data, value->len, text);
		default:
			return false;
	}
}
