/*-------------------------------------------------------------------------
 *
 * bytes.c
 *	  Bytes of a message as text that can be shown.
 *
 * Keys and headers are bytes to Kafka.  A view must not fail because one of
 * them is not valid text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "common/bytes.h"

void
si_bytes_append_hex(StringInfo out, const char *data, size_t len)
{
	appendStringInfoString(out, "\\x");
	enlargeStringInfo(out, len * 2);
	out->len += hex_encode(data, len, out->data + out->len);
	out->data[out->len] = '\0';
}

/*
 * The bytes, if they are valid in verify_encoding, in the database's encoding;
 * else, or if they are too many to be converted, NULL.
 */
static char *
to_text(const char *data, size_t len, int verify_encoding)
{
	int			encoding = GetDatabaseEncoding();
	int			converted;
	Oid			conversion;
	char	   *result;

	if (!pg_verify_mbstr(verify_encoding, data, len, true))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(data, len);

	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion) || len >= MaxAllocSize / MAX_CONVERSION_GROWTH)
		return NULL;
	result = palloc(len * MAX_CONVERSION_GROWTH + 1);
	converted = pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
											  (unsigned char *) data, len,
											  (unsigned char *) result,
											  len * MAX_CONVERSION_GROWTH + 1, true);
	return (converted == len) ? result : NULL;
}

/* The same, but bytea's hex form instead of NULL. */
static char *
to_text_or_hex(const char *data, size_t len, int verify_encoding)
{
	char	   *result = to_text(data, len, verify_encoding);
	StringInfoData hex;

	if (result != NULL)
		return result;
	initStringInfo(&hex);
	si_bytes_append_hex(&hex, data, len);
	return hex.data;
}

char *
si_bytes_to_text_strict(const char *data, size_t len)
{
	return to_text(data, len, PG_UTF8);
}

char *
si_bytes_to_text(const char *data, size_t len)
{
	return to_text_or_hex(data, len, PG_UTF8);
}

void
si_bytes_append_headers(StringInfo document, const SiHeader *headers, int nheaders,
						int verify_encoding)
{
	appendStringInfoChar(document, '{');
	for (int i = 0; i < nheaders; i++)
	{
		const SiHeader *header = &headers[i];

		if (i > 0)
			appendStringInfoChar(document, ',');
		escape_json(document, to_text_or_hex(header->name, strlen(header->name),
											 verify_encoding));
		appendStringInfoChar(document, ':');
		if (header->value == NULL)
			appendStringInfoString(document, "null");
		else
			escape_json(document, to_text_or_hex(header->value, header->value_len,
												 verify_encoding));
	}
	appendStringInfoChar(document, '}');
}

Datum
si_bytes_headers_jsonb(const SiHeader *headers, int nheaders)
{
	StringInfoData document;

	initStringInfo(&document);
	si_bytes_append_headers(&document, headers, nheaders, PG_UTF8);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(document.data));
}
