/*-------------------------------------------------------------------------
 *
 * transcode.c
 *	  Messages in another encoding: what decoders get is UTF-8.
 *
 * A bad message is a return value here, too: the server's functions are asked
 * in such a way that they do not throw.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "format/transcode.h"

struct SiTranscoder
{
	int			encoding;
	Oid			conversion;		/* to UTF-8 */
	StringInfoData converted;
};

SiTranscoder *
si_transcode_create(int encoding)
{
	SiTranscoder *transcoder;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return NULL;
	transcoder = palloc0(sizeof(SiTranscoder));
	transcoder->encoding = encoding;
	transcoder->conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(transcoder->conversion))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("default conversion function for encoding \"%s\" to \"%s\" does not exist",
						pg_encoding_to_char(encoding),
						pg_encoding_to_char(PG_UTF8))));
	initStringInfo(&transcoder->converted);
	return transcoder;
}

bool
si_transcode_text(SiTranscoder *transcoder, const char **text, size_t *len,
				  SiDecodeError *error)
{
	StringInfo	converted = &transcoder->converted;
	const char *name = pg_encoding_to_char(transcoder->encoding);
	int			done;

	if (*len == 0)
		return true;
	if (*len >= (MaxAllocSize - 2) / MAX_CONVERSION_GROWTH)
		return si_decoder_fail(error, "54000", "message is too long for a conversion of its encoding");

	/* this refuses NUL bytes, too */
	if (pg_encoding_verifymbstr(transcoder->encoding, *text, *len) != *len)
		return si_decoder_fail(error, "22021", "message has bytes that are not valid in encoding \"%s\"", name);

	resetStringInfo(converted);
	enlargeStringInfo(converted, *len * MAX_CONVERSION_GROWTH + 1);
	done = pg_do_encoding_conversion_buf(transcoder->conversion,
										 transcoder->encoding, PG_UTF8,
										 (unsigned char *) *text, *len,
										 (unsigned char *) converted->data,
										 converted->maxlen, true);
	if (done != *len)
		return si_decoder_fail(error, "22P05", "message has a character of encoding \"%s\" that has no equivalent in UTF-8", name);
	*text = converted->data;
	*len = strlen(converted->data);

	return true;
}

/* The same, into the arena; a null text stays one. */
static bool
transcode_part(SiTranscoder *transcoder, const char **text, size_t *len,
			   SiArena *arena, SiDecodeError *error)
{
	char	   *copy;

	if (*text == NULL)
		return true;
	if (!si_transcode_text(transcoder, text, len, error))
		return false;
	copy = si_arena_alloc(arena, *len);
	if (copy == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	memcpy(copy, *text, *len);
	*text = copy;

	return true;
}

/* Does a field read text from the key?  Else the key may be anything. */
static bool
reads_key(const SiDecodePlan *plan)
{
	if (plan->key_format != SI_KEY_JSON && plan->key_format != SI_KEY_TEXT)
		return false;
	for (int i = 0; i < plan->nfields; i++)
	{
		if (i != plan->rest_field && plan->fields[i].of_key)
			return true;
	}
	return false;
}

bool
si_transcode_message(SiTranscoder *transcoder, const SiDecodePlan *plan,
					 const SiMessage *message, SiArena *arena,
					 SiMessage *utf8, SiDecodeError *error)
{
	*utf8 = *message;
	if (!transcode_part(transcoder, &utf8->value, &utf8->value_len, arena, error))
		return false;
	return !reads_key(plan) ||
		transcode_part(transcoder, &utf8->key, &utf8->key_len, arena, error);
}
