/*-------------------------------------------------------------------------
 *
 * value_text.h
 *	  Values as text: typed values, and JSON that a decoder writes.
 *
 * A typed value has one text, which the input function of its natural type
 * reads back exactly: dates and times are in ISO 8601 as the server's JSON
 * functions write them (a date of before our era ends with " BC"), numbers as
 * JSON has them.  In a JSON document dates, times, infinities and NaN are
 * strings, and bytes are strings in bytea's hex form.
 *
 * Pure C, no server: a buffer's memory is malloc's.  Called by decoders of
 * formats that are not text, by datum and by the SQL function decode().
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_VALUE_TEXT_H
#define SI_VALUE_TEXT_H

#include "common/record.h"

/* Room for the text of any typed value, and a NUL. */
#define SI_VALUE_TEXT_ROOM	64

/* Write a typed value's text, which is ASCII; returns its length. */
extern size_t si_value_text(const SiValue *value, char *out);

/* What a JSON value is, with its article. */
extern const char *si_value_kind_name(SiValueKind kind);

/*
 * Take the numbers of milliseconds or microseconds that stand for the two ends of
 * time, as pgjdbc and so Debezium have them, for what they are: a string.  False if
 * the count is none of them.
 */
extern bool si_value_take_infinity(int64_t count, SiValue *value);

/* Does a JSON document have this typed value in quotes? */
extern bool si_value_is_quoted(const SiValue *value);

/* Why a buffer took no more. */
typedef enum SiTextFault
{
	SI_TEXT_NO_FAULT,
	SI_TEXT_TOO_LONG,
	SI_TEXT_OUT_OF_MEMORY
} SiTextFault;

/* jsonb holds no more than this. */
#define SI_TEXT_MAX_LEN		((size_t) 256 * 1024 * 1024)

/*
 * A text that grows.  Zeroed, it is empty.  A failed append sets the fault, and
 * every later one does nothing: the writer checks once, at the end or where it
 * could run on for long.
 */
typedef struct SiTextBuffer
{
	char	   *data;
	size_t		len;
	size_t		room;
	size_t		most;			/* bytes that it takes; 0: SI_TEXT_MAX_LEN */
	SiTextFault fault;
} SiTextBuffer;

extern void si_text_append(SiTextBuffer *buffer, const char *data, size_t len);
extern void si_text_append_byte(SiTextBuffer *buffer, char byte);

/* A text in UTF-8 as a JSON string, with its quotes. */
extern void si_text_append_string(SiTextBuffer *buffer, const char *data, size_t len);

/* Any value but ABSENT, as JSON. */
extern void si_text_append_value(SiTextBuffer *buffer, const SiValue *value);

/*
 * Make it empty, to take no more bytes than that, nor than SI_TEXT_MAX_LEN; keeps
 * the memory, unless that is much.
 */
extern void si_text_reset(SiTextBuffer *buffer, size_t most);
extern void si_text_free(SiTextBuffer *buffer);

#endif							/* SI_VALUE_TEXT_H */
