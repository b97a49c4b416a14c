/*-------------------------------------------------------------------------
 *
 * bytes.c
 *	  Bytes of a message as text that can be shown.
 *
 * Keys and headers are bytes to Kafka.  A view must not fail because one of
 * them is no text.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "common/bytes.h"

static char *
to_hex(const char *data, size_t len)
{
	char	   *result = palloc(len * 2 + 3);

	result[0] = '\\';
	result[1] = 'x';
	(void) hex_encode(data, len, result + 2);
	result[len * 2 + 2] = '\0';
	return result;
}

char *
si_bytes_to_text_strict(const char *data, size_t len)
{
	int			encoding = GetDatabaseEncoding();
	int			converted;
	Oid			conversion;
	char	   *result;

	if (!pg_verify_mbstr(PG_UTF8, data, len, true))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(data, len);

	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	result = palloc(len * MAX_CONVERSION_GROWTH + 1);
	converted = pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
											  (unsigned char *) data, len,
											  (unsigned char *) result,
											  len * MAX_CONVERSION_GROWTH + 1, true);
	return (converted == len) ? result : NULL;
}

char *
si_bytes_to_text(const char *data, size_t len)
{
	char	   *result = si_bytes_to_text_strict(data, len);

	return (result != NULL) ? result : to_hex(data, len);
}

void
si_bytes_append_json(StringInfo document, const char *data, size_t len)
{
	escape_json(document, si_bytes_to_text(data, len));
}
